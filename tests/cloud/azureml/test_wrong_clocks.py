"""A clock that was ahead for a while: what it decided, skipped, sent or put off does not outlast it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloud import tick
from cloud.azureml.slot import Slot
from cloud.azureml.workspace import NotAccepted, Run
from cloud.pipelines_file import Pipelines
from tests.cloud.azureml.server import Fault
from tests.cloud.tick_world import NOON, World, key, submitting

pytestmark = pytest.mark.slow
HOURLY = """
[[pipeline]]
name = "hourly"
kind = "published"
id = "pipe-1"
schedule = "0 0 * * * *"
"""
HOUR, MINUTE, YEAR = timedelta(hours=1), timedelta(minutes=1), timedelta(days=365)


def begin(world: World, more: str = "") -> Pipelines:
    world.found = world.read(HOURLY + more)
    world.tick(-MINUTE)
    return world.found


def end(world: World, status: str = "Finished") -> None:
    for run in world.service.runs.values():
        if run["Status"]["StatusCode"] == "NotStarted":
            run["Status"]["StatusCode"] = status


@pytest.mark.parametrize("catch_up", ["latest", "none"])
@pytest.mark.parametrize("killed", [False, True])
def test_what_a_clock_ahead_called_missed_runs_when_it_is_due(
    killed: bool, catch_up: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(world, f'catch_up = "{catch_up}"\n')
    with monkeypatch.context() as patch:
        if killed:  # after the plan was written, before the receipts were
            patch.setattr("cloud.azureml.slot_runner.Runner._follow", lambda *_, **__: None)
        world.tick(4 * HOUR)
    for hours in range(6):
        world.tick(hours * HOUR)
        end(world)
        world.tick(hours * HOUR + MINUTE)
    assert world.ran() == [key("hourly", NOON + hours * HOUR) for hours in range(6)]


def test_what_a_clock_ahead_has_not_sent_yet_waits_for_its_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(world, 'catch_up = "all"\n')
    with monkeypatch.context() as patch:
        patch.setattr("cloud.azureml.slot_runner.Runner._follow", lambda *_, **__: None)
        world.tick(4 * HOUR)
    for hours in range(6):
        world.tick(hours * HOUR)
        assert world.ran() == [key("hourly", NOON + each * HOUR) for each in range(hours + 1)]


def test_a_slot_that_a_clock_ahead_put_off_is_sent_once_the_clock_is_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(world)
    world.receipts.create(Slot.new("hourly", "published", NOON))

    def refuse(_: object) -> Run:
        world.now += YEAR  # the clock jumps while the tick works
        raise NotAccepted("throttled")

    with monkeypatch.context() as busy:
        submitting(world, busy, refuse)
        world.tick()
    world.tick(5 * MINUTE)
    assert world.ran() == [key("hourly", NOON)]


def test_results_are_counted_from_now_on_where_a_run_was_sent_by_a_clock_ahead(world: World) -> None:
    begin(world, 'condition = "new_results >= 1"\n')
    world.receipts.change_plan("hourly", lambda plan: type(plan)(plan.progress, sent_at=NOON + YEAR))
    world.tick()
    sent = world.receipts.plan("hourly").sent_at
    assert sent is not None and sent <= NOON


def test_a_failure_of_a_clock_ahead_is_answered_by_the_next_run_that_is_done(world: World) -> None:
    begin(world)
    world.tick(3 * HOUR)
    end(world, "Failed")
    assert "failed" in world.tick(3 * HOUR + MINUTE)
    world.tick(-MINUTE / 2)
    assert any("failed" in line for line in tick.health(world.found, lambda: world.now))
    world.tick()
    end(world)
    world.tick(MINUTE)
    assert tick.health(world.found, lambda: world.now) == []


def test_a_run_sent_by_a_clock_ahead_whose_tag_was_lost_is_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found = world.read(HOURLY.replace("0 0 * * * *", "0 0 12 1 1 *"))
    world.tick(-MINUTE)
    world.service.drop_tags = True
    world.service.faults.append(Fault("POST", "Submit", 503, after=True))
    world.service.clock = lambda: world.storage.date()  # the service's own clock is right
    world.tick(2 * HOUR + 1000 * YEAR / 365)
    monkeypatch.setattr("cloud.azureml.slot_steps.APPEARS", timedelta(0))
    world.service.faults.clear()
    world.tick(1000 * YEAR / 365 + 2 * HOUR + MINUTE)
    assert len(world.service.runs) == 1


def test_a_deployment_that_lived_by_a_clock_ahead_is_gone_once_it_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_SITE_NAME", "a")
    world.found = world.read(HOURLY)
    world.tick(YEAR)
    world.tick(-MINUTE)
    document = world.storage.read_json("state", "deployments/a.json")
    assert document is not None and document[0]["at"] == (NOON - MINUTE).isoformat()
