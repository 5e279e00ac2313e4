"""Tiles over a picture: where they lie, how their seams blend, and how the boxes of overlapping tiles are merged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inference.image.preprocess import Box
from inference.predictions import Floats, Objects, joined


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one axis: the first at 0, the last ending at `length`, evenly spread, neighbours
    sharing at least `overlap` pixels. A single tile at 0 where it covers all."""
    if length <= tile:
        return [0]
    count = math.ceil((length - tile) / max(tile - overlap, 1)) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def tiles(size: tuple[int, int], tile: tuple[int, int], overlap: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The upper left corners (x, y) of all tiles of a (width, height), row by row."""
    for y in starts(size[1], tile[1], overlap[1]):
        for x in starts(size[0], tile[0], overlap[0]):
            yield x, y


def ramp(length: int, overlap: int) -> Floats:
    """Weights along one axis: rising over the overlap, 1 between, falling again. Never 0."""
    places = np.arange(length, dtype=np.float32) + 0.5
    weights: Floats = np.minimum(np.minimum(places, places[::-1]) / max(overlap, 1), 1.0)
    return weights


class Blend:
    """Puts overlapping tiles together as their weighted mean."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        """size: (width, height)."""
        self._sum = np.zeros((size[1], size[0], channels), np.float32)
        self._weight = np.zeros((size[1], size[0], 1), np.float32)

    def add(self, values: Floats, at: tuple[int, int], overlap: tuple[int, int]) -> None:
        """values (h, w, C) with the upper left corner at (x, y); overlap: (x, y) pixels shared with neighbours."""
        height, width = values.shape[:2]
        weight = ramp(height, overlap[1])[:, None, None] * ramp(width, overlap[0])[None, :, None]
        place = (slice(at[1], at[1] + height), slice(at[0], at[0] + width))
        self._sum[place] += values * weight
        self._weight[place] += weight

    def result(self) -> Floats:
        """The blended values (height, width, C)."""
        np.divide(self._sum, self._weight, out=self._sum, where=self._weight > 0)
        return self._sum


# Boxes of two tiles are the same object from this IoU on; where a tile's edge cut the object, from this share of the
# smaller box inside the larger on.
SAME_IOU = 0.5
SAME_INSIDE = 0.6


def merged(views: Sequence[Objects], seen: Sequence[Box], size: tuple[int, int], most: int) -> Objects:
    """The objects of several views of a picture, without duplicates, best first, at most `most`.

    views: the objects in every view; seen: the part of the picture (xyxy) that the view showed; size: (width, height)
    of the picture, in pixels. Where two views show the same object, the view that shows it whole counts; of two
    halves the box covers both.
    """
    every = joined(views)
    view = np.repeat(np.arange(len(views)), [len(v) for v in views])
    cut = np.concatenate([_cut_off(v.boxes, box, size) for v, box in zip(views, seen, strict=True)])
    order = np.lexsort((-every.scores, cut))  # whole ones first, then by score
    every, view, cut = every.take(order), view[order], cut[order]
    boxes = every.boxes.copy()
    alive = np.ones(len(every), bool)
    for i in range(len(every)):
        if not alive[i]:
            continue
        inter, area = _intersections(boxes[i], boxes)
        share = inter / np.maximum(np.minimum(area, area[i]), 1e-6)
        iou = inter / np.maximum(area + area[i] - inter, 1e-6)
        same = (iou > SAME_IOU) | (cut & (share > SAME_INSIDE))
        same = same & alive & (every.label_ids == every.label_ids[i]) & (view != view[i])
        same[: i + 1] = False
        alive &= ~same
        if cut[i] and same.any():
            boxes[i, :2] = np.minimum(boxes[i, :2], boxes[same, :2].min(axis=0))
            boxes[i, 2:] = np.maximum(boxes[i, 2:], boxes[same, 2:].max(axis=0))
    kept = np.flatnonzero(alive)
    kept = kept[np.argsort(-every.scores[kept], kind="stable")][:most]
    return replace(every, boxes=boxes).take(kept)


def _cut_off(boxes: Floats, view: Box, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (N, 4) touch an edge of the view that is not the picture's own."""
    near = 2 + 0.01 * max(view[2] - view[0], view[3] - view[1])
    low = (boxes[:, :2] < np.asarray(view[:2]) + near) & (np.asarray(view[:2]) > 0)
    high = (boxes[:, 2:] > np.asarray(view[2:]) - near) & (np.asarray(view[2:]) < np.asarray(size))
    return np.asarray((low | high).any(axis=1), bool)


def _intersections(box: Floats, boxes: Floats) -> tuple[Floats, Floats]:
    """(area shared with `box` (N,), own area (N,)) of the boxes (N, 4)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    own = boxes[:, 2:] - boxes[:, :2]
    return np.maximum(sides, 0).prod(axis=1), np.maximum(own, 0).prod(axis=1)
