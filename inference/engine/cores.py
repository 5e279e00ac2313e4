"""The cores of the process, shared out among the runs of all threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

from inference import time_limits
from inference.machine import cpu_quota

_YIELDS: ContextVar[bool] = ContextVar("yields", default=False)
# So often in a row a run that yields is overtaken: a stream of pictures that never ends must not stop a video.
_OVERTAKEN = 8


@contextmanager
def yielding() -> Iterator[None]:
    """Runs in the block let those of others go first: the frames of a video let pictures, for which somebody waits."""
    token = _YIELDS.set(True)
    try:
        yield
    finally:
        _YIELDS.reset(token)


class Cores:
    """A counting semaphore over cores whose holders take several at once: first come, first served, but for those that
    are `yielding`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: deque[object] = deque()
        self._yielding: deque[object] = deque()
        self._overtaken = 0  # how often in a row the first that yields was
        self._changed = threading.Condition()

    @contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        """Hold `wanted` cores, at most all, for the time of a `with` block. Raises TookTooLong where none comes free in
        the time that is left (see time_limits)."""
        wanted = min(wanted, self.count)
        ticket, patience = object(), time_limits.left()
        line = self._yielding if _YIELDS.get() else self._waiting
        with self._changed:
            line.append(ticket)
            try:
                came = self._changed.wait_for(self._turn(ticket, wanted), None if patience == inf else patience)
                if not came:
                    raise time_limits.over("waiting for a free core")
                self._free -= wanted
                overtakes = line is self._waiting and bool(self._yielding)
                self._overtaken = self._overtaken + 1 if overtakes else 0
            finally:
                line.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()

    def _turn(self, ticket: object, wanted: int) -> Callable[[], bool]:
        def turn() -> bool:
            first, second = self._waiting, self._yielding
            if second and (not first or self._overtaken >= _OVERTAKEN):
                first = second
            return first[0] is ticket and self._free >= wanted

        return turn


# The Functions host may start a thousand threads: this, not their number, bounds the CPU work of the process.
CORES = Cores(cpu_quota())
