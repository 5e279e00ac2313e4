"""A few at once, each name by one at a time, and nobody waits for long: work that a page asks for in dozens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from inference import time_limits
from inference.errors import ServiceBusy


class Turns:
    """`count` at once, of which no two have the same name. waiting: so many wait at most, for `patience_s` at most: a
    thread that waits is one that answers nobody else."""

    def __init__(self, count: int, *, waiting: int, patience_s: float) -> None:
        self._count, self._most_waiting, self._patience_s = count, waiting, patience_s
        self._names: set[str] = set()
        self._waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """A turn for the time of a `with` block. Raises ServiceBusy."""
        with self._changed:
            if not self._is_free(name) and self._waiting >= self._most_waiting:
                raise ServiceBusy(f"{self._waiting} are waiting already; ask again in a moment")
            self._waiting += 1
            try:
                patience_s = max(0.0, min(self._patience_s, time_limits.left()))
                if not self._changed.wait_for(lambda: self._is_free(name), patience_s):
                    raise ServiceBusy(f"no turn came within {patience_s:.3g} s; ask again in a moment")
                self._names.add(name)
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._names.discard(name)
                self._changed.notify_all()

    def _is_free(self, name: str) -> bool:
        return len(self._names) < self._count and name not in self._names
