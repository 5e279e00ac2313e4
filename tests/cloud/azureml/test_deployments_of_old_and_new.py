"""What is on in a deployment, where its own document is not there yet or cannot be read, and at the very moment of a
change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cloud import instance, pipelines_file, tick
from cloud.azureml import deployments
from cloud.azureml.slot import Slot
from cloud.pipelines_file import Pipelines
from tests.cloud.tick_world import NOON, World, key

pytestmark = pytest.mark.slow
HOURLY = """
[[pipeline]]
name = "hourly"
kind = "published"
id = "pipe-1"
schedule = "0 0 * * * *"
catch_up = "all"
"""
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
Deploy = Callable[[str], None]


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Deploy:
    return lambda name: monkeypatch.setenv("WEBSITE_SITE_NAME", name)


def earlier(world: World, through: timedelta = timedelta(0)) -> None:
    """A plan as the release before wrote it, which kept no documents of deployments."""
    world.storage.delete("state", "deployments/local.json")
    document: dict[str, object] = {
        "through": (NOON + through).isoformat(), "open": [], "skipped": [], "sent_at": None, "names_kept": False,
        "last": {}, "schedule": repr(world.read(HOURLY).entries[0].schedule),
    }  # fmt: skip
    world.storage.write_json("state", "pipelines/hourly/plan.json", document)


def broken(world: World) -> None:
    world.storage.write("state", "deployments/local.json", b"{")


@pytest.mark.parametrize("how", ["upgrade", "broken"])
def test_an_entry_that_goes_while_nobody_knows_what_was_on_is_off(how: str, world: World) -> None:
    on = world.read(HOURLY)
    if how == "upgrade":
        earlier(world)
    else:
        world.found = on
        world.tick(-MINUTE)
        broken(world)
    world.found = Pipelines()
    world.tick(MINUTE / 2)
    world.found = on
    world.tick(24.5 * HOUR)
    assert world.ran() == []
    world.tick(25 * HOUR)
    assert world.ran() == [key("hourly", NOON + 25 * HOUR)]


def test_what_was_sent_is_followed_although_nobody_knows_that_its_entry_was_on(world: World) -> None:
    world.found = world.read(HOURLY)
    world.tick(-MINUTE)
    world.tick()
    broken(world)
    world.found = Pipelines()
    for run in world.service.runs.values():
        run["Status"]["StatusCode"] = "Finished"
    world.tick(MINUTE)
    assert world.slot("hourly").state == "done"


def test_a_deployment_where_the_entry_is_off_takes_no_slots_of_the_release_before(world: World, deploy: Deploy) -> None:
    earlier(world, -HOUR / 2)
    deploy("staging")
    world.found = world.read(f"{HOURLY}enabled = false\n")
    world.tick(MINUTE)  # upgraded first
    deploy("production")
    world.found = world.read(HOURLY)
    world.tick(5 * MINUTE)
    assert world.ran() == [key("hourly", NOON)]


def test_a_slot_at_the_moment_of_switching_on_elsewhere_runs(world: World, deploy: Deploy) -> None:
    deploy("a")
    world.found = world.read(f"{HOURLY}enabled = false\n")
    world.tick(-MINUTE)
    world.tick()  # nobody has it on, as far as can be seen
    assert world.slot("hourly").state == "skipped"
    deploy("b")
    world.found = world.read(HOURLY)
    world.tick(MINUTE / 2)
    assert world.ran() == [key("hourly", NOON)]


@pytest.mark.parametrize("naive", ["2026-11-23T10:00:00", "2026-11-23"])
def test_a_time_without_an_offset_stops_nothing(naive: str, world: World, deploy: Deploy) -> None:
    deploy("a")
    for name in ("a", "b"):
        document = {"on": ["hourly"], "left": [], "at": naive}
        world.storage.write_json("state", f"deployments/{name}.json", document)
    plan: dict[str, Any] = {
        "progress": {}, "open": [naive], "skipped": [], "sent_at": naive, "names_kept": False, "last": {}, "failed": {}
    }  # fmt: skip
    world.storage.write_json("state", "pipelines/bad/plan.json", plan)
    world.found = world.read(HOURLY + HOURLY.replace('"hourly"', '"bad"'))
    assert "state/pipelines/bad/plan.json cannot be read" in world.tick()
    assert world.ran() == [key("hourly", NOON)]
    assert any("pipelines/bad/plan.json" in line for line in tick.health(world.found, lambda: world.now))


@pytest.mark.parametrize("wrong", [{"sent_at": "2026-11-23"}, {"sent_at": 5}, {"run": {"id": 5}}, {"error": 5}])
def test_a_receipt_with_a_wrong_value_is_named_by_the_health(wrong: dict[str, Any], world: World) -> None:
    world.found = world.read(HOURLY)
    world.tick()
    path = "pipelines/hourly/slots/2026/11/20261123T120000Z.json"
    stored = world.storage.read_json("state", path)
    assert stored is not None
    world.storage.write_json("state", path, stored[0] | wrong)
    world.now += 5 * HOUR
    (line,) = tick.health(world.found, lambda: world.now)
    assert f"state/{path} cannot be read" in line
    assert "sent again" in line


def test_a_broken_document_of_another_deployment_is_shown(world: World) -> None:
    world.storage.write("state", "deployments/gone.json", b"{")
    (line,) = tick.health(world.found, lambda: world.now)
    assert "state/deployments/gone.json cannot be read" in line


def test_the_sweep_writes_down_what_is_on_although_uploads_are_in_trouble(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found = world.read(HOURLY)
    world.tick(-MINUTE)

    def trouble() -> None:
        raise RuntimeError("routes.toml is wrong")

    monkeypatch.setattr(instance, "default_worker", trouble)
    monkeypatch.setattr(instance, "default_storage", lambda: world.storage)
    monkeypatch.setattr(pipelines_file, "pipelines", Pipelines)
    with pytest.raises(RuntimeError):
        instance.on_sweep(lambda: None)
    assert world.receipts.plan("hourly").of("local").schedule == "off"


@pytest.mark.parametrize(("status", "shown"), [("Running", 0), ("NotStarted", 3)])
def test_runs_that_wait_behind_one_that_works_are_no_trouble(status: str, shown: int, world: World) -> None:
    world.found = world.read(HOURLY)
    world.tick(-MINUTE)
    world.found = world.read(HOURLY)
    world.tick(2 * HOUR)
    next(iter(world.service.runs.values()))["Status"]["StatusCode"] = status
    world.tick(2 * HOUR + MINUTE)
    world.now += 5 * HOUR
    assert len(tick.health(world.found, lambda: world.now)) == shown
    for run in list(world.service.runs.values())[:1]:
        run["Status"]["StatusCode"] = "Finished"
    world.tick(8 * HOUR - MINUTE)
    if not shown:  # the next one has just got its turn
        assert tick.health(world.found, lambda: world.now) == []


def test_a_failure_of_the_apps_own_work_is_shown_with_what_can_be_said(world: World) -> None:
    world.found = Pipelines(models=world.read('[[model]]\nname = "shapes"\n').models)
    failed = Slot.new("deliver_models", "task", NOON - HOUR).failed("no role")
    world.receipts.create(failed)
    world.receipts.change_plan("deliver_models", lambda plan: plan.closed(failed, NOON))
    (line,) = tick.health(world.found, lambda: world.now)
    assert line.endswith("resolve deliver_models 2026-11-23T11:00:00+00:00 --skip)")


def test_a_deployment_is_alive_by_its_last_sign_of_life() -> None:
    at = deployments.Deployment("a", at=NOON.isoformat())
    assert [at.is_alive(NOON + timedelta(days=days)) for days in (-365, 0, 1, 3)] == [False, True, True, False]


def test_the_progress_of_the_release_before_is_not_taken_over_years_later(world: World, deploy: Deploy) -> None:
    earlier(world)
    deploy("production")
    world.found = world.read(f"{HOURLY}enabled = false\n")
    for days in (0, 1, 3):
        world.tick(timedelta(days=days))
    deploy("new")
    world.found = world.read(HOURLY)
    world.tick(timedelta(days=30, minutes=30))
    assert world.ran() == []


def test_where_everything_is_off_no_tick_looks_through_all_plans(world: World, deploy: Deploy) -> None:
    deploy("a")
    world.found = world.read(f"{HOURLY}enabled = false\n")
    world.tick(-MINUTE)
    assert world.storage.head("state", "deployments/a.json") is not None
