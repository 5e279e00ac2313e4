"""Where tracked objects came from: thin lines that fade behind them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trail:
    """The last places of a track, oldest first: (x, y) relative to the picture, 0..1. label: what it was called last,
    for its colour."""

    track: int
    label: str
    points: tuple[tuple[float, float], ...]
