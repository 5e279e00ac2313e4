"""cells: red cells, white cells and platelets in blood smears (BCCD)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import augment, boxes, data
from training.net import Detector, Scored, load_backbone
from training.pictures import letterbox
from training.recipe import Predict, Recipe, to_tensor

SIDE = 256
INPUT = 416


class Cells(Recipe):
    name = "cells"
    task = "object-detection"
    labels = data.CELL_LABELS
    source = "BCCD, trainval list (292 pictures)"
    licence = "MIT data; the backbone was trained on ImageNet pictures: research use"
    epochs = 10
    steps = 50
    batch_size = 8
    rate = 1.5e-3
    average = 0.99
    example = (INPUT, INPUT)
    outputs = ["boxes"]
    keep = [f"{part}.{level}.weight" for part in ("box", "kind") for level in range(3)]
    main = "map50"

    def load(self) -> None:
        split = data.cells(self.root, ("trainval",), self.limit)
        self.pictures, self.boxes, self.classes = to_tensor(split.pictures), split.boxes, split.classes

    def network(self) -> nn.Module:
        network = Detector(len(self.labels))
        load_backbone(network.backbone, self.checkpoint)
        return network

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Pictures, then all boxes as rows (picture, class, x1, y1, x2, y2)."""
        pictures, rows = [], []
        for i in range(self.batch_size):
            picture, truth = self._part(int(rng.integers(len(self.pictures))), rng)
            pictures.append(picture)
            rows.append(np.concatenate([np.full((len(truth), 1), i), truth], 1).astype(np.float32))
        return torch.stack(pictures), torch.from_numpy(np.concatenate(rows))

    def _part(self, i: int, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.float32]]:
        """A crop at 0.5 to 0.85 of the full size, in any of the eight positions a slide can lie in."""
        height, width = self.pictures.shape[2:]
        side = min(height, int(SIDE / math.exp(rng.uniform(math.log(0.5), math.log(0.85)))))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        picture = augment.crop(self.pictures[i], (top, left, side, side), (SIDE, SIDE))
        whole = (self.boxes[i] - np.array([left, top, left, top], np.float32)) * (SIDE / side)
        cut = whole.clip(0, SIDE)
        share = (cut[:, 2:] - cut[:, :2]).prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1)
        cut, kinds = cut[share > 0.3], self.classes[i][share > 0.3]
        if rng.random() < 0.5:
            picture, cut = picture.flip(2), np.stack([SIDE - cut[:, 2], cut[:, 1], SIDE - cut[:, 0], cut[:, 3]], 1)
        if rng.random() < 0.5:
            picture, cut = picture.flip(1), np.stack([cut[:, 0], SIDE - cut[:, 3], cut[:, 2], SIDE - cut[:, 1]], 1)
        if rng.random() < 0.5:
            picture, cut = picture.transpose(1, 2), cut[:, [1, 0, 3, 2]]
        return augment.colour(picture, rng, 0.2), np.concatenate([kinds[:, None], cut], 1)

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        pictures, rows = batch
        raw = network(pictures).float()
        mine = [rows[rows[:, 0] == i] for i in range(len(pictures))]
        cells = boxes.grid(SIDE, SIDE, Detector.strides).to(raw.device)
        with torch.autocast(raw.device.type, enabled=False):
            return boxes.detection_loss(raw, [m[:, 2:] for m in mine], [m[:, 1].long() for m in mine], cells)

    def measure(self, predict: Predict) -> dict[str, float]:
        """Average precision at IoU 0.5 per class and their mean, on the 72 test pictures."""
        split = data.cells(self.root, ("test",), self.limit)
        found: list[list[tuple[float, bool]]] = [[] for _ in self.labels]
        truths = [0] * len(self.labels)
        for picture, truth, kinds in zip(split.pictures, split.boxes, split.classes, strict=True):
            image, scale = letterbox(picture, INPUT)
            output = predict(image)[0][0]
            xyxy, scores, guesses = boxes.detections(output, INPUT, INPUT, Detector.strides, 0.01, 0.5)
            for kind in range(len(self.labels)):
                mine = guesses == kind
                right = boxes.match(xyxy[mine] / scale, truth[kinds == kind], 0.5)
                found[kind] += list(zip(scores[mine].tolist(), right.tolist(), strict=True))
                truths[kind] += int((kinds == kind).sum())
        points = [
            boxes.average_precision(np.array([s for s, _ in f]), np.array([r for _, r in f], bool), n)
            for f, n in zip(found, truths, strict=True)
        ]
        per_class = {f"ap50_{label.replace(' ', '_')}": p for label, p in zip(self.labels, points, strict=True)}
        return {"map50": float(np.mean(points)), **per_class}

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        split = data.cells(self.root, ("trainval",), self.limit)
        return [letterbox(p, INPUT)[0] for p in split.pictures[:: max(1, len(split.pictures) // count)]]

    def output_axes(self, axes: dict[int, str]) -> dict[int, str]:
        return {1: "cells"}

    def export_form(self, network: nn.Module) -> nn.Module:
        return Scored(network)
