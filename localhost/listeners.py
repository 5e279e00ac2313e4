"""Everything that finds work while the host runs, and how it is ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from azure.core.exceptions import AzureError

from localhost import storage
from localhost.queues import QueueListener
from localhost.timers import TimerListener

_LOG = logging.getLogger("localhost")
_AGAIN = 2.0


class Listeners:
    """The running listeners of one host."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Task[None], QueueListener] = {}
        self._timers: list[TimerListener] = []
        self._locks: list[storage.Lock] = []
        self._others: set[asyncio.Task[None]] = set()

    def add_queue(self, listener: QueueListener) -> None:
        self._queues[asyncio.create_task(_listen(listener.run))] = listener

    def add_timer(self, timer: TimerListener) -> None:
        self._timers.append(timer)
        if timer.lock:
            self._locks.append(timer.lock)
        self.spawn(timer.run)

    def add_lock(self, lock: storage.Lock) -> None:
        """A lock to be released at the end."""
        self._locks.append(lock)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs ``work`` beside everything else until it ends or the host stops."""
        task = asyncio.create_task(_listen(work))
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    def wake(self, account: str, queue: str) -> None:
        """Something was just put into this queue."""
        for listener in self._queues.values():
            if listener.name == queue and listener.account.name == account:
                listener.wake()

    async def stop(self, timeout: float, idle: Awaitable[None]) -> bool:
        """Takes no new work and waits for what runs (``idle``: that nothing runs); False when time was up first."""
        for listener in self._queues.values():
            listener.stop()
        others = list(self._others)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        waits: list[Awaitable[None]] = [idle]
        waits += [listener.drain() for listener in self._queues.values()]
        waits += [timer.drain() for timer in self._timers]
        tasks = [*self._queues, *(asyncio.ensure_future(wait) for wait in waits)]
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for task in late:
            task.cancel()
        for listener in self._queues.values():
            await listener.abandon()
        for lock in self._locks:
            await lock.release()
        return not late


async def _listen(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Storage that cannot be reached ends a listener only for a moment."""
    complain = storage.Complaints()
    while True:
        try:
            return await work()
        except AzureError as error:
            complain("Storage cannot be reached; trying again", error)
            await asyncio.sleep(_AGAIN)
        except Exception:
            _LOG.exception("A listener ended by a fault of the host; restart it.")
            raise
