"""The `follow` step: one chosen object, from the box in the route or the most confident detection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.extras import extra
from inference.predictions import Objects
from inference.video.follow import Followed, Follower
from inference.video.frames import Frame
from inference.video.options import Follow

NAME = "follow"


class Chosen:
    """Starts as soon as there is something to follow; says frame by frame where it is."""

    def __init__(self, wanted: Follow) -> None:
        extra("cv2")  # before the first frame: what is missing is said at once
        self._wanted = wanted
        self._follower: Follower | None = None
        self._label = wanted.label or "followed"
        self._spans: list[list[float]] = []

    def update(self, frame: Frame, objects: Objects) -> Objects:
        """The object in this frame as one prediction; none before it was found and while it is out of sight."""
        if self._follower is None:
            start = self._first_box(frame, objects)
            if start is None:
                return Objects.empty()
            self._follower = Follower(frame.pixels, start, frame.pts_s)
            where = Followed(start, 1.0, True)
        else:
            boxes = np.asarray(objects.boxes, np.float64)[self._same(objects)]
            where = self._follower.update(frame.pixels, frame.pts_s, boxes)
        height, width = frame.pixels.shape[:2]
        box = where.box.clip(0.0, [width, height, width, height])
        # Points at the picture's edge may hold on to an object whose box has left it.
        seen = where.seen and bool((box[2:] > box[:2]).all())
        self._note(frame.pts_s, seen)
        if not seen:
            return Objects.empty()
        score = np.array([where.score], np.float32)
        return Objects(box.astype(np.float32)[None], score, np.zeros(1, np.int64), (self._label,))

    def _first_box(self, frame: Frame, objects: Objects) -> NDArray[np.float64] | None:
        height, width = frame.pixels.shape[:2]
        if self._wanted.box:
            return np.array(self._wanted.box) * [width, height, width, height]
        rows = np.flatnonzero(self._same(objects))
        if not len(rows):
            return None
        best = int(rows[np.asarray(objects.scores)[rows].argmax()])
        self._label = objects.names[best]
        return np.asarray(objects.boxes[best], np.float64)

    def _same(self, objects: Objects) -> NDArray[np.bool_]:
        """Which detections may be it: those of its label, once that is known."""
        known = self._wanted.label or (self._label if self._follower is not None and not self._wanted.box else "")
        return np.array([not known or name == known for name in objects.names], np.bool_)

    def _note(self, t_s: float, seen: bool) -> None:
        if seen and self._spans and self._spans[-1][2]:
            self._spans[-1][1] = t_s
        elif self._spans:
            self._spans[-1][2] = 0.0
        if seen and (not self._spans or not self._spans[-1][2]):
            self._spans.append([t_s, t_s, 1.0])

    def timeline(self) -> list[dict[str, Any]]:
        """The spans in which it was seen."""
        return [
            {"kind": NAME, "label": self._label, "start_s": round(start, 3), "end_s": round(end, 3)}
            for start, end, _ in self._spans
        ]
