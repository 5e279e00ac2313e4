"""The cores of the process, shared out among the runs of all threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from inference import time_limits
from inference.machine import cpu_quota


class Cores:
    """A counting semaphore over cores whose holders take several at once, served first come, first served."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, wanted: int) -> Iterator[None]:
        """Hold `wanted` cores, at most all, for the time of a `with` block. Raises TookTooLong where none comes free in
        the time that is left (see time_limits)."""
        wanted = min(wanted, self.count)
        ticket, patience = object(), time_limits.left()
        with self._changed:
            self._waiting.append(ticket)
            try:
                came = self._changed.wait_for(
                    lambda: self._waiting[0] is ticket and self._free >= wanted, None if patience == inf else patience
                )
                if not came:
                    raise time_limits.over("waiting for a free core")
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


# The Functions host may start a thousand threads: this, not their number, bounds the CPU work of the process.
CORES = Cores(cpu_quota())
