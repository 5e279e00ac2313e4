"""When pictures are shown, where a file's clock is wrong: doubled times, steps back, leaps ahead.

Every mend is a local one: a picture that has no time of its own gets one between its neighbours, and where the clock is
set anew the pictures go on from there, by its own differences. Nothing is spread over the pictures after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

# Timestamps that differ by less are the same: they go through floats, and in a job through JSON.
SAME_S = 5e-7
# A clock that leaves out more than an hour, and more than a thousand times what lies between two pictures, was set
# anew: recordings that wait for something to move, and those of a picture every few minutes, leave out less.
LEAP_S, LEAP_GAPS = 3600.0, 1000.0
# From a pause as long as this on, the next picture is looked at before it is believed.
_PAUSE_S, _PAUSE_GAPS = 1.0, 20.0
# So many pictures may wait for one whose time moves on.
_MOST_HELD = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Fault:
    """The clock is set anew before a picture; both times are the file's."""

    from_s: float
    to_s: float

    def words(self, index: int) -> str:
        """For people; `index`: of the first picture after it."""
        if abs(self.to_s - self.from_s) <= SAME_S:
            return f"its clock stands still at {self.to_s:,.1f} s at picture {index}"
        way = "jumps" if self.to_s > self.from_s else "steps back"
        return f"its clock {way} from {self.from_s:,.1f} s to {self.to_s:,.1f} s at picture {index}"


@dataclass(frozen=True)
class Told(Generic[Item]):
    """A picture with its second. `own`: it is the file's; `shift_s`, `gap_s`: the clock after it, to begin there."""

    at_s: float
    item: Item
    own: bool
    shift_s: float
    gap_s: float | None
    fault: Fault | None = None


class Times(Generic[Item]):
    """Gives pictures, in the order they are shown, seconds that strictly increase.

    period_s: between two pictures where the file tells no time. To begin in the middle, as `Told` has them: shift_s,
    by which the file's times are moved, and gap_s, the last difference between two pictures.
    """

    def __init__(self, period_s: float, shift_s: float = 0.0, gap_s: float | None = None) -> None:
        self._period_s, self._shift_s, self._gap = period_s, shift_s, gap_s
        self._last: float | None = None
        self._before: float | None = None
        self._last_is_own = False
        # Pictures with the file's times, or None where it has none: those that are not shown after the last, and one
        # that is shown long after it.
        self._held: list[tuple[float | None, Item]] = []
        self._ahead: tuple[float, Item] | None = None

    @property
    def last_s(self) -> float:
        """The second of the last picture told; 0 before any."""
        return self._last or 0.0

    @property
    def _gap_s(self) -> float:
        return self._gap or self._period_s

    def add(self, raw_s: float | None, item: Item) -> Iterator[Told[Item]]:
        """Takes the next picture with the file's time for it, if any; gives those whose times are known by now."""
        if self._ahead is not None:
            (far_s, far), self._ahead = self._ahead, None
            at = self._moved(raw_s)
            if at is not None and self.last_s + SAME_S < at < far_s + self._shift_s - SAME_S:
                self._held.append((None, far))  # it alone has a wrong time
            else:
                yield from self._beyond(far_s, far, None if raw_s is None else raw_s - far_s)
        at = self._moved(raw_s)
        if at is None and not self._held:
            yield self._tell(0.0 if self._last is None else self._last + self._gap_s, item, own=False)
        elif at is None or raw_s is None or (self._last is not None and at <= self._last + SAME_S):
            self._held.append((raw_s, item))
            if self._is_set_back() or len(self._held) > _MOST_HELD:
                yield from self._go_on()
        elif self._last is not None and at - self._last > max(_PAUSE_S, _PAUSE_GAPS * self._gap_s):
            self._ahead = raw_s, item
        else:
            yield from self._beyond(raw_s, item)

    def rest(self) -> Iterator[Told[Item]]:
        """No pictures come any more."""
        if self._ahead is not None:
            far, self._ahead = self._ahead, None
            yield from self._beyond(*far)
        held, self._held = self._held, []
        for _, item in held:
            yield self._tell(self.last_s + self._gap_s, item, own=False)

    def _moved(self, raw_s: float | None) -> float | None:
        return None if raw_s is None else raw_s + self._shift_s

    def _beyond(self, raw_s: float, item: Item, next_s: float | None = None) -> Iterator[Told[Item]]:
        """A picture that is shown after all before it: those that wait come between. next_s: from it to the next."""
        fault, at, start = None, raw_s + self._shift_s, self.last_s
        usual_s = self._gap or next_s or math.inf
        if self._last is not None and at - start > max(LEAP_S, LEAP_GAPS * usual_s):
            fault = Fault(start - self._shift_s, raw_s)
            due = start + self._gap_s * (len(self._held) + 1)
            self._shift_s, at = self._shift_s + due - at, due
        held, self._held = self._held, []
        for number, (_, waiting) in enumerate(held, 1):
            yield self._tell(start + (at - start) * number / (len(held) + 1), waiting, own=False)
        yield self._tell(at, item, fault=fault)

    def _known(self) -> list[float]:
        """The times of the pictures that wait, each once."""
        known = [raw_s for raw_s, _ in self._held if raw_s is not None]
        return [raw_s for i, raw_s in enumerate(known) if i == 0 or abs(raw_s - known[i - 1]) > SAME_S]

    def _is_set_back(self) -> bool:
        """Whether the clock goes on from an earlier time, rather than that a picture or two have a wrong one."""
        known, earliest = self._known(), self.last_s if self._before is None else self._before
        return len(known) > 1 and known[-1] > known[0] and known[0] + self._shift_s <= earliest + SAME_S

    def _go_on(self) -> Iterator[Told[Item]]:
        """The pictures that wait follow the last, by their own differences."""
        known = self._known()
        (raw_s, first), *held = self._held
        self._held, fault = [], None
        step_s = self._gap_s
        if len(known) > 1 and known[1] > known[0]:
            step_s = min(step_s, known[1] - known[0])
        due = self.last_s + step_s
        if raw_s is not None:
            fault = Fault(self.last_s - self._shift_s, raw_s)
            self._shift_s = due - raw_s
        yield self._tell(due, first, own=raw_s is not None, fault=fault)
        for raw_s, item in held:
            yield from self.add(raw_s, item)

    def _tell(self, at_s: float, item: Item, own: bool = True, fault: Fault | None = None) -> Told[Item]:
        if self._last is not None and own and self._last_is_own and fault is None:
            self._gap = at_s - self._last
        self._before, self._last, self._last_is_own = self._last, at_s, own
        return Told(at_s, item, own, self._shift_s, self._gap, fault)
