"""Threads that go on with what another thread works on, so that their log lines reach whoever reads that thread's."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

BeginThread = Callable[[], None]


def _nothing() -> None:
    """As a library, and on the command line, lines belong to nobody in particular."""


_begin: ContextVar[BeginThread] = ContextVar("begin_thread", default=_nothing)


def set_begin_thread(begin: BeginThread) -> None:
    """Let `begin` be what the threads that this thread starts from now on call first."""
    _begin.set(begin)


def begin_thread() -> BeginThread:
    """What a thread that is started here calls first, in itself: its lines are those of this thread's work then.

    Ask for it in the thread that starts the other one.
    """
    return _begin.get()
