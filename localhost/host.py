"""The host: indexes an app, starts a listener per trigger, and stops them all again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError, ResourceNotFoundError

from localhost import host_settings
from localhost.app_functions import Function
from localhost.app_index import AppIndex
from localhost.blob_trigger import BlobFunction, BlobQueue
from localhost.container_listing import listings
from localhost.errors import BindingError, SettingsError
from localhost.function_worker import FunctionWorker
from localhost.host_settings import QueueOptions
from localhost.host_storage import Account, Accounts, Complaints, first_line, remedy
from localhost.http_server import REASON, FunctionKeys, FunctionServer
from localhost.queue_trigger import QueueListener, event_by_hand, queue_listener
from localhost.timer_trigger import TimerListener, timer_event

_LOG = logging.getLogger("localhost")
_AGAIN = 2.0


@dataclass(frozen=True)
class RunOptions:
    """What the command line says; times in seconds."""

    app_dir: Path
    port: int
    scan_interval: float
    max_polling_interval: float | None
    message_lease: int
    enable_auth: bool
    watch: bool
    stop_timeout: float
    functions: list[str] | None
    plan: str | None


class Host:
    """One running host. Use :meth:`start`, then :meth:`stop`.

    ``errors`` holds what keeps single functions from running (the others do). Raises :class:`HostError` where the real
    worker would load nothing.
    """

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self._accounts = Accounts(os.environ)
        self.index = AppIndex(options.app_dir, options.plan, self._accounts)
        self.errors = self._take_in(options.functions)
        self.id = host_settings.host_id(options.app_dir, os.environ)
        self.port = options.port
        self.keys: FunctionKeys | None = None
        threads = host_settings.positive(os.environ, "PYTHON_THREADPOOL_THREAD_COUNT", 1000)
        self.worker = FunctionWorker(threads, self.index.config.function_timeout)
        self._queues: dict[asyncio.Task[None], QueueListener] = {}
        self._timers: list[TimerListener] = []
        self._others: set[asyncio.Task[Any]] = set()
        self._by_hand: set[asyncio.Task[Any]] = set()
        self._server: FunctionServer | None = None

    def _take_in(self, wanted: list[str] | None) -> list[str]:
        errors = []
        for name in self.index.entries:
            if wanted is not None and name not in wanted:
                continue
            if host_settings.is_disabled(os.environ, name):
                _LOG.info("Function %s is disabled.", name)
                continue
            try:
                self.index.add(name)
            except BindingError as error:
                errors.append(f"The '{name}' function is in error: {error}")
        return errors + [f"There is no function '{n}' to run." for n in wanted or () if n not in self.index.entries]

    async def start(self) -> None:
        """Starts every listener; on return the host serves HTTP and has seen what the watcher has to start from."""
        home, http = self._home(), self.index.http
        blobs = None
        try:
            keys = FunctionKeys(home, self.id)
            await keys.load([entry.function.name for entry in http])
            self.keys = keys if self._options.enable_auth else None
            if home and (functions := self._of("blobTrigger")):
                blobs = await self._start_blobs([BlobFunction(f, self._account(f)) for f in functions], home)
        except AzureError as error:
            reason = first_line(error)
            raise SettingsError(f"The app's storage cannot be used ({reason}). {remedy(reason, home)}") from error
        options = self._tuned(self.index.config.queues)
        for function in self._of("queueTrigger"):
            self._listen_to(queue_listener(function, self._account(function), options, self.worker))
        for function in self._of("timerTrigger"):
            assert home  # _home() refuses timers without it
            timer = TimerListener(function, self.worker, home, self.id)
            self._timers.append(timer)
            self._spawn(f"Timer {function.name}", timer.run)
        self._server = FunctionServer(http, self.worker, blobs, self.fire, self.keys)
        self.port = await self._server.start("127.0.0.1", self._options.port)
        os.environ.setdefault("WEBSITE_HOSTNAME", f"localhost:{self.port}")

    def _of(self, kind: str) -> list[Function]:
        return [function for function in self.index.functions if function.kind == kind]

    def _account(self, function: Function) -> Account:
        return self._accounts.get(function.trigger.get("connection"))

    def _home(self) -> Account | None:
        needed = [function.name for function in self.index.functions if function.kind != "httpTrigger"]
        try:
            return self._accounts.get(host_settings.STORAGE)
        except BindingError as error:
            if not needed:
                return None
            raise SettingsError(
                "Missing value for AzureWebJobsStorage in local.settings.json. This is required for all triggers "
                f"other than httpTrigger (here: {', '.join(needed)}). {error}"
            ) from error

    async def _start_blobs(self, functions: list[BlobFunction], home: Account) -> BlobQueue:
        queue = BlobQueue(functions, home, self.id, self._tuned(self.index.config.blob_queue()), self.worker)
        self._listen_to(queue.listener)
        watched = [function for function in functions if self._options.watch or not function.by_events]
        for listing in listings(watched, queue, home, self.id):
            if listing.by_events:
                await listing.begin_events()
            self._spawn(f"Container {listing.container}", partial(listing.run, self._options.scan_interval))
        return queue

    def _tuned(self, options: QueueOptions) -> QueueOptions:
        longest = self._options.max_polling_interval or options.max_polling_interval
        return replace(options, max_polling_interval=longest, message_lease=self._options.message_lease)

    def _listen_to(self, listener: QueueListener) -> None:
        self._queues[asyncio.create_task(_keep_going(f"Queue {listener.name}", listener.run))] = listener

    def _spawn(self, what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs ``work`` beside everything else until it ends or the host stops."""
        task = asyncio.create_task(_keep_going(what, work))
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def fire(self, name: str, text: str) -> None:
        """Starts a function by hand: ``text`` is a blob as container/name, a queue message, or nothing for timers.

        Raises LookupError where there is no such function, ValueError where it cannot be started so.
        """
        function = next((f for f in self.index.functions if f.name.lower() == name.lower()), None)
        if function is None:
            raise LookupError(name)
        if function.kind == "httpTrigger":
            raise ValueError(f"{function.name} is an HTTP function: call its route")
        if function.kind == "queueTrigger":
            event = event_by_hand(text)
        elif function.kind == "timerTrigger":
            event = timer_event(None)
        else:
            container, _, blob = text.partition("/")
            if not container or not blob:
                raise ValueError(f"input is {text!r}, expected a blob as container/name")
            entry = BlobFunction(function, self._account(function))
            try:
                event = entry.event(await entry.account.blob(container, blob).get_blob_properties())
            except ResourceNotFoundError:
                raise ValueError(f"there is no blob {text!r}") from None
        task = asyncio.create_task(self.worker.run(function, event, REASON))
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)

    async def give_back(self) -> None:
        """Makes the messages in work visible to others, as when an instance is taken away under them."""
        for listener in self._queues.values():
            listener.stop()
            await listener.give_back()

    async def stop(self, timeout: float | None = None) -> bool:
        """Takes no new work, waits for running functions, closes everything; False when some were still running."""
        self.worker.stopping = True
        timeout = self._options.stop_timeout if timeout is None else timeout
        clean = await self._stop_listeners(timeout)
        if not clean:
            running = ", ".join(sorted(set(self.worker.running.values())))
            _LOG.warning("Still running after %g s, given up: %s", timeout, running)
        if self._server:
            await self._server.stop()
        with contextlib.suppress(AzureError):
            await self._accounts.close()
        self.worker.stop()
        return clean and not self.worker.abandoned

    async def _stop_listeners(self, timeout: float) -> bool:
        for listener in self._queues.values():
            listener.stop()
        others = list(self._others)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        waits: list[Awaitable[None]] = [self.worker.idle()]
        waits += [listener.drain() for listener in self._queues.values()]
        waits += [timer.drain() for timer in self._timers]
        _, late = await asyncio.wait([*self._queues, *map(asyncio.ensure_future, waits)], timeout=timeout)
        for task in late:
            task.cancel()
        for listener in self._queues.values():
            await listener.abandon()
        return not late


async def _keep_going(what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Storage that cannot be reached ends a listener only for a moment."""
    complain = Complaints()
    while True:
        try:
            await work()
            return
        except AzureError as error:
            complain(f"{what}: storage cannot be used; trying again", error)
            await asyncio.sleep(_AGAIN)
        except Exception:
            _LOG.exception("%s: the listener ended by a fault of this host; restart it.", what)
            raise
