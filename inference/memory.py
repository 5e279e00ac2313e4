"""The memory of decoded pictures, shared out among the threads of the process before they are decoded."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from inference import time_limits
from inference.machine import memory_limit


class Line:
    """A counting semaphore over bytes: first come, first served, so that large wishes are not passed over for ever."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        """Hold `wanted` bytes, at most all. Raises TookTooLong where they do not come free in the time that is left."""
        wanted, ticket, patience = min(wanted, self.count), object(), time_limits.left()
        with self._changed:
            self._waiting.append(ticket)
            try:
                came = self._changed.wait_for(
                    lambda: self._waiting[0] is ticket and self._free >= wanted,
                    None if patience == math.inf else patience,
                )
                if not came:
                    raise time_limits.over("waiting for memory that other pictures have")
                self._free -= wanted
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()


class Memory:
    """Half of the process's memory for large pictures; an eighth for small ones, which do not wait for them."""

    def __init__(self, limit: int) -> None:
        self.small_bytes = limit // 32
        self.small, self.large = Line(limit // 8), Line(limit // 2)

    def line_for(self, wanted: int) -> Line:
        """Where a picture of so many bytes waits."""
        return self.small if wanted <= self.small_bytes else self.large


_SHARE: ContextVar[ExitStack | None] = ContextVar("share", default=None)
MEMORY = Memory(memory_limit())


@contextmanager
def share() -> Iterator[None]:
    """What is reserved in the block is held until its end."""
    with ExitStack() as stack:
        token = _SHARE.set(stack)
        try:
            yield
        finally:
            _SHARE.reset(token)


def reserve(wanted: int) -> None:
    """Hold `wanted` bytes to the end of the `share` block; outside of one nothing is done.

    The first reservation of a block counts: whoever waited for more while holding some could wait for ever. Raises
    TookTooLong."""
    stack = _SHARE.get()
    if stack is not None:
        stack.enter_context(MEMORY.line_for(wanted).take(wanted))
        _SHARE.set(None)
