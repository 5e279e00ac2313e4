"""A person's word on a slot, in every order: twice, broken off between its two writes, while an answer is still out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloud import tick
from cloud.azureml import pipeline_runs
from cloud.azureml.slot import Slot
from cloud.azureml.slot_store import SlotStore
from cloud.azureml.workspace import NotAccepted, Run
from cloud.pipelines_file import Pipelines
from inference.errors import BadPipeline, StorageUnavailable
from tests.cloud.azureml.server import Fault
from tests.cloud.tick_world import NOON, World, submitting

pytestmark = pytest.mark.slow
NIGHTLY = """
[[pipeline]]
name = "nightly"
kind = "published"
id = "pipe-1"
schedule = "0 0 12 * * *"
"""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FIRST = "nightly-20261123T120000Z"


def health(world: World) -> list[str]:
    return tick.health(world.found, lambda: world.now)


def end(world: World, status: str) -> None:
    for run in world.service.runs.values():
        if run["Status"]["StatusCode"] == "NotStarted":
            run["Status"]["StatusCode"] = status


def failed(world: World) -> None:
    world.found = world.read(NIGHTLY)
    world.tick(-MINUTE)
    world.tick()
    end(world, "Failed")
    world.tick(MINUTE)


@pytest.mark.parametrize("how", ["skip", "resubmit", "run"])
def test_what_broke_off_between_its_writes_is_said_again(
    how: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(world)

    def away(*_: object) -> None:
        raise StorageUnavailable("storage is away")

    with monkeypatch.context() as patch:
        patch.setattr(SlotStore, "change_plan", away)
        with pytest.raises(StorageUnavailable):
            pipeline_runs.resolve("nightly", NOON, how, "by-hand")
    for _ in range(2):
        pipeline_runs.resolve("nightly", NOON, how, "by-hand")
    world.tick(2 * MINUTE)
    assert health(world) == []
    assert world.ran() == ([FIRST, f"{FIRST}-2"] if how == "resubmit" else [FIRST])
    assert world.slot("nightly").state == ("skipped" if how == "skip" else "submitted")


def test_a_slot_that_only_waits_can_be_skipped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> Run:
        raise NotAccepted("throttled")

    world.found = world.read(NIGHTLY)
    world.tick(-MINUTE)
    with monkeypatch.context() as busy:
        submitting(world, busy, refuse)
        world.tick()
    assert "throttled" in health(world)[0]
    with pytest.raises(BadPipeline, match="pending"):
        pipeline_runs.resolve("nightly", NOON, "resubmit")
    pipeline_runs.resolve("nightly", NOON, "skip")
    world.tick(5 * MINUTE)
    assert (world.ran(), health(world)) == ([], [])


def test_a_run_belongs_to_one_slot(world: World) -> None:
    failed(world)
    world.receipts.create(Slot.new("nightly", "published", NOON + DAY).unknown("lost"))
    with pytest.raises(BadPipeline, match=r"run-1 .* 2026-11-23T12:00:00\+00:00"):
        pipeline_runs.resolve("nightly", NOON + DAY, "run", "run-1")
    pipeline_runs.resolve("nightly", NOON, "run", "run-1")  # its own


def test_a_failure_whose_receipt_is_gone_can_be_answered(world: World) -> None:
    failed(world)
    world.receipts.forget("nightly", NOON.isoformat())
    assert health(world) != []
    pipeline_runs.resolve("nightly", NOON, "skip")
    world.tick(2 * MINUTE)
    assert health(world) == []


def test_an_answer_that_comes_after_it_was_said_to_send_again_is_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found = world.read(NIGHTLY)
    world.tick(-MINUTE)
    submit = world.aml.submit

    def slow(submission: object) -> Run:
        run = submit(submission)  # type: ignore[arg-type]
        slot, etag = world.receipts.read("nightly", NOON)  # type: ignore[misc]
        world.receipts.replace(slot.unknown("its worker ended"), etag)
        pipeline_runs.resolve("nightly", NOON, "resubmit")
        return run

    with monkeypatch.context() as patch:
        submitting(world, patch, slow)
        world.tick()
    world.tick(MINUTE)
    assert world.ran() == [FIRST]
    assert world.slot("nightly").state == "submitted"


def test_what_was_to_be_sent_again_is_not_sent_once_its_entry_is_gone(world: World) -> None:
    failed(world)
    pipeline_runs.resolve("nightly", NOON, "resubmit")
    world.found = Pipelines()
    before = len(world.service.posts())
    assert world.tick(2 * MINUTE) == ""
    assert world.slot("nightly").state == "skipped"
    assert len(world.service.posts()) == before


def test_a_slot_is_followed_as_what_it_was_sent_as(world: World) -> None:
    failed(world)
    world.found = world.read(
        NIGHTLY.replace('"published"', '"pipeline-endpoint"').replace('id = "pipe-1"', 'endpoint = "nightly-score"')
    )
    pipeline_runs.resolve("nightly", NOON, "resubmit")
    world.tick(2 * MINUTE)
    assert world.slot("nightly").kind == "pipeline-endpoint"


def test_what_could_not_be_asked_for_a_while_is_not_shown_for_ever(world: World) -> None:
    world.found = world.read(NIGHTLY)
    world.tick(-MINUTE)
    world.tick()
    world.service.faults.append(Fault("GET", "PipelineRuns", 403))
    world.tick(MINUTE)
    assert "403" in health(world)[0]
    world.tick(2 * MINUTE)
    assert health(world) == []


def test_an_answer_is_kept_although_the_plan_cannot_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.found = world.read(NIGHTLY)
    world.tick(-MINUTE)
    change, submit = SlotStore.change_plan, world.aml.submit

    def away(*_: object) -> None:
        raise StorageUnavailable("storage is away")

    def sent(submission: object) -> Run:
        monkeypatch.setattr(SlotStore, "change_plan", away)
        return submit(submission)  # type: ignore[arg-type]

    submitting(world, monkeypatch, sent)
    world.tick()
    monkeypatch.setattr(SlotStore, "change_plan", change)
    assert world.slot("nightly").state == "submitted"


def test_what_was_skipped_for_another_reason_stays_as_it_is(world: World) -> None:
    world.found = world.read(f"{NIGHTLY}enabled = false\n")
    world.tick(-MINUTE)
    world.tick()
    with pytest.raises(BadPipeline, match="is skipped"):
        pipeline_runs.resolve("nightly", NOON, "skip")
    world.found = world.read(NIGHTLY)
    world.tick(MINUTE)
    assert world.ran() == []
