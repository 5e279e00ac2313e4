"""How things moved over the whole clip: a heat map of where, and how fast where a scale is given."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
# The map is coarse on purpose: a tenth of a second of one foot must not be one lit pixel.
_CELLS = 96


@dataclass
class HeatMap:
    """Seconds that tracks stood in each cell of a grid, as long as the picture is wide in 96 cells."""

    width: int
    height: int
    cells: Floats = field(init=False)
    _last_s: float | None = None

    def __post_init__(self) -> None:
        self.cells = np.zeros((max(1, round(_CELLS * self.height / self.width)), _CELLS))

    def update(self, t_s: float, boxes: NDArray[np.floating]) -> None:
        """Adds the time since the last frame where each box (N, 4) xyxy meets the ground."""
        seconds = 0.0 if self._last_s is None else min(t_s - self._last_s, 1.0)
        self._last_s = t_s
        rows, columns = self.cells.shape
        x = np.clip((boxes[:, 0] + boxes[:, 2]) / 2 / self.width * columns, 0, columns - 1).astype(np.intp)
        y = np.clip(boxes[:, 3] / self.height * rows, 0, rows - 1).astype(np.intp)
        np.add.at(self.cells, (y, x), seconds)


def heat_picture(cells: Floats, background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map's cells over a (H, W, 3) RGB frame: the longer, the redder. Logarithmic, or one parked car hides all."""
    strength = np.log1p(cells)
    strength = strength / strength.max() if strength.max() > 0 else strength
    size = (background.shape[1], background.shape[0])
    smooth = Image.fromarray((strength * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    heat = np.asarray(smooth, np.float32)[..., None] / 255
    colour = np.concatenate([np.minimum(2 * heat, 1), np.minimum(2 - 2 * heat, 1), np.zeros_like(heat)], axis=2)
    weight = np.minimum(heat * 2.5, 0.75)
    mixed = background * (1 - weight) + 255 * colour * weight
    result: NDArray[np.uint8] = mixed.astype(np.uint8)
    return result


@dataclass
class Speeds:
    """Path lengths of tracks. `metres_per_pixel` holds for the whole picture: a camera that looks straight down."""

    metres_per_pixel: float
    _places: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    _metres: dict[int, float] = field(default_factory=dict)
    _seconds: dict[int, float] = field(default_factory=dict)

    def update(self, t_s: float, ids: NDArray[np.integer], boxes: NDArray[np.floating]) -> None:
        """Takes tracked boxes (N, 4) xyxy of one frame."""
        for track, box in zip(ids.tolist(), boxes.tolist(), strict=True):
            if track < 0:
                continue
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            before = self._places.get(track)
            if before is None:
                self._places[track] = (t_s, x, y)
                continue
            # Twice a second is often enough: between two frames the box's own trembling would count as way.
            if t_s - before[0] >= 0.5:
                way = float(np.hypot(x - before[1], y - before[2])) * self.metres_per_pixel
                self._metres[track] = self._metres.get(track, 0.0) + way
                self._seconds[track] = self._seconds.get(track, 0.0) + t_s - before[0]
                self._places[track] = (t_s, x, y)

    def mean(self, track: int) -> float | None:
        """Metres per second over the track's life; None when it was seen too shortly."""
        seconds = self._seconds.get(track, 0.0)
        return self._metres[track] / seconds if seconds > 0 else None
