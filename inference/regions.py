"""Where in a picture a route looks: polygons, and masks drawn as PNG files.

All places are shares of the picture's width and height (0..1), so that a route holds for every size. An object stands
where its box meets the ground: the middle of the lower edge decides, in pictures as in videos.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference.errors import Permanent

Floats = NDArray[np.float64]
Polygon = tuple[tuple[float, float], ...]
Anchor = Literal["feet", "centre", "top"]

_EDGE, _TOUCHES = 1e-6, 1e-12
# A mask is sampled, so that more than this serves nobody.
_MASK_BYTES, _MASK_PIXELS, _MASK_SIDE = 16 << 20, 40_000_000, 16_384
_WHITE = 128
_SHOWN = 200  # of what is written, in a message


def feet(boxes: NDArray[np.floating[Any]], size: tuple[int, int]) -> Floats:
    """Where boxes (N, 4) xyxy in pixels of a picture of that (width, height) meet the ground: (N, 2) x, y in 0..1."""
    return anchors(boxes, size, "feet")


def anchors(boxes: NDArray[np.floating[Any]], size: tuple[int, int], anchor: Anchor) -> Floats:
    """The point of each box that decides where it is, (N, 2) x, y in 0..1: the middle of its lower edge, its centre, or
    the middle of its upper edge. Boxes (N, 4) xyxy are in pixels of a picture of that (width, height)."""
    y = {"feet": boxes[:, 3], "centre": (boxes[:, 1] + boxes[:, 3]) / 2, "top": boxes[:, 1]}[anchor]
    places = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2 / size[0], y / size[1]]).astype(np.float64)
    # Whoever is cut off by the picture's edge stands on it, and so within an area that reaches that edge.
    return places.clip(_EDGE, 1.0 - _EDGE)


def inside(points: Floats, polygon: Floats) -> NDArray[np.bool_]:
    """Whether the points (N, 2) lie in the polygon (P, 2): the even-odd rule over its edges."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, :1], points[:, 1:]
    # The pixels of a row are asked together, and few edges of a fine outline are as high as they.
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    near = (low <= y.max(initial=0.0)) & (high >= y.min(initial=1.0))
    start, end = start[near], end[near]
    spans = (start[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
    left_of = x < (end[:, 0] - start[:, 0]) * (y - start[:, 1]) / rise + start[:, 0]
    result: NDArray[np.bool_] = np.count_nonzero(spans & left_of, axis=1) % 2 == 1
    return result


def check_polygon(name: str, polygon: Sequence[Sequence[float]]) -> None:
    """Raises ValueError where it has no area, or reaches out of the picture."""
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    if len(points) < 3:
        raise ValueError(f"{name} has {len(points)} points, expected three or more; a rectangle has four")
    outside = ~((points >= 0) & (points <= 1)).all(axis=1)
    if outside.any():
        x, y = points[outside][0]
        most = float(points.max())
        what = "0..1"
        if most > 1:
            what += "; divide percent by 100" if most <= 100 else "; divide pixels by the picture's width and height"
        raise ValueError(f"{name} has the point [{x:g}, {y:g}], expected shares of width and height within {what}")
    if np.linalg.matrix_rank(points - points[0], tol=1e-9) < 2:
        raise ValueError(f"{name} lies on a line, expected three points around an area")
    check_simple(name, points)


def check_simple(name: str, points: Floats, instead: str = "two polygons") -> None:
    """Raises ValueError where edges of a polygon (P, 2) cross each other; what to write then."""
    if (crossed := _crossing(points)) is None:
        return
    rows = points.tolist()
    (a, b), (c, d) = ([rows[i % len(rows)] for i in (k, k + 1)] for k in crossed)
    how = f"give its points in their order around the area, or {instead}"
    if len(rows) == 4:  # only one order of four corners encloses an area without a crossing
        first, second = crossed
        order = [*range(first + 1), *range(second, first, -1), *range(second + 1, 4)]
        how = f"around the area they are {[rows[i] for i in order]}"
    raise ValueError(f"{name} crosses itself, from {a} to {b} and from {c} to {d}; {how}")


def _crossing(points: Floats) -> tuple[int, int] | None:
    """Two edges of a polygon (P, 2), by their first points, that cross each other between their ends; None where none
    do. Edges that touch, or lie on each other as around a hole, do not."""
    start, end = points, np.roll(points, -1, axis=0)

    def apart(edge: int) -> NDArray[np.bool_]:
        """Which edges have their ends on both sides of the line through that edge."""
        x, y = end[edge] - start[edge]
        sides = [x * (p[:, 1] - start[edge, 1]) - y * (p[:, 0] - start[edge, 0]) for p in (start, end)]
        first, last = (np.where(np.abs(side) < _TOUCHES, 0.0, side) for side in sides)
        return np.asarray(first * last < 0)

    for edge in range(len(points) - 2):
        for other in (np.flatnonzero(apart(edge)[edge + 2 :]) + edge + 2).tolist():
            if apart(other)[edge]:
                return edge, other
    return None


def check_written(name: str, written: Any) -> None:
    """Raises ValueError for what is no list of polygons in a file, with what to write."""
    if not isinstance(written, list) or not all(map(_points, written)):
        meant = _meant(written)
        how = f"; write {name} = {meant}" if meant else f", as in {name} = [[[0, 0.5], [1, 0.5], [1, 1]]]"
        raise ValueError(
            f"{name} is {str(written)[:_SHOWN]}, expected a list of polygons, each of three or more points [x, y] in "
            f"shares of width and height{how if len(how) < _SHOWN else ''}"
        )


def _points(written: Any) -> bool:
    return isinstance(written, list) and all(
        isinstance(point, list) and len(point) == 2 and all(map(_number, point)) for point in written
    )


def _number(written: Any) -> bool:
    return isinstance(written, int | float) and not isinstance(written, bool)


def _meant(written: Any) -> list[Any] | None:
    """The list of polygons that is meant by one polygon, or by coordinates in a row; None for anything else."""
    if not isinstance(written, list) or not written:
        return None
    if len(written) >= 6 and len(written) % 2 == 0 and all(map(_number, written)):
        written = [[x, y] for x, y in zip(written[::2], written[1::2], strict=True)]
    if _points(written):
        return [written]
    each = [_meant(polygon) for polygon in written]
    return None if None in each else [polygon for polygons in each for polygon in polygons or ()]


@dataclass(frozen=True, eq=False)
class Mask:
    """shows (H, W) bool: where is looked; digest: hex sha256 of the file."""

    shows: NDArray[np.bool_]
    digest: str


def read_mask(path: Path) -> Mask:
    """A PNG file: light is where to look, dark is ignored. Raises ValueError for any other file."""
    from inference.image.limits import Limits, read_bytes  # lazily: few routes have a mask
    from inference.image.media import decode
    from inference.image.sniff import sniff

    try:
        if not path.is_file():
            raise ValueError(f"mask: {path} is not there; give the path of a PNG file")
        limits = Limits(bytes=_MASK_BYTES, pixels=_MASK_PIXELS, side=_MASK_SIDE)
        data = read_bytes(path, limits)
        if (kind := sniff(data)) != "image/png":
            raise ValueError(f"mask: {path} is {kind}, expected a PNG file: white where to look, black where not")
        grey = np.asarray(decode(data, limits).image.convert("L"))
        if _seen_through(data):
            raise ValueError(f"mask: {path} is transparent in places; fill these with white (look) or black (ignore)")
    except OSError as error:
        raise ValueError(f"mask: {path} cannot be read ({error.strerror or error})") from error
    except Permanent as error:
        raise ValueError(f"mask: {path}: {error}") from error
    shows = grey >= _WHITE
    if not shows.any():
        most = int(grey.max(initial=0))
        raise ValueError(f"mask: {path} is dark all over (at most {most} of 255), so that nothing would be looked at; "
                         "white is where to look, black is ignored")  # fmt: skip
    return Mask(shows, hashlib.sha256(data).hexdigest())


def _seen_through(data: bytes) -> bool:
    """Whether a PNG file has pixels that are not opaque."""
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(data)) as image:
        return image.has_transparency_data and bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())


