"""Stages at the same time: order, overlap, and a clean end whatever happens."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator

import pytest

from inference.video.overlap import overlapped

PATIENCE_S = 20.0


class Large:
    """Something that must not lie about."""


class Broken(Exception):
    """Raised on purpose."""


def stage_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stages-")]


def count(limit: int = 1_000_000) -> Iterator[int]:
    yield from range(limit)


def run(source: Iterator[int], *stages: object) -> list[int]:
    return list(overlapped(source, *stages, name="stages"))  # type: ignore[arg-type]


def test_order_is_kept_and_every_thread_ends() -> None:
    assert run(count(200), lambda x: x + 1, lambda x: x * 2) == [(i + 1) * 2 for i in range(200)]
    assert stage_threads() == []


def test_stages_work_at_the_same_time() -> None:
    # Each stage waits for the other to be at work on another item: in turn, this would never end.
    meeting = threading.Barrier(2)

    def meet(item: int) -> int:
        meeting.wait(PATIENCE_S)
        return item

    def meet_later(item: int) -> int:
        if item < 9:
            meeting.wait(PATIENCE_S)
        return item

    def first(item: int) -> int:
        return meet(item) if item > 0 else item

    assert run(count(10), first, meet_later) == list(range(10))


@pytest.mark.parametrize("where", ["source", "first", "second"])
@pytest.mark.parametrize("at", [0, 1, 50])
def test_an_exception_in_any_stage_is_raised_and_ends_all(where: str, at: int) -> None:
    def source() -> Iterator[int]:
        for item in count():
            if where == "source" and item == at:
                raise Broken(where)
            yield item

    def stage(name: str, item: int) -> int:
        if where == name and item == at:
            raise Broken(where)
        return item

    with pytest.raises(Broken, match=where):
        run(source(), lambda x: stage("first", x), lambda x: stage("second", x))
    assert stage_threads() == []


def test_what_would_end_a_loop_quietly_ends_no_clip() -> None:
    def stage(item: int) -> int:
        return item if item < 3 else next(iter(()))

    with pytest.raises(RuntimeError):
        run(count(10), stage)
    assert stage_threads() == []


def test_an_exception_in_the_consumer_ends_all_and_closes_the_source_in_its_thread() -> None:
    closed_in: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed_in.append(threading.current_thread().name)

    stages = overlapped(source(), lambda x: x, name="stages")
    with pytest.raises(Broken):
        for item in stages:
            if item == 20:
                stages.close()
                raise Broken
    assert stage_threads() == []
    assert closed_in == ["stages-0"]


def test_a_slow_consumer_holds_the_source_back() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for item in count(1000):
            made.append(item)
            yield item

    stages = overlapped(source(), lambda x: x, depth=2, name="stages")
    for _ in range(10):
        next(stages)
    # Ten taken, and two made or waiting behind each of the two threads.
    assert len(made) <= 10 + 2 * 2
    stages.close()


def test_what_was_handed_on_is_kept_by_nobody() -> None:
    alive: weakref.WeakSet[Large] = weakref.WeakSet()

    def source() -> Iterator[Large]:
        for _ in range(50):
            large = Large()
            alive.add(large)
            yield large
            del large

    most = 0
    for _ in overlapped(source(), lambda _: None, depth=1, name="stages"):
        most = max(most, len(alive))
    # One that is made or waits for the stage, and one in its hands.
    assert most <= 2 and not alive
