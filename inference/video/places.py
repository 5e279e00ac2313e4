"""Where things are that were seen in a clip, on the frames where a detector misses them, too.

Sights of the same thing are linked by where it was and how it moved. Between two sights it is on its way from one to
the other; before the first and after the last it is taken to stay and to move on, and everywhere on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.video.times import SAME_S

Boxes = NDArray[np.float64]

# So long, or from one sample to the next, a place is held before the first sight, for which frames have to wait.
HOLD_S = 0.6
# And so long after the last, if there were as many as that: a face that turns away comes back later than frames can
# wait for it. What is taken for one by mistake is seldom seen so often.
_AFTER_S, _OFTEN = 2.0, 3
_ONCE_S = 0.3  # both, for what was seen a single time
# So long, or from one sample to the next, a thing may be missed and be the same when it is seen again.
_GONE_S = 1.0
# Sights so long ago tell what is covered now.
LOOKS_BACK_S = _AFTER_S + (_OFTEN - 1) * _GONE_S
# How far, in sizes of the thing, it may be from where it was or was expected: at once, and a second.
_NEAR, _REACH, _REACH_S = 0.6, 4.0, 0.4
_RATIO = 2.2  # of the larger size to the smaller
# Its speed is that of so many seconds, and is believed for so many.
_FIT_S, _GOES_ON_S = 0.25, 0.6
# A place that is not seen is wider by this share of its size a second, on each side, and up to the second share.
_GROWS, _GROWN = 0.6, 0.3
# Nobody knows where a thing is that is not seen: it is covered this far on its way, in its sizes.
_FAR = 1.0
_EXPOSED_S = 1 / 50  # half of the longest exposure: how far a thing's blur reaches beyond where it is
_STILL = 0.06  # less than this share of its size is left out: blurred is more than the box in any case


@dataclass
class _Place:
    """A thing's sights, oldest first: seconds, boxes (4,), and the speeds of its middle (2,) in pixels a second."""

    times: list[float] = field(default_factory=list)
    boxes: list[Boxes] = field(default_factory=list)
    speeds: list[Boxes] = field(default_factory=list)
    count: int = 0

    def add(self, t_s: float, box: Boxes) -> None:
        self.count += 1
        self.times.append(t_s)
        self.boxes.append(box)
        first = next(i for i, at_s in enumerate(self.times) if at_s >= t_s - _FIT_S or i >= len(self.times) - 2)
        self.speeds.append(_speed(self.times[first:], self.boxes[first:]))

    def forget(self, before_s: float) -> None:
        """Drops the sights that no frame from `before_s` on needs."""
        count = sum(at_s < before_s - _FIT_S for at_s in self.times) - 2
        if count > 0:
            del self.times[:count], self.boxes[:count], self.speeds[:count]

    def at(self, t_s: float, since_s: float, until_s: float) -> Iterator[Boxes]:
        """The boxes that cover it at that time; none where it was not seen since, and will not be until then."""
        after = int(np.searchsorted(self.times, t_s))
        if after < len(self.times) and self.times[after] == t_s:
            yield _moving(self.boxes[after], self.speeds[min(after + 1, len(self.times) - 1)])
        elif 0 < after < len(self.times):
            before_s, after_s = t_s - self.times[after - 1], self.times[after] - t_s
            share = before_s / (before_s + after_s)
            box = (1 - share) * self.boxes[after - 1] + share * self.boxes[after]
            yield _wider(box, min(before_s, after_s))
            if _apart(self.boxes[after - 1], self.boxes[after]):  # it may be two things, or have stayed first
                if self.times[after - 1] >= since_s:
                    yield _wider(self.boxes[after - 1], before_s)
                if self.times[after] <= until_s:
                    yield _wider(self.boxes[after], after_s)
        elif after and self.times[-1] >= since_s:
            yield _held(self.boxes[-1], self.speeds[-1], t_s - self.times[-1])
        elif not after and self.times[0] <= until_s:
            last = next((i for i, at_s in enumerate(self.times) if at_s > self.times[0] + _FIT_S), len(self.times))
            last = max(last, 2)
            yield _held(self.boxes[0], -_speed(self.times[:last], self.boxes[:last]), self.times[0] - t_s)


