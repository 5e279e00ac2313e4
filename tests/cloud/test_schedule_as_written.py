"""What users write in pipelines.toml beside the moments that they mean, worked out by hand."""

from __future__ import annotations

import tomllib
from datetime import datetime

import pytest

from cloud.azureml.pipeline_entry import parse
from cloud.schedule import Schedule
from inference.errors import BadPipeline


def written(lines: str) -> Schedule:
    return parse({"name": "x", "kind": "published", "id": "p", **tomllib.loads(lines)}).schedule


def slots(lines: str, after: str, until: str) -> list[str]:
    """The slots in (after, until], all in UTC and to the minute."""
    found = written(lines).slots(datetime.fromisoformat(after + "Z"), datetime.fromisoformat(until + "Z"))
    return [f"{slot:%Y-%m-%dT%H:%M}" for slot in found]


def daily(at: str, zone: str) -> str:
    return f'every = "1 day"\nat = [{at}]\ntime_zone = "{zone}"'


@pytest.mark.parametrize(
    ("lines", "after", "until", "expected"),
    [
        (
            'schedule = "0 0 3 31 * *"', "2026-01-01T00:00", "2026-12-31T03:00",
            [f"2026-{month}-31T03:00" for month in ("01", "03", "05", "07", "08", "10", "12")],
        ),
        (  # 2100 is no leap year
            'schedule = "0 0 3 29 2 *"', "2092-02-29T03:00", "2108-01-01T00:00",
            ["2096-02-29T03:00", "2104-02-29T03:00"],
        ),
        (
            'schedule = "0 0 3 29 2 MON"', "2016-03-01T00:00", "2113-01-01T00:00",
            ["2044-02-29T03:00", "2072-02-29T03:00", "2112-02-29T03:00"],
        ),
        (
            'schedule = "0 0 3 * JAN,jul fri"', "2026-01-16T03:00", "2026-07-10T03:00",
            ["2026-01-23T03:00", "2026-01-30T03:00", "2026-07-03T03:00", "2026-07-10T03:00"],
        ),
        (  # over the week's end
            'schedule = "0 0 3 * * sat,sun,mon"', "2026-11-27T00:00", "2026-12-02T00:00",
            ["2026-11-28T03:00", "2026-11-29T03:00", "2026-11-30T03:00"],
        ),
        (
            'schedule = "0 */25 * * * *"', "2026-11-23T10:00", "2026-11-23T11:30",
            ["2026-11-23T10:25", "2026-11-23T10:50", "2026-11-23T11:00", "2026-11-23T11:25"],
        ),
        (
            'schedule = "0 0 1-23/6 5/10 * *"', "2026-02-25T12:00", "2026-03-05T07:00",
            ["2026-02-25T13:00", "2026-02-25T19:00", "2026-03-05T01:00", "2026-03-05T07:00"],
        ),
    ],
)  # fmt: skip
def test_an_ncrontab_in_utc(lines: str, after: str, until: str, expected: list[str]) -> None:
    assert slots(lines, after, until) == expected


