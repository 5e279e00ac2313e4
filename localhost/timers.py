"""Timer triggers: schedules in UTC, persisted status, past due and catch-up."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import AzureError
from azure.functions.meta import Datum
from croniter import CroniterError, croniter

from localhost import storage
from localhost.errors import BindingError
from localhost.functions import Function
from localhost.settings import parse_timespan
from localhost.worker import Event, Worker

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


class Schedule:
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
class Status:
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
    def from_json(cls, text: bytes) -> Status:
        content: dict[str, Any] = json.loads(text)
        following = _moment(content["Next"]) or datetime.now(UTC)
        return cls(_moment(content["Last"]), following, _moment(content["LastUpdated"]))


def _moment(text: str) -> datetime | None:
    return None if text.startswith("0001-") else datetime.fromisoformat(text).astimezone(UTC)


def start_status(stored: Status | None, schedule: Schedule, now: datetime) -> tuple[Status, bool]:
    """What a timer starts with, and whether a run is past due.

    A schedule that was changed since the status was written is never past due: the next run is computed anew.
    """
    if stored is None:
        return Status(None, schedule.next(now), now), False
    reference = stored.last or stored.updated or now
    expected = schedule.next(reference)
    if expected != stored.next:
        return (Status(None, expected, reference) if expected > now else Status(None, schedule.next(now), now)), False
    return stored, now > stored.next


class TimerListener:
    """Fires one timer function; runs never overlap, and the app's errors do not end it."""

    def __init__(self, function: Function, worker: Worker, home: storage.Account, host_id: str) -> None:
        self._function = function
        self._schedule = Schedule(str(function.trigger["schedule"]))
        self._worker = worker
        self._home = home
        self._status_blob = f"timers/{host_id}/{function.full_name}/status"
        self._busy = asyncio.Lock()
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        first = self._schedule.next(datetime.now(UTC))
        # use_monitor is off for schedules under a minute, whatever the app says.
        short = self._schedule.next(first) - first < _SHORTEST_MONITORED
        self._monitor = function.trigger.get("useMonitor") is not False and not short
        _LOG.info("The next occurrence of '%s': %s", function.name, first.isoformat(timespec="seconds"))

    async def run(self) -> None:
        """Fires at every occurrence until cancelled."""
        stored = await self._load() if self._monitor else None
        status, past_due = start_status(stored, self._schedule, self.now())
        if self._monitor and status != stored:
            await self._save(status)
        if past_due:
            _LOG.info("Function 'Functions.%s' is past due on startup. Executing now.", self._function.name)
            status = await self._fire(status, past_due=True, at_once=True)
        elif self._function.trigger.get("runOnStartup"):
            status = await self._fire(status, past_due=False, at_once=True)
        while True:
            # In slices: the clock that sleeps are measured with stands still while a laptop is suspended.
            while (left := (status.next - self.now()).total_seconds()) > 0:
                await asyncio.sleep(min(left, _SLICE))
            status = await self._fire(status, past_due=False, at_once=False)

    async def drain(self) -> None:
        """Waits for the run in progress."""
        async with self._busy:
            pass

    async def _fire(self, status: Status, *, past_due: bool, at_once: bool) -> Status:
        # Shielded: a stop cancels the waiting for the next run, never the run itself.
        return await asyncio.shield(self._run_once(status, past_due, at_once))

    async def _run_once(self, status: Status, past_due: bool, at_once: bool) -> Status:
        async with self._busy:
            started = self.now()
            event = timer_event(status if self._monitor else None, past_due)
            await self._worker.run(self._function, event, f"Timer fired at {started.isoformat()}")
            # Fired a little early (a sleep may end short): counted from the planned moment, or it would fire twice.
            moment = status.next if not at_once and status.next > started else started
            after = Status(moment, self._schedule.next(moment), moment)
            if self._monitor:
                await self._save(after)
            return after

    async def _load(self) -> Status | None:
        content = await storage.download(self._home.blob(storage.HOSTS, self._status_blob))
        try:
            return Status.from_json(content) if content else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("The timer status %s is unreadable (%s); it is written anew.", self._status_blob, error)
            return None

    async def _save(self, status: Status) -> None:
        try:
            await storage.upload(self._home, storage.HOSTS, self._status_blob, json.dumps(status.to_json()).encode())
        except AzureError as error:
            _LOG.warning("The timer status %s cannot be written: %s", self._status_blob, storage.first_line(error))


def timer_event(status: Status | None, past_due: bool = False) -> Event:
    """What a timer function is given."""
    value = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status.to_json() if status else None,
        "IsPastDue": past_due,
    }
    datum = Datum(json.dumps(value), "json")
    return Event(datum, {"TimerTrigger": datum})
