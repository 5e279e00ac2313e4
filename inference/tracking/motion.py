"""How SORT and ByteTrack describe a moving box: what the filter sees of it, and how sure it is of that."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class MotionModel(Protocol):
    """Boxes to filter coordinates and back, with the noise of each (standard deviations, a step of 1/30 s)."""

    def measure(self, boxes: Floats) -> Floats:
        """(N, 4) xyxy to (N, 4) filter coordinates."""
        ...

    def boxes(self, value: Floats) -> Floats:
        """The way back, to xyxy."""
        ...

    def start_noise(self, value: Floats) -> tuple[Floats, Floats]:
        """Of the values and the velocities of a new track."""
        ...

    def step_noise(self, value: Floats) -> tuple[Floats, Floats]:
        """That one step adds to values and velocities."""
        ...

    def measure_noise(self, value: Floats) -> Floats:
        """Of one measured box."""
        ...


class AreaRatio:
    """SORT (Bewley et al., arXiv:1602.00763): centre, area, and an aspect ratio that keeps still."""

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


class AspectHeight:
    """ByteTrack (Zhang et al., arXiv:2110.06864, after DeepSORT): centre, aspect ratio, height.

    All noise but that of the ratio grows with the height of the box: near things move more pixels.
    """

    _position, _velocity = 1.0 / 20, 1.0 / 160
    _scaled = np.array([1.0, 1.0, 0.0, 1.0])

    def measure(self, boxes: Floats) -> Floats:
        size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
        out = np.empty((len(boxes), 4))
        out[:, :2] = boxes[:, :2] + size / 2
        out[:, 2] = size[:, 0] / size[:, 1]
        out[:, 3] = size[:, 1]
        return out

    def boxes(self, value: Floats) -> Floats:
        height = np.maximum(value[:, 3], 1e-3)
        half = np.column_stack([np.maximum(value[:, 2], 1e-3) * height, height]) / 2
        return np.concatenate([value[:, :2] - half, value[:, :2] + half], axis=1)

    def _noise(self, value: Floats, scale: float, of_ratio: float) -> Floats:
        noise: Floats = (scale * value[:, 3:4]) * self._scaled
        noise[:, 2] = of_ratio
        return noise

    def start_noise(self, value: Floats) -> tuple[Floats, Floats]:
        return self._noise(value, 2 * self._position, 1e-2), self._noise(value, 10 * self._velocity, 1e-5)

    def step_noise(self, value: Floats) -> tuple[Floats, Floats]:
        return self._noise(value, self._position, 1e-2), self._noise(value, self._velocity, 1e-5)

    def measure_noise(self, value: Floats) -> Floats:
        return self._noise(value, self._position, 1e-1)
