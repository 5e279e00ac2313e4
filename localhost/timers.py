"""Timer triggers: persisted status, past due, catch-up, and one host at a time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import AzureError
from azure.functions.meta import Datum

from localhost import storage
from localhost.app import Function
from localhost.invoke import Event, Invoker
from localhost.schedule import Schedule

_LOG = logging.getLogger("localhost")
_NEVER = "0001-01-01T00:00:00"
_SLICE = 30.0
_SHORTEST_MONITORED = timedelta(minutes=1)


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
        return cls(
            _moment(content["Last"]),
            _moment(content["Next"]) or datetime.now(UTC),
            _moment(content["LastUpdated"]),
        )


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

    def __init__(
        self,
        function: Function,
        schedule: Schedule,
        invoker: Invoker,
        home: storage.Account | None,
        host_id: str,
    ) -> None:
        self._function = function
        self._schedule = schedule
        self._invoker = invoker
        self._home = home
        self._status_blob = f"timers/{host_id}/{function.full_name}/status"
        self.lock = storage.Lock(home, f"{host_id}/{function.full_name}.Listener") if home else None
        self._monitor = home is not None and self._is_monitored()
        self._busy = asyncio.Lock()
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def _is_monitored(self) -> bool:
        """use_monitor, which is off for schedules under a minute whatever the app says."""
        first = self._schedule.next(datetime.now(UTC))
        short = self._schedule.next(first) - first < _SHORTEST_MONITORED
        return self._function.trigger.get("useMonitor") is not False and not short

    async def run(self) -> None:
        """Waits for the listener lock, then fires at every occurrence until cancelled."""
        if self.lock:
            await self.lock.acquire()
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
            event = timer_event(self._function, status if self._monitor else None, past_due)
            await self._invoker.run(self._function, event, f"Timer fired at {started.astimezone().isoformat()}")
            # Fired a little early (a sleep may end short): counted from the planned moment, or it would fire twice.
            moment = status.next if not at_once and status.next > started else started
            after = Status(moment, self._schedule.next(moment), moment)
            if self._monitor:
                await self._save(after)
            return after

    async def _load(self) -> Status | None:
        assert self._home
        content = await storage.download(self._home.blobs.get_blob_client(storage.HOSTS, self._status_blob))
        try:
            return Status.from_json(content) if content else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("The timer status %s is unreadable (%s); it is written anew.", self._status_blob, error)
            return None

    async def _save(self, status: Status) -> None:
        assert self._home
        try:
            await storage.upload(self._home, storage.HOSTS, self._status_blob, json.dumps(status.to_json()).encode())
        except AzureError as error:
            _LOG.warning("The timer status %s cannot be written: %s", self._status_blob, storage.first_line(error))


def timer_event(function: Function, status: Status | None, past_due: bool = False) -> Event:
    """What a timer function is given."""
    value = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status.to_json() if status else None,
        "IsPastDue": past_due,
    }
    return Event(Datum(json.dumps(value), "json"), metadata={"TimerTrigger": Datum(json.dumps(value), "json")})
