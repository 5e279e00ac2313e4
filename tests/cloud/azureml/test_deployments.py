"""Entries that are switched off, taken out of the file, or on in one of several deployments over a storage account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from cloud import pipelines_file, tick
from cloud.azureml.due_slots import WHILE_OFF
from cloud.azureml.workspace import NotAccepted, Run
from cloud.pipelines_file import Pipelines
from tests.cloud.tick_world import NOON, World, key, submitting

pytestmark = pytest.mark.slow
HOURLY = """
[[pipeline]]
name = "hourly"
kind = "published"
id = "pipe-1"
schedule = "0 0 * * * *"
catch_up = "CATCH_UP"
"""
HOUR = timedelta(hours=1)
Deploy = Callable[[str], None]


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Deploy:
    def switch(name: str) -> None:
        monkeypatch.setenv("WEBSITE_SITE_NAME", name)

    return switch


def hourly(world: World, catch_up: str = "latest", enabled: bool = True) -> Pipelines:
    text = HOURLY.replace("CATCH_UP", catch_up)
    return world.read(text if enabled else f"{text}enabled = false\n")


def states(world: World, name: str = "hourly") -> dict[datetime, str]:
    return {slot.at: slot.state for slot in world.receipts.history(name, 999)}


def finish(world: World, status: str = "Finished") -> None:
    for run in world.service.runs.values():
        run["Status"]["StatusCode"] = status


@pytest.mark.parametrize(
    ("how", "catch_up"),
    [*((how, "all") for how in ("enabled", "setting", "commented out", "empty file")),
     ("enabled", "latest"), ("commented out", "none")],
)  # fmt: skip
def test_what_was_switched_off_has_missed_nothing(
    how: str, catch_up: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = world.found = hourly(world, catch_up)
    world.tick(timedelta(minutes=-1))
    world.tick()
    assert world.ran() == [key("hourly", NOON)]
    if how == "enabled":
        world.found = hourly(world, enabled=False)
    elif how == "setting":
        monkeypatch.setenv("AzureWebJobs.pipeline_hourly.Disabled", "true")
    elif how == "commented out":
        world.found = Pipelines()
    if how == "empty file":  # it has no tick: the sweep writes down that the entry is gone
        tick.note_entries(Pipelines(), NOON + HOUR / 2)
    else:
        for hours in (1, 2, 9):
            world.tick(hours * HOUR)
    world.found = on
    monkeypatch.delenv("AzureWebJobs.pipeline_hourly.Disabled", raising=False)
    world.tick(9.5 * HOUR)
    assert world.ran() == [key("hourly", NOON)]
    skipped = {slot.at: slot.why for slot in world.receipts.history("hourly", 999) if slot.state == "skipped"}
    assert skipped == {NOON + hours * HOUR: WHILE_OFF for hours in range(1, 10)}
    world.tick(10 * HOUR)
    assert world.ran() == [key("hourly", NOON), key("hourly", NOON + 10 * HOUR)]


@pytest.mark.parametrize(("catch_up", "runs"), [("latest", 1), ("all", 5)])
def test_a_mistake_in_the_file_is_no_pause(catch_up: str, runs: int, world: World) -> None:
    right = world.found = hourly(world, catch_up)
    world.tick(timedelta(minutes=-1))
    path = world.folder / "pipelines.toml"
    for text in (HOURLY.replace("CATCH_UP", "sometimes"), "[[pipeline"):
        path.write_text(text)
        world.found = pipelines_file.read(path)
        assert world.found.problems
        world.tick(HOUR)
    world.found = right
    world.tick(4.5 * HOUR)
    assert len(world.ran()) == runs


@pytest.mark.parametrize("first", ["a", "b"])
def test_two_deployments_over_a_storage_account_each_go_by_their_own_file(
    first: str, world: World, deploy: Deploy
) -> None:
    files = {"a": hourly(world, "all"), "b": hourly(world, enabled=False)}
    order = ["a", "b"] if first == "a" else ["b", "a"]
    for minutes in range(-1, 2 * 60, 29):  # some ticks, and slots between them
        for name in order:
            deploy(name)
            world.found = files[name]
            world.tick(timedelta(minutes=minutes))
    assert world.ran() == [key("hourly", NOON + hours * HOUR) for hours in range(2)]
    deploy("b")  # a is down for hours, b goes on ticking
    world.found = files["b"]
    for hours in range(2, 5):
        world.tick(hours * HOUR)
    world.found = hourly(world, "all")
    world.tick(4.5 * HOUR)  # switched on there: those slots are a's to make up for
    assert len(world.ran()) == 2
    deploy("a")
    world.found = files["a"]
    world.tick(4.6 * HOUR)
    assert world.ran() == [key("hourly", NOON + hours * HOUR) for hours in range(5)]


def test_a_slot_that_waits_is_not_sent_once_its_entry_is_off(
    world: World, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("a")
    on = world.found = hourly(world)
    world.tick(timedelta(minutes=-1))
    with monkeypatch.context() as busy:
        submitting(world, busy, refuse_for_now)
        world.tick()
    deploy("b")
    world.found = hourly(world, enabled=False)
    world.tick(timedelta(minutes=30))
    assert states(world) == {NOON: "pending"}  # a's
    deploy("a")
    world.tick(timedelta(minutes=31))
    world.found = on
    world.tick(timedelta(minutes=32))
    assert states(world) == {NOON: "skipped"} and world.ran() == []


def refuse_for_now(submission: object) -> Run:
    raise NotAccepted("throttled")


def test_what_was_sent_is_followed_to_its_end_after_its_entry_is_gone(world: World) -> None:
    world.found = hourly(world)
    world.tick(timedelta(minutes=-1))
    world.tick()
    world.found = Pipelines()
    world.tick(timedelta(minutes=1))
    finish(world)
    world.tick(timedelta(minutes=2))
    assert states(world) == {NOON: "done"}
    (stored,) = [page.blobs for page in world.storage.pages("state", "deployments/")]
    document = world.storage.read_json("state", stored[0].name)
    world.tick(timedelta(minutes=3))
    document = world.storage.read_json("state", stored[0].name)
    assert document is not None and (document[0]["on"], document[0]["left"]) == ([], [])


@pytest.mark.parametrize("content", [b"{", b"{}", b"[]", b"null", b'{"on": 1, "left": [], "at": "now"}'])
def test_a_broken_document_of_a_deployment_stops_nothing(content: bytes, world: World, deploy: Deploy) -> None:
    deploy("a")
    for name in ("a", "other"):
        world.storage.write("state", f"deployments/{name}.json", content)
    world.found = hourly(world)
    assert world.tick(timedelta(minutes=-1)) == ""
    assert world.tick() == ""
    assert world.ran() == [key("hourly", NOON)]
    world.storage.write("state", "deployments/a.json", b'{"on": ["x"], "left": [], "at": "2026-11-23", "new": 1}')
    assert world.tick(HOUR) == ""


def test_a_plan_of_an_earlier_release_goes_on_where_it_was(world: World) -> None:
    entry = hourly(world, "all").entries[0]
    earlier: dict[str, object] = {
        "through": (NOON - 3 * HOUR).isoformat(), "open": [], "skipped": [], "sent_at": None, "names_kept": False,
        "last": {"slot": NOON.isoformat(), "state": "failed", "why": "no quota"}, "schedule": repr(entry.schedule),
    }  # fmt: skip
    world.storage.write_json("state", "pipelines/hourly/plan.json", earlier)
    world.found = hourly(world, "all")
    assert any("no quota" in line for line in tick.health(world.found, lambda: NOON))
    world.tick(timedelta(minutes=1))
    assert world.ran() == [key("hourly", NOON + hours * HOUR) for hours in (-2, -1, 0)]


@pytest.mark.parametrize(
    "part", ['"last": 5', '"last": {"slot": 5}', '"open": [5]', '"progress": {"a": 5}', '"failed": []']
)
def test_a_plan_with_a_wrong_value_is_named_and_stops_only_its_own_entry(part: str, world: World) -> None:
    whole = (
        '{"progress": {}, "open": [], "skipped": [], "sent_at": null, "names_kept": false, "last": {}, "failed": {}, '
    )
    world.storage.write("state", "pipelines/first/plan.json", f"{whole}{part}}}".encode())
    assert "state/pipelines/first/plan.json cannot be read" in world.tick()
    assert key("second", NOON) in world.ran()
