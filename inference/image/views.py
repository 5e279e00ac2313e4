"""Several views of a picture (its tiles, or crops of it) may show the same object: it counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inference.image.nms import gaussian_overlap, gaussians
from inference.image.preprocess import Box
from inference.predictions import Floats, Ints, Objects, joined

# Objects of two views are the same from this IoU on; where a view's edge cut the object, from this share of the
# smaller box inside the larger on.
SAME_IOU = 0.5
SAME_INSIDE = 0.6
# Poses are the same from this object keypoint similarity (OKS) on. What two people who stand close differ by is a
# multiple of what two views of a person do.
SAME_POSE = 0.5
_SIGMA = 0.07  # of COCO's 17 points the mean; the points of other skeletons have no published ones


def sighted(
    views: Sequence[Objects], seen: Sequence[Box], size: tuple[int, int], poses: bool = False
) -> tuple[Objects, Ints, NDArray[np.bool_]]:
    """(all objects of the views, the view of each, whether its view's edge cut it off), the best sight first: those
    not cut off, then by score; with `poses` those with the most keypoints, as the sum of their scores.

    views: the objects in every view; seen: the part of the picture (xyxy) that the view showed; size: (width, height)
    of the picture, in pixels.
    """
    every = joined(views)
    view = np.repeat(np.arange(len(views)), [len(v) for v in views])
    cut = _cut_off(every.boxes, np.asarray(seen, np.float64).reshape(-1, 4)[view], size)
    if poses and every.keypoints is not None:
        order = np.argsort(-every.keypoints[:, :, -1].sum(axis=1), kind="stable")
    else:
        order = np.lexsort((-every.scores, cut))
    return every.take(order), view[order], cut[order]


def same_as(every: Objects, view: Ints, cut: NDArray[np.bool_], iou: float = SAME_IOU, poses: bool = False) -> Ints:
    """(N,) for each object the first object, in another view, that is the same; its own index where it is the first.

    every, view, cut: as from `sighted`. Only objects with the same label are compared: by IoU, by ProbIoU where they
    have corners, and with `poses` by their keypoints alone.
    """
    own = np.arange(len(every))
    first = own.copy()
    area = _areas(every.boxes)
    shapes = None if every.corners is None else gaussians(oriented(every.corners))
    for i in range(len(every)):
        if first[i] != i:
            continue
        if poses and every.keypoints is not None:
            same = _pose_similarity(every, i) > SAME_POSE
        else:
            low = np.maximum(every.boxes[i, :2], every.boxes[:, :2])
            high = np.minimum(every.boxes[i, 2:], every.boxes[:, 2:])
            inter = _areas(np.hstack([low, high]))
            both = np.maximum(area + area[i] - inter, 1e-6)
            overlap = inter / both if shapes is None else gaussian_overlap(shapes[i : i + 1], shapes)[0]
            share = inter / np.maximum(np.minimum(area, area[i]), 1e-6)
            same = (overlap > iou) | (cut & (share > SAME_INSIDE))
        same = same & (first == own) & (every.label_ids == every.label_ids[i]) & (view != view[i])
        same[: i + 1] = False
        first[same] = i
    return first


def merged(views: Sequence[Objects], seen: Sequence[Box], size: tuple[int, int], most: int) -> Objects:
    """The objects of several views of a picture, without duplicates, best first, at most `most`.

    Arguments as of `sighted`. Where two views show the same object, the view that shows it whole counts; of two
    halves the box covers both.
    """
    every, view, cut = sighted(views, seen, size)
    first = same_as(every, view, cut)
    boxes = every.boxes.copy()
    for j in np.flatnonzero(first != np.arange(len(first))):
        i = first[j]
        if cut[i]:
            boxes[i, :2] = np.minimum(boxes[i, :2], boxes[j, :2])
            boxes[i, 2:] = np.maximum(boxes[i, 2:], boxes[j, 2:])
    kept = np.unique(first)
    kept = kept[np.argsort(-every.scores[kept], kind="stable")][:most]
    return replace(every, boxes=boxes).take(kept)


def _cut_off(boxes: Floats, shown: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (N, 4) touch an edge of what their view showed (N, 4) that is not the picture's own."""
    near = 2 + 0.01 * (shown[:, 2:] - shown[:, :2]).max(axis=1, keepdims=True)
    low = (boxes[:, :2] < shown[:, :2] + near) & (shown[:, :2] > 0)
    high = (boxes[:, 2:] > shown[:, 2:] - near) & (shown[:, 2:] < np.asarray(size))
    return np.asarray((low | high).any(axis=1), bool)


def _areas(boxes: Floats) -> Floats:
    """(N,) of the boxes (N, 4), 0 where a side is negative."""
    areas: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return areas


def oriented(corners: Floats) -> Floats:
    """Corners (N, 4, 2), in order around the box, as (N, 5) cx, cy, w, h, angle in radians."""
    across, down = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]
    sides = np.linalg.norm(across, axis=1), np.linalg.norm(down, axis=1)
    return np.stack([*corners.mean(axis=1).T, *sides, np.arctan2(across[:, 1], across[:, 0])], axis=1)


def _pose_similarity(every: Objects, i: int) -> Floats:
    """OKS (N,) of pose `i` with every pose, in COCO's form: the mean, over the keypoints, of a Gaussian of their
    distance, by the size of the poses. A keypoint counts by the lower of its two scores."""
    points = every.keypoints
    assert points is not None
    areas = np.maximum(_areas(every.boxes), 1)
    area = np.sqrt(areas * areas[i])[:, None]  # a large person and a small one behind are two
    apart = ((points[:, :, :2] - points[i, :, :2]) ** 2).sum(axis=2)
    weight = np.minimum(points[:, :, -1], points[i, :, -1]).clip(0)
    alike = np.exp(-apart / (2 * area * (2 * _SIGMA) ** 2))
    result: Floats = (weight * alike).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-6)
    return result
