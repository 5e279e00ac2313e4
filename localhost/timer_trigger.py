"""Timer triggers: schedules in UTC, persisted status, past due and catch-up."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import AzureError
from azure.functions.meta import Datum
from croniter import CroniterError, croniter

from localhost.app_functions import Function
from localhost.errors import BindingError
from localhost.function_worker import FunctionWorker, TriggerEvent
from localhost.host_settings import parse_timespan
from localhost.host_storage import HOSTS, Account, first_line

_LOG = logging.getLogger("localhost")
_NEVER = "0001-01-01T00:00:00"
_SLICE = 30.0
_SHORTEST_MONITORED = timedelta(minutes=1)
_FIELD = re.compile(r"[0-9A-Za-z*,/-]+")
_WORD = re.compile(r"[A-Za-z]+")
_RANGE = re.compile(r"(\d+)-(\d+)")  # a range that runs backwards is turned round, not wrapped
_MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december"]  # fmt: skip
_DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]


class TimerSchedule:
    """When a timer fires: NCRONTAB (six fields, or five without seconds), else a TimeSpan; in UTC, as Azure on Linux.

    Raises :class:`BindingError` when it is neither.
    """

    def __init__(self, text: str) -> None:
        self._interval, self._cron = None, ""
        if len(text.split()) in (5, 6):
            self._cron = " ".join(_fields(text))
            try:
                self.next(datetime(2000, 1, 1, tzinfo=UTC))  # also refuses days that never come, such as 31 February
            except (CroniterError, ValueError) as error:
                raise BindingError(f"The schedule expression '{text}' was not recognized ({error}).") from error
            return
        self._interval = parse_timespan(text)
        if not self._interval:
            raise BindingError(
                f"The schedule expression '{text}' was not recognized as a valid cron expression or timespan string. "
                "Write '{second} {minute} {hour} {day} {month} {day of week}', for example '0 */5 * * * *'."
            )

    def next(self, now: datetime) -> datetime:
        """The first moment after ``now``."""
        if self._interval:
            return now + self._interval
        moment: datetime = croniter(self._cron, now, second_at_beginning=True, day_or=False).get_next(datetime)
        return moment


def _fields(text: str) -> list[str]:
    """The six fields in numbers; refuses croniter's extensions, which the real host does not have."""
    fields = text.split()
    fields = fields if len(fields) == 6 else ["0", *fields]
    for index, names, first in ((4, _MONTHS, 1), (5, _DAYS, 0)):
        for word in _WORD.findall(fields[index]):
            # The place of the first name that begins so: NCRONTAB reads names of any length.
            number = next((n for n, name in enumerate(names, first) if name.startswith(word.lower())), word)
            fields[index] = fields[index].replace(word, str(number), 1)
    if not all(_FIELD.fullmatch(field) for field in fields) or any(map(_WORD.search, fields)):
        raise BindingError(f"The schedule expression '{text}' was not recognized: unknown words or signs.")
    if re.search(r"\b7\b", fields[5].split("/")[0]):
        raise BindingError(f"The schedule expression '{text}' was not recognized: days of the week are 0 to 6.")
    return [_RANGE.sub(lambda ends: "-".join(sorted(ends.groups(), key=int)), field) for field in fields]


@dataclass(frozen=True)
class TimerStatus:
    """A timer's persisted status; ``last`` None = never run."""

    last: datetime | None
    next: datetime
    updated: datetime | None

    def to_json(self) -> dict[str, str]:
        return {
            "Last": self.last.isoformat() if self.last else _NEVER,
            "Next": self.next.isoformat(),
            "LastUpdated": self.updated.isoformat() if self.updated else _NEVER,
        }

    @classmethod
    def from_json(cls, text: bytes) -> TimerStatus:
        content: dict[str, Any] = json.loads(text)
        following = _moment(content["Next"]) or datetime.now(UTC)
        return cls(_moment(content["Last"]), following, _moment(content["LastUpdated"]))


