"""Lines and areas in the picture, and what tracks do at them: enter, exit, cross, dwell, loiter.

Coordinates of lines and areas are relative (0..1 of width and height), so that a route holds for every size of video.
Times are seconds of the clip. What a track does is kept for every zone, and counted by what the track is called in the
end; a stay lasts as long as its track goes on, seen or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.ranges import check_points, check_range
from inference.regions import Anchor, anchors, check_simple
from inference.tracking.pace import Pace
from inference.video.zone_shapes import AreaShape, LineShape, Sides
from inference.video.zone_states import AreaState, Happened, Kind, LineState, Sight

Floats = NDArray[np.float64]
# So long something has to be on the other side, every picture standing for the time to the next.
_SETTLED_S = 0.3
# In how many seconds the size of a track's box, of which the dead band is a share, follows what is seen.
_SIZE_S = 2.0
# Of the picture; less is no pixel of what is tracked.
_SHORTEST, _SMALLEST, _AT_EDGE = 1e-3, 1e-6, 1e-3


@dataclass(frozen=True)
class Zone:
    """A line (two points) or an area (three or more), relative coordinates (x, y) in 0..1.

    `labels`: only tracks that are called so as a whole count (empty: all). `loiter_s`: an event when somebody stays
    this long. `every_s`: length of the intervals that events are counted in. `anchor`: the point of a box that decides.
    Of a line walked along from its first point to its second, the right-hand side (in the picture, y down) is where a
    crossing `in` arrives.
    """

    name: str = ""
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[str, ...] = ()
    loiter_s: float | None = None
    every_s: float = 60.0
    anchor: Anchor = "feet"

    def __post_init__(self) -> None:
        if len(self.points) < 2:
            raise ValueError(f"points is {_listed(self.points)}, expected two points or more, each within 0..1")
        check_points("points", self.points)
        if self.is_line:
            _check_line(np.asarray(self.points), f"points is {_listed(self.points)}")
        else:
            _check_area(np.asarray(self.points), f"points is {_listed(self.points)}")
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


def _check_line(ends: Floats, found: str) -> None:
    if (ends[0] == ends[1]).all():
        raise ValueError(f"{found}, expected two different points for a line")
    if np.hypot(*(ends[1] - ends[0])) < _SHORTEST:
        raise ValueError(
            f"{found}, a line shorter than {_SHORTEST} of the picture, which nothing crosses; draw it longer"
        )
    for axis, side in ((0, "side"), (1, "edge")):
        if (ends[:, axis] < _AT_EDGE).all() or (ends[:, axis] > 1 - _AT_EDGE).all():
            raise ValueError(
                f"{found}, a line along the picture's {side}, beyond which nothing is seen; draw it inside the picture"
            )


def _check_area(points: Floats, found: str) -> None:
    """Whether the points span an area, closed or not."""
    away = points - points[0]
    farthest = away[np.abs(away).sum(axis=1).argmax()]
    if (np.abs(away[:, 0] * farthest[1] - away[:, 1] * farthest[0]) < 1e-9).all():
        raise ValueError(
            f"{found}, which lie on one line, so that nothing is inside; expected the corners of an area, or two "
            "points for a line"
        )
    check_simple(found, points, "two zones")
    following = np.roll(points, -1, axis=0)
    area = abs(float((points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]).sum())) / 2
    if area < _SMALLEST:
        raise ValueError(
            f"{found}, an area of {area:.2g} of the picture, in which nothing can be; draw it larger, at least "
            f"{_SMALLEST:g} of the picture, or give two points for a line"
        )


@dataclass(frozen=True)
class ZoneEvent:
    """What a track did at a zone. `direction` is in or out for a crossing; `seconds` the stay of a dwell; `vanished`: a
    stay that ended with its track, which was not seen to leave."""

    kind: Kind
    zone: str
    t_s: float
    track: int
    label: str
    direction: str | None = None
    seconds: float | None = None
    vanished: bool = False

    @property
    def counted(self) -> str:
        """The name that it is counted by."""
        return self.kind if self.direction is None else f"{self.kind}_{self.direction}"

    def to_json(self) -> dict[str, Any]:
        """As the timeline holds it; absent facts are left out."""
        start = self.t_s - (self.seconds or 0.0)
        document: dict[str, Any] = {"kind": self.kind, "zone": self.zone}
        if self.direction is not None:
            document["direction"] = self.direction
        document |= {"track": self.track, "label": self.label, "t_s": round(self.t_s, 3),
                     "start_s": round(start, 3), "end_s": round(self.t_s, 3)}  # fmt: skip
        return {**document, "vanished": True} if self.vanished else document


@dataclass(frozen=True)
class ZoneCount:
    """What is to be drawn of a zone now. points: relative. entered, left: of a line the crossings `in` and `out` so
    far, of an area those who came and went; inside: how many are in the area now, None for a line."""

    name: str
    points: tuple[tuple[float, float], ...]
    entered: int
    left: int
    inside: int | None = None


@dataclass
class _Track:
    """A track that goes on: what it is called, how large its box is, and its state at every zone. numbered_s: when it
    became one, after its first sight."""

    label: str
    numbered_s: float
    first_s: float
    last_s: float
    size: Floats
    states: list[LineState | AreaState]
    sights: int = 0
    happened: list[tuple[int, Happened]] = field(default_factory=list)  # with the number of the zone
    counts: Counter[tuple[int, str]] = field(default_factory=Counter)

    def add(self, number: int, happened: Iterable[Happened]) -> None:
        for one in happened:
            self.happened.append((number, one))
            self.counts[number, _counted(one)] += 1


def _counted(happened: Happened) -> str:
    return happened.kind + {1: "_in", -1: "_out", 0: ""}[happened.way]


class ZoneWatch:
    """Feed it the tracked boxes picture by picture, in order; `finish` gives what happened.

    width, height: of the pictures, in pixels. enough: on how many pictures a track that is there on the first has to be
    seen to count. What is kept grows with what happened, not with the length of the clip.
    """

    def __init__(self, zones: Sequence[Zone], width: int, height: int, enough: int = 1) -> None:
        self.zones = tuple(zones)
        self._enough, self._pictures = enough, 0
        self._size = width, height
        self._shapes = [(LineShape if zone.is_line else AreaShape)(zone.points, self._size) for zone in zones]
        self._pace = Pace()
        self._tracks: dict[int, _Track] = {}
        self._events: list[ZoneEvent] = []
        self._totals: Counter[tuple[int, str]] = Counter()  # of the tracks that have ended
        self._span_s: tuple[float, float] | None = None

    def update(
        self,
        t_s: float,
        ids: NDArray[np.integer],
        boxes: NDArray[np.floating],
        labels: Sequence[str],
        living: Collection[int] | None = None,
        firsts: Mapping[int, tuple[float, Floats]] | None = None,
    ) -> None:
        """Takes the tracks of a picture: `ids` (N,), below 0 for none, `boxes` (N, 4) xyxy pixels.

        labels: (N,) what each track is called as a whole by now. living: the tracks that go on, seen or not; the others
        end where they were seen last (None: all go on). firsts: of new tracks, when and in which box (4,) each was seen
        before it was one.
        """
        if not self.zones:
            return
        self._pace.update(t_s)
        self._pictures += self._span_s is None or t_s > self._span_s[1]
        self._span_s = (t_s if self._span_s is None else self._span_s[0]), t_s
        rows = np.flatnonzero(ids >= 0).tolist()
        boxes = np.asarray(boxes, np.float64)[rows]
        numbers = ids[rows].tolist()
        for number, i in zip(numbers, rows, strict=True):
            if firsts and number in firsts and number not in self._tracks:
                first_s, first = firsts[number]
                self._sights(first_s, [self._seen(first_s, number, labels[i], first)], first[None])
        tracks = [self._seen(t_s, number, labels[i], box) for number, i, box in zip(numbers, rows, boxes, strict=True)]
        self._sights(t_s, tracks, boxes)
        if living is not None:
            for number in [n for n in self._tracks if n not in living and n not in numbers]:
                self._end(number)

    def _sights(self, t_s: float, tracks: Sequence[_Track], boxes: Floats) -> None:
        """What happens to tracks that are seen at that time in these boxes (N, 4)."""
        if tracks:
            hold_s, near_s = max(0.0, _SETTLED_S - self._pace.gap_s), self._pace.patience_s(0.1)
            sizes = np.array([track.size for track in tracks])
            for number, zone in enumerate(self.zones):
                places = anchors(boxes, self._size, zone.anchor) * self._size
                sides: Sides = self._shapes[number].sides(places, sizes)
                for i, track in enumerate(tracks):
                    sight = Sight(t_s, places[i], track.size, int(sides.side[i]), bool(sides.within[i]),
                                  float(sides.distance[i]), bool(sides.clear[i]), hold_s, near_s)  # fmt: skip
                    track.add(number, track.states[number].update(sight))

    def _seen(self, t_s: float, number: int, label: str, box: Floats) -> _Track:
        size = np.maximum(box[2:] - box[:2], 1e-3)
        track = self._tracks.get(number)
        if track is None:
            states = [
                LineState(shape) if isinstance(shape, LineShape) else AreaState(shape, zone.loiter_s)
                for zone, shape in zip(self.zones, self._shapes, strict=True)
            ]
            track = self._tracks[number] = _Track(label, self.span_s[1], t_s, t_s, size, states)
        # A band that trembles with the box would let the box over it.
        share = 1.0 - float(np.exp((track.last_s - t_s) / _SIZE_S))
        track.size = track.size + share * (size - track.size)
        track.label, track.last_s, track.sights = label, t_s, track.sights + 1
        return track

    def join(self, own: int, number: int) -> None:
        """The track `own` is that of this number from now on, with what it did and where it stands."""
        before = self._tracks.pop(own, None)
        after = self._tracks.get(number)
        if before is None or after is None:
            return
        if after.numbered_s == after.last_s:  # on this picture, and it has done nothing that `own` has not
            before.label, before.last_s, before.size = after.label, after.last_s, after.size
            self._tracks[number] = before
            return
        for zone, state in enumerate(before.states):
            before.add(zone, state.end())
        after.first_s, after.sights = min(after.first_s, before.first_s), after.sights + before.sights
        after.happened += before.happened
        after.counts += before.counts

    def _end(self, number: int) -> None:
        track = self._tracks.pop(number)
        for zone, state in enumerate(track.states):
            track.add(zone, state.end())
        self._totals += Counter({key: n for key, n in track.counts.items() if self._counts(key[0], track)})
        for zone, happened in track.happened:
            if self._counts(zone, track):
                way = {1: "in", -1: "out", 0: None}[happened.way]
                seconds = happened.seconds if happened.kind in ("dwell", "loiter") else None
                self._events.append(ZoneEvent(happened.kind, self.zones[zone].name, happened.t_s, number, track.label,
                                              way, seconds, happened.vanished))  # fmt: skip

    def _counts(self, zone: int, track: _Track) -> bool:
        if track.sights < min(self._enough, self._pictures) and track.first_s <= self.span_s[0]:
            return False
        labels = self.zones[zone].labels
        return not labels or track.label in labels

    def counters(self) -> list[ZoneCount]:
        """What each zone has counted up to the last picture, in the order of the zones."""
        totals = self._totals.copy()
        within: Counter[int] = Counter()
        for track in self._tracks.values():
            totals.update({key: n for key, n in track.counts.items() if self._counts(key[0], track)})
            for number, state in enumerate(track.states):
                within[number] += _inside(state) and self._counts(number, track)
        result = []
        for number, zone in enumerate(self.zones):
            came, went = ("cross_in", "cross_out") if zone.is_line else ("enter", "exit")
            inside = None if zone.is_line else within[number]
            result.append(ZoneCount(zone.name, zone.points, totals[number, came], totals[number, went], inside))
        return result

    def finish(self) -> list[ZoneEvent]:
        """Ends all tracks where they were seen last; everything that counts, by time."""
        for number in list(self._tracks):
            self._end(number)
        order = {kind: place for place, kind in enumerate(("cross", "enter", "loiter", "exit", "dwell"))}
        self._events.sort(key=lambda event: (event.t_s, event.zone, event.track, order[event.kind]))
        return list(self._events)

    @property
    def span_s(self) -> tuple[float, float]:
        """The times of the first and the last picture."""
        return self._span_s or (0.0, 0.0)


def _inside(state: LineState | AreaState) -> bool:
    return isinstance(state, AreaState) and state.since_s is not None
