"""The cores of the process, shared out among the runs of all threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from inference.machine import cpu_quota
from inference.shared import Held, Shared

_YIELDS: ContextVar[bool] = ContextVar("yields", default=False)


@contextmanager
def yielding() -> Iterator[None]:
    """Runs in the block let those of others go first: the frames of a video let pictures, for which somebody waits."""
    token = _YIELDS.set(True)
    try:
        yield
    finally:
        _YIELDS.reset(token)


class Cores:
    """So many cores, of which a run takes one or several."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.shared = Shared(count, "a free core")

    def take(self, wanted: int) -> AbstractContextManager[Held]:
        """Hold `wanted` cores, as `Shared.take`; runs that are `yielding` give way."""
        return self.shared.take(wanted, _YIELDS.get())


# The Functions host may start a thousand threads: this, not their number, bounds the CPU work of the process.
CORES = Cores(cpu_quota())
