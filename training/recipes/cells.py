"""cells: red cells, white cells and platelets in blood smears (BCCD)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training import augment, boxes, data
from training.net import AnchorFree
from training.pictures import evenly, letterbox
from training.recipe import Predict, to_tensor
from training.recipes.detection import SIDE, Detection

INPUT = 416
LEAST_SCORE = 0.01  # of the detections that count when measuring

Detections = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.integer]]
"""Boxes (n, 4) in the picture's pixels, scores and classes (n,), best first."""


class Cells(Detection):
    name = "cells"
    labels = data.CELL_LABELS
    source = "BCCD, trainval list (292 pictures)"
    licence = "MIT data; the backbone was trained on ImageNet pictures: research use"
    epochs = 10
    steps = 50
    batch_size = 8
    average = 0.99
    example = (INPUT, INPUT)
    main = "map50"

    def load(self) -> None:
        pictures, self.boxes, self.classes = data.cells(self.root, "trainval", self.limit)
        self.pictures = to_tensor(pictures)

    def sample(self, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float32]]:
        """A crop at 0.5 to 0.85 of the full size, in any of the eight positions a slide can lie in."""
        i = int(rng.integers(len(self.pictures)))
        height, width = self.pictures.shape[2:]
        side = min(height, int(SIDE / math.exp(rng.uniform(math.log(0.5), math.log(0.85)))))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        picture = augment.crop(self.pictures[i], (top, left, side, side), (SIDE, SIDE))
        whole = (self.boxes[i] - np.array([left, top, left, top], np.float32)) * (SIDE / side)
        cut, kept = boxes.cut(whole, SIDE, 0.3)
        cut, kinds = cut[kept], self.classes[i][kept]
        if rng.random() < 0.5:
            picture, cut = picture.flip(2), np.stack([SIDE - cut[:, 2], cut[:, 1], SIDE - cut[:, 0], cut[:, 3]], 1)
        if rng.random() < 0.5:
            picture, cut = picture.flip(1), np.stack([cut[:, 0], SIDE - cut[:, 3], cut[:, 2], SIDE - cut[:, 1]], 1)
        if rng.random() < 0.5:
            picture, cut = picture.transpose(1, 2), cut[:, [1, 0, 3, 2]]
        return augment.colour(picture, rng, 0.2), kinds, cut

    def measure(self, predict: Predict) -> dict[str, float]:
        def detect(picture: NDArray[np.uint8]) -> Detections:
            image, scale = letterbox(picture, INPUT)
            xyxy, scores, kinds = boxes.detections(predict(image)[0][0], INPUT, AnchorFree.strides, LEAST_SCORE, 0.5)
            return xyxy / scale, scores, kinds

        return self.score(detect)

    def score(self, detect: Callable[[NDArray[np.uint8]], Detections]) -> dict[str, float]:
        """Average precision at IoU 0.5 per class and their mean, on the 72 test pictures."""
        matches = [boxes.Matches(0.5) for _ in self.labels]
        for picture, truth, kinds in zip(*data.cells(self.root, "test", self.limit), strict=True):
            xyxy, scores, guesses = detect(picture)
            for kind, of_kind in enumerate(matches):
                of_kind.add(xyxy[guesses == kind], scores[guesses == kind], truth[kinds == kind])
        points = [of_kind.average_precision for of_kind in matches]
        per_class = {f"ap50_{label.replace(' ', '_')}": p for label, p in zip(self.labels, points, strict=True)}
        return {"map50": float(np.mean(points)), **per_class}

    def calibration(self, count: int) -> list[NDArray[np.float32]]:
        pictures, _, _ = data.cells(self.root, "trainval", self.limit)
        return [letterbox(picture, INPUT)[0] for picture in evenly(pictures, count)]
