"""Where in a picture a route looks: polygons, and masks drawn as PNG files.

All places are shares of the picture's width and height (0..1), so that a route holds for every size. An object stands
where its box meets the ground: the middle of the lower edge decides, in pictures as in videos.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import Permanent

Floats = NDArray[np.float64]
Polygon = tuple[tuple[float, float], ...]

_EDGE = 1e-6
# A mask is sampled, so that more than this serves nobody.
_MASK_BYTES, _MASK_PIXELS, _MASK_SIDE = 16 << 20, 40_000_000, 16_384
_WHITE = 128


def feet(boxes: NDArray[np.floating[Any]], size: tuple[int, int]) -> Floats:
    """Where boxes (N, 4) xyxy in pixels of a picture of that (width, height) meet the ground: (N, 2) x, y in 0..1."""
    places = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2 / size[0], boxes[:, 3] / size[1]]).astype(np.float64)
    # Whoever is cut off by the picture's edge stands on it, and so within an area that reaches that edge.
    return places.clip(_EDGE, 1.0 - _EDGE)


def inside(points: Floats, polygon: Floats) -> NDArray[np.bool_]:
    """Whether the points (N, 2) lie in the polygon (P, 2): the even-odd rule over its edges."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, :1], points[:, 1:]
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
            raise ValueError(f"mask: {path} is not there; give the path of a PNG file beside routes.toml")
        limits = Limits(bytes=_MASK_BYTES, pixels=_MASK_PIXELS, side=_MASK_SIDE)
        data = read_bytes(path, limits)
        if (kind := sniff(data)) != "image/png":
            raise ValueError(f"mask: {path} is {kind}, expected a PNG file: white where to look, black where not")
        grey = np.asarray(decode(data, limits).image.convert("L"))
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
