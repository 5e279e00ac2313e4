"""Blur that cannot be undone: what lies under it is averaged to a few cells before it is smoothed."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from inference.predictions import Floats, Ints

# A face is averaged to this many cells across its longer side: no feature of it is left.
CELLS = 5
# Boxes of faces end at chin and brow; the blur goes this share of their size further.
WIDER = 0.15
_FINE = 200  # pixels of the shorter side of an oval that is drawn as it is


def flattened(ids: Ints, boxes: Floats) -> Ints:
    """A map of ids (H, W) in which each of the boxes (N, 4), xyxy in its pixels, has one id: that of most of it."""
    flat = ids.copy()
    for x1, y1, x2, y2 in boxes.tolist():
        dx, dy = (x2 - x1) * WIDER, (y2 - y1) * WIDER
        rows = slice(max(math.floor(y1 - dy), 0), max(math.floor(y2 + dy) + 1, 0))
        part = flat[rows, max(math.floor(x1 - dx), 0) : max(math.floor(x2 + dx) + 1, 0)]
        if part.size:
            part[:] = np.bincount(part.ravel()).argmax()
    return flat


def blur(canvas: Pillow.Image, boxes: Floats) -> None:
    """Make what is in the boxes (N, 4), xyxy in pixels of `canvas`, unrecognisable. Draws on `canvas`."""
    for x1, y1, x2, y2 in boxes.tolist():
        dx, dy = (x2 - x1) * WIDER, (y2 - y1) * WIDER
        wide = (math.floor(x1 - dx), math.floor(y1 - dy), math.floor(x2 + dx) + 1, math.floor(y2 + dy) + 1)
        area = (max(wide[0], 0), max(wide[1], 0), min(wide[2], canvas.width), min(wide[3], canvas.height))
        width, height = area[2] - area[0], area[3] - area[1]
        if width < 1 or height < 1:
            continue
        cell = max(width, height) / CELLS
        cells = (max(round(width / cell), 1), max(round(height / cell), 1))
        coarse = canvas.crop(area).resize(cells, Pillow.Resampling.BOX)
        smooth = coarse.resize((width, height), Pillow.Resampling.BICUBIC)
        # The rounded corners are those of the whole: a face that the picture's edge cuts is as wide as ever there.
        oval = _oval(wide[2] - wide[0], wide[3] - wide[1])
        left, top = area[0] - wide[0], area[1] - wide[1]
        canvas.paste(smooth, area[:2], oval.crop((left, top, left + width, top + height)))


def _oval(width: int, height: int) -> Pillow.Image:
    """Opaque over the box itself, with a soft rim around it."""
    # A large one is made small and enlarged: its rim is soft, and filtering all of it would take most of the time.
    times = max(min(width, height) / _FINE, 1.0)
    size = (math.ceil(width / times), math.ceil(height / times))
    mask = Pillow.new("L", size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), min(size) * 0.45, fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(min(size) * 0.02))
    return mask if times == 1 else mask.resize((width, height), Pillow.Resampling.BILINEAR)
