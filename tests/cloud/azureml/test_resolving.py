"""Slots that are sent again, adopted, or settled by a person; answers that cannot be read prove nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloud.azureml import pipeline_runs
from cloud.azureml.pipeline_entry import parse
from cloud.azureml.slot import Slot
from cloud.azureml.workspace import SLOT_TAG
from inference.errors import BadPipeline
from tests.cloud.azureml.server import Fault, Service
from tests.cloud.azureml.test_contract import TARGETS
from tests.cloud.tick_world import NOON, World

pytestmark = pytest.mark.slow
MINUTE = timedelta(minutes=1)


def world_of(world: World, kind: str) -> None:
    table = {"name": "nightly", "kind": kind, "schedule": "0 0 12 * * *", **TARGETS[kind]}
    world.found = type(world.found)((parse(table),))
    world.tick(-MINUTE)


def keys(service: Service) -> list[str]:
    tags = [run["tags"] for run in service.runs.values()]
    return sorted(tag[SLOT_TAG] for tag in tags + [job["properties"]["tags"] for job in service.jobs.values()])


def end(service: Service, word: str) -> None:
    for run in service.runs.values():
        if run["Status"]["StatusCode"] == "NotStarted":
            run["Status"]["StatusCode"] = word
    for job in service.jobs.values():
        if job["properties"].get("status", "NotStarted") not in ("Failed", "Completed"):
            job["properties"]["status"] = "Completed" if word == "Finished" else word


@pytest.mark.parametrize("kind", ["published", "pipeline-endpoint", "job", "batch-endpoint"])
def test_a_run_that_failed_is_sent_again_as_another_run(kind: str, world: World) -> None:
    world_of(world, kind)
    world.tick()
    for number in (1, 2):
        end(world.service, "Failed")
        assert "failed" in world.tick(number * 10 * MINUTE)
        pipeline_runs.resolve("nightly", NOON, "resubmit")
        world.tick(number * 10 * MINUTE + MINUTE)
    end(world.service, "Finished")
    world.tick(40 * MINUTE)
    first = "nightly-20261123T120000Z"
    assert keys(world.service) == [first, f"{first}-2", f"{first}-3"]
    slot = world.slot("nightly")
    assert (slot.state, slot.number) == ("done", 3)


@pytest.mark.parametrize("kind", ["published", "job"])
def test_an_answer_that_is_lost_after_a_slot_was_sent_again_is_settled_by_its_new_key(kind: str, world: World) -> None:
    world_of(world, kind)
    world.tick()
    end(world.service, "Failed")
    world.tick(MINUTE)
    pipeline_runs.resolve("nightly", NOON, "resubmit")
    world.service.faults.append(Fault("PUT" if kind == "job" else "POST", "Submit|/jobs/", 503, times=9, after=True))
    world.tick(2 * MINUTE)
    world.service.faults.clear()
    world.receipts.age = lambda *_: timedelta(minutes=5)  # type: ignore[method-assign]
    runner = pipeline_runs.runner(clock=lambda: NOON + 8 * MINUTE)
    runner.store.age = lambda *_: timedelta(minutes=5)  # type: ignore[method-assign]
    runner.wake(world.found.entries[0])
    assert len(keys(world.service)) == 2
    assert world.slot("nightly").state == "submitted"


def test_a_slot_of_an_entry_that_is_gone_is_resolved_by_its_name(world: World) -> None:
    world_of(world, "published")
    world.receipts.create(Slot.new("nightly", "published", NOON).failed("no quota"))
    assert pipeline_runs.resolve("nightly", NOON, "skip").state == "skipped"
    with pytest.raises(BadPipeline, match="'other' has no slot"):
        pipeline_runs.resolve("other", NOON, "skip")


WHOLE = '{"pipeline": "nightly", "kind": "published", "slot": "2026-11-23T12:00:00+00:00", '


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"", b"{}", b"[]", b"null", WHOLE.replace("2026-", "").encode() + b'"state": "done"}',
        *(WHOLE.encode() + part for part in (b'"state": 5}', b'"attempts": "x"}', b'"run": 5}', b'"state": "gone"}')),
    ],
)  # fmt: skip
def test_the_history_goes_on_past_a_receipt_that_cannot_be_read(content: bytes, world: World) -> None:
    world_of(world, "published")
    world.receipts.create(Slot.new("nightly", "published", NOON - MINUTE).skipped("x"))
    world.storage.write("state", "pipelines/nightly/slots/2026/11/20261123T120000Z.json", content)
    said: list[Any] = []
    assert [slot.at for slot in world.receipts.history("nightly", 9, said.append)] == [NOON - MINUTE]
    assert "20261123T120000Z.json cannot be read" in said[0]


def test_a_receipt_of_a_later_release_is_read(world: World) -> None:
    document = Slot.new("nightly", "published", NOON).to_json() | {"colour": "red"}
    world.storage.write_json("state", "pipelines/nightly/slots/2026/11/20261123T120000Z.json", document)
    assert world.slot("nightly").state == "pending"