def _moment(text: str) -> datetime | None:
    return None if text.startswith("0001-") else datetime.fromisoformat(text).astimezone(UTC)


def start_status(stored: TimerStatus | None, schedule: TimerSchedule, now: datetime) -> tuple[TimerStatus, bool]:
    """What a timer starts with, and whether a run is past due.

    A schedule that was changed since the status was written is never past due: the next run is computed anew.
    """
    if stored is None:
        return TimerStatus(None, schedule.next(now), now), False
    reference = stored.last or stored.updated or now
    expected = schedule.next(reference)
    if expected != stored.next:
        return (
            TimerStatus(None, expected, reference) if expected > now else TimerStatus(None, schedule.next(now), now)
        ), False
    return stored, now > stored.next


class TimerListener:
    """Fires one timer function; runs never overlap, and the app's errors do not end it."""

    def __init__(self, function: Function, worker: FunctionWorker, home: Account, host_id: str) -> None:
        self._function = function
        self._schedule = TimerSchedule(str(function.trigger["schedule"]))
        self._worker = worker
        self._home = home
        self._status_blob = f"timers/{host_id}/{function.full_name}/status"
        self._busy = asyncio.Lock()
        first = self._schedule.next(datetime.now(UTC))
        # use_monitor is off for schedules under a minute, whatever the app says.
        short = self._schedule.next(first) - first < _SHORTEST_MONITORED
        self._monitor = function.trigger.get("useMonitor") is not False and not short
        _LOG.info("The next occurrence of '%s': %s", function.name, first.isoformat(timespec="seconds"))

    async def run(self) -> None:
        """Fires at every occurrence until cancelled."""
        stored = await self._load() if self._monitor else None
        status, past_due = start_status(stored, self._schedule, datetime.now(UTC))
        if self._monitor and status != stored:
            await self._save(status)
        if past_due:
            _LOG.info("Function 'Functions.%s' is past due on startup. Executing now.", self._function.name)
        at_once = past_due or bool(self._function.trigger.get("runOnStartup"))
        while True:
            # In slices: the clock that sleeps are measured with stands still while a laptop is suspended.
            while not at_once and (left := (status.next - datetime.now(UTC)).total_seconds()) > 0:
                await asyncio.sleep(min(left, _SLICE))
            # Shielded: a stop cancels the waiting for the next run, never the run itself.
            status = await asyncio.shield(self._fire(status, past_due, at_once))
            past_due = at_once = False

    async def drain(self) -> None:
        """Waits for the run in progress."""
        async with self._busy:
            pass

    async def _fire(self, status: TimerStatus, past_due: bool, at_once: bool) -> TimerStatus:
        async with self._busy:
            started = datetime.now(UTC)
            event = timer_event(status if self._monitor else None, past_due)
            await self._worker.run(self._function, event, f"Timer fired at {started.isoformat()}")
            # Fired a little early (a sleep may end short): counted from the planned moment, or it would fire twice.
            moment = status.next if not at_once and status.next > started else started
            after = TimerStatus(moment, self._schedule.next(moment), moment)
            if self._monitor:
                await self._save(after)
            return after

    async def _load(self) -> TimerStatus | None:
        content = await self._home.download(HOSTS, self._status_blob)
        try:
            return TimerStatus.from_json(content) if content else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("The timer status %s is unreadable (%s); it is written anew.", self._status_blob, error)
            return None

    async def _save(self, status: TimerStatus) -> None:
        try:
            await self._home.upload(HOSTS, self._status_blob, json.dumps(status.to_json()).encode())
        except AzureError as error:
            _LOG.warning("The timer status %s cannot be written: %s", self._status_blob, first_line(error))


def timer_event(status: TimerStatus | None, past_due: bool = False) -> TriggerEvent:
    """What a timer function is given."""
    value = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status.to_json() if status else None,
        "IsPastDue": past_due,
    }
    datum = Datum(json.dumps(value), "json")
    return TriggerEvent(datum, {"TimerTrigger": datum})
