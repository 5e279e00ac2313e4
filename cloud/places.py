"""The places for uploads in work: how many a process has, and which of them videos leave to pictures.

Standard library only, but for our errors.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Literal, TypeVar

from inference import time_limits
from inference.errors import ServiceBusy
from inference.machine import cpu_quota

Answer = TypeVar("Answer")
Kind = Literal["picture", "video", "alone"]
# By as much as the usual `nice`: a tenth of what a thread of a picture gets, where both want the same core.
_NICER = 10
# So long a thread may keep the interpreter while others wait for it; each step of a picture waits that long for the
# threads of a video. With Python's own 5 ms a picture took twice as long beside one.
SWITCH_S = 0.0005


class NoPlace(ServiceBusy):
    """No place got free in time."""


class Places:
    """`count` places, of which videos take one for every two cores, which a video keeps busy, and never the last:
    pictures flow while videos run for minutes.

    A single place (`count` 1) is a picture's; one video runs beside it. "alone" waits until nobody has a place; videos
    that come after it wait for it, and so do pictures once the last video has ended: else they would stand still for
    minutes. Who waits is served in turn, pictures and videos each among themselves.
    """

    def __init__(self, count: int, cores: int | None = None) -> None:
        self.count = count
        self.videos = max(1, min(count - 1, (cores or cpu_quota()) // 2))
        self._most = max(2, count)  # of all kinds
        self._held: dict[Kind, int] = {"picture": 0, "video": 0, "alone": 0}
        self._waiting: list[tuple[Kind, object]] = []
        self._changed = threading.Condition()
        self._own = threading.local()  # what the thread has: a list, empty once it was given back

    @contextmanager
    def take(self, kind: Kind, patience_s: float | None = None) -> Iterator[None]:
        """A place for the time of a `with` block. Raises NoPlace where none gets free in time: `patience_s`
        seconds, None: as long as the thread has at all (see time_limits).

        A thread has one place at most: the one that it has is given back first, for good. So nobody waits for a place
        while holding another, and what turns out to be a video takes a video's place inside of a picture's.
        """
        before: list[Kind] = getattr(self._own, "kinds", [])
        self._give_back(before)
        self._wait(kind, time_limits.left() if patience_s is None else patience_s)
        self._own.kinds = mine = [kind]
        try:
            yield
        finally:
            self._own.kinds = before
            self._give_back(mine)

    def _wait(self, kind: Kind, patience_s: float) -> None:
        ticket, end = (kind, object()), time.monotonic() + patience_s
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not self._may_enter(ticket):
                    left = end - time.monotonic()
                    if left <= 0:
                        raise NoPlace(self._all_taken(kind, patience_s))
                    self._changed.wait(None if left == math.inf else min(left, threading.TIMEOUT_MAX))
                self._held[kind] += 1
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _may_enter(self, ticket: tuple[Kind, object]) -> bool:
        kind, held = ticket[0], self._held
        before = [other for other, _ in self._waiting[: self._waiting.index(ticket)]]
        if kind == "alone":
            return not before and not any(held.values())
        if held["alone"] or kind in before or sum(held.values()) >= self._most:
            return False
        if kind == "video":
            return "alone" not in before and held["video"] < self.videos
        return held["picture"] < self.count and ("alone" not in before or held["video"] > 0)

    def _all_taken(self, kind: Kind, patience_s: float) -> str:
        held = ", ".join(f"{count} {name}" for name, count in self._held.items() if count) or "none"
        what = "the worker" if kind == "alone" else f"the place for a {kind}"
        waited = f"{max(0.0, patience_s):.3g} s"  # nothing, where other work has taken all the time
        return f"{what} was not free for {waited} (places that are taken: {held}; MAX_CONCURRENT); try later"

    def _give_back(self, kinds: list[Kind]) -> None:
        with self._changed:
            while kinds:
                self._held[kinds.pop()] -= 1
            self._changed.notify_all()


def behind_pictures(call: Callable[[], Answer], begin_thread: Callable[[], None] = lambda: None) -> Answer:
    """What `call` returns or raises; done in a thread that leaves the cores to others where they want them, and so do
    all threads that it starts (Linux; elsewhere as any other). begin_thread: called in it first, see BlobEvent."""

    def begin() -> None:
        begin_thread()
        if sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _NICER)

    with ThreadPoolExecutor(1, "dropsight-video", begin) as thread:  # no thread gets its priority back
        return thread.submit(copy_context().run, call).result()
