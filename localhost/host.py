"""The host: indexes an app, starts a listener per trigger, and stops them all again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from azure.core.exceptions import AzureError, ResourceNotFoundError

from localhost import blobs, functions, routes, settings, storage
from localhost.blobs import BlobFunction, BlobQueue
from localhost.errors import BindingError, SettingsError
from localhost.eventgrid import Webhook
from localhost.functions import Function
from localhost.keys import Keys
from localhost.listing import Scanner, Watcher
from localhost.queues import QueueListener, event_from_text, queue_listener
from localhost.routes import HttpFunction
from localhost.timers import Schedule, TimerListener, timer_event
from localhost.web import REASON, Server
from localhost.worker import Worker

_LOG = logging.getLogger("localhost")
_AGAIN = 2.0
FLEX = "flex"
PLANS = (FLEX,)


@dataclass(frozen=True)
class Options:
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
    stop_in_flight: bool


class Host:
    """One running host. Use :meth:`index` and :meth:`start`, then :meth:`stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._config = settings.load_host_json(options.app_dir, os.environ)
        self.id = settings.host_id(options.app_dir, os.environ)
        self.port = options.port
        self.errors: list[str] = []
        self.functions: list[Function] = []
        self.http: list[HttpFunction] = []
        self.keys: Keys | None = None
        #: Set when a message is in work that the host shall be stopped under (``--stop-in-flight``).
        self.in_flight = asyncio.Event()
        self._accounts = storage.Accounts(os.environ)
        self.worker = Worker(
            settings.positive(os.environ, "PYTHON_THREADPOOL_THREAD_COUNT", 1000), self._config.function_timeout
        )
        self._blobs: list[BlobFunction] = []
        self._queues: dict[asyncio.Task[None], QueueListener] = {}
        self._timers: list[TimerListener] = []
        self._others: set[asyncio.Task[Any]] = set()
        self._work: set[asyncio.Task[Any]] = set()
        self._server: Server | None = None

    def index(self) -> None:
        """Indexes the app; ``errors`` then holds what keeps single functions from running (the others do).

        Raises :class:`~localhost.errors.IndexingError` where the real worker would load nothing.
        """
        wanted = self._options.functions
        entries = functions.import_app(self._options.app_dir)
        for entry in entries:
            name = entry.get_function_name()
            if wanted is not None and name not in wanted:
                continue
            if settings.is_disabled(os.environ, name):
                _LOG.info("Function %s is disabled.", name)
                continue
            try:
                function = resolve(functions.load(entry, self._options.app_dir), self._options.plan)
                self._add(function)
                self.functions.append(function)
            except BindingError as error:
                self.errors.append(f"The '{name}' function is in error: {error}")
        known = [entry.get_function_name() for entry in entries]
        self.errors += [f"There is no function '{name}' to run." for name in wanted or () if name not in known]

    def _add(self, function: Function) -> None:
        """Takes a function in, after everything that can be wrong with its trigger was looked at."""
        if function.kind in ("blobTrigger", "queueTrigger"):
            if not self._config.bundle:
                raise BindingError(
                    f"The binding type(s) '{function.kind}' are not registered. Please ensure the type is correct and "
                    "the binding extension is installed: host.json has no extensionBundle."
                )
            account = self._accounts.get(function.trigger.get("connection"))
        if function.kind == "blobTrigger":
            self._blobs.append(BlobFunction(function, account))
        elif function.kind == "httpTrigger":
            http = HttpFunction(function, self._config.route_prefix)
            routes.check_route(http, self.http)
            self.http.append(http)

    async def start(self) -> None:
        """Starts every listener; on return the host serves HTTP and has seen what the watcher has to start from."""
        home = self._home()
        webhook = Webhook([], None)
        try:
            keys = Keys(home, self.id)
            await keys.load([http.function.name for http in self.http])
            self.keys = keys if self._options.enable_auth else None
            if home and self._blobs:
                webhook = await self._start_blobs(home)
        except AzureError as error:
            reason = storage.first_line(error)
            raise SettingsError(f"The app's storage cannot be used ({reason}). Is Azurite running?") from error
        for function in self.functions:
            if function.kind == "queueTrigger":
                account = self._accounts.get(function.trigger.get("connection"))
                options = self._tuned(self._config.queues)
                self._listen_to(queue_listener(function, account, options, self.worker))
            elif function.kind == "timerTrigger" and home:
                timer = TimerListener(function, self.worker, home, self.id)
                self._timers.append(timer)
                self._spawn(timer.run)
        if self._options.stop_in_flight:
            self.worker.on_start = self._note_start
        self._server = Server(self.http, self.worker, webhook, self.fire, self.keys)
        self.port = await self._server.start("127.0.0.1", self._options.port)

    def _home(self) -> storage.Account | None:
        needed = [function.name for function in self.functions if function.kind != "httpTrigger"]
        try:
            return self._accounts.get(settings.STORAGE)
        except BindingError as error:
            if not needed:
                return None
            raise SettingsError(
                "Missing value for AzureWebJobsStorage in local.settings.json. This is required for all triggers "
                f"other than httpTrigger (here: {', '.join(needed)}). {error}"
            ) from error

    async def _start_blobs(self, home: storage.Account) -> Webhook:
        queue = BlobQueue(home, self.id, self._tuned(self._config.blob_queue()), self.worker)
        for function in self._blobs:
            queue.add(function)
        self._listen_to(queue.listener)
        interval = self._options.scan_interval
        by_events = [f for f in self._blobs if f.by_events]
        webhook = Webhook(by_events, queue)
        if by_events and self._options.watch:
            watcher = Watcher(by_events, queue, home, self.id)
            await watcher.start()
            self._spawn(lambda: watcher.run(interval))
        if scanned := [f for f in self._blobs if not f.by_events]:
            scanner = Scanner(scanned, queue, home, self.id)
            self._spawn(lambda: scanner.run(interval))
        return webhook

    def _tuned(self, options: settings.QueueOptions) -> settings.QueueOptions:
        longest = self._options.max_polling_interval or options.max_polling_interval
        return replace(options, max_polling_interval=longest, message_lease=self._options.message_lease)

    def _listen_to(self, listener: QueueListener) -> None:
        self._queues[asyncio.create_task(_keep_going(listener.run))] = listener

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Runs ``work`` beside everything else until it ends or the host stops."""
        task = asyncio.create_task(_keep_going(work))
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    def _note_start(self, function: Function) -> None:
        if function.kind in ("blobTrigger", "queueTrigger"):
            self.in_flight.set()

    async def fire(self, name: str, text: str) -> None:
        """Starts a function by hand: ``text`` is a blob as container/name, a queue message, or nothing for timers.

        Raises LookupError where there is no such function, ValueError where it cannot be started so.
        """
        function = next((f for f in self.functions if f.name.lower() == name.lower()), None)
        if function is None:
            raise LookupError(name)
        if function.kind == "httpTrigger":
            raise ValueError(f"{function.name} is an HTTP function: call its route")
        if function.kind == "queueTrigger":
            event = event_from_text(function, text)
        elif function.kind == "timerTrigger":
            event = timer_event(None)
        else:
            container, _, blob = text.partition("/")
            if not container or not blob:
                raise ValueError(f"input is {text!r}, expected a blob as container/name")
            entry = next(f for f in self._blobs if f.function is function)
            try:
                properties = await entry.account.blob(container, blob).get_blob_properties()
            except ResourceNotFoundError:
                raise ValueError(f"there is no blob {text!r}") from None
            event = entry.event(container, blob, properties)
        task = asyncio.create_task(self.worker.run(function, event, REASON))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

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


def resolve(function: Function, plan: str | None) -> Function:
    """The function with every ``%SETTING%`` of its trigger replaced, after a look at what needs no account.

    Raises :class:`BindingError` with the host's message; the host then runs the other functions.
    """
    trigger: Mapping[str, Any] = {
        key: settings.resolve(value, os.environ) if isinstance(value, str) and key not in ("name", "type") else value
        for key, value in function.trigger.items()
    }
    function = replace(function, trigger=trigger)
    if function.kind == "blobTrigger":
        blobs.BlobPattern(str(trigger["path"]))
        if plan == FLEX and not blobs.is_by_events(function):
            raise BindingError(
                "a polling blob trigger never fires on the Flex Consumption plan. Set its source to EventGrid (this "
                "app: BLOB_TRIGGER_SOURCE=EventGrid)."
            )
    elif function.kind == "queueTrigger":
        storage.check_name(str(trigger["queueName"]).lower(), "queue")
    elif function.kind == "timerTrigger":
        Schedule(str(trigger["schedule"]))
    return function


async def _keep_going(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Storage that cannot be reached ends a listener only for a moment."""
    complain = storage.Complaints()
    while True:
        try:
            await work()
            return
        except AzureError as error:
            complain("Storage cannot be reached; trying again", error)
            await asyncio.sleep(_AGAIN)
        except Exception:
            _LOG.exception("A listener ended by a fault of the host; restart it.")
            raise
