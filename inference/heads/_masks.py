"""Instance masks: from small score maps to the picture, each only inside its own box."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inference.image.preprocess import Fit
from inference.predictions import Floats, Masks


def masks_in_boxes(maps: Floats, frames: Floats, boxes: Floats, fit: Fit, threshold: float) -> Masks:
    """Sample each score map (N, h, w) at the picture's pixels inside its box, bilinearly, and cut at `threshold`.

    frames (N, 4) or (4,): where the edges of the map lie, xyxy in picture pixels. boxes (N, 4): picture pixels.
    Pixel centres count, as in OpenCV and torch (align_corners = False).
    """
    width, height = fit.picture
    frames = np.broadcast_to(frames, boxes.shape)
    windows = np.zeros((len(boxes), 4), np.int64)
    bits: list[NDArray[np.bool_]] = []
    for i, (box, frame) in enumerate(zip(boxes.tolist(), frames.tolist(), strict=True)):
        x1, y1 = max(math.floor(box[0]), 0), max(math.floor(box[1]), 0)
        x2, y2 = max(min(math.ceil(box[2]), width), x1), max(min(math.ceil(box[3]), height), y1)
        windows[i] = x1, y1, x2, y2
        scores = sample(maps[i], _map_coordinates(x1, x2, frame[0], frame[2], maps.shape[2]),
                        _map_coordinates(y1, y2, frame[1], frame[3], maps.shape[1]))  # fmt: skip
        bits.append(scores > threshold)
    return Masks((height, width), windows, tuple(bits))


def network_frame(fit: Fit) -> Floats:
    """Where the whole network input lies in the picture, xyxy."""
    corners = np.asarray([[0, 0], fit.network], np.float32)
    return fit.points(corners).ravel()


def _map_coordinates(first: int, last: int, low: float, high: float, count: int) -> Floats:
    """Coordinates, in cells, of the centres of pixels first..last-1 on a map whose `count` cells span low..high."""
    cells = (np.arange(first, last) + 0.5 - low) * (count / max(high - low, 1e-6)) - 0.5
    return cells.clip(0, count - 1).astype(np.float32)


def sample(scores: Floats, xs: Floats, ys: Floats) -> Floats:
    """Bilinear values (len(ys), len(xs)) of a map (h, w) at coordinates in cells."""
    x0, y0 = xs.astype(np.int64), ys.astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, scores.shape[1] - 1), np.minimum(y0 + 1, scores.shape[0] - 1)
    fx, fy = xs - x0, (ys - y0)[:, None]
    rows = scores[y0] * (1 - fy) + scores[y1] * fy
    result: Floats = rows[:, x0] * (1 - fx) + rows[:, x1] * fx
    return result
