"""Where places lie to a line or an area: on which side, and whether beyond a dead band around its border.

All in pixels, x to the right and y down. The band is a share of the box, because that is what boxes tremble by; where
there is less room to the picture's edge, or across an area, it is a part of that room, so that it can be left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.regions import inside

Floats = NDArray[np.float64]
# Twice this share of a box is how far it may tremble in all and stay on one side: detectors move the edges of what
# stands still by a tenth.
_BAND = 0.15
# Of the room up to the picture's edge: who walks out is no longer detected when a third of the box is left.
_OF_ROOM = 1 / 3
_FRAME = 1e-3  # an edge this near to the picture's, as a share of it, is the picture's


@dataclass(frozen=True)
class Sides:
    """Of places (N,): `side` 1 or -1 beyond the band on the right of a line, or in an area; 0 within the band;
    `within`: 1 on that side, band or not; `distance` from the border, at least 0; `clear`: beyond twice the band, where
    trembling alone takes nothing."""

    side: NDArray[np.int64]
    within: NDArray[np.bool_]
    distance: Floats
    clear: NDArray[np.bool_]


def _sides(within: NDArray[np.bool_], distance: Floats, band: Floats | float) -> Sides:
    side = np.where(distance > band, np.where(within, 1, -1), 0)
    return Sides(side, within, distance, np.asarray(distance > 2 * band))


def _across(sizes: Floats, normals: Floats) -> Floats:
    """How large boxes (N, 2) of width and height are for a border with these unit normals (N, 2)."""
    along: Floats = np.abs(normals * sizes).sum(axis=1)
    return np.maximum(along, np.sqrt(sizes[:, 0] * sizes[:, 1]))


def _room(points: Floats, ways: Floats, size: Floats) -> Floats:
    """How far it is from points (N, 2) along unit vectors (N, 2) to the edge of a picture of that size."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(ways > 0, (size - points) / ways, np.where(ways < 0, -points / ways, np.inf))
    result: Floats = np.maximum(steps.min(axis=1), 0.0)
    return result


def _nearest(places: Floats, start: Floats, end: Floats) -> Floats:
    """(N, E, 2): the points of segments (E, 2) to (E, 2) that are nearest to places (N, 2)."""
    along = end - start
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = ((places[:, None] - start[None]) * along[None]).sum(axis=2) / length
    result: Floats = start[None] + share.clip(0.0, 1.0)[..., None] * along[None]
    return result


class LineShape:
    """A line from its first point to its second, in pixels of a picture of (width, height)."""

    def __init__(self, points: Sequence[tuple[float, float]], size: tuple[int, int]) -> None:
        self.ends: Floats = np.asarray(points, np.float64) * size
        self._size = np.asarray(size, np.float64)
        along = self.ends[1] - self.ends[0]
        self._normal = np.array([-along[1], along[0]]) / np.hypot(*along)

    def sides(self, places: Floats, sizes: Floats) -> Sides:
        """Of places (N, 2) of boxes of these widths and heights (N, 2), to the line without end."""
        offset = (places - self.ends[0]) @ self._normal
        within = offset > 0
        ways = np.where(within[:, None], self._normal, -self._normal)
        foot = _nearest(places, self.ends[:1], self.ends[1:])[:, 0]
        band = np.minimum(_BAND * _across(sizes, ways), _OF_ROOM * _room(foot, ways, self._size))
        return _sides(within, np.abs(offset), band)

    def crossed(self, before: Floats, after: Floats) -> int:
        """1 when the step goes over the line from its left to its right side, -1 the other way, else 0."""
        return crossing(before, after, self.ends)


def crossing(before: Floats, after: Floats, line: Floats) -> int:
    """1 when the step goes over the line from its left to its right side, -1 the other way, else 0."""

    def side(origin: Floats, end: Floats, point: Floats) -> float:
        along, to = end - origin, point - origin
        return float(along[0] * to[1] - along[1] * to[0])

    from_side, to_side = side(line[0], line[1], before), side(line[0], line[1], after)
    # The side that zero belongs to is fixed, so that a step that ends on the line and the next count once.
    if (from_side > 0) == (to_side > 0):
        return 0
    if (side(before, after, line[0]) > 0) == (side(before, after, line[1]) > 0):
        return 0
    return 1 if to_side > 0 else -1


