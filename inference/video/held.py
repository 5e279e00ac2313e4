"""What is blurred stays so for a moment where a detector misses it: faces flicker, and one sharp frame is enough."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from inference.draw.privacy import boxes_of
from inference.image.nms import iou
from inference.keep import with_hidden
from inference.predictions import Floats, Objects, Predictions

# So long, or to the next sample, a place stays blurred of which nothing new is known.
_HOLD_S = 0.5
# What overlaps that much is the same thing, seen again.
_SAME_IOU = 0.2


class Held:
    """Adds to each frame's predictions, as `hidden`, the places of these labels that the frames before had."""

    def __init__(self, labels: Collection[str]) -> None:
        self._labels = tuple(labels)
        self._boxes: Floats = np.zeros((0, 4), np.float32)
        self._seen_s = np.zeros(0)  # (N,) when each of them was seen last
        self._last_s: float | None = None

    def update(self, t_s: float, steps: Mapping[str, Predictions]) -> dict[str, Predictions]:
        """The predictions of the next frame, by step, with what is held."""
        steps = dict(steps)
        if not self._labels:
            return steps
        hold_s = max(_HOLD_S, 1.01 * (t_s - self._last_s) if self._last_s is not None else 0.0)
        self._last_s = t_s
        boxes = boxes_of([*steps.items()], self._labels)
        kept = t_s - self._seen_s <= hold_s
        if len(boxes) and len(self._boxes):
            kept &= iou(self._boxes.astype(np.float64), boxes.astype(np.float64)).max(axis=1) < _SAME_IOU
        held = self._boxes[kept]
        self._boxes = np.concatenate([held, boxes])
        self._seen_s = np.concatenate([self._seen_s[kept], np.full(len(boxes), t_s)])
        step = next((name for name, p in steps.items() if isinstance(p, Objects)), None)
        if len(held) and step is not None:
            objects, count = steps[step], len(held)
            assert isinstance(objects, Objects)
            more = Objects(held, np.ones(count, np.float32), np.zeros(count, np.int64), (self._labels[0],) * count)
            steps[step] = with_hidden(objects, more)
        return steps
