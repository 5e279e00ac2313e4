"""Timer schedules: NCRONTAB (six fields, or five without seconds) and TimeSpan, in a time zone with its clock
changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from croniter import CroniterError, croniter

from localhost.errors import BindingError
from localhost.settings import parse_timespan

_FIELD = re.compile(r"[0-9A-Za-z*,/-]+")
_NAME = re.compile(r"[A-Za-z]+")
_RANGE = re.compile(r"(\d+)-(\d+)")  # a range that runs backwards is turned round, not wrapped
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


class Schedule(Protocol):
    """When a timer fires."""

    def next(self, now: datetime) -> datetime:
        """The first moment after ``now``, both in UTC: comparing times of one zone ignores which pass they are in."""


@dataclass(frozen=True)
class Constant:
    """Every ``interval``."""

    interval: timedelta

    def next(self, now: datetime) -> datetime:
        return now + self.interval


class Cron:
    """An NCRONTAB schedule in ``zone`` (None = the process's local time).

    Clock changes follow the real host. A point-in-time schedule ("0 30 1 * * *") fires once a day: in the
    repeated hour only the first time, and a moment that is skipped in spring is made up for as far after the
    jump. An interval schedule (a ``*``, ``/`` or ``-`` among seconds, minutes and hours) goes on through both
    passes of the repeated hour.
    """

    def __init__(self, expression: str, zone: tzinfo | None = None) -> None:
        fields = _fields(expression)
        self.expression = expression
        self._zone = zone
        self._with_seconds = " ".join(fields)
        self._interval = any(mark in field for field in fields[:3] for mark in "*/-")
        try:
            self._after(datetime(2000, 1, 1))  # also refuses days that never come, such as 31 February
        except (CroniterError, ValueError) as error:
            raise BindingError(
                f"The schedule expression '{expression}' was not recognized as a valid cron expression ({error})."
            ) from error

    def next(self, now: datetime) -> datetime:
        return self._next_interval(now) if self._interval else self._next_point(now)

    def _after(self, wall: datetime) -> datetime:
        """The next wall-clock time (naive) after ``wall`` (naive)."""
        found: datetime = croniter(self._with_seconds, wall, second_at_beginning=True, day_or=False).get_next(datetime)
        return found

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta()

    def _moment(self, wall: datetime) -> datetime:
        """``wall`` in UTC: the first of two where it is repeated, moved on by the jump where it does not exist."""
        local = wall.replace(tzinfo=self._zone) if self._zone else wall
        # timestamp(), as astimezone() takes naive times that do not exist for an hour too early.
        return datetime.fromtimestamp(local.timestamp(), UTC)

    def _next_point(self, now: datetime) -> datetime:
        wall, moment = self._wall(now), now
        while moment <= now:
            wall = self._after(wall)
            moment = self._moment(wall)
        return moment

    def _next_interval(self, now: datetime) -> datetime:
        offset = self._offset(now)
        moment = (self._after(self._wall(now)) - offset).replace(tzinfo=UTC)
        if self._offset(moment) == offset:
            return moment
        change = _change(now, moment, lambda when: self._offset(when) == offset)
        just_before = self._wall(change) - timedelta(seconds=1)
        return (self._after(just_before) - self._offset(change)).replace(tzinfo=UTC)


def _change(before: datetime, after: datetime, is_old: Callable[[datetime], bool]) -> datetime:
    """The second at which the offset changes between the two."""
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_old(datetime.fromtimestamp(middle, UTC)) else (low, middle)
    return datetime.fromtimestamp(high, UTC)


def _fields(expression: str) -> list[str]:
    """The six fields in numbers; refuses croniter's extensions, which the real host does not have."""
    fields = expression.split()
    if len(fields) not in (5, 6) or not all(_FIELD.fullmatch(field) for field in fields):
        raise BindingError(
            f"The schedule expression '{expression}' was not recognized as a valid cron expression or "
            "timespan string. "
            "Write '{second} {minute} {hour} {day} {month} {day of week}', for example '0 */5 * * * *'."
        )
    fields = fields if len(fields) == 6 else ["0", *fields]
    fields[4] = _NAME.sub(lambda found: str(_number(found.group(), _MONTHS, expression) + 1), fields[4])
    fields[5] = _NAME.sub(lambda found: str(_number(found.group(), _DAYS, expression)), fields[5])
    if any(_NAME.search(field) for field in fields[:4]) or re.search(r"\b7\b", fields[5].split("/")[0]):
        raise BindingError(
            f"The schedule expression '{expression}' was not recognized: names only for months and days of the week "
            "(0-6)."
        )
    return [_RANGE.sub(lambda found: "-".join(sorted(found.groups(), key=int)), field) for field in fields]


def _number(name: str, names: tuple[str, ...], expression: str) -> int:
    """The place of the first name that begins so, as NCRONTAB reads names of any length."""
    found = next((index for index, full in enumerate(names) if full.startswith(name.lower())), None)
    if found is None:
        raise BindingError(f"The schedule expression '{expression}' has an unknown name '{name}'.")
    return found


def parse_schedule(text: str, zone: tzinfo | None = None) -> Schedule:
    """A timer's schedule: NCRONTAB, else TimeSpan; raises :class:`BindingError` when it is neither."""
    if len(text.split()) in (5, 6):
        return Cron(text, zone)
    span = parse_timespan(text)
    if span is None or span <= timedelta():
        raise BindingError(
            f"The schedule expression '{text}' was not recognized as a valid cron expression or timespan string."
        )
    return Constant(span)
