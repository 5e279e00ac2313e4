"""Where tracks stood in a clip, and for how long."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inference.regions import feet
from inference.tracking.pace import Pace

Floats = NDArray[np.float64]
# Of the grid along the longer side. It is smoothed by what stands there, and enlarged with the picture.
_CELLS = 160
# What was out of sight for no longer than this (seconds), or than one picture, went straight on.
_HIDDEN_S = 1.0
# Somebody stands on about so much of the width of its box: the spread of the place in which its time counts. Ground is
# seen at an angle, and so less high.
_SPREAD, _HIGH = 0.3, 0.6
# Spreads are told apart by half octaves, from one cell on.
_OCTAVE, _LEVELS = 2, 12


class HeatMap:
    """Seconds that tracks stood at the places of a picture, whoever they were."""

    def __init__(self, width: int, height: int) -> None:
        """Width and height of the frames in pixels."""
        self._size = width, height
        scale = _CELLS / max(width, height)
        self._shape = max(1, round(height * scale)), max(1, round(width * scale))
        self._grids: dict[int, Floats] = {}  # by spread
        self._places: dict[int, tuple[float, Floats]] = {}  # by track: when it was seen, and where, in cells
        self._pace = Pace()

    def update(self, t_s: float, tracks: NDArray[np.integer], boxes: NDArray[np.floating]) -> None:
        """Adds the time since each track was seen to the way that it went, where boxes (N, 4) xyxy meet the ground.

        tracks (N,): their numbers, negative for none. More tracks of a frame may come in calls of their own.
        """
        self._pace.update(t_s)
        # Nobody stood there all through a pause of the recording.
        since_s = t_s - self._pace.patience_s(_HIDDEN_S)
        self._places = {number: seen for number, seen in self._places.items() if seen[0] >= since_s}
        rows, columns = self._shape
        places = feet(boxes, self._size) * (columns, rows)
        widths = (boxes[:, 2] - boxes[:, 0]) / self._size[0] * columns
        for i in np.flatnonzero(tracks >= 0).tolist():
            before = self._places.get(int(tracks[i]))
            if before is not None:
                self._add(before[1], places[i], t_s - before[0], float(widths[i]))
            self._places[int(tracks[i])] = t_s, places[i]

    def _add(self, start: Floats, end: Floats, seconds: float, width: float) -> None:
        """Spreads the seconds evenly over the way, in cells: a fast walker leaves a line, and no dots."""
        level = min(max(round(_OCTAVE * math.log2(max(_SPREAD * width, 1.0))), 0), _LEVELS)
        grid = self._grids.setdefault(level, np.zeros(self._shape))
        count = math.ceil(2 * float(np.abs(end - start).max())) + 1
        shares = ((np.arange(count) + 0.5) / count)[:, None]
        at = (start + shares * (end - start)).astype(np.intp)
        np.add.at(grid, (at[:, 1], at[:, 0]), seconds / count)

    @property
    def cells(self) -> Floats:
        """(rows, columns) seconds that somebody stood about there: who stands still for ten counts ten at its feet, and
        less around."""
        total = np.zeros(self._shape)
        for level, grid in self._grids.items():
            spread = 2 ** (level / _OCTAVE)
            rows, columns = self._shape
            total += _bell(rows, max(_HIGH * spread, 0.7)) @ grid @ _bell(columns, spread)
        result: Floats = np.round(total, 3)
        return result


def _bell(count: int, spread: float) -> Floats:
    """(count, count) by which a row of cells is smoothed: a Gaussian whose middle is 1."""
    at = np.arange(count)
    result: Floats = np.exp(-0.5 * ((at[:, None] - at[None]) / spread) ** 2)
    return result
