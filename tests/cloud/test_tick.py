"""The tick: what is due runs at most a tick late, once, and nothing that fails or hangs stops the others."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import azure.functions as func
import pytest

from cloud import cadence, tick
from cloud.azureml.slot import MOST_ATTEMPTS
from cloud.azureml.workspace import NotAccepted, Run
from cloud.invocations import begins_thread
from inference.errors import ServiceBusy
from tests.cloud.azureml.server import Fault
from tests.cloud.tick_world import FILE, HOUSE, NOON, World, finish, key, submitting

pytestmark = pytest.mark.slow


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


def test_a_broken_file_of_state_is_named_and_stops_only_its_own_entry(world: World) -> None:
    world.storage.write("state", "pipelines/first/plan.json", b'{"through": "2026')
    assert "state/pipelines/first/plan.json cannot be read" in world.tick()
    assert world.ran() == [key("second", NOON)]
    lines = tick.health(world.found, lambda: world.now)
    assert ["state/pipelines/first/plan.json" in line for line in lines] == [True]


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


def test_every_thread_of_a_tick_logs_for_its_invocation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(invocation_id="a1", thread_local_storage=threading.local())
    names: list[str] = []

    def wake(*_: object, **__: object) -> None:
        names.append(f"{threading.current_thread().name} {context.thread_local_storage.invocation_id}")

    monkeypatch.setattr("cloud.azureml.slot_runner.Runner.wake", wake)
    monkeypatch.setattr(tick, "pipelines", lambda: world.found)
    tick.on_timer(begins_thread(cast(func.Context, context)))
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
