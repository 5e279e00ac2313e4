"""Something of which there is only so much (cores, memory), shared out among the threads of the process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from inference import time_limits

# So often in a row whoever gives way is overtaken: a stream of pictures that never ends must not stop a video.
_OVERTAKEN = 8


class Held:
    """What somebody holds of it."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back, self._once = give_back, threading.Lock()

    def give_back(self) -> None:
        """Before the end of the block; may be called twice, and by another thread."""
        if self._once.acquire(blocking=False):
            self._give_back()


class Shared:
    """A counting semaphore whose holders take several at once: first come, first served, so that large wishes are not
    passed over for ever, but for those that give way."""

    def __init__(self, count: int, waiting_for: str) -> None:
        """waiting_for: what, in the words of an error: "a free core"."""
        self.count = count
        self._free, self._waiting_for = count, waiting_for
        self._waiting: deque[object] = deque()
        self._yielding: deque[object] = deque()
        self._overtaken = 0  # how often in a row the first that gives way was
        self._changed = threading.Condition()

    @contextmanager
    def take(self, wanted: int, gives_way: bool = False) -> Iterator[Held]:
        """Hold `wanted`, at most all, for the time of a `with` block. gives_way: to all that come without. Raises
        TookTooLong where they do not come free in the time that is left (see time_limits)."""
        wanted = min(wanted, self.count)
        ticket, patience = object(), time_limits.left()
        line = self._yielding if gives_way else self._waiting
        with self._changed:
            line.append(ticket)
            try:
                came = self._changed.wait_for(self._turn(ticket, wanted), None if patience == inf else patience)
                if not came:
                    raise time_limits.over(f"waiting for {self._waiting_for}")
                self._free -= wanted
                overtakes = line is self._waiting and bool(self._yielding)
                self._overtaken = self._overtaken + 1 if overtakes else 0
            finally:
                line.remove(ticket)
                self._changed.notify_all()
        held = Held(lambda: self._back(wanted))
        try:
            yield held
        finally:
            held.give_back()

    def _back(self, count: int) -> None:
        with self._changed:
            self._free += count
            self._changed.notify_all()

    def _turn(self, ticket: object, wanted: int) -> Callable[[], bool]:
        def turn() -> bool:
            first, second = self._waiting, self._yielding
            if second and (not first or self._overtaken >= _OVERTAKEN):
                first = second
            return first[0] is ticket and self._free >= wanted

        return turn
