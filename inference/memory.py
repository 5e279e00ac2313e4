"""The memory of decoded pictures, shared out among the threads of the process before they are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from inference.machine import memory_limit
from inference.shared import Shared


class Memory:
    """Half of the process's memory for large pictures; an eighth for small ones, which do not wait for them."""

    def __init__(self, limit: int) -> None:
        self.small_bytes = limit // 32
        self.small, self.large = (Shared(limit // part, "memory that other pictures have") for part in (8, 2))

    def line_for(self, wanted: int) -> Shared:
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
