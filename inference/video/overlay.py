"""What is drawn on a frame beside its predictions: zones with their counters, trails of tracks, actions.

It is plain data of a bounded size, made in the order of the frames, which goes with the frame to whoever draws it: in
the same process, or as part of a line to a worker that draws a part of a long video.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.draw.trails import Trail
from inference.predictions import Objects, Predictions
from inference.regions import feet
from inference.video.time_range import TimeRange
from inference.video.zones import ZoneCount

# A trail is as long as this (seconds), in about so many points. Samples that are further apart make it longer: it has
# three of them.
_LASTS_S, _POINTS, _SAMPLES = 2.0, 12, 3
# What was out of sight for longer than this, and than from one sample to the next, came nobody knows how.
_BREAK_S = 0.7
# What moved less than this share of its height stands.
_STANDS = 0.15
_DIGITS = 4  # of relative coordinates: half a pixel of 4K

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Overlay:
    """zones: what each has counted. trails: of the tracks in sight, and for a moment of those that left it. actions:
    what the newest windows of clip models say, each with its time."""

    zones: tuple[ZoneCount, ...] = ()
    trails: tuple[Trail, ...] = ()
    actions: tuple[TimeRange, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a line holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Overlay:
        """The way back; lines of an older version have none."""
        if document is None:
            return cls()
        zones, trails = (
            [{**item, "points": tuple(map(tuple, item["points"]))} for item in document[name]]
            for name in ("zones", "trails")
        )
        return cls(
            tuple(ZoneCount(**zone) for zone in zones),
            tuple(Trail(**trail) for trail in trails),
            tuple(TimeRange(**action) for action in document["actions"]),
        )


@dataclass(frozen=True)
class Shown:
    """What is drawn of a frame: its predictions by step, and what lies beside them."""

    steps: Mapping[str, Predictions]
    overlay: Overlay = field(default_factory=Overlay)


def overlay_between(before: Overlay, after: Overlay, share: float) -> Overlay:
    """That of a frame at this share (0..1) of the way from one sample to the next: as at the nearer sample, but trails
    end on the way from the one to the other, where the boxes are, and an action is known when its window has ended."""
    heads = {trail.track: trail.points[-1] for trail in after.trails}
    trails = tuple(
        replace(trail, points=(*trail.points, _on_the_way(trail.points[-1], heads[trail.track], share)))
        for trail in before.trails
        if trail.track in heads
    )
    nearer = before if share < 0.5 else after
    return Overlay(nearer.zones, trails, before.actions)


def _on_the_way(start: Sequence[float], end: Sequence[float], share: float) -> tuple[float, float]:
    return (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))


@dataclass
class _Path:
    """Places of a track, in pixels: the means of the slots of time that are over, and the slot that goes on."""

    label: str
    height: float
    seen_s: float
    now: Floats
    slot: int
    slot_s: float
    sum: Floats
    count: int = 1
    times: list[float] = field(default_factory=list)
    places: list[Floats] = field(default_factory=list)

    def move(self, warp: Floats) -> None:
        """The camera moved: the places are where they are in the new picture."""
        turn, shift = warp[:, :2], warp[:, 2]
        self.now, self.sum = turn @ self.now + shift, turn @ self.sum + shift * self.count
        self.places = [turn @ place + shift for place in self.places]

    def add(self, t_s: float, slot: int, place: Floats, height: float) -> None:
        """Goes on to the place; a slot that is over becomes a point."""
        if slot != self.slot:
            self.places.append(self.sum / self.count)
            self.times.append(self.slot_s)
            self.slot, self.slot_s, self.sum, self.count = slot, t_s, place.copy(), 1
        else:
            self.sum, self.count = self.sum + place, self.count + 1
        self.now, self.height, self.seen_s = place, height, t_s

    def forget(self, before_s: float) -> None:
        """Drops the points of slots that began before that."""
        first = sum(t_s < before_s for t_s in self.times)
        del self.times[:first], self.places[:first]

    def moved(self) -> bool:
        """Whether it walked, rather than stood and trembled."""
        if not self.places:
            return False
        places = np.array([*self.places, self.now])
        return bool(np.ptp(places, axis=0).max() > _STANDS * self.height)


class Trails:
    """Feed it the tracked objects of every sample in order: it keeps about two seconds of the ways of their feet."""

    def __init__(self, size: tuple[int, int]) -> None:
        """size: width and height of the frames in pixels."""
        self._size = np.array(size, np.float64)
        self._paths: dict[int, _Path] = {}
        self._last_s: float | None = None

    def update(
        self, t_s: float, steps: Iterable[Predictions], warp: NDArray[np.floating] | None = None
    ) -> tuple[Trail, ...]:
        """The trails at this sample. warp: the (2, 3) motion of the camera since the sample before, in pixels."""
        gap_s = 0.0 if self._last_s is None else t_s - self._last_s
        self._last_s = t_s
        lasts_s, break_s = max(_LASTS_S, _SAMPLES * gap_s * 1.01), max(_BREAK_S, 1.01 * gap_s)
        if warp is not None:
            for path in self._paths.values():
                path.move(np.asarray(warp, np.float64))
        slot = int(t_s * _POINTS / _LASTS_S + 1e-6)
        for objects in steps:
            if isinstance(objects, Objects) and objects.tracks is not None:
                self._take(t_s, slot, objects, break_s)
        for path in self._paths.values():
            path.forget(t_s - lasts_s)
        # Who left the picture fades as the points grow old.
        self._paths = {
            n: p for n, p in self._paths.items() if p.seen_s == t_s or (p.places and t_s - p.seen_s < lasts_s)
        }
        return tuple(self._trail(number, path) for number, path in sorted(self._paths.items()) if path.moved())

    def _take(self, t_s: float, slot: int, objects: Objects, break_s: float) -> None:
        assert objects.tracks is not None
        places = feet(objects.boxes, (1, 1)) if not len(objects) else feet(objects.boxes, self._whole) * self._size
        heights = (objects.boxes[:, 3] - objects.boxes[:, 1]).tolist()
        for i in np.flatnonzero(objects.tracks >= 0).tolist():
            number = int(objects.tracks[i])
            path = self._paths.get(number)
            if path is None or t_s - path.seen_s > break_s:
                place = places[i]
                self._paths[number] = _Path(objects.names[i], heights[i], t_s, place, slot, t_s, place.copy())
            elif path.seen_s < t_s:  # by the detector, before `follow`
                path.label = objects.names[i]
                path.add(t_s, slot, places[i], heights[i])

    @property
    def _whole(self) -> tuple[int, int]:
        return int(self._size[0]), int(self._size[1])

    def _trail(self, number: int, path: _Path) -> Trail:
        points = np.round(np.array([*path.places, path.now]) / self._size, _DIGITS)
        return Trail(number, path.label, tuple((float(x), float(y)) for x, y in points))


class ActionsNow:
    """What the newest windows of clip models say, as they come with the frames; what goes on is one action."""

    def __init__(self, steps: Collection[str]) -> None:
        self._now: dict[str, TimeRange | None] = dict.fromkeys(steps)

    def update(self, answers: Mapping[str, TimeRange | None]) -> tuple[TimeRange, ...]:
        """The actions at a frame. answers: by step, what the windows say that ended with it; None: sure of nothing."""
        for step, answer in answers.items():
            before = self._now.get(step)
            if answer is not None and before is not None and _goes_on(before, answer):
                answer = replace(answer, start_s=before.start_s)
            self._now[step] = answer
        return tuple(action for action in self._now.values() if action is not None)


def _goes_on(before: TimeRange, answer: TimeRange) -> bool:
    return before.label_id == answer.label_id and answer.start_s <= before.end_s + 1e-6
