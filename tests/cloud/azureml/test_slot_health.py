"""What the health says of pipelines: failures until they are answered, runs that do not begin, slots of nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloud import tick
from cloud.azureml import pipeline_runs
from cloud.azureml.due_slots import Progress
from cloud.pipelines_file import Pipelines
from tests.cloud.azureml.server import Fault
from tests.cloud.tick_world import NOON, World, key

pytestmark = pytest.mark.slow

NIGHTLY = """
[[pipeline]]
name = "nightly"
kind = "published"
id = "pipe-1"
schedule = "0 0 12 * * *"
"""
HOURLY = NIGHTLY.replace("0 0 12 * * *", "0 0 * * * *")
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def health(world: World) -> list[str]:
    return tick.health(world.found, lambda: world.now)


def end(world: World, status: str) -> None:
    for run in world.service.runs.values():
        if run["Status"]["StatusCode"] == "NotStarted":
            run["Status"] = {"StatusCode": status, "StatusDetail": "compute cpu-cluster is gone"}


def failed_at_noon(world: World, text: str = NIGHTLY) -> None:
    world.found = world.read(text)
    world.tick(-MINUTE)
    world.tick()
    end(world, "Failed")
    assert "cpu-cluster is gone" in world.tick(MINUTE)


def test_a_failed_run_is_shown_until_a_later_one_is_done(world: World) -> None:
    failed_at_noon(world)
    world.found = world.read(f"{NIGHTLY}condition = 'new_results >= 5'\n")
    world.tick(DAY)
    assert world.slot("nightly", NOON + DAY).state == "skipped"
    world.found = world.read(NIGHTLY)
    for day, status in ((2, "Canceled"), (3, "Finished")):
        (line,) = health(world)
        assert "2026-11-23T12:00:00+00:00: run run-1 failed: compute cpu-cluster is gone" in line
        assert "resolve nightly 2026-11-23T12:00:00+00:00 --resubmit|--skip" in line
        world.tick(day * DAY)
        end(world, status)
        world.tick(day * DAY + MINUTE)
    assert health(world) == []


@pytest.mark.parametrize("how", ["skip", "resubmit"])
def test_a_failed_run_is_shown_until_a_person_has_resolved_it(how: str, world: World) -> None:
    failed_at_noon(world)
    pipeline_runs.resolve("nightly", NOON, how)
    world.tick(2 * MINUTE)
    end(world, "Finished")
    world.tick(3 * MINUTE)
    assert health(world) == []


@pytest.mark.parametrize(
    ("text", "status", "after", "shown"),
    [
        (NIGHTLY, "Queued", DAY - MINUTE, False),
        (NIGHTLY, "Queued", DAY + MINUTE, True),
        (NIGHTLY, "AWordOfTomorrow", DAY + MINUTE, True),
        (NIGHTLY, "Running", 3 * DAY, False),
        (HOURLY, "Preparing", HOUR - MINUTE, False),
        (HOURLY, "Preparing", HOUR + MINUTE, True),
        (HOURLY.replace("0 0 *", "0 * *"), "Preparing", 30 * MINUTE, False),
    ],
)
def test_a_run_that_does_not_begin_for_longer_than_its_interval_is_shown(
    text: str, status: str, after: timedelta, shown: bool, world: World
) -> None:
    world.found = world.read(text)
    world.tick(-MINUTE)
    world.tick()
    for run in world.service.runs.values():
        run["Status"]["StatusCode"] = status
    world.tick(MINUTE / 2)
    world.now = NOON + after
    assert [f"run run-1 is '{status}' for" in line for line in health(world)] == [True] * shown


def test_the_unknown_slot_of_an_entry_that_was_taken_out_is_shown_and_can_be_resolved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found = world.read(NIGHTLY)
    world.tick(-MINUTE)
    world.service.drop_tags = True
    world.service.faults.append(Fault("POST", "Submit", 503, after=True))
    world.tick()
    world.found = Pipelines()
    world.tick(5 * MINUTE)
    (line,) = health(world)
    assert "pipeline nightly, which is not in pipelines.toml any more, slot 2026-11-23T12:00:00+00:00: unknown" in line
    # Of another deployment that lives, it is that one's news.
    monkeypatch.setenv("WEBSITE_SITE_NAME", "other")
    world.found = world.read(NIGHTLY)
    world.tick(6 * MINUTE)
    assert len(health(world)) == 1
    monkeypatch.delenv("WEBSITE_SITE_NAME")
    world.found = Pipelines()
    assert health(world) == []
    world.now += 3 * DAY
    assert health(world) == [line]
    pipeline_runs.resolve("nightly", NOON, "run", "run-1")
    assert health(world) == []
    world.tick(3 * DAY)
    end(world, "Finished")
    world.tick(3 * DAY + MINUTE)
    assert world.slot("nightly", NOON).state == "done"


def test_slots_count_from_now_on_once_a_clock_that_was_ahead_is_right(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.found = world.read(NIGHTLY)
    for at in (365 * DAY - MINUTE, 365 * DAY):
        world.tick(at)
    ahead = [key("nightly", NOON + 365 * DAY)]
    assert world.ran() == ahead
    end(world, "Finished")
    world.tick(365 * DAY + MINUTE)
    world.now = NOON - HOUR
    assert ["by a clock that was wrong" in line for line in health(world)] == [True]
    world.tick(-HOUR)
    assert "they count from 2026-11-23T11:00:00+00:00 on" in caplog.text
    assert health(world) == []
    for day in range(3):
        world.tick(day * DAY)
        end(world, "Finished")
        world.tick(day * DAY + MINUTE)
    assert world.ran() == [*(key("nightly", NOON + day * DAY) for day in range(3)), *ahead]
    assert world.receipts.plan("nightly").last["slot"] == (NOON + 2 * DAY).isoformat()


def test_a_clock_that_is_a_little_behind_decides_nothing_anew(world: World) -> None:
    world.found = world.read(HOURLY)
    world.tick(-MINUTE)
    world.tick(4 * MINUTE)
    before = world.receipts.plan("nightly").of("local")
    world.tick(-MINUTE / 2)
    assert world.receipts.plan("nightly").of("local") == before
    assert before == Progress(NOON + 4 * MINUTE + timedelta(seconds=1), repr(world.found.entries[0].schedule))
