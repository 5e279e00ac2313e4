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

from inference.draw.labels import named
from inference.draw.trails import Trail
from inference.predictions import Objects, Predictions
from inference.regions import feet
from inference.tracking.pace import Pace
from inference.video.time_range import TimeRange
from inference.video.zones import ZoneCount

# A trail is as long as this, of points this far apart (seconds). Samples that are further apart make it longer: it has
# three of them.
_LASTS_S, _SLOT_S, _SAMPLES = 2.0, 0.245, 3
# What was out of sight for longer than this, and for more than a picture, came nobody knows how.
_BREAK_S = 0.5
# A trail begins where its second half is away from the first by the second of these shares of the object's height, and
# ends with the first share: else the box trembles, and what is in it stands.
_STANDS, _MOVES = 0.08, 0.16
# With more things than the first number tags are short, until there are no more than the second.
_MANY, _FEWER = 20, 14
_FINE = 10_000  # of relative coordinates: less than a pixel of 4K

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Overlay:
    """zones: what each has counted. trails: of tracks in sight, and for a moment of those that went out of it. actions:
    what the newest windows of clip models say, each with its time. crowded: so much is in sight that its tags are
    short."""

    zones: tuple[ZoneCount, ...] = ()
    trails: tuple[Trail, ...] = ()
    actions: tuple[TimeRange, ...] = ()
    crowded: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a line holds it, of which a long clip has many: a trail as [track, label, [x, y, x, y ...]]."""
        trails = [
            [trail.track, trail.label, [round(v * _FINE) for point in trail.points for v in point]]
            for trail in self.trails
        ]
        return {**asdict(replace(self, trails=())), "trails": trails}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Overlay:
        """The way back; lines of an older version have none."""
        if document is None:
            return cls()
        return cls(
            tuple(ZoneCount(**{**zone, "points": tuple(map(tuple, zone["points"]))}) for zone in document["zones"]),
            tuple(
                Trail(track, label, tuple((x / _FINE, y / _FINE) for x, y in zip(flat[::2], flat[1::2], strict=True)))
                for track, label, flat in document["trails"]
            ),
            tuple(TimeRange(**action) for action in document["actions"]),
            document["crowded"],
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
    return Overlay(nearer.zones, trails, before.actions, nearer.crowded)


def _on_the_way(start: Sequence[float], end: Sequence[float], share: float) -> tuple[float, float]:
    return (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))


@dataclass
class _Path:
    """A track's places in pixels: the means over the slots of time that are over, and over the slot that goes on."""

    label: str
    height: float
    now: Floats
    seen_s: float = -np.inf
    slot_s: float = -np.inf  # when the slot began that goes on
    total: Floats = field(default_factory=lambda: np.zeros(2))
    count: int = 0
    times: list[float] = field(default_factory=list)
    places: list[Floats] = field(default_factory=list)
    drawn: bool = False

    def move(self, warp: Floats) -> None:
        """The camera moved: the places are where they are in the new picture."""
        turn, shift = warp[:, :2], warp[:, 2]
        self.now, self.total = turn @ self.now + shift, turn @ self.total + shift * self.count
        self.places = [turn @ place + shift for place in self.places]

    def add(self, t_s: float, label: str, height: float, place: Floats) -> None:
        """Goes on to the place; a slot that is over becomes a point."""
        if t_s - self.slot_s >= _SLOT_S:
            if self.count:
                self.places.append(self.total / self.count)
                self.times.append(self.slot_s)
            self.slot_s, self.total, self.count = t_s, np.zeros(2), 0
        self.total, self.count = self.total + place, self.count + 1
        self.label, self.height, self.now, self.seen_s = label, height, place, t_s

    def forget(self, before_s: float) -> None:
        """Drops the points of slots that began before that."""
        first = sum(t_s < before_s for t_s in self.times)
        del self.times[:first], self.places[:first]

    def goes(self) -> bool:
        """Whether it goes somewhere, rather than to stand and tremble."""
        if not self.places:
            return False
        places, half = np.array([*self.places, self.now]), (len(self.places) + 1) // 2
        way = float(np.hypot(*(places[half:].mean(axis=0) - places[:half].mean(axis=0))))
        self.drawn = way > (_STANDS if self.drawn else _MOVES) * self.height
        return self.drawn


