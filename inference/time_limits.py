"""How long work may take: a watchdog over work that does not end by itself, and a time for all that is done for one
picture or one request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from inference.errors import TookTooLong


@dataclass(frozen=True)
class _Deadline:
    """at: by the monotonic clock. words: what may take how long, and by which setting."""

    at: float
    words: str


_DEADLINE: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float, words: str) -> Iterator[None]:
    """What is done in the block is to end in `seconds`: `check` raises from then on, and runs of models are ended.

    words: what may take so long, and by which setting, such as "a picture may take 120 s (PICTURE_SECONDS)". Of nested
    blocks the one that ends first counts. Holds for this thread and for what is run in copies of its context.
    """
    outer, own = _DEADLINE.get(), _Deadline(time.monotonic() + seconds, words)
    token = _DEADLINE.set(own if outer is None or own.at < outer.at else outer)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def left() -> float:
    """Seconds that are left, at most as many as a thread can wait for; infinite outside `within`."""
    deadline = _DEADLINE.get()
    return math.inf if deadline is None else min(deadline.at - time.monotonic(), threading.TIMEOUT_MAX)


def check(doing: str) -> None:
    """Raises TookTooLong where no time is left. doing: what was done when it ended, "the run of model yolox" say."""
    if left() <= 0:
        raise over(doing)


def over(doing: str) -> TookTooLong:
    """The error of work that ran into the end of `within`."""
    deadline = _DEADLINE.get()
    return TookTooLong(f"{doing} was ended: {deadline.words if deadline else 'no time was left'}")


@dataclass(eq=False)
class Watched:
    """Work that is to end by itself. over: that it was ended."""

    at: float
    end: Callable[[], None]
    over: bool = False


class Watchdog:
    """Ends work that takes too long: a single thread, which sleeps until the earliest time among what is going on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[Watched] = set()
        self._wakes = math.inf  # when the thread looks next; -inf: there is none
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, seconds: float, end: Callable[[], None]) -> Iterator[Watched]:
        """Call `end`, once, where the block takes longer than `seconds`; it is called in another thread."""
        work = Watched(time.monotonic() + seconds, end)
        with self._changed:
            self._watched.add(work)
            if self._thread is None or not self._thread.is_alive():  # a forked process has none
                self._thread = threading.Thread(target=self._keep, name="dropsight-watchdog", daemon=True)
                self._thread.start()
            elif work.at < self._wakes:
                self._changed.notify()
        try:
            yield work
        finally:
            with self._changed:
                self._watched.discard(work)

    def _keep(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for work in [work for work in self._watched if work.at <= now]:
                    self._watched.discard(work)
                    work.over = True
                    work.end()
                self._wakes = min((work.at for work in self._watched), default=math.inf)
                self._changed.wait(None if self._wakes == math.inf else min(self._wakes - now, threading.TIMEOUT_MAX))


WATCHDOG = Watchdog()
