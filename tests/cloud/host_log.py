"""The log as the host shows it: lines of running invocations, and of nobody else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func

from cloud.invocations import begins_thread

Begin = Callable[[], None]


class HostLog(logging.Handler):
    """Keeps what would arrive, as (invocation, level, text), and what would not.

    newer: the invocation is found as by workers from Python 3.13 on, in a context variable; else in the thread.
    """

    def __init__(self, newer: bool = False) -> None:
        super().__init__()
        self.lines: list[tuple[str, str, str]] = []
        self.dropped: list[str] = []
        self._newer, self._running = newer, set[str]()
        self._thread, self._variable = threading.local(), ContextVar[str | None]("invocation", default=None)

    def emit(self, record: logging.LogRecord) -> None:
        here = self._variable.get() if self._newer else getattr(self._thread, "invocation_id", None)
        if here in self._running:
            self.lines.append((str(here), record.levelname, record.getMessage()))
        else:
            self.dropped.append(f"{record.threadName}: {record.getMessage()}")

    def invoke(self, invocation: str, body: Callable[[Begin], Any]) -> None:
        """Runs a body as the worker does, in a thread of its own; what it raises is the host's to say."""

        def run() -> None:
            self._variable.set(invocation)
            local = threading.local() if self._newer else self._thread  # one that the newer worker does not look at
            local.invocation_id = invocation
            context = SimpleNamespace(invocation_id=invocation, thread_local_storage=local)
            body(begins_thread(cast(func.Context, context)))

        self._running.add(invocation)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(run).exception()
        self._running.discard(invocation)

    def of(self, name: str) -> list[str]:
        """What arrived of an upload, "LEVEL text"."""
        return [f"{level} {text}" for _, level, text in self.lines if name in text]