@pytest.mark.parametrize(
    ("lines", "after", "until", "expected"),
    [
        (  # 02:00 becomes 03:00: two words for one moment
            daily('"02:30", "03:30"', "Europe/Zurich"), "2026-03-28T12:00", "2026-03-30T12:00",
            ["2026-03-29T01:30", "2026-03-30T00:30", "2026-03-30T01:30"],
        ),
        (  # 03:00 becomes 02:00: the first 02:30 of two
            daily('"02:30", "03:30"', "Europe/Zurich"), "2026-10-24T12:00", "2026-10-26T01:30",
            ["2026-10-25T00:30", "2026-10-25T02:30", "2026-10-26T01:30"],
        ),
        (
            daily('"04:15", "04:15"', "Asia/Kolkata"), "2026-11-23T00:00", "2026-11-25T00:00",
            ["2026-11-23T22:45", "2026-11-24T22:45"],
        ),
        (
            'every = "1 week"\nat = ["03:00"]\nweekdays = ["monday", "monday"]', "2026-11-22T00:00", "2026-12-01T00:00",
            ["2026-11-23T03:00", "2026-11-30T03:00"],
        ),
        (  # midnight becomes 01:00
            daily('"00:30"', "America/Santiago"), "2026-09-05T00:00", "2026-09-07T12:00",
            ["2026-09-05T04:30", "2026-09-06T04:30", "2026-09-07T03:30"],
        ),
        (  # midnight becomes 23:00 of the day before
            daily('"23:30"', "America/Santiago"), "2026-04-04T12:00", "2026-04-06T12:00",
            ["2026-04-05T02:30", "2026-04-06T03:30"],
        ),
        (
            'schedule = "0 0 0 * * *"\ntime_zone = "Asia/Beirut"', "2026-03-27T12:00", "2026-03-29T22:00",
            ["2026-03-27T22:00", "2026-03-28T22:00", "2026-03-29T21:00"],
        ),
        (
            'schedule = "0 30 23 * * *"\ntime_zone = "Africa/Cairo"', "2026-10-29T12:00", "2026-10-31T12:00",
            ["2026-10-29T20:30", "2026-10-30T21:30"],
        ),
        (  # half an hour: 02:00 becomes 01:30
            daily('"01:45"', "Australia/Lord_Howe"), "2026-04-04T00:00", "2026-04-06T00:00",
            ["2026-04-04T14:45", "2026-04-05T15:15"],
        ),
        (  # 02:00 becomes 02:30
            daily('"02:15"', "Australia/Lord_Howe"), "2026-10-02T12:00", "2026-10-05T00:00",
            ["2026-10-02T15:45", "2026-10-03T15:45", "2026-10-04T15:15"],
        ),
        (  # 30 December 2011 was left out: what was due then is due at the same time of the 31st
            'schedule = "0 0 12 * * *"\ntime_zone = "Pacific/Apia"', "2011-12-29T12:00", "2012-01-01T00:00",
            ["2011-12-29T22:00", "2011-12-30T22:00", "2011-12-31T22:00"],
        ),
        (
            'schedule = "0 0 12 30 12 *"\ntime_zone = "Pacific/Apia"', "2011-12-30T21:59", "2012-01-31T00:00",
            ["2011-12-30T22:00"],
        ),
        (
            'schedule = "0 0 * * * *"\ntime_zone = "Asia/Kolkata"', "2026-11-23T00:00", "2026-11-23T02:00",
            ["2026-11-23T00:30", "2026-11-23T01:30"],
        ),
    ],
)  # fmt: skip
def test_the_clock_on_the_wall(lines: str, after: str, until: str, expected: list[str]) -> None:
    assert slots(lines, after, until) == expected


@pytest.mark.parametrize(
    ("lines", "after", "until", "expected"),
    [
        (
            'every = "2 weeks"\nweekdays = ["monday"]\nat = ["04:15"]\ntime_zone = "Europe/Zurich"\n'
            "start = 2026-03-16T00:00:00",
            "2026-01-01T00:00", "2026-04-14T00:00",
            ["2026-03-16T03:15", "2026-03-30T02:15", "2026-04-13T02:15"],
        ),
        (  # from 00:00 in winter to 05:30 in summer
            'every = "90 minutes"\ntime_zone = "Europe/Zurich"\nstart = 2026-03-29T00:00:00',
            "2026-01-01T00:00", "2026-03-29T03:30",
            ["2026-03-28T23:00", "2026-03-29T00:30", "2026-03-29T02:00", "2026-03-29T03:30"],
        ),
        (
            'every = "1 hour"\ntime_zone = "Europe/Zurich"\nstart = 2026-10-25T01:00:00',
            "2026-10-24T00:00", "2026-10-25T02:00",
            ["2026-10-24T23:00", "2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"],
        ),
        (  # start and end lie on slots, with offsets of their own
            'schedule = "0 0 3 * * *"\ntime_zone = "Europe/Zurich"\nstart = 2026-12-01T03:00:00+01:00\n'
            "end = 2026-12-03T02:00:00Z",
            "2026-01-01T00:00", "2027-01-01T00:00",
            ["2026-12-01T02:00", "2026-12-02T02:00", "2026-12-03T02:00"],
        ),
        (
            'every = "1 day"\nstart = 2026-12-01T05:10:00\nend = 2026-12-03T05:09:59',
            "2026-01-01T00:00", "2027-01-01T00:00",
            ["2026-12-01T05:10", "2026-12-02T05:10"],
        ),
    ],
)  # fmt: skip
def test_recurrences_from_start_to_end(lines: str, after: str, until: str, expected: list[str]) -> None:
    assert slots(lines, after, until) == expected


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        *((f'schedule = "0 0 3 {day} * *"', "is not a day of the month") for day in ("L", "LW", "15W", "?", "32")),
        *((f'schedule = "0 0 3 * * {day}"', "is not a day of the week") for day in ("5L", "fri#1", "L5", "?", "7")),
        ('schedule = "0 0 3 * * fri-mon"', "'fri-mon' is not a day of the week range within 0-6"),
        *(
            (f'every = "1 day"\ntime_zone = "{zone}"', "time_zone .* is not known")
            for zone in ("W. Europe Standard Time", "+02:00", "UTC+2", "CEST", "Europe", "../UTC", "")
        ),
        ('every = "1 day"\nat = ["24:00"]', "write the time as 04:15"),
        ('every = "1 week"\nweekdays = ["mon"]', "is not a weekday"),
    ],
)
def test_what_is_not_understood_is_refused_in_words(lines: str, answer: str) -> None:
    with pytest.raises(BadPipeline, match=answer):
        written(lines)
