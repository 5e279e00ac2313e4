"""Where tracked objects came from: thin lines that fade behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw.colours import DARK, track_colour, unit

# From the oldest third of a trail to the newest: how wide in units, and how opaque, 0..255.
_BANDS = ((0.6, 90), (0.85, 150), (1.1, 225))


@dataclass(frozen=True)
class Trail:
    """The last places of a track, oldest first: (x, y) relative to the picture, 0..1. label: what it was called last,
    for its colour."""

    track: int
    label: str
    points: tuple[tuple[float, float], ...]


def draw_trails(canvas: Pillow.Image, trails: Sequence[Trail]) -> None:
    """Draws them on `canvas`, each in the colour of its track, with a faint dark rim."""
    pen = ImageDraw.Draw(canvas, "RGBA")
    step = unit(canvas.size)
    wide, high = canvas.size
    for trail in trails:
        points = [(x * wide, y * high) for x, y in trail.points]
        segments = len(points) - 1
        shade = track_colour(trail.label, trail.track)
        for number, (units, opacity) in enumerate(_BANDS):
            part = points[segments * number // len(_BANDS) : segments * (number + 1) // len(_BANDS) + 1]
            if len(part) > 1:
                width = max(round(units * step), 1)
                pen.line(part, fill=(*DARK, opacity // 3), width=width + 2, joint="curve")
                pen.line(part, fill=(*shade, opacity), width=width, joint="curve")
