"""Which invocation a log line belongs to: the host shows the lines of running invocations, and drops all others.

Older workers find the invocation in a variable of the thread, newer ones (Python 3.13 on) in a context variable of
theirs. A thread that our code starts has neither, and takes over both.

Standard library only: function_app.py imports this when the app is indexed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import azure.functions as func

log = logging.getLogger(__name__)

# Of a function that is called as such, without a host.
NO_CONTEXT: Any = SimpleNamespace(invocation_id=None, thread_local_storage=threading.local())

# What was wrong when the app was indexed: no invocation was there yet.
_at_import: SimpleQueue[str] = SimpleQueue()


def log_later(sentence: str) -> None:
    """Log an error with the first invocation."""
    _at_import.put(sentence)


def begins_thread(context: func.Context) -> Callable[[], None]:
    """Called first in an invocation: what every thread that works for it calls first, so that its lines arrive.

    Threads that are started with `inference.threads.begin_thread` get it without being handed it.
    """
    from inference.threads import set_begin_thread

    def begin_thread() -> None:
        context.thread_local_storage.invocation_id = context.invocation_id  # type: ignore[attr-defined]
        for variable, value in invocation.items():  # the worker's own among them; and ours, for threads of threads
            variable.set(value)

    set_begin_thread(begin_thread)
    invocation = copy_context()
    with suppress(Empty):
        while True:
            log.error("%s", _at_import.get_nowait())
    return begin_thread
