"""Pictures that the project makes itself: one to learn a style from, and dead leaves to practise it on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Bytes = NDArray[np.uint8]


def _smooth(rng: np.random.Generator, side: int, cells: int) -> NDArray[np.float32]:
    """Smooth noise -1..1, (side, side)."""
    small = rng.uniform(0, 255, (cells, cells)).astype(np.uint8)
    image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32) / 127.5 - 1


def brush(side: int = 384, seed: int = 5) -> Bytes:
    """Thick strokes along a swirling flow: blues and ochres, every stroke of several hairs."""
    rng = np.random.default_rng(seed)
    flow = _smooth(rng, side, 5) * math.pi * 1.4
    tone = _smooth(rng, side, 7)
    palette = np.array(
        [[18, 34, 92], [32, 78, 160], [92, 150, 196], [206, 214, 190], [232, 190, 70], [204, 120, 36], [52, 84, 60]]
    )
    image = Image.new("RGB", (side, side), (30, 50, 100))
    draw = ImageDraw.Draw(image)
    for _ in range(side * side // 26):
        x, y = rng.uniform(0, side, 2)
        shade = (tone[int(y), int(x)] + 1) / 2 * (len(palette) - 1) + rng.normal(0, 0.5)
        base = palette[int(np.clip(round(shade), 0, len(palette) - 1))]
        steps = int(rng.integers(5, 11))
        path = [(x, y)]
        for _ in range(steps):
            px, py = path[-1]
            angle = flow[int(np.clip(py, 0, side - 1)), int(np.clip(px, 0, side - 1))]
            path.append((px + 2.2 * math.cos(angle), py + 2.2 * math.sin(angle)))
        for hair in range(-2, 3):
            colour = tuple(int(v) for v in np.clip(base + rng.normal(0, 14) - 6 * abs(hair), 0, 255))
            draw.line([(px + 0.9 * hair, py - 0.9 * hair) for px, py in path], fill=colour, width=1)
    return np.asarray(image.filter(ImageFilter.SMOOTH))


def leaves(side: int, rng: np.random.Generator) -> Bytes:
    """Dead leaves (Lee, Mumford and Huang, 2001): opaque shapes of all sizes, whose statistics are like photos'."""
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    base = rng.uniform(40, 230, 3)
    for _ in range(140):
        r = min(side, 4 / max(0.02, rng.random()) ** 0.9)
        x, y = rng.uniform(-10, side + 10, 2)
        colour = tuple(int(v) for v in np.clip(base + rng.normal(0, 70) + rng.normal(0, 35, 3), 0, 255))
        if rng.random() < 0.5:
            draw.ellipse([x - r, y - r * rng.uniform(0.4, 1), x + r, y + r], fill=colour)
        else:
            turn = rng.uniform(0, math.pi, 4).cumsum()
            draw.polygon([(x + r * math.cos(t), y + r * math.sin(t)) for t in turn], fill=colour)
    grain = rng.normal(0, rng.uniform(0, 14), (side, side, 1))
    shade = 1 + 0.3 * _smooth(rng, side, 4)[..., None]
    return np.clip(np.asarray(image, np.float32) * shade + grain, 0, 255).astype(np.uint8)
