"""classify: 200 everyday things, from scratch (Tiny ImageNet). The other recipes' networks grow on its layers."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training import data
from training.net import IMAGENET_MEAN, IMAGENET_STD, Classifier
from training.recipe import Predict, Recipe, to_tensor

SIDE = 64
LABELS = (Path(__file__).parents[2] / "models" / "classify" / "labels.txt").read_text("utf-8").splitlines()
# Small pictures first: three quarters of the steps cost less than half as much, and the last ones set it right.
SIZES = ((0.68, 40), (0.9, 56), (1.01, 64))


class Classify(Recipe):
    name = "classify"
    task = "image-classification"
    labels = LABELS
    source = "Tiny ImageNet-200, training split (100,000 pictures)"
    licence = "ImageNet terms: research use"
    epochs = 18
    steps = 390
    batch_size = 256
    rate = 4e-3
    backbone_rate = 1.0
    weight_decay = 0.05
    average = 0.999
    example = (SIDE, SIDE)
    input_axes = {0: "batch", 2: "height", 3: "width"}
    output_axes = {0: "batch"}
    outputs = ["logits", "embedding"]
    main = "top1"
    stated = {"top1": 0.5098, "top5": 0.7632, "nearest_same_class": 0.315}

    def load(self) -> None:
        pictures, classes = data.tiny_imagenet(self.root / data.TINY_IMAGENET, self.limit)
        self.pictures, self.classes = to_tensor(pictures), torch.from_numpy(classes)

    def network(self) -> nn.Module:
        return Classifier(len(self.labels))

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        rows = torch.from_numpy(rng.integers(len(self.pictures), size=self.batch_size))
        side = next(side for until, side in SIZES if self.progress < until)
        parts = [self._varied(part, side, k, rng) for k, part in enumerate(self.pictures[rows].chunk(8))]
        x, y = torch.cat(parts), self.classes[rows]
        other = torch.from_numpy(rng.permutation(len(x)))
        share = float(rng.beta(0.2, 0.2)) if rng.random() < 0.5 else 1.0
        return share * x + (1 - share) * x[other], y, y[other], torch.tensor(share)

    def _varied(self, part: Tensor, side: int, k: int, rng: np.random.Generator) -> Tensor:
        """One crop for an eighth of the batch. At the end, every third part keeps its native pixels: a network that
        only ever saw resampled pictures is worse by points on sharp ones."""
        if side == SIDE and k % 3 == 0:
            padded = F.pad(part.float(), (6, 6, 6, 6), mode="reflect")
            top, left = rng.integers(0, 13, 2)
            part = padded[:, :, top : top + SIDE, left : left + SIDE]
        else:
            size = int(SIDE * math.sqrt(rng.uniform(0.45, 1.0)))
            top, left = rng.integers(0, SIDE - size + 1, 2)
            part = part[:, :, top : top + size, left : left + size].float()
            part = F.interpolate(part, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return (part.flip(3) if rng.random() < 0.5 else part) * float(rng.uniform(0.8, 1.2))

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        pictures, targets, others, share = batch
        logits = network(pictures).float()
        own, mixed_in = (F.cross_entropy(logits, classes, label_smoothing=0.1) for classes in (targets, others))
        return share * own + (1 - share) * mixed_in

    def measure(self, predict: Predict) -> dict[str, float]:
        """Top-1 and top-5 on the held-out pictures, and how often the embedding's nearest other picture is of the
        same class."""
        pictures, classes = data.tiny_imagenet_held_out(self.root, self.limit)
        parts = np.array_split(pictures, -(-len(pictures) // 100))
        outputs = [predict(normalised(part)) for part in parts]
        logits, embeddings = (np.concatenate(rows) for rows in zip(*outputs, strict=True))
        right = (-logits).argsort(1)[:, :5] == classes[:, None]
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        nearest = (unit @ unit.T - 2 * np.eye(len(unit), dtype=np.float32)).argmax(1)
        return {
            "top1": float(right[:, 0].mean()),
            "top5": float(right.any(1).mean()),
            "nearest_same_class": float((classes[nearest] == classes).mean()),
        }

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        pictures, _ = data.tiny_imagenet(self.root / data.TINY_IMAGENET, 1)
        return [normalised(picture[None]) for picture in pictures[:count]]

    def export_form(self, network: nn.Module) -> nn.Module:
        return WithEmbedding(network)


class WithEmbedding(nn.Module):
    """The shipped form: takes pictures normalised as ImageNet networks do, gives logits and the embedding."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = copy.deepcopy(classifier)
        self.classifier.backbone.normalise = False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.classifier.embed(x)
        return self.classifier.head(embedding), embedding


def normalised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W, 3) bytes -> (N, 3, H, W), ImageNet mean and deviation."""
    x = (pictures / np.float32(255) - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)
