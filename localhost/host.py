"""The host: indexes an app, starts a listener per trigger, and stops them all again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from azure.core.exceptions import AzureError, ResourceNotFoundError

from localhost import app, bindings, names, settings, storage
from localhost.app import Function
from localhost.blobs import BlobFunction, BlobQueue
from localhost.errors import BindingError, SettingsError
from localhost.eventgrid import Watcher, Webhook
from localhost.invoke import Event, Invoker
from localhost.keys import Keys
from localhost.listeners import Listeners
from localhost.queues import event_from_text, queue_listener
from localhost.scan import Scanner
from localhost.schedule import parse_schedule
from localhost.timers import TimerListener, timer_event
from localhost.web import HttpFunction, Server
from localhost.worker import Worker

_LOG = logging.getLogger("localhost")


@dataclass(frozen=True)
class Options:
    """What the command line says; times in seconds."""

    app_dir: Path
    port: int = 7071
    address: str = "127.0.0.1"
    scan_interval: float = 10.0
    max_polling_interval: float | None = None
    message_lease: int = 600
    enable_auth: bool = False
    watch: bool = True
    stop_timeout: float = 8.0
    functions: tuple[str, ...] | None = None


class Host:
    """One running host. Use :meth:`start`, then :meth:`stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._config = settings.load_host_json(options.app_dir, os.environ)
        self.id = settings.host_id(options.app_dir, os.environ)
        self.ready = False
        self.port = options.port
        self.errors: list[str] = []
        self.functions: list[Function] = []
        self.disabled: list[Function] = []
        self.http: list[HttpFunction] = []
        self._accounts = storage.Accounts(os.environ)
        self._worker = Worker(settings.positive(os.environ, "PYTHON_THREADPOOL_THREAD_COUNT", 1000))
        self._io = bindings.Bindings(self._accounts, self._config.queues.base64)
        self.invoker = Invoker(self._worker, self._io, self._config.function_timeout)
        self._listeners = Listeners()
        self._work: set[asyncio.Task[Any]] = set()
        self._io.on_queue = self._listeners.wake
        self._blobs: list[BlobFunction] = []
        self._server: Server | None = None

    def key_hint(self, function: HttpFunction) -> str:
        """``?code=...`` for the console, where keys are asked for."""
        if not self._options.enable_auth or function.level == "ANONYMOUS":
            return ""
        name = function.function.name
        return f"?code={self.keys.master if function.level == 'ADMIN' else self.keys.function_key(name)}"

    def index(self) -> list[str]:
        """Indexes the app; returns the errors of functions that cannot run (the others do).

        Raises :class:`~localhost.errors.IndexingError` where the real worker would load nothing.
        """
        script = settings.setting(os.environ, "PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
        wanted = self._options.functions or self._config.functions
        for function in app.index(self._options.app_dir, script):
            if wanted is not None and function.name not in wanted:
                continue
            if settings.is_disabled(os.environ, function.name):
                _LOG.info("Function %s is disabled.", function.name)
                self.disabled.append(function)
                continue
            try:
                self._add(bindings.resolve(function, lambda name: settings.setting(os.environ, name)))
            except BindingError as error:
                self.errors.append(f"The '{function.name}' function is in error: {error}")
        known = [function.name for function in self.functions + self.disabled]
        for name in self._options.functions or ():
            if name not in known and not any(f"'{name}'" in error for error in self.errors):
                self.errors.append(f"There is no function '{name}' to run.")
        return self.errors

    def _add(self, function: Function) -> None:
        """Takes a function in, after everything that can be wrong with its bindings was looked at."""
        others = [
            str(raw["type"]) for raw in function.bindings if raw["type"] not in ("httpTrigger", "http", "timerTrigger")
        ]
        if others and not self._config.bundle:
            raise BindingError(
                f"The binding type(s) '{', '.join(others)}' are not registered. Please ensure the type is correct and "
                "the binding extension is installed: host.json has no extensionBundle."
            )
        for raw in function.bindings:
            if raw["type"] in ("blobTrigger", "queueTrigger", "blob", "queue"):
                self._accounts.get(raw.get("connection"))
                _check_names(raw)
        if function.retry and function.kind in ("blobTrigger", "queueTrigger"):
            _LOG.warning(
                "Soon retries will not be supported for function '%s': its retry policy and the queue's own attempts "
                "multiply.", function.name,
            )  # fmt: skip
        if function.kind == "httpTrigger":
            names.check_route(str(function.trigger.get("route") or function.name))
            self.http.append(HttpFunction(function, self._config.route_prefix))
        elif function.kind == "timerTrigger":
            parse_schedule(str(function.trigger["schedule"]), _zone())
        elif function.kind == "blobTrigger":
            self._blobs.append(BlobFunction(function, self._accounts))
        self.functions.append(function)

    async def start(self) -> None:
        """Starts every listener; on return the host serves HTTP and has seen what the watcher has to start from."""
        home = self._home()
        self.keys = Keys(home, self.id)
        try:
            await self.keys.load([f.function.name for f in self.http], any(f.by_events for f in self._blobs))
            await self._start_blobs(home)
        except AzureError as error:
            reason = storage.first_line(error)
            raise SettingsError(f"The app's storage cannot be used ({reason}). Is Azurite running?") from error
        for function in self.functions:
            if function.kind == "queueTrigger":
                self._start_queue(function)
            elif function.kind == "timerTrigger":
                self._start_timer(function, home)
        self._server = Server(self, self.http, self._options.enable_auth)
        self.port = await self._server.start(self._options.address, self._options.port)
        self.ready = True

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

    async def _start_blobs(self, home: storage.Account | None) -> None:
        if home is None or not self._blobs:
            self.webhook = Webhook([], None)
            return
        options = self._tuned(self._config.blob_queue())
        queue = BlobQueue(home, self.id, options, self.invoker)
        for function in self._blobs:
            queue.add(function)
        self._listeners.add_queue(queue.listener)
        by_events = [f for f in self._blobs if f.by_events]
        self.webhook = Webhook(by_events, queue)
        if by_events and self._options.watch:
            watcher = Watcher(by_events, self.webhook, home, self.id)
            await watcher.start()
            self._listeners.spawn(lambda: watcher.run(self._options.scan_interval))
        if scanned := [f for f in self._blobs if not f.by_events]:
            lock = storage.Lock(home, f"{self.id}/WebJobs.Internal.Blobs.Listener")
            self._listeners.add_lock(lock)
            scanner = Scanner(scanned, queue, home, self.id)

            def written(account: str, container: str, blob: str) -> None:
                self._listeners.spawn(lambda: scanner.written(account, container, blob))

            self._io.on_blob = written
            self._listeners.spawn(lambda: self._scan(scanner, lock))

    async def _scan(self, scanner: Scanner, lock: storage.Lock) -> None:
        """Scans as the only host that does."""
        await lock.acquire()
        await scanner.run(self._options.scan_interval)

    def _tuned(self, options: settings.QueueOptions) -> settings.QueueOptions:
        longest = self._options.max_polling_interval or options.max_polling_interval
        return replace(options, max_polling_interval=longest, message_lease=self._options.message_lease)

    def _start_queue(self, function: Function) -> None:
        account = self._accounts.get(function.trigger.get("connection"))
        listener = queue_listener(function, account, self._tuned(self._config.queues), self.invoker)
        self._listeners.add_queue(listener)

    def _start_timer(self, function: Function, home: storage.Account | None) -> None:
        schedule = parse_schedule(str(function.trigger["schedule"]), _zone())
        timer = TimerListener(function, schedule, self.invoker, home, self.id)
        self._listeners.add_timer(timer)
        coming, moment = [], datetime.now(UTC)
        for _ in range(3):
            moment = schedule.next(moment)
            coming.append(moment.astimezone(_zone()).isoformat(timespec="seconds"))
        _LOG.info("The next occurrences of '%s': %s", function.name, ", ".join(coming))

    def start_work(self, function: Function, event: Event, reason: str) -> None:
        """Runs a function in the background; a stop waits for it."""
        task = asyncio.create_task(self.invoker.run(function, event, reason))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def admin_event(self, function: Function, text: str) -> Event:
        """The event for ``POST /admin/functions/<name>``: a blob's path, a queue message's text, or nothing."""
        if function.kind == "queueTrigger":
            return event_from_text(text)
        if function.kind == "timerTrigger":
            return timer_event(function, None)
        container, _, blob = text.partition("/")
        if not container or not blob:
            raise ValueError(f"input is {text!r}, expected a blob as container/name")
        found = next(f for f in self._blobs if f.function is function)
        try:
            properties = await found.account.blobs.get_blob_client(container, blob).get_blob_properties()
        except ResourceNotFoundError:
            raise ValueError(f"there is no blob {text!r}") from None
        return found.event(container, blob, properties)

    def describe(self, function: Function) -> dict[str, Any]:
        """A function as the admin API shows it."""
        base = f"http://localhost:{self.port}"
        route = next((http.path for http in self.http if http.function is function), None)
        return {
            "name": function.name,
            "function_app_directory": function.directory,
            "href": f"{base}/admin/functions/{function.name}",
            "invoke_url_template": f"{base}/{route}" if route is not None else None,
            "language": "python",
            "config": {"name": function.name, "bindings": [dict(raw) for raw in function.bindings]},
            "isDisabled": function in self.disabled,
        }

    async def stop(self) -> bool:
        """Takes no new work, waits for running functions, closes everything; False when some were still running."""
        self.invoker.stopping = True
        self.ready = False
        clean = await self._listeners.stop(self._options.stop_timeout, self._idle())
        if not clean:
            running = ", ".join(sorted(set(self.invoker.running.values())))
            _LOG.warning("Still running after %g s, given up: %s", self._options.stop_timeout, running)
        if self._server:
            await self._server.stop()
        with contextlib.suppress(AzureError):
            await self._accounts.close()
        self._worker.stop()
        return clean and not self.invoker.abandoned

    async def _idle(self) -> None:
        while self.invoker.running:
            await asyncio.sleep(0.02)


def _check_names(raw: Mapping[str, Any]) -> None:
    """Names that hold an expression are known only when the function runs."""
    container = str(raw.get("path") or "").partition("/")[0]
    queue = str(raw.get("queueName") or "").lower()
    if container and "{" not in container:
        names.check_container(container)
    if queue and "{" not in queue:
        names.check_queue(queue)


def _zone() -> tzinfo | None:
    """The time zone of schedules: WEBSITE_TIME_ZONE, else the process's own."""
    name = settings.setting(os.environ, "WEBSITE_TIME_ZONE")
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError) as error:
        raise BindingError(f"WEBSITE_TIME_ZONE is {name!r}, expected a name such as Europe/Berlin.") from error
