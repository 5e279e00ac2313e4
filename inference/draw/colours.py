"""Colours that stay with a label, letters that fit the picture, and ink that can be read on them."""

from __future__ import annotations

import colorsys
import hashlib
import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import ImageFont

Colour = tuple[int, int, int]
_HEX = re.compile("#[0-9a-fA-F]{6}")
DARK: Colour = (20, 20, 20)
# With this salt the commonest labels (person, face, car, dog, cat ...) get hues that are far apart.
SALT = 2931
GOLDEN = (math.sqrt(5) - 1) / 2
# Two colours nearer than this (in RGB, 0..255) are taken for the same in a legend.
APART = 60.0


@lru_cache(maxsize=4096)
def colour(label: str) -> Colour:
    """A strong colour for a label, the same in every picture and process; "#rrggbb" means itself."""
    if _HEX.fullmatch(label):
        return int(label[1:3], 16), int(label[3:5], 16), int(label[5:], 16)
    seed = int.from_bytes(hashlib.sha256(f"{SALT}{label}".encode(errors="surrogatepass")).digest()[:4], "big")
    return _strong(seed % 360 / 360, seed // 360 % 3)


def track_colour(label: str, number: int) -> Colour:
    """A strong colour for a track: from its label's hue on by golden ratios, so that neighbours in number differ."""
    r, g, b = (part / 255 for part in colour(label))
    return _strong((colorsys.rgb_to_hsv(r, g, b)[0] + number * GOLDEN) % 1.0, number % 3)


@lru_cache(maxsize=64)
def palette(labels: tuple[str, ...]) -> tuple[Colour, ...]:
    """The colours of a model's labels, in order: a label's own, unless a label before it has (nearly) the same.

    Up to about 20 labels can be distinguished; after that a colour is the farthest from the others of a dozen tries.
    """
    chosen: list[Colour] = []
    for label in labels:
        tries = [colour(label), *(colour(f"{label} {n}") for n in range(12) if not label.startswith("#"))]
        distances = [min((math.dist(shade, other) for other in chosen), default=APART) for shade in tries]
        far = next((i for i, distance in enumerate(distances) if distance >= APART), int(np.argmax(distances)))
        chosen.append(tries[far])
    return tuple(chosen)


def _strong(hue: float, shade: int) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue, 0.65 + shade * 0.12, 0.95)
    return round(r * 255), round(g * 255), round(b * 255)


def ink(background: Colour) -> Colour:
    """Black or white, whichever can be read on the background (Rec. 601 luma)."""
    r, g, b = background
    return (0, 0, 0) if 0.299 * r + 0.587 * g + 0.114 * b > 140 else (255, 255, 255)


@lru_cache(maxsize=32)
def font(size: int) -> Any:
    return ImageFont.load_default(size)


def unit(size: tuple[int, int]) -> float:
    """The length of which line widths and letters are multiples: grows with the picture, never vanishes."""
    return max(math.sqrt(size[0] * size[1]) / 400, 0.9)
