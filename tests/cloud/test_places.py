"""Places: videos leave one to pictures, whoever is to be alone is, and nobody waits for ever."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from cloud.places import _NICER, Kind, Places, behind_pictures
from inference import time_limits
from inference.errors import ServiceBusy
from tests.processes import eventually


class Visitor:
    """A thread that takes a place, and keeps it until it is told to go."""

    def __init__(self, places: Places, kind: Kind, log: list[str]) -> None:
        self._places, self._kind, self._log = places, kind, log
        self.inside, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self._thread.start()

    def _visit(self) -> None:
        with self._places.take(self._kind):
            self._log.append(self._kind)
            self.inside.set()
            self._go.wait(20)

    def leave(self) -> None:
        self._go.set()
        self._thread.join(20)


Arrive = Callable[[Kind], Visitor]


@contextmanager
def visitors(places: Places, log: list[str] | None = None) -> Iterator[Arrive]:
    """A function that sends in a visitor and returns once it is inside or in the queue; all leave in the end."""
    come: list[Visitor] = []

    def in_queue() -> int:
        with places._changed:  # without it, whoever goes right through is seen waiting for a moment
            return len(places._waiting)

    def arrive(kind: Kind) -> Visitor:
        waiting = in_queue()
        come.append(visitor := Visitor(places, kind, [] if log is None else log))
        eventually(lambda: visitor.inside.is_set() or in_queue() > waiting, "it is inside, or waits")
        return visitor

    try:
        yield arrive
    finally:
        for visitor in come:
            visitor._go.set()
        for visitor in come:
            visitor.leave()


def full(places: Places, kind: Kind) -> bool:
    try:
        with places.take(kind, 0):
            return False
    except ServiceBusy:
        return True


@pytest.mark.parametrize(
    ("count", "cores", "videos"), [(1, 8, 1), (2, 8, 1), (4, 8, 3), (8, 64, 7), (8, 4, 2), (4, 1, 1)]
)
def test_videos_leave_a_place_to_pictures(count: int, cores: int, videos: int) -> None:
    places = Places(count, cores)
    with visitors(places) as arrive:
        assert all(arrive("video").inside.is_set() for _ in range(videos))
        assert full(places, "video")
        assert all(arrive("picture").inside.is_set() for _ in range(max(1, count - videos)))
        assert full(places, "picture")


@pytest.mark.parametrize("count", [1, 4])
def test_pictures_have_all_places_while_no_video_runs(count: int) -> None:
    places = Places(count)
    with visitors(places) as arrive:
        assert all(arrive("picture").inside.is_set() for _ in range(count))
        assert full(places, "picture")
        assert full(places, "video") == (count > 1)


def test_who_is_to_be_alone_waits_for_all_and_keeps_out_who_comes_later() -> None:
    places = Places(4)
    log: list[str] = []
    with visitors(places, log) as arrive:
        first = arrive("picture")
        alone = arrive("alone")
        later, video = arrive("picture"), arrive("video")
        assert [v.inside.is_set() for v in (first, alone, later, video)] == [True, False, False, False]
        first.leave()
        eventually(alone.inside.is_set, "it is alone")
        assert not (later.inside.is_set() or video.inside.is_set())
        assert full(places, "picture")
        alone.leave()
        eventually(lambda: later.inside.is_set() and video.inside.is_set(), "the others follow")
    assert log[:2] == ["picture", "alone"]


def test_pictures_go_on_while_who_is_to_be_alone_waits_for_a_video() -> None:
    places = Places(4, 4)
    with visitors(places) as arrive:
        video, alone = arrive("video"), arrive("alone")
        assert arrive("picture").inside.is_set()  # the video may run for minutes
        assert full(places, "video")
        video.leave()
        assert full(places, "picture")
        assert not alone.inside.is_set()


def test_who_waits_is_served_in_turn() -> None:
    places = Places(1)
    log: list[str] = []
    with visitors(places, log) as arrive:
        first = arrive("picture")
        second, third = arrive("picture"), arrive("picture")
        first.leave()
        eventually(second.inside.is_set, "the second")
        assert not third.inside.is_set()


def test_a_thread_has_one_place_what_turns_out_to_be_a_video_leaves_its_own_to_pictures() -> None:
    places = Places(1)
    with places.take("picture"):
        assert full_elsewhere(places, "picture")
        with places.take("video", 0):
            assert not full_elsewhere(places, "picture")
            with places.take("alone", 0):  # not even by mistake does it wait for itself
                assert full_elsewhere(places, "picture")
            assert not full_elsewhere(places, "video")
    assert not any(places._held.values())


def full_elsewhere(places: Places, kind: Kind) -> bool:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(full(places, kind)))
    thread.start()
    thread.join(20)
    return found[0]


def test_who_gets_no_place_in_time_is_told_what_is_in_the_way_and_leaves_nothing_behind() -> None:
    places = Places(2)
    with visitors(places) as arrive:
        video = arrive("video")
        with (
            pytest.raises(ServiceBusy, match=r"the place for a video was not free for 0.01 s .*: 1 video; MAX_CON"),
            places.take("video", 0.01),
        ):
            pass
        with time_limits.within(0.01, "a request"), pytest.raises(ServiceBusy), places.take("alone"):
            pass
        assert not places._waiting
        assert not full(places, "picture")
        video.leave()
        assert not full(places, "alone")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_what_is_done_behind_pictures_leaves_them_the_cores_and_so_do_its_threads() -> None:
    before, begun = os.getpriority(os.PRIO_PROCESS, 0), list[str]()

    def mine() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> tuple[int, int, float]:
        with ThreadPoolExecutor(1) as pool:
            return mine(), pool.submit(mine).result(), time_limits.left()

    with time_limits.within(100, "a test"):
        own, inner, left = behind_pictures(work, lambda: begun.append(threading.current_thread().name))
    assert (own, inner) == (min(before + _NICER, 19), min(before + _NICER, 19))
    assert left <= 100
    assert len(begun) == 1 and begun[0].startswith("dropsight-video")
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
    with pytest.raises(ZeroDivisionError):
        behind_pictures(lambda: 1 // 0)
