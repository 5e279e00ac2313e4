"""Timer schedules: NCRONTAB and TimeSpan, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from localhost.errors import BindingError
from localhost.host_settings import parse_timespan
from localhost.timer_trigger import TimerSchedule

pytestmark = pytest.mark.slow


def occurrences(schedule: str, start: str, count: int) -> list[str]:
    moment, moments, parsed = datetime.fromisoformat(start).replace(tzinfo=UTC), [], TimerSchedule(schedule)
    for _ in range(count):
        moment = parsed.next(moment)
        moments.append(moment.isoformat(timespec="seconds"))
    return moments


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 */5 * * * *", ["2026-11-23T07:05:00", "2026-11-23T07:10:00", "2026-11-23T07:15:00"]),
        ("*/5 * * * *", ["2026-11-23T07:05:00", "2026-11-23T07:10:00", "2026-11-23T07:15:00"]),
        ("*/20 * * * * *", ["2026-11-23T07:01:20", "2026-11-23T07:01:40", "2026-11-23T07:02:00"]),
        # Day of month and day of week must both hold: Fridays that are the 13th.
        ("0 0 3 13 * 5", ["2027-08-13T03:00:00", "2028-10-13T03:00:00", "2029-04-13T03:00:00"]),
        ("0 0 9 1 Jan,Jul *", ["2027-01-01T09:00:00", "2027-07-01T09:00:00", "2028-01-01T09:00:00"]),
        ("0 30 9 * January Mon-Fri", ["2027-01-01T09:30:00", "2027-01-04T09:30:00", "2027-01-05T09:30:00"]),
        ("0 0 9 * Ju mon", ["2027-06-07T09:00:00", "2027-06-14T09:00:00", "2027-06-21T09:00:00"]),
        ("0 0 23-22 * * *", ["2026-11-23T22:00:00", "2026-11-23T23:00:00", "2026-11-24T22:00:00"]),
        ("0 0 0 * * Fri-Mon", ["2026-11-24T00:00:00", "2026-11-25T00:00:00", "2026-11-26T00:00:00"]),
        ("30 5/10 8 * * *", ["2026-11-23T08:05:30", "2026-11-23T08:15:30", "2026-11-23T08:25:30"]),
        ("0 0 0 29 2 *", ["2028-02-29T00:00:00", "2032-02-29T00:00:00", "2036-02-29T00:00:00"]),
        ("00:01:30", ["2026-11-23T07:02:32", "2026-11-23T07:04:02", "2026-11-23T07:05:32"]),
        ("1.00:00:00", ["2026-11-24T07:01:02", "2026-11-25T07:01:02", "2026-11-26T07:01:02"]),
    ],
)
def test_occurrences(schedule: str, expected: list[str]) -> None:
    assert occurrences(schedule, "2026-11-23T07:01:02", 3) == [f"{moment}+00:00" for moment in expected]


@pytest.mark.parametrize(
    "schedule",
    ["", "nonsense", "* * * *", "0 0 0 0 0 * *", "0 60 * * * *", "0 0 0 * * 7", "0 0 0 * Foo *", "@daily",
     "0 0 0 31 2 *", "0 0 0 L * *", "0 0 0 * * 1#2", "00:00:00", "25:61:00", "0 Jan * * * *"],
)  # fmt: skip
def test_refused(schedule: str) -> None:
    with pytest.raises(BindingError):
        TimerSchedule(schedule)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:05", timedelta(seconds=5)),
        ("1.02:03:04.5", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=500)),
        ("01:30", timedelta(hours=1, minutes=30)),
        ("24:00:00", timedelta(days=24)),  # as .NET reads it: the trap is kept
        ("00:60:00", None),
        ("5", None),
        ("x", None),
    ],
)
def test_timespans(text: str, expected: timedelta | None) -> None:
    assert parse_timespan(text) == expected
