"""One chosen object, followed by the movement of its points and smoothed by a Kalman filter: no model needed.

Median flow: Kalal, Mikolajczyk and Matas, "Forward-backward error", ICPR 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.extras import extra
from inference.predictions import Objects
from inference.tracking.assignment import iou
from inference.tracking.flow import Grey, corners, follow_points, grey
from inference.tracking.kalman import STEPS_PER_SECOND, Floats, States
from inference.video.frames import Frame
from inference.video.options import FOLLOW, Follow

_POINTS = 80
_FEWEST = 6
# Fewer of the points than this went on: what is there now is something else.
_SMALLEST_SHARE = 0.2
# Out of sight, points soon find something that looks like them: to come back it takes this many.
_SHARE_TO_RETURN = 0.35


@dataclass(frozen=True)
class Followed:
    """Where the object is: `box` (4,) xyxy pixels; `score` is the share of its points that could be followed.

    `seen` is False while it is only predicted.
    """

    box: Floats
    score: float
    seen: bool


class Follower:
    """Follows a box, from the first frame's on; takes every frame in order."""

    def __init__(self, pixels: NDArray[np.uint8], box: NDArray[np.floating], t_s: float) -> None:
        self._grey, self._scale = grey(pixels)
        self._t_s = t_s
        self._start(np.asarray(box, np.float64))

    def _start(self, box: Floats) -> None:
        value = _centre_size(box)[None]
        size = value[:, 2:].mean()
        self._states = States.start(value, np.full((1, 4), size / 10), np.full((1, 4), size / 10))
        self._points = self._new_points(box)
        self._wanted = max(len(self._points), 1)
        self._measured, self._seen = box, True

    def _new_points(self, box: Floats) -> NDArray[np.float32]:
        mask = np.zeros(self._grey.shape, np.uint8)
        # The middle four fifths: a box has background in its corners, whose points stay behind.
        margin = 0.1 * np.array([box[2] - box[0], box[3] - box[1]])
        inner = np.concatenate([box[:2] + margin, box[2:] - margin])
        x1, y1, x2, y2 = (inner * self._scale).astype(int).clip(0).tolist()
        mask[y1 : y2 + 1, x1 : x2 + 1] = 255
        return corners(self._grey, _POINTS, mask)

    def update(self, pixels: NDArray[np.uint8], t_s: float, detections: NDArray[np.floating] | None = None) -> Followed:
        """The object in the next frame. `detections` (N, 4) xyxy, if any, correct it where they overlap enough.

        Raises ValueError when time does not move on.
        """
        if t_s <= self._t_s:
            raise ValueError(f"frame at {t_s} s, after one at {self._t_s} s")
        size = self._states.value[:, 2:].mean()
        noise = np.full((1, 4), size / 40)
        self._states.predict((t_s - self._t_s) * STEPS_PER_SECOND, noise, noise / 4)
        now, self._scale = grey(pixels)
        self._t_s = t_s
        measured, score = self._by_detection(detections), 1.0
        if measured is None:
            measured, score = self._by_flow(now)
        if measured is None:
            # The last picture that showed it stays the reference: it may come out again.
            self._seen = False
            return Followed(_corners(self._states.value[0]), 0.0, False)
        self._grey, self._measured, self._seen = now, measured, True
        self._states.update(np.zeros(1, np.intp), _centre_size(measured)[None], np.full((1, 4), size / 20))
        if len(self._points) < self._wanted / 2 or score == 1.0:
            self._points = self._new_points(measured)
            self._wanted = max(len(self._points), 1)
        return Followed(_corners(self._states.value[0]), score, True)

    def _by_detection(self, detections: NDArray[np.floating] | None) -> Floats | None:
        if detections is None or not len(detections):
            return None
        overlap = iou(_corners(self._states.value[0])[None], np.asarray(detections, np.float64))[0]
        best = int(overlap.argmax())
        return np.asarray(detections[best], np.float64) if overlap[best] >= 0.3 else None

    def _by_flow(self, now: Grey) -> tuple[Floats | None, float]:
        guess = None
        if not self._seen:  # it is looked for where it should be by now, not where it was seen last
            guess = (self._states.value[0, :2] - _centre_size(self._measured)[:2]) * self._scale
        start, end = follow_points(self._grey, now, self._points, guess)
        share = len(end) / self._wanted
        if len(end) < _FEWEST or share < (_SMALLEST_SHARE if self._seen else _SHARE_TO_RETURN):
            return None, 0.0
        shift = np.median(end - start, axis=0)
        # Points that left the common movement sit on something else by now.
        stray = np.linalg.norm(end - start - shift, axis=1)
        keep = stray <= max(2.0, 3 * float(np.median(stray)))
        start, end = start[keep], end[keep]
        self._points = end
        zoom = _spread(end) / max(_spread(start), 1e-6)
        # From the measured box, not the smoothed box, whose lag would add up.
        was = _centre_size(self._measured)
        centre, size = was[:2] + shift / self._scale, was[2:] * zoom
        return np.concatenate([centre - size / 2, centre + size / 2]), min(share, 0.99)


