"""The recipe for anybody's labelled pictures: the starter classifier's network, batches and loss on other data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.net import Classifier, load_backbone
from training.recipe import Predict, to_tensor
from training.recipes.classify import Classify, normalised


class Labelled(Classify):
    """`data` is what the step prepare wrote. `start`: a checkpoint of the starter classifier to grow on."""

    name = "labelled"
    source = "a folder of labelled pictures"
    licence = "that of the pictures"
    batch_size = 64
    rate = 2e-3
    backbone_rate = 0.5
    average = 0.99
    tolerance = 0.02

    def __init__(self, data: Path, start: Path | None = None) -> None:
        super().__init__(data)
        self.start = start
        self.labels = (data / "labels.txt").read_text("utf-8").splitlines()  # type: ignore[misc]  # per data set
        with np.load(data / "pictures.npz") as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        # An epoch sees about as many pictures as there are, but no fewer than make a step worth it.
        count = len(self.arrays["train_classes"])
        self.steps = max(10, round(count / self.batch_size))  # type: ignore[misc]

    def load(self) -> None:
        """The prepared training pictures."""
        self.pictures = to_tensor(self.arrays["train_pictures"])
        self.classes = torch.from_numpy(self.arrays["train_classes"])

    def network(self) -> nn.Module:
        """The classifier with as many outputs as there are labels."""
        network = Classifier(len(self.labels))
        return load_backbone(network, self.start) if self.start and self.start.is_file() else network

    def measure(self, predict: Predict) -> dict[str, float]:
        """Top-1 and the mean recall of the labels, on the held-out pictures."""
        pictures, classes = self.arrays["test_pictures"], self.arrays["test_classes"]
        parts = np.array_split(pictures, max(1, len(pictures) // 64))
        best = np.concatenate([predict(normalised(part))[0].argmax(1) for part in parts])
        recalls = [float((best[classes == k] == k).mean()) for k in range(len(self.labels)) if (classes == k).any()]
        return {"top1": float((best == classes).mean()), "balanced_accuracy": float(np.mean(recalls))}

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        """Evenly chosen training pictures."""
        pictures = self.arrays["train_pictures"]
        chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int)
        return [normalised(pictures[i : i + 1]) for i in chosen]