@dataclass(frozen=True, eq=False)
class Look:
    """Where a route looks: in any of the regions (none: everywhere), in none of `ignore`, where the mask is light."""

    regions: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    mask: Mask | None = None

    @classmethod
    def of(cls, regions: tuple[Polygon, ...], ignore: tuple[Polygon, ...], mask: str) -> Look:
        """mask: a path, or empty. Raises ValueError for polygons and files that cannot be meant."""
        for name, polygons in (("regions", regions), ("ignore", ignore)):
            for number, polygon in enumerate(polygons):
                check_polygon(f"{name}[{number}]", polygon)
        return cls(regions, ignore, read_mask(Path(mask)) if mask else None)

    def holds(self, points: Floats) -> NDArray[np.bool_]:
        """Which of the places (N, 2) in 0..1 are looked at."""
        held = np.ones(len(points), np.bool_)
        if self.regions:
            held &= np.any([inside(points, np.asarray(p, np.float64)) for p in self.regions], axis=0)
        for polygon in self.ignore:
            held &= ~inside(points, np.asarray(polygon, np.float64))
        if self.mask is not None:
            high, wide = self.mask.shows.shape
            columns, rows = (points * [wide, high]).astype(np.intp).T
            held &= self.mask.shows[rows.clip(0, high - 1), columns.clip(0, wide - 1)]
        return held


@lru_cache(maxsize=2)  # the frames of a clip are of one size
def pixels_of(look: Look, width: int, height: int) -> NDArray[np.bool_]:
    """(height, width): which pixels of a picture of that size are looked at, by their middles."""
    x = (np.arange(width) + 0.5) / width
    # Row by row: all places of a large map at once would take more memory than the map.
    rows = [look.holds(np.column_stack([x, np.full(width, (y + 0.5) / height)])) for y in range(height)]
    return np.stack(rows)
