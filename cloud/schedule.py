"""Which moments a schedule names: NCRONTAB and recurrences, in a time zone, between a start and an end.

A slot is an aware datetime in UTC with whole seconds.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from heapq import merge
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

_FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 6),
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_CRON_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_UNITS = {"minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_MONTH = timedelta(days=30)
# A Monday at midnight: where recurrences count from when the entry has no start.
_ANCHOR = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Schedule:
    """Either `cron` (six fields) or `every` units; wall-clock words are read in `zone`."""

    zone: str = "UTC"
    cron: str = ""
    every: int = 0
    unit: str = ""
    at: tuple[time, ...] = ()
    weekdays: tuple[int, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    tz: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tz", ZoneInfo(self.zone))

    def slots(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The slots in (after, until]: each once, in order, whatever the window that they are asked for in."""
        after = max(after, self.start - _SECOND) if self.start else after
        until = min(until, self.end) if self.end else until
        if until <= after:
            return iter(())
        return self._elapsed(after, until) if self.unit in ("minute", "hour") else self._by_clock(after, until)

    def newest(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """The last `limit` slots in (after, until], without a walk through the rest."""
        span = timedelta(hours=1)
        while True:
            begin = max(after, until - span)
            slots = list(self.slots(begin, until))
            if len(slots) >= limit or begin == after:
                return slots[-limit:]
            span *= 4

    def _elapsed(self, after: datetime, until: datetime) -> Iterator[datetime]:
        anchor = _instant(self._anchor, self.tz)
        step = timedelta(seconds=self.every * _UNITS[self.unit])
        slot = anchor + step * max(0, (after - anchor) // step)
        while slot <= until:
            if slot > after:
                yield slot
            slot += step

    def _by_clock(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """What the clock on the wall says, one stretch between two changes of that clock after the other.

        A schedule that names its hours runs once where clocks change: at the first of two such times, and what is
        left out when they go forward is due as if they had not. A schedule of every hour follows elapsed time.
        """
        hourly = bool(self.cron) and len(_numbers(self.cron)[2]) == 24
        for begin, end, offset, before in self._stretches(after, until):
            first, last, jump = max(after, begin), min(until, end), offset - before
            if hourly or not jump:
                parts = [self._at_offset(first, last, offset)]
            elif jump < timedelta(0):
                parts = [self._at_offset(max(first, begin - jump), last, offset)]
            else:
                parts = [self._at_offset(first, last, offset), self._at_offset(first, min(last, begin + jump), before)]
            yield from parts[0] if len(parts) == 1 else (slot for slot, _ in groupby(merge(*parts)))

    def _stretches(self, after: datetime, until: datetime) -> Iterator[tuple[datetime, datetime, timedelta, timedelta]]:
        """(begin, end, the offset from UTC in (begin, end], the offset before), a month at most each, up to `until`.

        It begins a day before `after`, since clocks jump by a day at most: what a jump does reaches no further. No
        zone changes its clocks twice within a day.
        """
        if self.zone == "UTC":
            yield after, until, timedelta(0), timedelta(0)
            return
        begin = after.replace(microsecond=0) - _DAY
        offset = before = _offset(begin, self.tz)
        while begin - _SECOND < until:
            end = begin + _DAY
            while (same := _offset(end, self.tz) == offset) and end <= until and end - begin < _MONTH:
                end += _DAY
            if not same:
                end = _change(end - _DAY, end, self.tz)
            yield begin - _SECOND, end - _SECOND, offset, before  # slots have whole seconds
            begin, before, offset = end, offset, _offset(end, self.tz)

    def _at_offset(self, after: datetime, until: datetime, offset: timedelta) -> Iterator[datetime]:
        """The moments in (after, until], as a clock shows them that is `offset` from UTC."""
        if until <= after:
            return
        first, last = ((moment + offset).replace(tzinfo=None) for moment in (after, until))
        times = _times(self.cron) if self.cron else self._at()
        for day in self._dates(first.date(), last.date()):
            midnight = datetime.combine(day, time())
            begin = bisect_right(times, (first - midnight).total_seconds())
            end = bisect_right(times, (last - midnight).total_seconds())
            shown = midnight.replace(tzinfo=UTC) - offset
            for number in range(begin, end):
                yield shown + timedelta(seconds=times[number])

    @property
    def _anchor(self) -> datetime:
        return _wall(self.start, self.tz) if self.start else _ANCHOR

    def _at(self) -> list[int]:
        return sorted({_seconds(at.hour, at.minute, at.second) for at in self.at or [self._anchor.time()]})

    def _dates(self, first: date, last: date) -> Iterator[date]:
        """The dates in [first, last] on which there are slots."""
        if self.cron:
            return _cron_dates(self.cron, first, last)
        anchor = self._anchor.date()
        days = {0} if self.unit == "day" else set(self.weekdays or [anchor.weekday()])
        return _every(self.every, self.unit, sorted(days), anchor, max(first, anchor), last)


def _every(every: int, unit: str, days: list[int], anchor: date, first: date, last: date) -> Iterator[date]:
    """Every so many days from the anchor, or certain days of every so many weeks from the anchor's week."""
    step = every * (_UNITS[unit] // 86400)
    origin = anchor if unit == "day" else anchor - timedelta(days=anchor.weekday())
    origin += timedelta(days=max(0, (first - origin).days) // step * step)
    while origin <= last:
        for day in days:
            if first <= (found := origin + timedelta(days=day)) <= last:
                yield found
        origin += timedelta(days=step)


def _cron_dates(cron: str, first: date, last: date) -> Iterator[date]:
    _, _, _, days, months, weekdays = _numbers(cron)
    for year in range(first.year, last.year + 1):
        for month in months:
            if not (first.year, first.month) <= (year, month) <= (last.year, last.month):
                continue
            for day in days:
                if day > monthrange(year, month)[1]:
                    break
                found = date(year, month, day)
                if first <= found <= last and found.isoweekday() % 7 in weekdays:
                    yield found


@cache
def _times(cron: str) -> Sequence[int]:
    """The seconds of a day on which an NCRONTAB has a moment; an array, since there may be 86 400."""
    seconds, minutes, hours, *_ = _numbers(cron)
    return array("I", (_seconds(hour, minute, second) for hour in hours for minute in minutes for second in seconds))


def _seconds(hour: int, minute: int, second: int) -> int:
    return hour * 3600 + minute * 60 + second


def moment_before(expression: str, moment: datetime) -> datetime:
    """The moment of an NCRONTAB before the moment that `moment` belongs to; a week back at most."""
    week = timedelta(days=8)
    slots = Schedule(cron=check_ncrontab(expression)).newest(moment - week, moment, 2)
    return slots[0] if len(slots) == 2 else moment - week


@cache
def longest_gap(expression: str) -> timedelta:
    """The longest distance between the moments of an NCRONTAB within a week."""
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    # The second week shows how far the last moment of a week is from the first of the next.
    moments = Schedule(cron=check_ncrontab(expression)).slots(begin, begin + timedelta(days=15))
    return max((later - earlier for earlier, later in pairwise(moments)), default=timedelta(days=7))


def check_ncrontab(expression: str) -> str:
    """The expression as six fields. Raises ValueError that names the wrong field.

    Accepts what the Functions host accepts (NCrontab): numbers, ranges, steps, lists, English names; five
    fields mean second 0.
    """
    words = expression.split()
    if len(words) == 5:
        words = ["0", *words]
    if len(words) != 6:
        raise ValueError(
            f"an NCRONTAB has six fields (second minute hour day month weekday), found {len(words)} in {expression!r}"
        )
    _numbers(" ".join(words))
    return " ".join(words)


@cache
def _numbers(cron: str) -> tuple[tuple[int, ...], ...]:
    """The numbers that each of the six fields names, in order. Raises ValueError."""
    fields = zip(cron.split(), _FIELDS, strict=True)
    return tuple(
        tuple(sorted({number for part in word.split(",") for number in _part(part, *about)})) for word, about in fields
    )


def _part(part: str, name: str, low: int, high: int) -> range:
    match = re.fullmatch(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?", part, re.ASCII)
    if not match:
        raise ValueError(f"{part!r} is not a {name}: use *, 5, 1-5, */10 or a list of them")
    span, step = match[1], int(match[2] or 1)
    if step == 0:
        raise ValueError(f"the step in {part!r} ({name}) must be at least 1")
    if span == "*":
        return range(low, high + 1, step)
    ends = [_number(word, name) for word in span.split("-")]
    if min(ends) < low or max(ends) > high or ends[0] > ends[-1]:
        raise ValueError(f"{span!r} is not a {name} range within {low}-{high}")
    return range(ends[0], (high if match[2] and len(ends) == 1 else ends[-1]) + 1, step)


def _number(word: str, name: str) -> int:
    names = {"month": ["", *_MONTHS], "day of the week": _CRON_DAYS}.get(name, [])
    if word.isdigit():
        return int(word)
    if word and word.lower() in names:
        return names.index(word.lower())
    raise ValueError(f"{word!r} is not a {name}")


def parse_every(text: str) -> tuple[int, str]:
    """`"15 minutes"` -> (15, "minute"). Raises ValueError."""
    match = re.fullmatch(r"\s*(\d*)\s*(minute|hour|day|week)s?\s*", text, re.ASCII)
    count = int(match[1] or 1) if match else 0
    if not match or not 1 <= count <= 10_000:
        raise ValueError(f"{text!r} is not an interval: write it as 15 minutes, 6 hours, 1 day or 2 weeks")
    return count, match[2]


def as_instant(moment: datetime, zone: str) -> datetime:
    """An instant in UTC; a moment without an offset is wall-clock time in `zone`."""
    return moment.astimezone(UTC) if moment.tzinfo else _instant(moment, ZoneInfo(zone))


def _instant(wall: datetime, tz: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=tz).astimezone(UTC)


def _wall(moment: datetime, tz: ZoneInfo) -> datetime:
    return moment.astimezone(tz).replace(tzinfo=None, fold=0)


def _offset(moment: datetime, tz: ZoneInfo) -> timedelta:
    return moment.astimezone(tz).utcoffset() or timedelta(0)


def _change(begin: datetime, end: datetime, tz: ZoneInfo) -> datetime:
    """The moment in (begin, end] from which on clocks are no longer as at `begin`; whole seconds, as both are."""
    offset = _offset(begin, tz)
    while (half := (end - begin) // _SECOND // 2) > 0:
        middle = begin + half * _SECOND
        begin, end = (middle, end) if _offset(middle, tz) == offset else (begin, middle)
    return end
