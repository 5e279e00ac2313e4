"""SORT: a single association by overlap (Bewley et al., "Simple online and realtime tracking", arXiv:1602.00763)."""

from __future__ import annotations

import numpy as np

from inference.tracking.kalman import Floats
from inference.tracking.matching import Flags, Matching
from inference.tracking.tracker import Tracker


class AreaRatio:
    """Centre, area, and an aspect ratio that keeps still."""

    _start = (np.full(4, 10.0**0.5), np.array([1e4, 1e4, 1e4, 0.0]) ** 0.5)
    _step = (np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.01, 0.0]))
    _measure = np.array([1.0, 1.0, 10.0**0.5, 10.0**0.5])

    def measure(self, boxes: Floats) -> Floats:
        size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
        centre = boxes[:, :2] + size / 2
        return np.column_stack([centre, size[:, 0] * size[:, 1], size[:, 0] / size[:, 1]])

    def boxes(self, value: Floats) -> Floats:
        width = np.sqrt(np.maximum(value[:, 2], 1e-3) * np.maximum(value[:, 3], 1e-3))
        half = np.column_stack([width, np.maximum(value[:, 2], 1e-3) / width]) / 2
        return np.concatenate([value[:, :2] - half, value[:, :2] + half], axis=1)

    def start_noise(self, value: Floats) -> tuple[Floats, Floats]:
        return self._start

    def step_noise(self, value: Floats) -> tuple[Floats, Floats]:
        return self._step

    def measure_noise(self, value: Floats) -> Floats:
        return self._measure


class SortTracker(Tracker):
    """All tracks with all detections that count."""

    motion = AreaRatio()
    high_score = new_score = 0.25
    match_iou = 0.3

    def associate(self, matching: Matching, high: Flags) -> None:
        matching.pair(1.0 - matching.overlap, 1.0 - self.match_iou, matching.near, high)
