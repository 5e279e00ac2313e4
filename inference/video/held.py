"""What is blurred stays so where a detector misses it: faces flicker, and one sharp frame is enough.

A frame waits until what comes after it is known, since a face is often found some frames after it came into sight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np

from inference.draw.privacy import boxes_of
from inference.keep import with_hidden
from inference.predictions import Objects, Predictions
from inference.routes import Route
from inference.video.overlay import Shown
from inference.video.places import HOLD_S, Places
from inference.video.summary import RouteFacts
from inference.video.times import SAME_S
from inference.video.view import HELD_BYTES, size_shown

# What gives pictures as large as the frames, which wait, too.
MAKES_PICTURES = ("image-to-image", "depth-estimation")

Item = TypeVar("Item")


def most_waiting(route: Route, facts: RouteFacts, size: tuple[int, int]) -> int:
    """How many frames may wait, by what they and the pictures made of them take. size: width and height of the clip's
    frames, which wait as they are shown."""
    (width, height), made = size_shown(route, size), sum(step.task in MAKES_PICTURES for step in facts.steps)
    return max(2, HELD_BYTES // (3 * (width * height + made * size[0] * size[1])))


class Held(Generic[Item]):
    """Adds to what is shown of each frame, as `hidden`, where the things with these labels are that its detector
    misses.

    Frames come in order, each with an item that waits with it: for HOLD_S of the clip and at least for the next frame,
    but at most `most` of them wait. Without labels none does.
    """

    def __init__(self, labels: Collection[str], most: int) -> None:
        self._labels, self._most = tuple(labels), max(most, 1)
        self._places = Places()
        self._waiting: deque[tuple[float, Item, Shown]] = deque()

    def update(self, item: Item, t_s: float, shown: Shown) -> Iterator[tuple[Item, Shown]]:
        """Takes the next frame; gives those that need not wait any more, with all that is blurred on them."""
        if not self._labels:
            yield item, shown
            return
        self._places.update(t_s, boxes_of([*shown.steps.items()], self._labels).astype(np.float64))
        self._waiting.append((t_s, item, shown))
        while len(self._waiting) > 1 and self._is_ready(t_s):
            yield self._next()

    def rest(self) -> Iterator[tuple[Item, Shown]]:
        """The frames that wait, when no more come."""
        while self._waiting:
            yield self._next()

    def _is_ready(self, now_s: float) -> bool:
        return now_s - self._waiting[0][0] >= HOLD_S + 2 * SAME_S or len(self._waiting) > self._most

    def _next(self) -> tuple[Item, Shown]:
        t_s, item, shown = self._waiting.popleft()
        return item, replace(shown, steps=self._with(shown.steps, self._places.at(t_s).astype(np.float32)))

    def _with(self, steps: Mapping[str, Predictions], boxes: np.ndarray) -> Mapping[str, Predictions]:
        for name, objects in steps.items():
            if isinstance(objects, Objects) and len(boxes):
                count = len(boxes)
                names = (self._labels[0],) * count
                more = Objects(boxes, np.ones(count, np.float32), np.zeros(count, np.int64), names)
                return {**steps, name: with_hidden(objects, more)}
        return steps
