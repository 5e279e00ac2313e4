"""Every list of slots beside a reckoning minute by minute, where the clocks of any time zone change."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.schedule import Schedule

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
# Clocks that skip a day, that change at midnight or by half an hour, that change by hours.
ODD = [
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12, tzinfo=UTC)),
    ("Pacific/Kiritimati", datetime(1994, 12, 31, 10, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 4, 5, 3, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 10, 29, 21, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("America/Danmarkshavn", datetime(1996, 1, 1, 3, tzinfo=UTC)),
    ("Antarctica/Vostok", datetime(1994, 1, 31, 17, tzinfo=UTC)),
    ("Antarctica/Vostok", datetime(1994, 11, 1, tzinfo=UTC)),
]


def offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    found = moment.astimezone(zone).utcoffset()
    assert found is not None
    return found


@cache
def changes() -> list[tuple[str, datetime]]:
    """Days (their begin, UTC) in which clocks change: of every zone those of one year, drawn by its name."""
    found = []
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        year = random.Random(name).randint(1974, 2037)
        days = [datetime(year, 1, 1, tzinfo=UTC) + DAY * number for number in range(366)]
        offsets = [offset(zone, day) for day in days]
        found += [(name, days[n]) for n in range(365) if offsets[n] != offsets[n + 1]]
    return found


Matches = Callable[[datetime], bool]


def reckoned(schedule: Schedule, matches: Matches, hourly: bool, after: datetime, until: datetime) -> list[datetime]:
    """The slots in (after, until]: by a clock on the wall that is looked at every minute from a day before."""
    now = after - DAY
    latest = (now + offset(schedule.tz, now)).replace(tzinfo=None)
    slots = set()
    while now <= until:
        shown = (now + offset(schedule.tz, now)).replace(tzinfo=None)
        left_out = int((shown - latest) / MINUTE) - 1
        for number in range(0 if hourly else left_out):
            if matches(latest + MINUTE * (number + 1)):
                slots.add(now + MINUTE * number)
        if (hourly or shown > latest) and matches(shown):
            slots.add(now)
        latest = max(latest, shown)
        now += MINUTE
    return sorted(slot for slot in slots if after < slot <= until)


def cron(zone: str, chance: random.Random) -> tuple[Schedule, Matches, bool]:
    minute, minutes = chance.choice([("0", {0}), ("30", {30}), ("*/15", {0, 15, 30, 45}), ("15,45", {15, 45})])
    hour, hours = chance.choice(
        [("*", set(range(24))), ("2", {2}), ("2-3", {2, 3}), ("0", {0}), ("1,23", {1, 23}), ("*/2", {*range(0, 24, 2)})]
    )
    weekday, weekdays = chance.choice([("*", set(range(7))), ("sun", {6}), ("fri,SAT", {4, 5}), ("1-5", set(range(5)))])

    def matches(wall: datetime) -> bool:
        return wall.minute in minutes and wall.hour in hours and wall.weekday() in weekdays

    return Schedule(zone, f"0 {minute} {hour} * * {weekday}"), matches, hour == "*"


def recurrence(zone: str, chance: random.Random, since: date) -> tuple[Schedule, Matches, bool]:
    at = tuple(chance.choices([time(2, 30), time(3, 30), time(0), time(0, 30), time(23, 30), time(1, 45)], k=4))
    every, unit = chance.choice([1, 2]), chance.choice(["day", "week"])
    weekdays = tuple(chance.choices(range(7), k=4)) if unit == "week" else ()
    monday = since - timedelta(days=since.weekday())
    schedule = Schedule(zone, "", every, unit, at, weekdays, datetime.combine(monday, time(12), UTC))
    first = datetime.combine(monday, time(12), UTC).astimezone(schedule.tz).date()

    def matches(wall: datetime) -> bool:
        days = (wall.date() - first).days
        if unit == "day":
            return wall.time() in at and days >= 0 and days % every == 0
        weeks = (wall.date() - first + timedelta(days=first.weekday())).days // 7
        return wall.time() in at and days >= 0 and weeks % every == 0 and wall.weekday() in weekdays

    return schedule, matches, False


def some_schedules(chance: random.Random, zone: str, change: datetime) -> Iterator[tuple[Schedule, Matches, bool]]:
    yield cron(zone, chance)
    yield recurrence(zone, chance, (change - timedelta(days=15)).date())


@pytest.mark.slow
def test_where_clocks_change_slots_are_those_of_a_clock_that_is_looked_at_every_minute() -> None:
    chance, seen = random.Random(1), set()
    for name, change in [*ODD, *changes()]:
        zone = ZoneInfo(name)
        kind = (offset(zone, change + DAY) - offset(zone, change - DAY), offset(zone, change))
        if kind in seen:  # many zones change in the same way
            continue
        seen.add(kind)
        after, until = change - MINUTE * chance.randint(600, 1500), change + MINUTE * chance.randint(1800, 3600)
        for schedule, matches, hourly in some_schedules(chance, name, change):
            expected = reckoned(schedule, matches, hourly, after, until)
            assert list(schedule.slots(after, until)) == expected, (schedule, after, until)


@pytest.mark.slow
def test_in_every_zone_slots_rise_and_no_slot_depends_on_where_a_tick_cuts_the_time() -> None:
    chance = random.Random(2)
    for name, change in [*ODD, *changes()]:
        after, until = change - MINUTE * chance.randint(600, 1500), change + MINUTE * chance.randint(1800, 3600)
        drawn, *_ = chance.choice(list(some_schedules(chance, name, change)))
        drawn = chance.choice([drawn, drawn, Schedule(name, every=1, unit="hour")])
        slots = list(drawn.slots(after, until))
        assert all(one < other for one, other in zip(slots, slots[1:], strict=False)), drawn
        assert all(after < slot <= until for slot in slots), drawn
        for cut in (change, *slots[1:2]):
            assert [*drawn.slots(after, cut), *drawn.slots(cut, until)] == slots, (drawn, cut)
        assert drawn.newest(after, until, 3) == slots[-3:], drawn


@cache
def days_of(first: date) -> list[date]:
    return [first + DAY * number for number in range(800)]


def field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[tuple[str, set[int]]]:
    """A field of an NCRONTAB, and the numbers that it names."""
    number = st.integers(low, high)
    steps = st.integers(1, high)
    ranges = st.tuples(number, number).map(sorted)
    parts = st.one_of(
        st.just(("*", set(range(low, high + 1)))),
        number.map(lambda n: (names[n - low] if names and n % 2 else str(n), {n})),
        ranges.map(lambda r: (f"{r[0]}-{r[1]}", set(range(r[0], r[1] + 1)))),
        steps.map(lambda n: (f"*/{n}", set(range(low, high + 1, n)))),
        st.tuples(ranges, steps).map(lambda t: (f"{t[0][0]}-{t[0][1]}/{t[1]}", set(range(t[0][0], t[0][1] + 1, t[1])))),
    )
    return st.lists(parts, min_size=1, max_size=3).map(
        lambda t: (",".join(x for x, _ in t), set().union(*(n for _, n in t)))
    )


MONTHS = ("jan", "FEB", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "THU", "fri", "sat")


@pytest.mark.slow
@given(
    st.integers(0, 59),
    st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS), field(0, 6, WEEKDAYS)),
    st.datetimes(datetime(2023, 1, 1), datetime(2028, 1, 1)),
)
@settings(deadline=None, max_examples=60)
def test_an_ncrontab_names_the_moments_at_which_every_field_holds(
    second: int, fields: tuple[tuple[str, set[int]], ...], begin: datetime
) -> None:
    minutes, hours, days, months, weekdays = (numbers for _, numbers in fields)
    after = begin.replace(tzinfo=UTC)
    schedule, expected = Schedule(cron=" ".join([str(second), *(text for text, _ in fields)])), []
    for day in days_of(after.date()):
        if day.day in days and day.month in months and day.isoweekday() % 7 in weekdays:
            midnight = datetime.combine(day, time(), UTC)
            named = [midnight.replace(hour=h, minute=m, second=second) for h in sorted(hours) for m in sorted(minutes)]
            expected += [slot for slot in named if slot > after]
            if len(expected) > 300:
                break
    until = expected[-1] if expected else after + 700 * DAY
    assert list(schedule.slots(after, until)) == [slot for slot in expected if slot <= until]
