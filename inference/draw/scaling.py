"""Pictures and their predictions at the size at which they are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image as Pillow

from inference.predictions import LabelMap, Masks, Objects, Predictions

# A picture below this many pixels on its longer side is enlarged, so that a label has room on it.
LEAST_SIDE = 240


def sized(
    picture: Pillow.Image, steps: Sequence[tuple[str, Predictions]], longest: float | None = None
) -> tuple[Pillow.Image, list[tuple[str, Predictions]]]:
    """A picture and its predictions as they are drawn: under LEAST_SIDE pixels enlarged, so that labels have room, over
    `longest` scaled down, so that they can be read; others unchanged."""
    side = max(picture.size)
    factor = float(-(-LEAST_SIDE // side))
    if longest and side * factor > longest:
        factor = longest / side
    if factor == 1:
        return picture, list(steps)
    size = (max(round(picture.width * factor), 1), max(round(picture.height * factor), 1))
    filtered = Pillow.Resampling.BICUBIC if factor > 1 else Pillow.Resampling.LANCZOS
    resized = picture.resize(size, filtered, reducing_gap=2.0)
    return resized, [(name, scaled(predictions, picture.size, size)) for name, predictions in steps]


def scaled(predictions: Predictions, size: tuple[int, int], target: tuple[int, int]) -> Predictions:
    """Predictions for a picture of `size` (width, height), for the same picture scaled to `target`."""
    if size == target:
        return predictions
    ratio = np.array([target[0] / size[0], target[1] / size[1]], np.float32)
    if isinstance(predictions, LabelMap):
        high, wide = predictions.ids.shape
        rows, columns = _sources(0, target[1], target[1] / high, high), _sources(0, target[0], target[0] / wide, wide)
        return replace(predictions, ids=predictions.ids[rows[:, None], columns])
    if not isinstance(predictions, Objects):
        return predictions
    points, corners, masks = predictions.keypoints, predictions.corners, predictions.masks
    if points is not None:
        points = np.concatenate([points[..., :2] * ratio, points[..., 2:]], axis=-1)
    hidden = None if predictions.hidden is None else scaled(predictions.hidden, size, target)
    assert hidden is None or isinstance(hidden, Objects)
    return replace(
        predictions,
        hidden=hidden,
        boxes=predictions.boxes * np.tile(ratio, 2),
        keypoints=points,
        corners=None if corners is None else corners * ratio,
        masks=None if masks is None else _scaled_masks(masks, ratio, target),
        attributes=tuple(
            {name: scaled(answer, size, target) if isinstance(answer, Objects) else answer
             for name, answer in answers.items()}
            for answers in predictions.attributes
        ),
    )  # fmt: skip


def _sources(start: int, end: int, ratio: float, size: int) -> Any:
    """The pixels from which the pixels start..end of a scaled side come, by the nearest centre."""
    return ((np.arange(start, end) + 0.5) / ratio).astype(np.intp).clip(0, size - 1)


def _scaled_masks(masks: Masks, ratio: Any, target: tuple[int, int]) -> Masks:
    windows, bits = [], []
    for (x1, y1, x2, y2), mask in zip(masks.windows.tolist(), masks.bits, strict=True):
        left, top = math.floor(x1 * ratio[0]), math.floor(y1 * ratio[1])
        right, bottom = min(math.ceil(x2 * ratio[0]), target[0]), min(math.ceil(y2 * ratio[1]), target[1])
        windows.append([left, top, right, bottom] if mask.size else [left, top, left, top])
        if not mask.size:
            mask = np.zeros((0, 0), bool)
        else:
            rows = (_sources(top, bottom, ratio[1], masks.size[0]) - y1).clip(0, mask.shape[0] - 1)
            columns = (_sources(left, right, ratio[0], masks.size[1]) - x1).clip(0, mask.shape[1] - 1)
            mask = mask[rows[:, None], columns]
        bits.append(mask)
    return Masks((target[1], target[0]), np.array(windows, np.int64).reshape(-1, 4), tuple(bits))
