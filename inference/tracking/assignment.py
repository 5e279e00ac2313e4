"""Costs between tracks and detections, and the best one-to-one assignment (Jonker-Volgenant, via `lap`)."""

from __future__ import annotations

import lap
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


def iou(a: Floats, b: Floats) -> Floats:
    """(N, M) intersection over union of xyxy boxes (N, 4) and (M, 4)."""
    left_top = np.maximum(a[:, None, :2], b[None, :, :2])
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - left_top
    np.maximum(size, 0.0, out=size)
    inter = size[..., 0] * size[..., 1]
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = area_a[:, None] + area_b[None, :] - inter
    result: Floats = inter / np.maximum(union, 1e-9)
    return result


def cosine(a: Floats, b: Floats) -> Floats:
    """(N, M) cosine similarity of L2-normalised rows (N, E) and (M, E); of no rows E does not matter."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    result: Floats = a @ b.T
    return result


def assign(cost: Floats, limit: float) -> tuple[Rows, Rows]:
    """Rows and columns of the cheapest assignment whose pairs cost less than `limit`."""
    if not cost.size or not (cost < limit).any():
        nothing = np.empty(0, np.intp)
        return nothing, nothing
    columns = np.asarray(lap.lapjv(cost, extend_cost=True, cost_limit=limit, return_cost=False)[0], np.intp)
    rows = np.flatnonzero(columns >= 0)
    return rows, columns[rows]