class Places:
    """Feed it what is seen on every frame, in order; ask it for a frame when those after it are known."""

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._times: list[float] = []  # of the frames, from the one before that which is asked for next

    def update(self, t_s: float, boxes: Boxes) -> None:
        """Takes the boxes (N, 4) of a frame."""
        gone_s = min([t_s - _GONE_S, *self._times[-1:]])
        here = [place for place in self._places if place.times[-1] >= gone_s]
        self._times.append(t_s)
        free = np.ones(len(boxes), bool)
        taken: set[int] = set()
        for number, row in _nearest(here, t_s, boxes):
            if number not in taken and free[row]:
                taken.add(number)
                free[row] = False
                here[number].add(t_s, boxes[row])
        for row in np.flatnonzero(free).tolist():
            place = _Place()
            place.add(t_s, boxes[row])
            self._places.append(place)

    def at(self, t_s: float) -> Boxes:
        """(N, 4) boxes that cover all things at that time, which must not be before that of an earlier call."""
        now = self._times.index(t_s)
        before_s, after_s = self._times[max(now - 1, 0)], self._times[min(now + 1, len(self._times) - 1)]
        del self._times[:now]
        boxes: list[Boxes] = []
        for place in self._places:
            hold_s = HOLD_S if place.count > 1 else _ONCE_S
            stays_s = _AFTER_S if place.count >= _OFTEN else hold_s
            boxes += place.at(t_s, min(t_s - stays_s - SAME_S, before_s), max(t_s + hold_s + SAME_S, after_s))
            place.forget(t_s)
        kept_s = min(t_s - max(_GONE_S, _AFTER_S) - SAME_S, before_s)
        self._places = [place for place in self._places if place.times[-1] >= kept_s]
        return np.array(boxes, np.float64).reshape(-1, 4)


def _nearest(places: list[_Place], t_s: float, boxes: Boxes) -> list[tuple[int, int]]:
    """Which box (its row) may be the next sight of which place (its number), the nearest first."""
    if not places or not len(boxes):
        return []
    last = np.array([place.boxes[-1] for place in places])
    ago = t_s - np.array([place.times[-1] for place in places])
    speeds = np.array([place.speeds[-1] for place in places])
    size, sizes = _sizes(last)[:, None], _sizes(boxes)[None, :]
    middles, was = _middles(boxes), _middles(last)
    expected = was + speeds * np.minimum(ago, _GOES_ON_S)[:, None]
    away = np.minimum(*(np.linalg.norm(middles[None] - place[:, None], axis=2) for place in (was, expected)))
    away = away / np.maximum(size, sizes)
    near = away <= (_NEAR + _REACH * np.minimum(ago, _REACH_S))[:, None]
    near &= np.maximum(size, sizes) <= _RATIO * np.minimum(size, sizes)
    numbers, rows = np.nonzero(near)
    order = np.argsort(away[numbers, rows], kind="stable")
    return list(zip(numbers[order].tolist(), rows[order].tolist(), strict=True))


def _middles(boxes: Boxes) -> Boxes:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _sizes(boxes: Boxes) -> Boxes:
    sizes: Boxes = np.sqrt(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0).prod(axis=1))
    return sizes


def _speed(times: list[float], boxes: list[Boxes]) -> Boxes:
    """(2,) pixels a second of the middle of a thing, by least squares; 0 of a single sight."""
    if len(times) < 2:
        return np.zeros(2)
    ago = np.array(times) - np.mean(times)
    speed: Boxes = ago @ _middles(np.array(boxes)) / (ago @ ago)
    return speed


def _moving(box: Boxes, speed: Boxes) -> Boxes:
    """The box with the blur of its motion, where it moves."""
    blur = np.abs(speed) * _EXPOSED_S
    return box if (blur < _STILL * (box[2:] - box[:2])).all() else box + np.concatenate([-blur, blur])


def _apart(first: Boxes, second: Boxes) -> bool:
    """Whether the middle of one is outside of the other."""
    ends = np.array([first, second])
    return bool(np.linalg.norm(np.diff(_middles(ends), axis=0)) > 0.5 * _sizes(ends).min())


def _wider(box: Boxes, unseen_s: float) -> Boxes:
    margin = (box[2:] - box[:2]) * min(_GROWS * unseen_s, _GROWN)
    wider: Boxes = box + np.concatenate([-margin, margin])
    return wider


def _held(box: Boxes, speed: Boxes, unseen_s: float) -> Boxes:
    """What covers a thing so long after it was seen there, whether it stays, goes on or something between."""
    way = speed * min(unseen_s, _GOES_ON_S)
    way = way * min(1.0, _FAR * float(_sizes(box[None])[0]) / max(float(np.linalg.norm(way)), 1e-6))
    covered: Boxes = _wider(box, unseen_s) + np.concatenate([np.minimum(way, 0), np.maximum(way, 0)])
    return covered
