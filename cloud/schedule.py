"""Which moments a schedule names: NCRONTAB and recurrences, in a time zone, between a start and an end.

croniter is imported where slots are computed. A slot is an aware datetime in UTC with whole seconds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import islice, pairwise
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
        """The slots in (after, until], in order."""
        after = max(after, self.start - timedelta(seconds=1)) if self.start else after
        until = min(until, self.end) if self.end else until
        if until <= after:
            return iter(())
        return self._cron(after, until) if self.cron else self._recurrence(after, until)

    def newest(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """The last `limit` slots in (after, until], without a walk through the rest."""
        span = timedelta(hours=1)
        while True:
            begin = max(after, until - span)
            slots = list(self.slots(begin, until))
            if len(slots) >= limit or begin == after:
                return slots[-limit:]
            span *= 4

    def _cron(self, after: datetime, until: datetime) -> Iterator[datetime]:
        from croniter import CroniterBadDateError, croniter

        # Walk wall-clock time, with room for the largest jump of a clock.
        room = timedelta(hours=0 if self.zone == "UTC" else 3)
        begin = _wall(after, self.tz) - room
        last = _wall(until, self.tz) + room
        ticks = croniter(
            self.cron,
            begin - timedelta(seconds=1),
            second_at_beginning=True,
            day_or=False,
            max_years_between_matches=8,
        )
        held: list[datetime] = []
        try:
            while (wall := ticks.get_next(datetime)) <= last:
                for slot in self._instants(wall):
                    if after < slot <= until and slot not in held:
                        held.insert(bisect_right(held, slot), slot)
                # Everything older than the room can no longer be overtaken by a repeated hour.
                ready = bisect_right(held, _instant(wall - room, self.tz))
                yield from held[:ready]
                del held[:ready]
        except CroniterBadDateError:
            pass  # no such date within eight years: there is no further slot
        yield from held

    def _instants(self, wall: datetime) -> list[datetime]:
        """The moments at which clocks in the zone show `wall`: none or two where clocks change.

        A schedule that names its hours runs once on such a day (after the gap, or at the first of two);
        a schedule of every hour follows elapsed time instead.
        """
        first, second = _instant(wall, self.tz), _instant(wall.replace(fold=1), self.tz)
        hourly = self.cron.split()[2] in ("*", "*/1", "0-23")
        if first == second:
            return [first]
        in_gap = _wall(first, self.tz) != wall
        if in_gap:
            return [] if hourly else [first]
        return [first, second] if hourly else [first]

    def _recurrence(self, after: datetime, until: datetime) -> Iterator[datetime]:
        anchor = _wall(self.start, self.tz) if self.start else _ANCHOR
        if self.unit in ("minute", "hour"):
            return self._elapsed(_instant(anchor, self.tz), after, until)
        return self._calendar(anchor, after, until)

    def _elapsed(self, anchor: datetime, after: datetime, until: datetime) -> Iterator[datetime]:
        step = timedelta(seconds=self.every * _UNITS[self.unit])
        slot = anchor + step * max(0, (after - anchor) // step)
        while slot <= until:
            if slot > after:
                yield slot
            slot += step

    def _calendar(self, anchor: datetime, after: datetime, until: datetime) -> Iterator[datetime]:
        """Days and weeks follow the wall clock: 04:15 stays 04:15 in summer and in winter."""
        times = sorted(self.at or (anchor.time(),))
        weekdays = self.weekdays or (anchor.weekday(),)
        monday = anchor.date() - timedelta(days=anchor.weekday())
        day = max(_wall(after, self.tz).date() - timedelta(days=1), anchor.date())
        last = _wall(until, self.tz).date()
        while day <= last:
            if self.unit == "day":
                due = (day - anchor.date()).days % self.every == 0
            else:
                due = (day - monday).days // 7 % self.every == 0 and day.weekday() in weekdays
            if due:
                for at in times:
                    slot = _instant(datetime.combine(day, at), self.tz)
                    if after < slot <= until:
                        yield slot
            day += timedelta(days=1)


def moment_before(expression: str, moment: datetime) -> datetime:
    """The moment of an NCRONTAB before the moment that `moment` belongs to; a week back at most."""
    schedule, week = Schedule(cron=check_ncrontab(expression)), timedelta(days=8)
    return next(iter(schedule.newest(moment - week, moment, 2)), moment - week)


@cache
def longest_gap(expression: str) -> timedelta:
    """The longest distance between the moments of an NCRONTAB within a week."""
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    moments = islice(Schedule(cron=check_ncrontab(expression)).slots(begin, begin + timedelta(days=8)), 5000)
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
    for word, (name, low, high) in zip(words, _FIELDS, strict=True):
        for part in word.split(","):
            _check_part(part, name, low, high)
    return " ".join(words)


def _check_part(part: str, name: str, low: int, high: int) -> None:
    match = re.fullmatch(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?", part, re.ASCII)
    if not match:
        raise ValueError(f"{part!r} is not a {name}: use *, 5, 1-5, */10 or a list of them")
    span, step = match.groups()
    if step is not None and int(step) == 0:
        raise ValueError(f"the step in {part!r} ({name}) must be at least 1")
    if span == "*":
        return
    ends = [_number(word, name) for word in span.split("-")]
    if min(ends) < low or max(ends) > high or ends[0] > ends[-1]:
        raise ValueError(f"{span!r} is not a {name} range within {low}-{high}")


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
