"""What a single track does at a line or an area, from sight to sight: when a crossing, an arrival or a leaving counts.

A side counts once the place is beyond the dead band there, for a while (`hold_s`; `zone_shapes` says what the band is).
Where pictures are further apart than that, two sights in a row are enough, or one that is clear of the band. Where a
track begins and where it ends, a single sight beyond the band is enough: there is no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inference.video.zone_shapes import AreaShape, LineShape

Floats = NDArray[np.float64]
Kind = Literal["enter", "exit", "cross", "dwell", "loiter"]
# Within the band around the border for that long in all, without having been beyond it outside: somebody stays there.
_LINGER_S = 0.5
_EARLIER_S = 1e-6


@dataclass(frozen=True)
class Happened:
    """What a track did: `way` 1 or -1 for a crossing in or out, `seconds` of a stay; `vanished`: it ended with the
    track, which was inside to the last."""

    kind: Kind
    t_s: float
    way: int = 0
    seconds: float = 0.0
    vanished: bool = False


@dataclass(frozen=True)
class Sight:
    """Where a track is seen: `place` x, y and `size` width, height in pixels; `side`, `within`, `distance`, `clear` as
    in `zone_shapes.Sides`. hold_s: how long a side has to be kept; near_s: how far apart neighbouring sights may be."""

    t_s: float
    place: Floats
    size: Floats
    side: int
    within: bool
    distance: float
    clear: bool
    hold_s: float
    near_s: float


@dataclass
class Settled:
    """The side that something is on for good; `first`: of the present run of sights on one side of the band."""

    side: int = 0
    first: Sight | None = None

    @property
    def run(self) -> int:
        """On which side the present run is."""
        return 0 if self.first is None else self.first.side

    def update(self, sight: Sight, restart: bool = False) -> bool:
        """Whether the run has lasted long enough to count."""
        if self.first is None or sight.side != self.first.side or restart:
            self.first = sight
        if sight.side == 0 or (sight is self.first and not sight.clear):
            return False
        return sight.t_s - self.first.t_s >= sight.hold_s - _EARLIER_S


@dataclass
class LineState:
    """One track at one line."""

    shape: LineShape
    _settled: Settled = field(default_factory=Settled)
    _last: Sight | None = None
    _over: int = 0  # how often over the line itself, right minus left, since the side was last settled
    _over_s: dict[int, float] = field(default_factory=dict)  # when last, by direction

    def update(self, sight: Sight) -> list[Happened]:
        """Takes the next sight."""
        last, self._last = self._last, sight
        held = self._settled.update(sight)
        if last is None:
            self._settled.side = sight.side
            return []
        if last.within != sight.within and (way := self.shape.crossed(last.place, sight.place)):
            self._over += way
            self._over_s[way] = sight.t_s
        return self._settle() if held else []

    def end(self) -> list[Happened]:
        """The track ends where it was seen last."""
        return self._settle() if self._settled.run else []

    def _settle(self) -> list[Happened]:
        before, now, over = self._settled.side, self._settled.run, self._over
        self._settled.side, self._over = now, 0
        # Around the end of the line is not over it; and where a track begins is no crossing.
        if before in (0, now) or over * now <= 0:
            return []
        return [Happened("cross", self._over_s[now], now)]


@dataclass
class AreaState:
    """One track at one area."""

    shape: AreaShape
    loiter_s: float | None = None
    since_s: float | None = None  # of the stay; None outside
    _settled: Settled = field(default_factory=Settled)
    _last: Sight | None = None
    _outside: Sight | None = None  # the last sight of what is outside for good
    _came_s: float | None = None  # first sight within since then
    _hidden: bool = False  # whether sights since then are no neighbours
    _went_in_s: float = 0.0  # the last steps over the border
    _went_out_s: float = 0.0
    _lingered_s: float = 0.0
    _loitered: bool = False

    def update(self, sight: Sight) -> list[Happened]:
        """Takes the next sight."""
        last, self._last = self._last, sight
        if last is None:
            self._settled.update(sight)
            self._outside = sight
            return self._enter(sight.t_s) if sight.within else []
        if sight.within and not last.within:
            self._went_in_s = sight.t_s
        elif last.within and not sight.within:
            self._went_out_s = sight.t_s
        held = self._settled.update(sight, restart=self._jumped(last, sight))
        if self.since_s is None:
            return self._outdoors(last, sight, held)
        if held and sight.side < 0:
            return self._exit(self._went_out_s)
        stayed = sight.t_s - self.since_s
        if self.loiter_s is None or self._loitered or not sight.within or stayed < self.loiter_s:
            return []
        self._loitered = True
        return [Happened("loiter", sight.t_s, seconds=stayed)]

    def end(self) -> list[Happened]:
        """The track ends where it was seen last."""
        last = self._last
        if last is None:
            return []
        if self.since_s is None:
            if last.side > 0:
                return [*self._enter(self._went_in_s), *self._exit(last.t_s, vanished=True)]
            return self._passed() if last.side < 0 else []
        gone = last.side < 0
        return self._exit(self._went_out_s if gone else last.t_s, vanished=not gone)

    def _outdoors(self, last: Sight, sight: Sight, held: bool) -> list[Happened]:
        """Not inside so far: it may come in now, or have been in and out again."""
        self._hidden |= sight.t_s - last.t_s > sight.near_s
        if sight.within:
            self._came_s = sight.t_s if self._came_s is None else self._came_s
            self._lingered_s += sight.t_s - last.t_s if last.within else 0.0
        if held and sight.side > 0:
            return self._enter(self._went_in_s)
        if self._lingered_s >= _LINGER_S and self._came_s is not None:
            return self._enter(self._came_s)
        if sight.side < 0:
            self._lingered_s = 0.0
            if held:
                happened = self._passed()
                self._outside, self._came_s, self._hidden = sight, None, False
                return happened
        return []

    def _jumped(self, last: Sight, sight: Sight) -> bool:
        """Whether a step from outside to outside led through the area."""
        if last.side >= 0 or sight.side >= 0:
            return False
        way = float(np.hypot(*(sight.place - last.place)))
        return (
            way >= last.distance + sight.distance and self.shape.passed(last.place, sight.place, sight.size) is not None
        )

    def _passed(self) -> list[Happened]:
        """In and out again, too fast to be settled inside: where the straight way from outside to outside leads through
        the area, and it was seen there or the pictures are neighbours."""
        before, after = self._outside, self._settled.first
        if before is None or after is None or after.t_s <= before.t_s or (self._came_s is None and self._hidden):
            return []
        shares = self.shape.passed(before.place, after.place, after.size)
        if shares is None:
            return []
        in_s, out_s = (before.t_s + share * (after.t_s - before.t_s) for share in shares)
        if self._came_s is not None:
            in_s, out_s = self._came_s, self._went_out_s
        return [*self._enter(in_s), *self._exit(max(in_s, out_s))]

    def _enter(self, t_s: float) -> list[Happened]:
        self.since_s, self._loitered, self._lingered_s, self._came_s = t_s, False, 0.0, None
        return [Happened("enter", t_s)]

    def _exit(self, t_s: float, vanished: bool = False) -> list[Happened]:
        assert self.since_s is not None
        stayed = t_s - self.since_s
        self.since_s, self._outside = None, self._last
        events = [Happened("exit", t_s, vanished=vanished), Happened("dwell", t_s, seconds=stayed)]
        # Nobody may have been seen when the stay became so long.
        if self.loiter_s is not None and not self._loitered and stayed >= self.loiter_s:
            events.insert(0, Happened("loiter", t_s, seconds=stayed))
        return events
