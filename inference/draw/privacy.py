"""What is published of a frame where a route blurs: `Redaction` makes every picture of it that is drawn or written.

The blur cannot be undone: what lies under it is averaged to a few cells before it is smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from inference.predictions import Floats, Ints, LabelMap, Objects, OutputImage, Predictions

# A face is averaged to this many cells across its longer side: no feature of it is left.
CELLS = 5
# Boxes of faces end at chin and brow; the blur goes this share of their size further.
WIDER = 0.15
# The corners are as round as leaves those of the box itself under the blur; in shares of the oval's sides.
_ROUND = 0.39
_FINE = 64  # pixels of the sides of the mask from which ovals are stretched


class Redaction:
    """What must not be recognised in a picture of `size` (width, height): the objects with these labels, on crops too,
    and of those that the route's options left out.

    Drawers and writers get the pixels of a picture, and whatever steps made of them, from here alone: what is made for
    every kind of predictions that holds pixels is decided in `predictions`.
    """

    def __init__(
        self, steps: Sequence[tuple[str, Predictions]], labels: Collection[str], size: tuple[int, int]
    ) -> None:
        self._boxes, self._size = boxes_of(steps, labels), size

    def picture(self, image: Pillow.Image) -> Pillow.Image:
        """A copy of the picture, at whatever scale, in which the objects are unrecognisable."""
        canvas = image.copy()
        blur(canvas, self._scaled(image.size))
        return canvas

    def part(self, image: Pillow.Image, area: tuple[float, float, float, float]) -> Pillow.Image:
        """As `picture`, of a part of the picture, which was at `area` (xyxy)."""
        canvas = image.copy()
        ratio = np.array([image.width / (area[2] - area[0]), image.height / (area[3] - area[1])], np.float32)
        boxes = (self._boxes - np.array(area[:2] * 2, np.float32)) * np.tile(ratio, 2)
        blur(canvas, boxes)
        return canvas

    def predictions(self, predictions: Predictions) -> Predictions:
        """Predictions whose pixels show nothing of the objects: what a model made of a face is still that face, and a
        map shows its features. Masks are outlines, as the result has them; they stay, as all else."""
        if not len(self._boxes):
            return predictions
        if isinstance(predictions, OutputImage):
            image = self.picture(Pillow.fromarray(predictions.pixels))
            return replace(predictions, pixels=np.asarray(image))
        if isinstance(predictions, LabelMap):
            high, wide = predictions.ids.shape
            return replace(predictions, ids=flattened(predictions.ids, self._scaled((wide, high))))
        return predictions

    def _scaled(self, size: tuple[int, int]) -> Floats:
        """The boxes (N, 4) in the pixels of a picture of this (width, height)."""
        ratio = np.array([size[0] / self._size[0], size[1] / self._size[1]], np.float32)
        return self._boxes * np.tile(ratio, 2)


def boxes_of(steps: Sequence[tuple[str, Predictions]], labels: Collection[str]) -> Floats:
    """(N, 4) boxes of all objects with these labels, on crops too, and of those that the route's options left out."""
    boxes = [
        box for _, predictions in steps if isinstance(predictions, Objects) for box in _labelled(predictions, labels)
    ]
    # Each once, in an order of their own: what lies in several looks the same, whoever found it.
    return np.unique(np.asarray(boxes, np.float32).reshape(-1, 4), axis=0)


def _labelled(objects: Objects, labels: Collection[str]) -> Iterator[list[float]]:
    rows = zip(objects.names, objects.boxes.tolist(), strict=True)
    yield from (box for name, box in rows if name in labels)
    answers = (answer for attributes in objects.attributes for answer in attributes.values())
    for further in (*answers, objects.hidden):
        if isinstance(further, Objects):
            yield from _labelled(further, labels)


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
        coarse = canvas.resize(cells, Pillow.Resampling.BOX, area)
        smooth = coarse.resize((width, height), Pillow.Resampling.BICUBIC)
        # The rounded corners are those of the whole: a face that the picture's edge cuts is as wide as ever there.
        oval = _oval(wide[2] - wide[0], wide[3] - wide[1])
        left, top = area[0] - wide[0], area[1] - wide[1]
        canvas.paste(smooth, area[:2], oval.crop((left, top, left + width, top + height)))


def _oval(width: int, height: int) -> Pillow.Image:
    """Opaque over the box itself, with a soft rim around it."""
    return _rounded().resize((width, height), Pillow.Resampling.BILINEAR)


@cache
def _rounded() -> Pillow.Image:
    """What all ovals are stretched from: drawing each would take as long as the blur that it bounds."""
    mask = Pillow.new("L", (_FINE, _FINE), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, _FINE - 1, _FINE - 1), _FINE * _ROUND, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(_FINE * 0.02))
