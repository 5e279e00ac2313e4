"""Decode, work and encode at the same time: a thread a stage, bounded queues between them.

Whatever happens, every thread ends: an exception of a stage is raised to whoever iterates, and whoever stops iterating
early stops all stages. Order is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any

from inference.threads import begin_thread


def overlapped(
    source: Iterable[Any], *stages: Callable[[Any], Any], depth: int = 3, name: str = "video"
) -> Generator[Any]:
    """Yields `stage_n(... stage_1(item))` for every item of the source, in order, all stages at once.

    The source and every stage run in threads of their own, at most `depth` items are made or wait between two. An
    exception of any of them is raised here, after the items before it and once every thread has ended. An item that was
    handed on is kept by nobody here: frames are large.
    """
    items = _ahead(_applied(None, source), depth, f"{name}-0")
    for number, stage in enumerate(stages, 1):
        items = _ahead(_applied(stage, items), depth, f"{name}-{number}")
    return items


def _applied(stage: Callable[[Any], Any] | None, items: Iterable[Any]) -> Generator[Any]:
    try:
        for item in items:
            made = [item if stage is None else stage(item)]
            del item
            yield made.pop()
    finally:
        # A generator must be closed by the thread that runs it: a decoder lives there.
        if isinstance(items, Generator):
            items.close()


def _ahead(items: Generator[Any], depth: int, name: str) -> Generator[Any]:
    """Yields the items, made by a thread that is up to `depth` of them ahead, with the one it is at."""
    queue: SimpleQueue[list[Any] | BaseException | None] = SimpleQueue()  # None: the end
    room, stopped, begin = Semaphore(depth), Event(), begin_thread()

    def run() -> None:
        end: BaseException | None = None
        try:
            begin()
            with contextlib.closing(items), contextlib.suppress(StopIteration):
                while room.acquire() and not stopped.is_set():
                    queue.put([next(items)])
        except BaseException as error:  # noqa: BLE001 - it crosses to the thread that iterates
            end = error
        queue.put(end)

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    entry: list[Any] | BaseException | None = []
    try:
        while isinstance(entry := queue.get(), list):
            room.release()
            yield entry.pop()
    finally:
        stopped.set()
        room.release()
        while isinstance(entry, list):
            entry = queue.get()
        thread.join()
    if entry is not None:
        raise entry