def _spread(points: NDArray[np.float32]) -> float:
    """Median distance from their middle: how the points' pattern grows or shrinks."""
    return float(np.median(np.linalg.norm(points - points.mean(axis=0), axis=1)))


def _centre_size(box: Floats) -> Floats:
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])


def _corners(value: Floats) -> Floats:
    half = np.maximum(value[2:], 1.0) / 2
    return np.concatenate([value[:2] - half, value[:2] + half])


class FollowStep:
    """The `follow` step: the box that the route says, or the most confident detection, frame by frame."""

    def __init__(self, options: Follow) -> None:
        extra("cv2")  # before the first frame: what is missing is said at once
        self._options = options
        self._follower: Follower | None = None
        self._label = options.label or "followed"
        self._spans: list[list[float]] = []
        self._seen = False

    def update(self, frame: Frame, objects: Objects) -> Objects:
        """The object in this frame as a prediction; none before it appears and while it is out of sight."""
        if self._follower is None:
            start = self._first_box(frame, objects)
            if start is None:
                return Objects.empty()
            self._follower = Follower(frame.pixels, start, frame.pts_s)
            place = Followed(start, 1.0, True)
        else:
            boxes = np.asarray(objects.boxes, np.float64)[self._same(objects)]
            place = self._follower.update(frame.pixels, frame.pts_s, boxes)
        height, width = frame.pixels.shape[:2]
        box = place.box.clip(0.0, [width, height, width, height])
        # Points at the picture's edge may hold on to an object whose box has left it.
        seen = place.seen and bool((box[2:] > box[:2]).all())
        self._note(frame.pts_s, seen)
        if not seen:
            return Objects.empty()
        score = np.array([place.score], np.float32)
        return Objects(box.astype(np.float32)[None], score, np.zeros(1, np.int64), (self._label,))

    def _first_box(self, frame: Frame, objects: Objects) -> NDArray[np.float64] | None:
        height, width = frame.pixels.shape[:2]
        if self._options.box:
            return np.array(self._options.box) * [width, height, width, height]
        rows = np.flatnonzero(self._same(objects))
        if not len(rows):
            return None
        best = int(rows[np.asarray(objects.scores)[rows].argmax()])
        self._label = objects.names[best]
        return np.asarray(objects.boxes[best], np.float64)

    def _same(self, objects: Objects) -> NDArray[np.bool_]:
        """Which detections may be it: those of its label, once that is known."""
        known = self._options.label or (self._label if self._follower is not None and not self._options.box else "")
        return np.array([not known or name == known for name in objects.names], np.bool_)

    def _note(self, t_s: float, seen: bool) -> None:
        if seen and self._seen:
            self._spans[-1][1] = t_s
        elif seen:
            self._spans.append([t_s, t_s])
        self._seen = seen

    def timeline(self) -> list[dict[str, Any]]:
        """The spans in which it was seen."""
        return [
            {"kind": FOLLOW, "label": self._label, "start_s": round(start, 3), "end_s": round(end, 3)}
            for start, end in self._spans
        ]