class AreaShape:
    """An area, in pixels of a picture of (width, height). Its edges along the picture's are none: behind them is
    nothing, and whoever is cut off there is still inside."""

    def __init__(self, points: Sequence[tuple[float, float]], size: tuple[int, int]) -> None:
        relative = np.asarray(points, np.float64)
        self._polygon: Floats = relative * size
        self._size = np.asarray(size, np.float64)
        start, end = relative, np.roll(relative, -1, axis=0)
        at_edge = [(np.abs(p - edge) < _FRAME) for p in (start, end) for edge in (0.0, 1.0)]
        real = ~((at_edge[0] & at_edge[2]) | (at_edge[1] & at_edge[3])).any(axis=1)
        self._start, self._end = self._polygon[real], np.roll(self._polygon, -1, axis=0)[real]

    def sides(self, places: Floats, sizes: Floats) -> Sides:
        """Of places (N, 2) of boxes of these widths and heights (N, 2)."""
        within = inside(places, self._polygon)
        if not len(self._start) or not len(places):  # the whole picture
            return _sides(within, np.full(len(places), np.inf), 0.0)
        nearest = _nearest(places, self._start, self._end)
        away = places[:, None] - nearest
        distances = np.sqrt((away**2).sum(axis=2))
        rows, edge = np.arange(len(places)), distances.argmin(axis=1)
        distance, foot = distances[rows, edge], nearest[rows, edge]
        ways = away[rows, edge] / np.maximum(distance, 1e-9)[:, None]
        # Of a narrow area, or a narrow bay, the middle half is beyond the band: a quarter of it from either border.
        to_frame = _room(foot, ways, self._size)
        to_edge = self._to_edge(foot, ways)
        room = np.minimum(to_edge / 4, np.where(within, to_frame / 4, _OF_ROOM * to_frame))
        return _sides(within, distance, np.minimum(_BAND * _across(sizes, ways), room))

    def _to_edge(self, points: Floats, ways: Floats) -> Floats:
        """How far it is from points (N, 2) of the border along unit vectors (N, 2) to the next edge, inf for none."""
        along = self._end - self._start
        cross = ways[:, None, 0] * along[None, :, 1] - ways[:, None, 1] * along[None, :, 0]
        to = self._start[None] - points[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (to[..., 0] * along[None, :, 1] - to[..., 1] * along[None, :, 0]) / cross
            share = (to[..., 0] * ways[:, None, 1] - to[..., 1] * ways[:, None, 0]) / cross
        hit = (step > 1e-6) & (share >= 0) & (share <= 1)
        result: Floats = np.where(hit, step, np.inf).min(axis=1)
        return result

    def passed(self, before: Floats, after: Floats, size: Floats) -> tuple[float, float] | None:
        """From where to where, as shares of the straight way between two places outside, it leads through the area, the
        band around its border left aside; None where it does not. size: width and height of the box."""
        step, along = after - before, self._end - self._start
        cross = step[0] * along[:, 1] - step[1] * along[:, 0]
        to = self._start - before
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (to[:, 0] * along[:, 1] - to[:, 1] * along[:, 0]) / cross
            share = (to[:, 0] * step[1] - to[:, 1] * step[0]) / cross
        cuts = np.sort(at[(at >= 0) & (at <= 1) & (share >= 0) & (share <= 1)])
        if len(cuts) < 2:
            return None
        middles = before + ((cuts[:-1] + cuts[1:]) / 2)[:, None] * step
        deep = np.flatnonzero(self.sides(middles, np.repeat(size[None], len(middles), axis=0)).side > 0)
        return (float(cuts[deep[0]]), float(cuts[deep[-1] + 1])) if len(deep) else None
