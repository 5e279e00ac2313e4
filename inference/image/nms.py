"""Non-maximum suppression on arrays, greedy as in the literature (Felzenszwalb et al., 2010)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import time_limits
from inference.predictions import Floats

# Candidates are compared in blocks: a matrix of overlaps is cheaper than a loop over boxes, and the best few
# hundred usually fill the answer, so that the long tail is never looked at.
BLOCK = 128
# Of more candidates the best are looked at, as Ultralytics does (max_nms): work grows with the square of their number.
MOST_CANDIDATES = 30_000

# (shapes (A, ...), shapes (B, ...), threshold) -> which pairs overlap by more, as bool (A, B)
Overlaps = Callable[[Floats, Floats, float], NDArray[np.bool_]]


def nms(
    boxes: Floats, scores: Floats, classes: NDArray[Any] | None, iou_threshold: float, max_detections: int
) -> NDArray[np.int64]:
    """Indices of the boxes kept, best first.

    boxes (N, 4) xyxy, scores (N,), classes (N,) for suppression within a class only, or None for across all.
    A box is dropped when its IoU with a kept box of a higher score is above the threshold.
    """
    return suppress(boxes, scores, classes, iou_threshold, max_detections, iou_above)


def rotated_nms(
    boxes: Floats, scores: Floats, classes: NDArray[Any] | None, iou_threshold: float, max_detections: int
) -> NDArray[np.int64]:
    """As `nms`, for oriented boxes (N, 5) cx, cy, w, h, angle in radians, by the ProbIoU of their Gaussians."""
    return suppress(
        gaussians(boxes), scores, classes, iou_threshold, max_detections, lambda a, b, t: gaussian_overlap(a, b) > t
    )


def suppress(
    shapes: Floats,
    scores: Floats,
    classes: NDArray[Any] | None,
    threshold: float,
    max_detections: int,
    overlaps: Overlaps,
) -> NDArray[np.int64]:
    """Greedy suppression of any shapes (N, ...), of the best MOST_CANDIDATES; `overlaps` says which pairs overlap by
    more than the threshold. Raises TookTooLong."""
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    kept = order[:0]
    for start in range(0, len(order), BLOCK):
        time_limits.check("non-maximum suppression")
        block = order[start : start + BLOCK]
        if len(kept):
            block = block[~_above(shapes, classes, block, kept, threshold, overlaps).any(axis=1)]
        above = _above(shapes, classes, block, block, threshold, overlaps)
        gone = np.zeros(len(block), bool)
        for i in range(len(block)):
            if not gone[i]:
                gone[i + 1 :] |= above[i, i + 1 :]
        kept = np.concatenate([kept, block[~gone]])
        if len(kept) >= max_detections:
            break
    return kept[:max_detections]


def _above(
    shapes: Floats,
    classes: NDArray[Any] | None,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    threshold: float,
    overlaps: Overlaps,
) -> NDArray[np.bool_]:
    """Which pairs overlap by more than the threshold and have the same class."""
    result = overlaps(shapes[a], shapes[b], threshold)
    if classes is not None:
        result &= classes[a][:, None] == classes[b]
    return result


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union (A, B) of boxes xyxy (A, 4) and (B, 4); 0 where both are empty."""
    inside, both = _areas(a, b)
    result: Floats = inside / np.maximum(both - inside, 1e-9)
    return result


def iou_above(a: Floats, b: Floats, threshold: float) -> NDArray[np.bool_]:
    inside, both = _areas(a, b)
    result: NDArray[np.bool_] = inside * (1 + threshold) > both * threshold  # a division costs more than the rest
    return result


def _areas(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """(areas of the intersections (A, B), sums of both areas (A, B))."""
    ax1, ay1, ax2, ay2 = a.T[:, :, None]
    bx1, by1, bx2, by2 = b.T[:, None, :]
    width = np.minimum(ax2, bx2) - np.maximum(ax1, bx1)
    height = np.minimum(ay2, by2) - np.maximum(ay1, by1)
    inside = np.maximum(width, 0) * np.maximum(height, 0)
    return inside, (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)


def gaussians(boxes: Floats) -> Floats:
    """(N, 5) oriented boxes as Gaussians: cx, cy and the covariance's xx, yy, xy (Llerena et al., 2021)."""
    cx, cy, width, height, angle = boxes.astype(np.float64).T
    a, b = width**2 / 12, height**2 / 12
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cx, cy, a * cos**2 + b * sin**2, a * sin**2 + b * cos**2, (a - b) * cos * sin], axis=1)


def gaussian_overlap(a: Floats, b: Floats) -> Floats:
    """1 - Hellinger distance (A, B) of Gaussians ("ProbIoU", Llerena et al., 2021, arXiv:2106.06072)."""
    ax, ay, axx, ayy, axy = a.T[:, :, None]
    bx, by, bxx, byy, bxy = b.T[:, None, :]
    xx, yy, xy = axx + bxx, ayy + byy, axy + bxy
    det = np.maximum(xx * yy - xy**2, 1e-12)
    dx, dy = ax - bx, ay - by
    far = (xx * dy**2 + yy * dx**2 - 2 * xy * dx * dy) / det / 4
    own = np.maximum(axx * ayy - axy**2, 0) * np.maximum(bxx * byy - bxy**2, 0)
    unlike = np.log(np.maximum(det / (4 * np.sqrt(own) + 1e-12), 1e-12)) / 2
    distance = np.clip(far + unlike, 0, 100)
    result: Floats = 1 - np.sqrt(1 - np.exp(-distance))
    return result
