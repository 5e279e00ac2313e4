"""Where tracks stood in a clip, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# The map is coarse on purpose: a tenth of a second of a foot must not be a lit pixel.
_CELLS = 96


@dataclass
class HeatMap:
    """Seconds that tracks stood in the cells of a grid, as long as the picture is wide in 96 cells."""

    width: int
    height: int
    cells: Floats = field(init=False)
    _last_s: float | None = None
    _seconds: float = 0.0  # from the frame before the last to the last

    def __post_init__(self) -> None:
        self.cells = np.zeros((max(1, round(_CELLS * self.height / self.width)), _CELLS))

    def update(self, t_s: float, boxes: NDArray[np.floating]) -> None:
        """Adds the time since the frame before where boxes (N, 4) xyxy meet the ground; more boxes of a frame may come
        in calls of their own."""
        if t_s != self._last_s:
            self._seconds = 0.0 if self._last_s is None else min(t_s - self._last_s, 1.0)
        self._last_s = t_s
        rows, columns = self.cells.shape
        x = np.clip((boxes[:, 0] + boxes[:, 2]) / 2 / self.width * columns, 0, columns - 1).astype(np.intp)
        y = np.clip(boxes[:, 3] / self.height * rows, 0, rows - 1).astype(np.intp)
        np.add.at(self.cells, (y, x), self._seconds)