class Trails:
    """Feed it the tracked objects of every sample in order: it keeps about two seconds of the ways of their feet."""

    def __init__(self, size: tuple[int, int]) -> None:
        """size: width and height of the frames in pixels."""
        self._size = size
        self._paths: dict[int, _Path] = {}
        self._pace = Pace()

    def update(
        self, t_s: float, steps: Iterable[Predictions], warp: NDArray[np.floating] | None = None
    ) -> tuple[Trail, ...]:
        """The trails at this sample. warp: the (2, 3) motion of the camera since the sample before, in pixels."""
        self._pace.update(t_s)
        hidden_s, lasts_s = self._pace.patience_s(_BREAK_S), max(_LASTS_S, 1.01 * _SAMPLES * self._pace.gap_s)
        self._paths = {number: path for number, path in self._paths.items() if t_s - path.seen_s <= hidden_s}
        if warp is not None:
            for path in self._paths.values():
                path.move(np.asarray(warp, np.float64))
        for objects in steps:
            if isinstance(objects, Objects) and objects.tracks is not None:
                self._take(t_s, objects, objects.tracks)
        for path in self._paths.values():
            path.forget(t_s - lasts_s)
        return tuple(self._trail(number, path) for number, path in sorted(self._paths.items()) if path.goes())

    def _take(self, t_s: float, objects: Objects, tracks: NDArray[np.integer]) -> None:
        places = feet(objects.boxes, self._size) * self._size
        heights = (objects.boxes[:, 3] - objects.boxes[:, 1]).tolist()
        for i in np.flatnonzero(tracks >= 0).tolist():
            path = self._paths.get(int(tracks[i]))
            if path is None:
                path = self._paths[int(tracks[i])] = _Path(objects.names[i], heights[i], places[i])
            if path.seen_s < t_s:  # else it is there by the detector, before `follow`
                path.add(t_s, objects.names[i], heights[i], places[i])

    def _trail(self, number: int, path: _Path) -> Trail:
        points = np.round(np.array([*path.places, path.now]) / self._size * _FINE) / _FINE
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


class Crowd:
    """Whether so much is in sight that tags are short; a few more or less do not change it from frame to frame."""

    def __init__(self) -> None:
        self._crowded = False

    def update(self, count: int) -> bool:
        """Takes how many things are shown of a frame."""
        self._crowded = count > (_FEWER if self._crowded else _MANY)
        return self._crowded


def counters(zone: ZoneCount) -> str:
    """What a zone has counted, in words."""
    if zone.inside is None:
        return f"in {zone.entered}  out {zone.left}"
    return f"inside {zone.inside}  entered {zone.entered}"


def action_line(action: TimeRange, scores: bool) -> str:
    """An action as the caption has it, such as "skiing  83%  3-5 s"."""
    start, end = f"{action.start_s:.0f}", f"{action.end_s:.0f}"
    if start == end:
        start, end = f"{action.start_s:.1f}", f"{action.end_s:.1f}"
    time = f"{start}-{end} s"
    if action.end_s >= 60:
        time = "-".join(f"{int(s) // 60}:{int(s) % 60:02}" for s in (action.start_s, action.end_s))
    return "  ".join([named(action.label, action.label_id), *([f"{action.score:.0%}"] if scores else []), time])


def answers_of(line: Mapping[str, Any]) -> dict[str, TimeRange | None]:
    """What a line of a part says of the windows that ended with its frame, by step; one of an older version says
    nothing."""
    return {step: answer and TimeRange(**answer) for step, answer in line.get("actions", {}).items()}


def _goes_on(before: TimeRange, answer: TimeRange) -> bool:
    return before.label_id == answer.label_id and answer.start_s <= before.end_s + 1e-6
