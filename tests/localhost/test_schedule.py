"""Timer schedules: NCRONTAB, TimeSpan and clock changes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from localhost.errors import BindingError
from localhost.schedule import parse_schedule
from localhost.settings import parse_timespan

BERLIN = ZoneInfo("Europe/Berlin")  # 2026: forward 29 March 02:00 -> 03:00, back 25 October 03:00 -> 02:00


def occurrences(schedule: str, start: str, count: int, zone: ZoneInfo | None = BERLIN) -> list[str]:
    """The next moments, local with their offset; ``start`` may say the second pass by its offset."""
    moment, found = datetime.fromisoformat(start), []
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    parsed = parse_schedule(schedule, zone)
    for _ in range(count):
        moment = parsed.next(moment)
        found.append(moment.astimezone(zone).isoformat(timespec="seconds"))
    return found


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
    utc = ZoneInfo("UTC")
    assert occurrences(schedule, "2026-11-23T07:01:02", 3, utc) == [f"{each}+00:00" for each in expected]


@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        # A point in time inside the skipped hour is made up for after the jump, that day only.
        ("0 30 2 * * *", "2026-03-28T03:00", ["2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"]),
        # A point in time inside the repeated hour fires once, the first time round.
        ("0 30 2 * * *", "2026-10-24T03:00", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        # A host that starts in the second pass takes it that the first one was served.
        ("0 30 2 * * *", "2026-10-25T02:10:00+01:00", ["2026-10-26T02:30:00+01:00"]),
        # Intervals skip what does not exist and go through both passes of the repeated hour.
        ("0 */30 * * * *", "2026-03-29T01:20", ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"]),
        (
            "0 */30 * * * *",
            "2026-10-25T01:40",
            [f"2026-10-25T02:{minute}:00+0{offset}:00" for offset in (2, 1) for minute in ("00", "30")]
            + ["2026-10-25T03:00:00+01:00"],
        ),
        ("0 0 */6 * * *", "2026-10-24T23:00", ["2026-10-25T00:00:00+02:00", "2026-10-25T06:00:00+01:00"]),
        ("12:00:00", "2026-10-24T20:00", ["2026-10-25T07:00:00+01:00"]),  # twelve real hours
    ],
)
def test_clock_changes(schedule: str, start: str, expected: list[str]) -> None:
    assert occurrences(schedule, start, len(expected)) == expected


@pytest.fixture
def process_in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    if time.timezone != -3600:
        pytest.skip("this machine has no time zone files of its own")
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(os.name != "posix", reason="only POSIX takes the time zone from TZ")
@pytest.mark.usefixtures("process_in_berlin")
def test_the_process_time_zone_serves_as_well() -> None:
    for start in ("2026-03-29T00:40:00+01:00", "2026-10-25T00:40:00+02:00"):
        for schedule in ("0 */30 * * * *", "0 30 2 * * *"):
            assert occurrences(schedule, start, 6, None) == occurrences(schedule, start, 6, BERLIN)


@pytest.mark.parametrize(
    "schedule",
    ["", "nonsense", "* * * *", "0 0 0 0 0 * *", "0 60 * * * *", "0 0 0 * * 7", "0 0 0 * Foo *", "@daily",
     "0 0 0 31 2 *", "0 0 0 L * *", "0 0 0 * * 1#2", "00:00:00", "25:61:00", "0 Jan * * * *"],
)  # fmt: skip
def test_refused(schedule: str) -> None:
    with pytest.raises(BindingError):
        parse_schedule(schedule, BERLIN)


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


def test_results_are_utc_and_later() -> None:
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for schedule in ("0 30 2 * * *", "0 */7 * * * *", "00:00:10"):
        later = parse_schedule(schedule, BERLIN).next(now)
        assert later.tzinfo is UTC and later > now
