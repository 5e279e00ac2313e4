"""Slots: NCRONTAB as the Functions host reads it, recurrences, time zones, starts and ends."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import islice

import pytest

from cloud.schedule import Schedule, check_ncrontab, longest_gap, moment_before, parse_every


def between(schedule: Schedule, after: str, until: str) -> list[str]:
    found = schedule.slots(datetime.fromisoformat(after + "+00:00"), datetime.fromisoformat(until + "+00:00"))
    return [slot.strftime("%m-%dT%H:%M") for slot in found]


def test_day_and_weekday_must_both_hold() -> None:
    # NCrontab joins them with and; classic cron with or.
    fridays = Schedule(cron="0 0 0 13 * 5")
    assert between(fridays, "2026-01-01T00:00", "2026-12-31T00:00") == ["02-13T00:00", "03-13T00:00", "11-13T00:00"]


def test_the_first_moment_is_left_out_and_the_last_is_in() -> None:
    daily = Schedule(cron="0 0 3 * * *")
    assert between(daily, "2026-11-23T03:00", "2026-11-25T03:00") == ["11-24T03:00", "11-25T03:00"]


def test_a_named_hour_runs_once_a_day_where_clocks_change() -> None:
    # Zurich: 02:00 -> 03:00 on 2026-03-29, 03:00 -> 02:00 on 2026-10-25.
    zurich = Schedule(zone="Europe/Zurich", cron="0 30 2 * * *")
    assert between(zurich, "2026-03-28T00:00", "2026-03-31T00:00") == ["03-28T01:30", "03-29T01:30", "03-30T00:30"]
    assert between(zurich, "2026-10-24T00:00", "2026-10-27T00:00") == ["10-24T00:30", "10-25T00:30", "10-26T01:30"]


def test_every_hour_follows_elapsed_time_where_clocks_change() -> None:
    for hours in ("*", "*/1", "0-23"):
        zurich = Schedule(zone="Europe/Zurich", cron=f"0 0 {hours} * * *")
        assert between(zurich, "2026-03-28T23:30", "2026-03-29T03:30") == [f"03-29T0{hour}:00" for hour in range(4)]
        assert between(zurich, "2026-10-24T23:30", "2026-10-25T03:30") == [f"10-25T0{hour}:00" for hour in range(4)]


def test_days_keep_the_wall_clock_and_hours_the_distance() -> None:
    days = Schedule(zone="Europe/Zurich", every=1, unit="day", at=(time(4, 15),))
    assert between(days, "2026-03-28T00:00", "2026-03-30T00:00") == ["03-28T03:15", "03-29T02:15"]
    hours = Schedule(zone="Europe/Zurich", every=12, unit="hour", start=datetime(2026, 3, 28, 1, tzinfo=UTC))
    assert between(hours, "2026-03-28T00:00", "2026-03-30T00:00") == [
        "03-28T01:00", "03-28T13:00", "03-29T01:00", "03-29T13:00"
    ]  # fmt: skip


def test_every_second_week_on_two_days_within_start_and_end() -> None:
    schedule = Schedule(
        every=2,
        unit="week",
        at=(time(4),),
        weekdays=(0, 3),
        start=datetime(2026, 11, 24, tzinfo=UTC),  # a Tuesday
        end=datetime(2026, 12, 10, 4, tzinfo=UTC),
    )
    expected = ["11-26T04:00", "12-07T04:00", "12-10T04:00"]
    assert between(schedule, "2026-11-01T00:00", "2027-02-01T00:00") == expected


@pytest.mark.slow
def test_the_newest_are_the_end_of_all() -> None:
    schedule = Schedule(zone="America/New_York", cron="30 */7 * * * *")
    after, until = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    assert schedule.newest(after, until, 50) == list(schedule.slots(after, until))[-50:]
    rare = Schedule(cron="0 0 0 29 2 *")
    assert rare.newest(datetime(2023, 1, 1, tzinfo=UTC), until, 9) == [datetime(2024, 2, 29, tzinfo=UTC)]


def test_an_impossible_date_has_no_slots() -> None:
    assert between(Schedule(cron="0 0 0 30 2 *"), "2026-01-01T00:00", "2027-01-01T00:00") == []


def test_the_longest_gap_of_a_tick_is_that_of_its_week() -> None:
    assert longest_gap("0 * * * * *") == timedelta(minutes=1)
    assert longest_gap("0 */15 6-18 * * *") == timedelta(hours=11, minutes=15)
    assert longest_gap("0 0 4 * * mon") == timedelta(days=7)
    assert longest_gap("0 0 4 * * sat,sun") == timedelta(days=6)
    assert longest_gap("*/5 * 8-18 * * *") == timedelta(hours=13, seconds=5)


def test_the_moment_before_is_not_the_one_that_a_wake_up_belongs_to() -> None:
    first = datetime(2026, 12, 1, 4, tzinfo=UTC)
    assert moment_before("0 0 4 * * tue", first) == first - timedelta(days=7)
    assert moment_before("0 0 4 1 * *", first) == first - timedelta(days=8)  # it looks no further back


def test_the_text_by_which_a_stored_plan_knows_its_schedule_stays() -> None:
    # Another text would mean that the entry was changed: what was missed meanwhile would not be caught up.
    assert repr(Schedule(cron="0 0 3 * * *")) == (
        "Schedule(zone='UTC', cron='0 0 3 * * *', every=0, unit='', at=(), weekdays=(), start=None, end=None)"
    )


def test_slots_go_on_for_ever_without_taking_memory() -> None:
    seconds = Schedule(every=1, unit="minute").slots(
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=36500)
    )
    assert len(list(islice(seconds, 3))) == 3


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("0 0 3 * *  * *", "found 7"),
        ("0 60 * * * *", "minute"),
        ("0 0 24 * * *", "hour"),
        ("0 0 0 0 * *", "day of the month"),
        ("0 0 0 * * 7", "day of the week"),
        ("0 */0 * * * *", "step"),
        ("0 0 5-2 * * *", "hour"),
        ("R R * * * *", "second"),
        ("\u0663 * * * * *", "second"),
        ("0 0 0 L * *", "day of the month"),
    ],
)
def test_a_wrong_field_is_named(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        check_ncrontab(text)


def test_five_fields_mean_second_zero() -> None:
    assert check_ncrontab("*/5 3 * JAN-mar mon-fri") == "0 */5 3 * JAN-mar mon-fri"


def test_intervals_are_written_in_words() -> None:
    assert [parse_every(text) for text in ("15 minutes", "day", "2 weeks")] == [
        (15, "minute"), (1, "day"), (2, "week")
    ]  # fmt: skip
    with pytest.raises(ValueError, match="6 hours"):
        parse_every("0 days")
