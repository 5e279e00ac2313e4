"""Lines and areas in the picture, and what tracks do at them: enter, exit, cross, dwell, loiter.

An object stands where its box meets the ground: the middle of the lower edge. Coordinates of lines and areas are
relative (0..1 of width and height), so that a route holds for every size of video. Times are seconds of the clip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference.ranges import check_points, check_range
from inference.regions import feet, inside

Floats = NDArray[np.float64]
Kind = Literal["enter", "exit", "cross", "dwell", "loiter"]


@dataclass(frozen=True)
class Zone:
    """A line (two points) or an area (three or more), relative coordinates (x, y) in 0..1.

    `labels`: only these count (empty: all). `loiter_s`: an event when somebody stays this long. `every_s`: length
    of the intervals that events are counted in. Of a line walked along from its first point to its second, the
    right-hand side (in the picture, y down) is where a crossing `in` arrives.
    """

    name: str = ""
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[str, ...] = ()
    loiter_s: float | None = None
    every_s: float = 60.0

    def __post_init__(self) -> None:
        if len(self.points) < 2:
            raise ValueError(f"points is {_listed(self.points)}, expected two points or more, each within 0..1")
        check_points("points", self.points)
        if self.is_line and self.points[0] == self.points[1]:
            raise ValueError(f"points is {_listed(self.points)}, expected two different points for a line")
        if not self.is_line and _on_a_line(self.points):
            raise ValueError(
                f"points is {_listed(self.points)}, which lie on one line, so that nothing is inside; expected the "
                "corners of an area, or two points for a line"
            )
        check_range("every_s", self.every_s, 0, what="leave it out for minutes", above=True)
        check_range("every_s", self.every_s, 0.001, what="leave it out for minutes")  # what follows is numbered
        check_range("loiter_s", self.loiter_s, 0, what="leave it out for no such events", above=True)
        if self.is_line and self.loiter_s is not None:
            raise ValueError("loiter_s is for areas of three points or more; a line is only crossed")

    @property
    def is_line(self) -> bool:
        """Whether it is crossed rather than entered."""
        return len(self.points) == 2


def _listed(points: Iterable[Iterable[float]]) -> list[list[float]]:
    """As they are written."""
    return [[*point] for point in points]


def _on_a_line(points: Sequence[tuple[float, float]]) -> bool:
    """Whether they span no area, closed or not."""
    away = np.asarray(points) - np.asarray(points[0])
    farthest = away[np.abs(away).sum(axis=1).argmax()]
    return bool((np.abs(away[:, 0] * farthest[1] - away[:, 1] * farthest[0]) < 1e-9).all())


@dataclass(frozen=True)
class ZoneEvent:
    """What a track did at a zone. `direction` is in or out for a crossing; `seconds` the stay of a dwell."""

    kind: Kind
    zone: str
    t_s: float
    track: int
    label: str
    direction: str | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the timeline holds it; absent facts are left out."""
        start = self.t_s - (self.seconds or 0.0)
        document: dict[str, Any] = {"kind": self.kind, "zone": self.zone, "track": self.track, "label": self.label,
                                    "start_s": round(start, 3), "end_s": round(self.t_s, 3)}  # fmt: skip
        if self.direction is not None:
            document["direction"] = self.direction
        return document


@dataclass(frozen=True)
class ZoneCount:
    """What is to be drawn of a zone now. points: relative. entered, left: of a line the crossings `in` and `out` so
    far, of an area those who came and went; inside: how many are in the area now, None for a line."""

    name: str
    points: tuple[tuple[float, float], ...]
    entered: int
    left: int
    inside: int | None = None


def crossing(before: Floats, after: Floats, line: Floats) -> int:
    """1 when the step goes over the line from its left to its right side, -1 the other way, else 0."""

    def side(origin: Floats, end: Floats, point: Floats) -> float:
        along, to = end - origin, point - origin
        return float(along[0] * to[1] - along[1] * to[0])

    from_side, to_side = side(line[0], line[1], before), side(line[0], line[1], after)
    # The side that zero belongs to is fixed, so that a step that ends on the line and the next count once.
    if (from_side > 0) == (to_side > 0):
        return 0
    if (side(before, after, line[0]) > 0) == (side(before, after, line[1]) > 0):
        return 0
    return 1 if to_side > 0 else -1


@dataclass
class _Visit:
    since_s: float
    last_s: float
    label: str
    has_loitered: bool = False


