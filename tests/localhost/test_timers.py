"""Timers: status, past due, catching up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localhost.timer_trigger import TimerSchedule, TimerStatus, start_status
from tests.localhost.support import StartHost, Store

pytestmark = pytest.mark.slow
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAILY = TimerSchedule("0 0 3 * * *")
TODAY, TOMORROW = NOW.replace(hour=3), NOW.replace(hour=3) + timedelta(days=1)
YESTERDAY = TODAY - timedelta(days=1)
STATUS = "azure-webjobs-hosts/timers/testhost/Host.Functions."


def test_first_start_is_not_past_due() -> None:
    assert start_status(None, DAILY, NOW) == (TimerStatus(None, TOMORROW, NOW), False)


def test_one_run_makes_up_for_all_that_were_missed() -> None:
    week_ago = TimerStatus(YESTERDAY - timedelta(days=7), YESTERDAY - timedelta(days=6), YESTERDAY - timedelta(days=7))
    assert start_status(week_ago, DAILY, NOW) == (week_ago, True)
    never_ran = TimerStatus(None, TODAY, YESTERDAY)
    assert start_status(never_ran, DAILY, NOW) == (never_ran, True)


def test_nothing_was_missed() -> None:
    served = TimerStatus(TODAY, TOMORROW, TODAY)
    assert start_status(served, DAILY, NOW) == (served, False)


def test_a_changed_schedule_is_never_past_due() -> None:
    stored = TimerStatus(YESTERDAY, YESTERDAY + timedelta(hours=1), YESTERDAY)  # written by an hourly schedule
    assert start_status(stored, DAILY, NOW) == (TimerStatus(None, TOMORROW, NOW), False)
    assert start_status(stored, DAILY, TODAY - timedelta(hours=1)) == (TimerStatus(None, TODAY, YESTERDAY), False)


def test_status_survives_json() -> None:
    for status in (TimerStatus(None, NOW, NOW), TimerStatus(YESTERDAY, NOW, YESTERDAY)):
        assert TimerStatus.from_json(json.dumps(status.to_json()).encode()) == status
    assert TimerStatus(None, NOW, NOW).to_json()["Last"] == "0001-01-01T00:00:00"


def told(store: Store, queue: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in store.peek(queue, base64=False)]


def test_timers_end_to_end(start_host: StartHost, store: Store) -> None:
    for queue in ("daily", "on-startup", "every-second"):
        store.queue(queue)
    # A time three hours away never comes due while this runs.
    schedule = f"0 0 {(datetime.now(UTC).hour + 3) % 24} * * *"
    host = start_host("timers", DAILY=schedule)
    host.wait_for(lambda: told(store, "on-startup") and len(told(store, "every-second")) >= 2, "the timers")
    assert told(store, "on-startup") == [{"past_due": False, "status": {}}]  # no monitor, no status
    assert told(store, "every-second")[0] == {"past_due": False, "status": {}}  # nor under a minute
    stored = json.loads(store.read(f"{STATUS}daily/status") or b"")
    assert stored["Last"] == "0001-01-01T00:00:00" and datetime.fromisoformat(stored["Next"]) > datetime.now(UTC)
    assert told(store, "daily") == []
    assert host.stop() == 0
    # Missed while nothing ran: one run at once, past due.
    missed = TimerSchedule(schedule)
    last = datetime.now(UTC) - timedelta(days=5)
    status = TimerStatus(last, missed.next(last), last)
    store.put(f"{STATUS}daily/status", json.dumps(status.to_json()).encode())
    third = start_host("timers", "--functions", "daily", DAILY=schedule)
    third.wait_for(lambda: told(store, "daily"), "the run that was missed")
    assert told(store, "daily") == [{"past_due": True, "status": status.to_json()}]
    third.wait_for(
        lambda: (store.read(f"{STATUS}daily/status") or b"") != json.dumps(status.to_json()).encode(), "status"
    )
    after = json.loads(store.read(f"{STATUS}daily/status") or b"")
    assert datetime.fromisoformat(after["Last"]) > last and datetime.fromisoformat(after["Next"]) > datetime.now(UTC)
