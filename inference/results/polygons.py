"""Masks as one polygon each, as YOLO's text labels hold them: the outline along the edges of the pixels, parts joined
and holes cut by seams without width.

A polygon drawn by the trainers (OpenCV's fillPoly, whose corners are cut down to whole pixels and drawn) and one drawn
by the centres of its pixels (pycocotools) shall both be the mask: the outline lies INSET inside the pixels' edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Bits = NDArray[np.bool_]

INSET = 0.1
# Specks and pinholes that together are less than this share of a mask stay out of its polygon.
SPECKS = 0.005
# An outline may be made simpler by a line that passes its corners within this many pixels (45 degrees have 0.71).
CLOSE = 0.75
# ... where that can change no more than this share of the mask.
CHANGE = 0.01
# Pairs of corners of two rings that are compared for the shortest seam.
MOST_PAIRS = 500_000
# Rings that are joined to one polygon, the largest of all; noise has thousands.
MOST_RINGS = 60
# Changes from pixel to pixel along the rows of a mask; one with more is looked at in steps of two pixels.
MOST_CHANGES = 500_000


@dataclass(frozen=True)
class Outline:
    """points (K, 2): x, y in pixels, of a closed polygon, its first corner not repeated. specks: pixels left out or
    filled in because they are too few to matter. parts: of the mask that are joined in it."""

    points: Points
    specks: int = 0
    parts: int = 1


def outline(bits: Bits, x: int = 0, y: int = 0) -> Outline:
    """The polygon of a mask (H, W) whose first pixel lies at x, y of the picture; no points for an empty one.

    Drawn again, an IoU over 0.97 with the mask; the more exact the smaller the mask.
    """
    if np.count_nonzero(bits[:, 1:] != bits[:, :-1]) > MOST_CHANGES:
        coarse = outline(bits[::2, ::2])
        return Outline(coarse.points * 2 + (x, y), coarse.specks * 4, coarse.parts)
    rings = [_Ring(points, is_hole) for points, is_hole in _rings(bits)]
    rings.sort(key=lambda ring: -ring.area)
    allowed, specks = SPECKS * np.count_nonzero(bits), 0.0
    while len(rings) > 1 and (len(rings) > MOST_RINGS or specks + rings[-1].area <= allowed):
        specks += rings.pop().area
    kept = _joined([ring.simple() for ring in sorted(rings, key=lambda ring: ring.is_hole)])
    return Outline(kept + (x, y), round(specks), sum(not ring.is_hole for ring in rings))


class _Ring:
    """A closed line (K, 2) around pixels or, where it is a hole, around their absence."""

    def __init__(self, points: Points, is_hole: bool) -> None:
        self.points, self.is_hole = points, is_hole
        x, y = points.T
        self.area = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2

    def simple(self) -> Points:
        """With fewer corners where the ring is large enough that they do not matter. Holes run the other way round."""
        points = self.points[::-1] if self.is_hole else self.points
        length = float(np.abs(np.diff(points, axis=0, append=points[:1])).sum())
        return _simplified(points) if length * CLOSE / 2 <= CHANGE * self.area else points


def _rings(bits: Bits) -> list[tuple[Points, bool]]:
    """(corners, whether it is a hole) of each closed line between pixels that are set and such that are not.

    Pixels that touch at a corner belong together. All lines run clockwise, as seen in the picture.
    """
    corners = _corners(bits)
    across, down, insides = corners.across, corners.down, corners.insides
    seen = bytearray(len(insides))
    found = []
    for start in range(len(seen)):  # in the order of rows: a ring's first corner is its uppermost, leftmost
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            other = across[at]
            seen[at] = seen[other] = 1
            ring += [at, other]
            at = down[other]
        found.append((corners.line(ring), not insides[start]))
    return found


@dataclass(frozen=True)
class _Corners:
    """Where the lines between pixels turn, in the order of rows: the other end of each corner's horizontal and of its
    vertical edge, whether the pixel below and right of it is set, and the ends (K, 2) of both edges, inset. The two
    are the same place but where pixels touch at a corner, which an outline crosses from one to the other."""

    across: list[int]
    down: list[int]
    insides: list[bool]
    horizontal: Points
    vertical: Points

    def line(self, ring: list[int]) -> Points:
        """The places of a ring of corners, whose first edge is horizontal."""
        ends = np.stack([self.vertical[ring], self.horizontal[ring]], 1)
        ends[1::2] = ends[1::2, ::-1]
        places: Points = ends.reshape(-1, 2)
        kept: Points = places[(places != np.roll(places, 1, 0)).any(1)]
        return kept


def _corners(bits: Bits) -> _Corners:
    padded = np.pad(bits, 1).astype(np.int8)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    # A corner is where an odd number of the four pixels is set, or two that touch only there: that counts twice.
    crossing = (nw == se) & (ne == sw) & (nw != ne)
    rows, columns = np.nonzero(((nw + ne + sw + se) % 2 == 1) | crossing)
    times = 1 + crossing[rows, columns]
    rows, columns = np.repeat(rows, times), np.repeat(columns, times)
    second = np.zeros(len(rows), bool)
    second[1:] = (rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1])
    a, b, c, d = (part[rows, columns].astype(bool) for part in (nw, ne, sw, se))
    # The first of two at a crossing has the edge to the left, the second that to the right; which vertical edge goes
    # with it follows from that set pixels which touch there belong together.
    crossed = crossing[rows, columns]
    right, lower = np.where(crossed, second, b != d), np.where(crossed, second ^ a, c != d)
    below, beside = np.where(right, d, c), np.where(lower, d, b)  # whether the set side of an edge is below, right
    corner = np.stack([columns, rows], 1)
    ends = (np.where(crossed, right, beside), below), (beside, np.where(crossed, lower, below))
    horizontal, vertical = (corner + INSET * np.where(np.stack(inner, 1), 1.0, -1.0) for inner in ends)
    across, down = _pairs(np.lexsort((right, columns, rows))), _pairs(np.lexsort((lower, rows, columns)))
    return _Corners(across, down, d.tolist(), horizontal, vertical)


def _pairs(order: NDArray[Any]) -> list[int]:
    """The partner of each corner among those that follow each other along a line: first and second, and so on."""
    partner = np.empty(len(order), np.int64)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    return partner.tolist()


def _simplified(ring: Points) -> Points:
    """A closed ring without the corners that lie within CLOSE of the line between those that stay (Douglas-Peucker)."""
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(1)))
    keep = np.zeros(len(ring) + 1, bool)
    keep[[0, far, len(ring)]] = True
    closed = np.concatenate([ring, ring[:1]])
    parts = [(0, far), (far, len(ring))]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        between, start, way = closed[first + 1 : last], closed[first], closed[last] - closed[first]
        away = np.abs((between - start) @ (-way[1], way[0])) / max(float(np.hypot(*way)), 1e-9)
        if away.max() > CLOSE:
            middle = first + 1 + int(away.argmax())
            keep[middle] = True
            parts += [(first, middle), (middle, last)]
    return ring[keep[:-1]]


def _joined(rings: list[Points]) -> Points:
    """One closed ring: the nearest of the others is put in at the corner next to one of its own, there and back, until
    none is left."""
    if not rings:
        return np.empty((0, 2))
    whole, rest = rings[0], [_Seam.between(rings[0], ring) for ring in rings[1:]]
    while rest:
        seam = rest.pop(min(range(len(rest)), key=lambda k: rest[k].length))
        i, j, ring = int(((whole - seam.corner) ** 2).sum(1).argmin()), seam.start, seam.ring
        whole = np.concatenate([whole[: i + 1], ring[j:], ring[: j + 1], whole[i:]])
        rest = [min(other, _Seam.between(ring, other.ring), key=lambda s: s.length) for other in rest]
    return whole


@dataclass(frozen=True)
class _Seam:
    """How a ring may be joined to others: from `corner` (x, y) of theirs to the place `start` in its list."""

    length: float
    corner: Points
    start: int
    ring: Points

    @staticmethod
    def between(others: Points, ring: Points) -> _Seam:
        """The shortest seam; where there are very many corners, the shortest between some of them."""
        step = max(1, math.ceil(math.sqrt(len(others) * len(ring) / MOST_PAIRS)))
        theirs, own = others[::step], ring[::step]
        distances = ((theirs[:, None] - own[None]) ** 2).sum(2)
        i, j = divmod(int(distances.argmin()), len(own))
        return _Seam(float(distances[i, j]), theirs[i], j * step, ring)
