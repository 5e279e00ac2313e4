"""Small pictures, and a count of what reaches storage."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def jpeg(seed: int = 0, side: int = 64) -> bytes:
    """A small picture, another one for every seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((side, side)).save(buffer, "JPEG")
    return buffer.getvalue()


class Calls:
    """Counts the HTTP requests that reach storage, as (method, container, name or query)."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __len__(self) -> int:
        return len(self.seen)
