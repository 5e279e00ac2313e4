"""Tiles over a picture: where they lie, and how their seams blend."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from inference.predictions import Floats


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
