"""The tick: what is due runs at most a tick late, once, and nothing that fails or hangs stops the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func
import pytest
from azure.storage.blob import BlobServiceClient

import function_app
from cloud import cadence, pipelines_file, tick
from cloud.azureml import pipeline_runs
from cloud.azureml.azureml_client import AzureML
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.slot import MOST_ATTEMPTS, Slot
from cloud.azureml.slot_runner import PipelineFailed
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import SLOT_TAG, NotAccepted, Run
from cloud.models import deliveries
from cloud.pipelines_file import PipelineEntry, Pipelines
from cloud.settings import Settings
from cloud.storage.containers import Storage
from inference.errors import ServiceBusy
from tests.cloud.azureml.arm import WORKSPACE
from tests.cloud.azureml.server import Fault, Service

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FILE = """
[[pipeline]]
name = "first"
kind = "published"
id = "pipe-1"
schedule = "0 */10 * * * *"

[[pipeline]]
name = "second"
kind = "published"
id = "pipe-2"
schedule = "0 */10 * * * *"
"""


class World:
    """An app on real storage and the local workspace, with a clock of its own."""

    def __init__(self, storage: Storage, aml: AzureML, service: Service, folder: Path) -> None:
        self.storage, self.aml, self.service, self.folder = storage, aml, service, folder
        self.receipts = SlotStore(storage)
        self.now = NOON - timedelta(seconds=30)
        self.found = self.read(FILE)
        service.clock = lambda: self.now

    def read(self, text: str) -> Pipelines:
        path = self.folder / "pipelines.toml"
        path.write_text(text)
        found = pipelines_file.read(path)
        assert found.problems == ()
        return found

    def tick(self, at: timedelta = timedelta(0), **options: Any) -> str:
        """One tick so long after noon; what it raised, in words."""
        self.now = NOON + at
        try:
            tick.tick(self.found, clock=lambda: self.now, **options)
        except PipelineFailed as error:
            return str(error)
        return ""

    def slot(self, name: str, at: datetime = NOON) -> Slot:
        stored = self.receipts.read(name, at)
        assert stored is not None
        return stored[0]

    def ran(self) -> list[str]:
        return sorted(run["tags"][SLOT_TAG] for run in self.service.runs.values())


@pytest.fixture
def world(
    storage_account: str, aml: AzureML, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    for module in (pipeline_runs, tick, deliveries):
        monkeypatch.setattr(module, "default_storage", lambda: storage)
    monkeypatch.setattr(pipeline_runs, "azureml", lambda: aml)
    monkeypatch.setattr(tick, "current", lambda: Settings(azureml_workspace=WORKSPACE, azureml_region="westeurope"))
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.sleep", lambda *_, **__: None)
    made = World(storage, aml, service, tmp_path)
    assert made.tick(timedelta(seconds=-30)) == ""  # it has looked before
    return made


def key(name: str, at: datetime) -> str:
    return f"{name}-{at:%Y%m%dT%H%M%SZ}"


def finish(name: str) -> None:
    """Wait for the threads of ticks that are over."""
    for thread in threading.enumerate():
        if thread.name.startswith(name):
            thread.join()


def submitting(world: World, monkeypatch: pytest.MonkeyPatch, submit: Callable[[Submission], Run]) -> None:
    monkeypatch.setattr(world.aml, "submit", submit)


def test_slots_run_at_the_tick_that_follows_them_and_after_a_missed_one(world: World) -> None:
    world.tick(timedelta(seconds=40))  # a tick that is late itself
    assert world.ran() == [key("first", NOON), key("second", NOON)]
    world.tick(timedelta(minutes=1))
    assert len(world.ran()) == 2
    world.tick(timedelta(minutes=13))  # those of 12:10, 12:11 and 12:12 did not come
    assert world.ran()[1::2] == [
        key("first", NOON + timedelta(minutes=10)),
        key("second", NOON + timedelta(minutes=10)),
    ]
    for run in world.service.runs.values():
        run["Status"]["StatusCode"] = "Finished"
    world.tick(timedelta(minutes=14))
    assert {world.slot(name, NOON).state for name in ("first", "second")} == {"done"}


def test_two_ticks_at_the_same_moment_run_each_slot_once(world: World) -> None:
    threads = [threading.Thread(target=world.tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.ran() == [key("first", NOON), key("second", NOON)]


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


def test_a_broken_file_of_state_is_named_and_stops_only_its_own_entry(world: World) -> None:
    world.storage.write("state", "pipelines/first/plan.json", b'{"through": "2026')
    assert "state/pipelines/first/plan.json cannot be read" in world.tick()
    assert world.ran() == [key("second", NOON)]
    assert ["state/pipelines/first/plan.json" in line for line in tick.health(world.found)] == [True]


@pytest.mark.parametrize("sends", [True, False])
def test_a_slot_that_is_never_taken_is_counted_and_given_up(
    sends: bool, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> Run:
        raise NotAccepted("no token") if sends else ServiceBusy("storage is away")

    if sends:
        submitting(world, monkeypatch, refuse)
    else:
        monkeypatch.setattr("cloud.azureml.expressions.Facts.new_results", property(refuse))
    one = FILE[: FILE.rindex("[[pipeline]]")].replace("0 */10 * * * *", "0 0 12 * * *")
    world.found = world.read(one + 'parameters = { n = "{results_since_last_run}" }\n')
    for minute in (*range(40), 61, 91, 121, 151, 181, 199):
        assert world.tick(timedelta(minutes=minute)) == ""
    waiting = world.slot("first")
    assert (waiting.state, waiting.attempts) == ("pending", 11)  # 1, 2, 4, 8, 16 and then 30 minutes apart
    assert len([line for line in caplog.messages if "was not taken" in line]) == 11
    assert "waits:" in tick.health(world.found)[0]
    raised = [world.tick(timedelta(minutes=200 + 31 * number)) for number in range(12)]
    assert world.slot("first").attempts == MOST_ATTEMPTS
    assert world.slot("first").state == "failed"
    assert [f"given up after {MOST_ATTEMPTS} attempts" in said for said in raised].count(True) == 1


@pytest.mark.parametrize("catch_up", ["latest", "all"])
def test_an_entry_that_is_switched_off_rests_and_has_missed_nothing(
    catch_up: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found = world.read(FILE.replace('"0 */10 * * * *"\n', f'"0 */10 * * * *"\ncatch_up = "{catch_up}"\n'))
    monkeypatch.setenv("AzureWebJobs.pipeline_first.Disabled", "true")
    for minute in (0, 10, 20):
        world.tick(timedelta(minutes=minute))
    assert [name for name in world.ran() if name.startswith("first")] == []
    monkeypatch.delenv("AzureWebJobs.pipeline_first.Disabled")
    world.tick(timedelta(minutes=25))
    assert [name for name in world.ran() if name.startswith("first")] == []
    world.tick(timedelta(minutes=30))
    assert [name for name in world.ran() if name.startswith("first")] == [key("first", NOON + timedelta(minutes=30))]


def test_with_a_coarse_tick_a_slot_since_the_last_one_was_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICK_SCHEDULE", "0 */15 * * * *")
    world.found = world.read(FILE.replace('"0 */10 * * * *"\n', '"0 2 12 * * *"\ncatch_up = "none"\n'))
    world.tick()
    world.tick(timedelta(minutes=15))
    assert world.ran() == [key(name, NOON + timedelta(minutes=2)) for name in ("first", "second")]


@pytest.mark.parametrize("switched", [False, True])
def test_with_a_coarse_tick_a_new_entry_runs_its_first_slot_too(
    switched: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICK_SCHEDULE", "0 */15 * * * *")
    once = "[[pipeline]]" + FILE.split("[[pipeline]]")[1].replace("*/10 * * * *", "10 12 * * *")
    world.found = world.read(once if switched else "")
    with monkeypatch.context() as patch:
        patch.setenv("AzureWebJobs.pipeline_first.Disabled", "true")
        world.tick()
    world.found = world.read(once)  # deployed, or switched on, at 12:05
    world.tick(timedelta(minutes=15))
    assert world.ran() == [key("first", NOON + timedelta(minutes=10))]


def test_slots_of_a_task_that_end_out_of_order_leave_no_receipt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    released, begun = threading.Event(), threading.Event()
    threads: list[str] = []

    def deliver() -> None:
        threads.append("deliver")
        if len(threads) == 1:
            begun.set()
            released.wait()

    monkeypatch.setattr("cloud.models.deliveries.deliver_all", deliver)
    world.found = world.read(HOUSE.partition("[drift]")[0])
    world.tick(timedelta(minutes=-1))
    try:
        world.tick(end_s=0.0)
        assert begun.wait(30)
        world.tick(timedelta(minutes=10))
    finally:
        released.set()
        finish("tick-")
    world.tick(timedelta(minutes=20))
    assert [slot.at for slot in world.receipts.history("deliver_models")] == [NOON + timedelta(minutes=20)]


HOUSE = '[[model]]\nname = "shapes"\n[drift]\nschedule = "0 5 * * * *"\n[lake]\nschedule = "0 5 * * * *"\n'


def test_deliveries_drift_and_lake_are_slots_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("cloud.models.deliveries.deliver_all", lambda: done.append("deliver"))
    monkeypatch.setattr("cloud.drift.lake.fill", lambda *_: done.append("lake"))

    def check(*_: object) -> None:
        raise AttributeError("a picture of another kind")

    monkeypatch.setattr("cloud.drift.drift_check.check", check)
    world.found = world.read(HOUSE)
    world.tick(timedelta(minutes=-1))
    world.tick()
    world.tick(timedelta(seconds=30))
    assert done == ["deliver"]
    monkeypatch.setenv("AzureWebJobs_deliver_models_Disabled", "true")
    assert "AttributeError: a picture of another kind" in world.tick(timedelta(minutes=10))
    assert done == ["deliver", "lake"]  # it was due at 12:05: a missed tick is caught up
    assert [line for line in tick.health(world.found) if "check_drift" in line] != []
    world.tick(timedelta(hours=5, minutes=6))
    assert done == ["deliver", "lake", "lake"]
    assert [slot.state for slot in world.receipts.history("fill_lake")] == ["done"]  # only the newest is kept


def test_a_delivery_meets_a_service_that_is_away_and_is_done_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[bool] = []

    def deliver() -> None:
        done.append(True)
        if len(done) == 1:
            raise ServiceBusy("the workspace is away")

    monkeypatch.setattr("cloud.models.deliveries.deliver_all", deliver)
    world.found = world.read(HOUSE.partition("[drift]")[0])
    world.tick(timedelta(minutes=-1))
    world.tick()
    assert world.slot("deliver_models").state == "pending"
    world.tick(timedelta(minutes=1, seconds=1))
    assert (len(done), world.slot("deliver_models").state) == (2, "done")


def test_a_task_that_takes_long_is_neither_waited_for_nor_begun_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Semaphore(0), threading.Event()
    count: list[bool] = []

    def fill(*_: object) -> None:
        count.append(True)
        begun.release()
        released.wait()

    monkeypatch.setattr("cloud.drift.lake.fill", fill)
    world.found = world.read('[lake]\nschedule = "0 0 12 * * *"\n')
    world.tick(timedelta(minutes=-1))
    try:
        world.tick(end_s=0.0)
        begun.acquire()
        monkeypatch.setattr(SlotStore, "age", lambda *_: timedelta(minutes=20))
        world.tick(timedelta(minutes=20))
    finally:
        released.set()
        finish("tick-")
    assert (len(count), world.slot("fill_lake").state) == (1, "done")


def test_every_thread_of_a_tick_logs_for_its_invocation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(invocation_id="a1", thread_local_storage=threading.local())
    names: list[str] = []

    def wake(*_: object, **__: object) -> None:
        names.append(f"{threading.current_thread().name} {context.thread_local_storage.invocation_id}")

    monkeypatch.setattr("cloud.azureml.slot_runner.Runner.wake", wake)
    monkeypatch.setattr(tick, "pipelines", lambda: world.found)
    tick.on_timer(function_app.begins_thread(cast(func.Context, context)))
    assert sorted(names) == ["tick-first a1", "tick-second a1"]


def test_the_doctor_says_which_tick_fits(world: World) -> None:
    def said(text: str, file: str) -> tuple[bool, str]:
        return cadence.report(world.read(file), text, NOON)

    fits, words = said("0 0 * * * *", FILE)
    assert not fits and "first is due at 2026-11-23T12:10:00+00:00 and 2026-11-23T12:20:00+00:00" in words
    assert said("0 * * * * *", FILE) == (True, "TICK_SCHEDULE is '0 * * * * *'; '0 */10 * * * *' would do, and wake "
                                               "the app less often")  # fmt: skip
    assert said("0 */10 * * * *", FILE)[1].endswith("as the schedules need")
    nightly = FILE.replace('"0 */10 * * * *"', '"0 15 3 * * *"')
    assert "'0 */15 * * * *' would do" in said("0 * * * * *", nightly)[1]
    assert said("0 * * * * *", "") == (True, "not needed")


def test_a_fault_of_the_service_is_followed_until_it_is_known(world: World) -> None:
    world.service.faults.append(Fault("GET", "PipelineRuns", 403, times=99))
    world.tick()
    said = [world.tick(timedelta(minutes=minute)) for minute in (1, 2)]
    assert "lacks a role" in said[0] and said[1] == ""  # said once, and shown until it is over
    assert any("lacks a role" in line for line in tick.health(world.found))
