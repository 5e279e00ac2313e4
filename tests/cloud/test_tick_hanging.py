"""Submissions that hang or raise: the tick goes on, and what had to wait comes next."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloud import tick
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import Run
from tests.cloud.tick_world import FILE, NOON, World, finish, key, submitting

pytestmark = pytest.mark.slow


def test_a_submission_that_hangs_stops_neither_the_tick_nor_another_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hangs, released = world.aml.submit, threading.Event(), threading.Event()

    def submit(submission: Submission) -> Run:
        if submission.pipeline == "first" and not hangs.is_set():
            hangs.set()
            released.wait()
        return real(submission)

    submitting(world, monkeypatch, submit)
    try:
        assert world.tick(end_s=0.0) == ""  # its four minutes are over
        hangs.wait()
        finish("tick-second")
        assert world.slot("first").state == "submitting"
        world.tick(timedelta(minutes=10))
        assert world.ran() == sorted(
            [
                key("first", NOON + timedelta(minutes=10)),
                key("second", NOON),
                key("second", NOON + timedelta(minutes=10)),
            ]
        )
    finally:
        released.set()
        finish("tick-")
    assert world.slot("first").state == "submitted"


def test_entries_beyond_those_that_hang_wait_for_the_next_tick(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = FILE[: FILE.rindex("[[pipeline]]")]
    names = [f"p{number}" for number in range(tick.WIDTH + 1)]
    world.found = world.read("".join(entry.replace('"first"', f'"{name}"') for name in names))
    assert world.tick(timedelta(seconds=-30)) == ""  # it has looked before
    real, hanging, released = world.aml.submit, threading.Semaphore(0), threading.Event()

    def submit(submission: Submission) -> Run:
        hanging.release()
        released.wait()
        return real(submission)

    def seconds() -> float:
        """A minute is over for the tick once every place is taken by a call that hangs."""
        started = sum(thread.name.startswith("tick-p") for thread in threading.enumerate())
        if threading.current_thread() is not threading.main_thread() or started < tick.WIDTH:
            return 0.0
        for _ in range(tick.WIDTH):
            hanging.acquire()
        hanging.release(tick.WIDTH)
        return 61.0

    submitting(world, monkeypatch, submit)
    try:
        assert world.tick(seconds=seconds, end_s=61.0) == ""
        assert [line.split()[0] for line in caplog.messages if "waits for the next tick" in line] == names[-1:]
        submitting(world, monkeypatch, real)
        assert world.tick(timedelta(minutes=1)) == ""
        assert world.ran() == [key(names[-1], NOON)]
    finally:
        released.set()
        finish("tick-")
    assert world.ran() == [key(name, NOON) for name in names]


def test_entries_that_had_to_wait_come_first_where_others_hang_at_every_tick(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = FILE[: FILE.rindex("[[pipeline]]")]
    names = [f"p{number}" for number in range(tick.WIDTH + 1)]
    world.found = world.read("".join(entry.replace('"first"', f'"{name}"') for name in names))
    begun: list[str] = []
    counted, released = threading.Semaphore(0), threading.Event()

    def wake(entry: PipelineEntry, *_: object) -> list[str]:
        begun.append(entry.name)
        counted.release()
        released.wait()
        return []

    monkeypatch.setattr(tick, "_wake", wake)
    monkeypatch.setattr(tick, "_WAITING", set())
    try:
        for missing in (names[-1], names[-2]):
            begun.clear()
            seconds = iter([0.0] * (1 + 2 * tick.WIDTH))  # the clock is asked twice an entry; then a minute is over
            world.tick(seconds=lambda: next(seconds, 61.0), end_s=0.0)  # noqa: B023
            for _ in range(tick.WIDTH):
                counted.acquire()
            assert sorted(begun) == sorted({*names} - {missing})
    finally:
        released.set()
        finish("tick-")


def test_after_a_minute_no_further_slot_is_begun(world: World) -> None:
    seconds = iter([0.0, 0.0, 0.0])  # then a minute is over
    world.found = world.read(FILE.replace('"0 */10 * * * *"\n', '"0 */10 * * * *"\ncatch_up = "all"\n'))
    world.tick(timedelta(minutes=41), seconds=lambda: next(seconds, 61.0))
    begun = len(world.ran())
    assert begun < 5
    world.tick(timedelta(minutes=42))
    assert len(world.ran()) == 10


@pytest.mark.parametrize("error", [AttributeError("'NoneType' object has no attribute 'properties'"), OSError("pipe")])
def test_an_exception_of_pythons_own_is_the_slots_alone(
    error: Exception, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, service = world.aml.submit, world.service

    def submit(submission: Submission) -> Run:
        if submission.pipeline == "first":
            raise error
        return real(submission)

    submitting(world, monkeypatch, submit)
    assert world.tick() == ""
    assert (world.slot("first").state, str(error) in world.slot("first").error) == ("unknown", True)
    assert world.ran() == [key("second", NOON)]
    monkeypatch.setattr(world.aml, "submit", real)
    monkeypatch.setattr(SlotStore, "age", lambda *_: timedelta(minutes=4))
    world.tick(timedelta(minutes=4))  # it looks first: there is none, so it is sent
    assert key("first", NOON) in world.ran()
    assert len(service.posts()) == 2


def test_what_the_sdk_cannot_read_before_it_sends_fails_the_slot_at_once(world: World) -> None:
    job = '[[pipeline]]\nname = "first"\nkind = "job"\ncomponent = "score_pipe@latest"\nschedule = "0 */10 * * * *"\n'
    world.found = world.read(job + FILE[FILE.rindex("[[pipeline]]") :])
    world.service._components = lambda *_: {"id": "x", "value": [{"id": "x"}]}  # type: ignore[method-assign]
    assert "azure-ai-ml" in world.tick()
    assert world.slot("first").state == "failed"
    assert world.ran() == [key("second", NOON)]
    assert world.tick(timedelta(minutes=1)) == ""
