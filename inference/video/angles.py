"""Which way the oriented boxes of tracks point, followed over time: 359 degrees goes on to 361, not to 1."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# With sides more alike than this, either may be found the longer one: the box has then turned by nothing, not by 90.
_SQUARE = 1.25


def long_sides(corners: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of corners (N, 4, 2) in order around: the direction of the longer side, degrees clockwise from the right in
    0..180, and how much longer it is than the other, both (N,)."""
    sides = np.diff(np.asarray(corners, np.float64)[:, :3], axis=1)  # (N, 2, 2)
    lengths = np.linalg.norm(sides, axis=2)
    rows, longer = np.arange(len(sides)), lengths.argmax(axis=1)
    along = sides[rows, longer]
    ratio = lengths.max(axis=1, initial=0.0) / np.maximum(lengths.min(axis=1, initial=np.inf), 1e-9)
    return np.degrees(np.arctan2(along[:, 1], along[:, 0])) % 180.0, ratio


@dataclass
class Angles:
    """The angle of every track so far. A box is the same after half a turn, a square one after a quarter."""

    _last: dict[int, tuple[float, bool]] = field(default_factory=dict)

    def update(self, tracks: NDArray[np.integer], corners: NDArray[np.floating]) -> list[float]:
        """Degrees (N,) of these tracks' boxes (N, 4, 2): as near to their last ones as their shape allows."""
        angles, ratios = long_sides(corners)
        rows = zip(tracks.tolist(), angles.tolist(), (ratios < _SQUARE).tolist(), strict=True)
        return [self._next(*row) for row in rows]

    def _next(self, track: int, angle: float, square: bool) -> float:
        last, was_square = self._last.get(track, (angle, square))
        period = 90.0 if square or was_square else 180.0
        angle = last + (angle - last + period / 2) % period - period / 2
        self._last[track] = angle, square
        return angle