@dataclass
class ZoneWatch:
    """Feed it the tracked boxes frame by frame; `events` grows. `gone_s` without a sight ends a stay."""

    zones: Sequence[Zone]
    width: int
    height: int
    gone_s: float = 1.0
    events: list[ZoneEvent] = field(default_factory=list)
    _visits: dict[tuple[int, int], _Visit] = field(default_factory=dict)
    _places: dict[int, tuple[float, Floats]] = field(default_factory=dict)

    def update(self, t_s: float, ids: NDArray[np.integer], boxes: NDArray[np.floating], labels: Sequence[str]) -> None:
        """Takes the confirmed tracks of a frame: `ids` (N,), `boxes` (N, 4) xyxy pixels, `labels` (N,)."""
        places = feet(boxes, (self.width, self.height))
        for number, zone in enumerate(self.zones):
            shape = np.asarray(zone.points, np.float64)
            counted = [i for i in range(len(ids)) if ids[i] >= 0 and (not zone.labels or labels[i] in zone.labels)]
            if zone.is_line:
                self._crossings(zone, shape, t_s, [(int(ids[i]), places[i], labels[i]) for i in counted])
            elif counted:
                within = inside(places[counted], shape)
                for i, is_in in zip(counted, within, strict=True):
                    self._visit(number, zone, t_s, int(ids[i]), labels[i], bool(is_in))
        self._forget(t_s)
        for i in range(len(ids)):
            if ids[i] >= 0:
                self._places[int(ids[i])] = (t_s, places[i])

    def _crossings(self, zone: Zone, line: Floats, t_s: float, seen: Iterable[tuple[int, Floats, str]]) -> None:
        for track, place, label in seen:
            before = self._places.get(track)
            way = 0 if before is None else crossing(before[1], place, line)
            if way:
                self.events.append(ZoneEvent("cross", zone.name, t_s, track, label, "in" if way > 0 else "out"))

    def _visit(self, number: int, zone: Zone, t_s: float, track: int, label: str, is_in: bool) -> None:
        visit = self._visits.get((number, track))
        if is_in and visit is None:
            self._visits[number, track] = _Visit(t_s, t_s, label)
            self.events.append(ZoneEvent("enter", zone.name, t_s, track, label))
        elif is_in and visit is not None:
            visit.last_s = t_s
            stayed = t_s - visit.since_s
            if zone.loiter_s is not None and not visit.has_loitered and stayed >= zone.loiter_s:
                visit.has_loitered = True
                self.events.append(ZoneEvent("loiter", zone.name, t_s, track, label, seconds=stayed))
        elif visit is not None:
            self._leave(number, track, t_s)

    def _leave(self, number: int, track: int, t_s: float) -> None:
        visit = self._visits.pop((number, track))
        name = self.zones[number].name
        self.events.append(ZoneEvent("exit", name, t_s, track, visit.label))
        self.events.append(ZoneEvent("dwell", name, t_s, track, visit.label, seconds=t_s - visit.since_s))

    def _forget(self, t_s: float) -> None:
        """Who has been out of sight too long has left, at the time it was last seen."""
        for number, track in [k for k, v in self._visits.items() if t_s - v.last_s > self.gone_s]:
            self._leave(number, track, self._visits[number, track].last_s)
        for track in [k for k, v in self._places.items() if t_s - v[0] > self.gone_s]:
            del self._places[track]

    def counters(self) -> list[ZoneCount]:
        """What each zone has counted up to the last frame, in the order of the zones."""
        found = Counter((event.zone, _counted(event)) for event in self.events)
        result = []
        for number, zone in enumerate(self.zones):
            came, went = ("cross_in", "cross_out") if zone.is_line else ("enter", "exit")
            inside = None if zone.is_line else sum(key[0] == number for key in self._visits)
            result.append(ZoneCount(zone.name, zone.points, found[zone.name, came], found[zone.name, went], inside))
        return result

    def finish(self) -> list[ZoneEvent]:
        """Ends the stays that last to the end of the clip; all events by time."""
        for number, track in list(self._visits):
            self._leave(number, track, self._visits[number, track].last_s)
        self.events.sort(key=lambda event: event.t_s)
        return self.events


def counts(zones: Sequence[Zone], events: Sequence[ZoneEvent]) -> dict[str, Any]:
    """Per zone: the number of events by kind, in all and in every interval of its `every_s`."""
    result: dict[str, Any] = {}
    for zone in zones:
        mine = [event for event in events if event.zone == zone.name]
        slots: dict[int, Counter[str]] = {}
        for event in mine:
            slots.setdefault(int(event.t_s // zone.every_s), Counter())[_counted(event)] += 1
        result[zone.name] = {
            "total": dict(Counter(_counted(event) for event in mine)),
            "intervals": [{"start_s": k * zone.every_s, "end_s": (k + 1) * zone.every_s, **slots[k]}
                          for k in sorted(slots)],
        }  # fmt: skip
    return result


def _counted(event: ZoneEvent) -> str:
    return event.kind if event.direction is None else f"{event.kind}_{event.direction}"
