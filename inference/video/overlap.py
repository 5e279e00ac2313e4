"""Decode, work and encode at the same time: a thread a stage, bounded channels between them.

Whatever happens, every thread ends: an exception in any stage closes all channels and is raised to whoever
iterates; somebody who stops iterating early does the same. Order is kept.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 - a signal between stages, no error
    """The channel was closed: nobody reads, or nothing more comes."""


class Channel(Generic[T]):
    """A bounded queue that can be ended from both sides without polling."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._finished = False
        self._cancelled = False

    def put(self, item: T) -> None:
        """Waits for room. Raises Closed when cancelled."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or len(self._items) < self._capacity)
            if self._cancelled:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> T:
        """Waits for an item. Raises Closed when cancelled, or finished and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or self._finished or bool(self._items))
            if self._cancelled or not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def finish(self) -> None:
        """Nothing more comes; what is inside is still read."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Both sides wake and stop; what is inside is dropped."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()


def overlapped(
    source: Iterable[Any], *stages: Callable[[Any], Any], depth: int = 3, name: str = "video"
) -> Generator[Any]:
    """Yields `stage_n(... stage_1(item))` for each item of the source, in order, all stages at once.

    The source and each stage run in a thread of their own, at most `depth` items wait between two. The first
    exception of any of them is raised here, once every thread has ended.
    """
    channels: list[Channel[Any]] = [Channel(depth) for _ in range(len(stages) + 1)]
    works = [partial(_produce, source, channels[0])]
    works += [partial(_apply, stage, channels[i], channels[i + 1]) for i, stage in enumerate(stages)]
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            works[number]()
        except Closed:
            pass
        except BaseException as error:  # noqa: BLE001 - it crosses to the thread that iterates
            failures.append(error)
            for channel in channels:
                channel.cancel()
        finally:
            channels[number].finish()

    threads = [Thread(target=run, args=(i,), name=f"{name}-{i}", daemon=True) for i in range(len(works))]
    for thread in threads:
        thread.start()
    try:
        with contextlib.suppress(Closed):
            while True:
                yield channels[-1].get()
    finally:
        for channel in channels:
            channel.cancel()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _produce(source: Iterable[Any], outlet: Channel[Any]) -> None:
    iterator = iter(source)
    try:
        for item in iterator:
            outlet.put(item)
    finally:
        # A generator must be closed by the thread that runs it: its decoder lives there.
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def _apply(stage: Callable[[Any], Any], inlet: Channel[Any], outlet: Channel[Any]) -> None:
    while True:
        outlet.put(stage(inlet.get()))
