"""A request for retraining is carried out once: killed between any two writes, by two hosts, after any refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cloud.drift import retraining
from cloud.drift.drift_entry import DriftEntry
from cloud.drift.retraining import REQUEST, Receipt, approve, follow
from cloud.storage.containers import Storage
from inference.errors import BadPipeline, StorageUnavailable
from tests.cloud.drift.drift_world import NOW

ENTRY = DriftEntry(retrain="retrain")
AT_ONCE = DriftEntry(retrain="retrain", approval=False)


class Killed(BaseException):
    """The end of a process: nothing of ours handles it."""


class Pipelines:
    """Slots as the runner keeps them: a slot has one run, however often it is submitted."""

    def __init__(self) -> None:
        self.slots: dict[datetime, SimpleNamespace] = {}
        self.entries = {"retrain"}
        self.answer: dict[str, Any] = {"state": "submitted", "run": {"id": "1"}, "why": ""}

    def submit(self, name: str, at: datetime) -> Receipt:
        if name not in self.entries:
            raise BadPipeline(f"pipelines.toml has no usable entry {name!r}")
        return self.slots.setdefault(at, SimpleNamespace(**self.answer))

    @property
    def runs(self) -> int:
        return sum(slot.run is not None for slot in self.slots.values())


def stored(storage: Storage) -> dict[str, str]:
    found = storage.read_json("state", REQUEST)
    assert found
    return dict(found[0])


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def ask(storage: Storage) -> None:
    follow(storage, ENTRY, "brightness 0.5 -> 0.1", NOW, refuse)
    assert stored(storage)["state"] == "waiting"


def refuse(name: str, at: datetime) -> Receipt:
    raise AssertionError("nothing may be submitted without a person's word")


def test_a_request_runs_once_and_then_waits_for_the_cooldown(storage: Storage) -> None:
    house = Pipelines()
    with pytest.raises(BadPipeline, match="absent"):
        approve(storage, NOW, house.submit)
    ask(storage)
    follow(storage, ENTRY, "again", later(60), refuse)  # a request that waits is not made twice
    done = approve(storage, later(70), house.submit)
    assert (done.state, done.why, house.runs) == ("submitted", "brightness 0.5 -> 0.1", 1)
    assert list(house.slots) == [later(70).replace(microsecond=0)]
    with pytest.raises(BadPipeline, match="submitted"):
        approve(storage, later(71), house.submit)
    follow(storage, ENTRY, "again", later(60 * 24 * 6), refuse)
    assert stored(storage)["state"] == "submitted"
    follow(storage, ENTRY, "again", later(60 * 24 * 8), refuse)
    assert stored(storage)["state"] == "waiting"


@pytest.mark.parametrize("entry", [ENTRY, AT_ONCE])
@pytest.mark.parametrize("point", ["before approved", "after approved", "after submit", "after submitted"])
def test_a_process_that_is_killed_leaves_what_another_goes_on_with(
    entry: DriftEntry, point: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(storage)
    house, write = Pipelines(), retraining._write

    def killing(storage: Storage, request: retraining.Request, condition: Any) -> str | None:
        if point == f"before {request.state}":
            raise Killed
        written = write(storage, request, condition)
        if point == f"after {request.state}":
            raise Killed
        return written

    def submit(name: str, at: datetime) -> Receipt:
        receipt = house.submit(name, at)
        if point == "after submit":
            raise Killed
        return receipt

    def begin(submit: Callable[[str, datetime], Receipt], now: datetime) -> None:
        if entry.approval:
            approve(storage, now, submit)
        else:
            follow(storage, entry, "alert", now, submit)

    monkeypatch.setattr(retraining, "_write", killing)
    with pytest.raises(Killed):
        begin(submit, NOW)
    monkeypatch.setattr(retraining, "_write", write)
    if point == "before approved":  # not answered yet: it takes a person's word, or the next alert
        follow(storage, ENTRY, "alert", later(60), refuse)
        begin(house.submit, later(60))
    else:
        follow(storage, entry, "", later(60), house.submit)  # what was approved needs no alert any more
    assert (stored(storage)["state"], house.runs) == ("submitted", 1)
    follow(storage, entry, "alert", later(120), house.submit)
    assert house.runs == 1


def test_an_approval_of_an_entry_that_was_renamed_waits_for_its_name(storage: Storage) -> None:
    ask(storage)
    house = Pipelines()
    house.entries = {"retrain-v2"}
    with pytest.raises(BadPipeline, match="waits on: pipelines.toml has no usable entry 'retrain'"):
        approve(storage, NOW, house.submit)
    assert stored(storage)["state"] == "waiting" and "no usable entry" in stored(storage)["error"]
    follow(storage, DriftEntry(retrain="retrain-v2"), "alert", later(60), refuse)  # the check takes over the new name
    assert stored(storage)["pipeline"] == "retrain-v2"
    assert approve(storage, later(61), house.submit).state == "submitted"
    assert house.runs == 1


@pytest.mark.parametrize("entry", [ENTRY, AT_ONCE])
def test_a_submission_that_was_refused_is_tried_again_with_another_slot(entry: DriftEntry, storage: Storage) -> None:
    house = Pipelines()
    house.answer = {"state": "failed", "run": None, "why": "404: no such pipeline"}
    if entry.approval:
        ask(storage)

    def go(now: datetime) -> None:
        if entry.approval:
            approve(storage, now, house.submit)
        else:
            follow(storage, entry, "alert", now, house.submit)

    for _ in range(2):
        with pytest.raises(BadPipeline, match="waits on: 404"):
            go(NOW)
    house.answer = {"state": "submitted", "run": {"id": "1"}, "why": ""}
    go(NOW)  # in the same second
    assert (stored(storage)["state"], house.runs, len(house.slots)) == ("submitted", 1, 3)


def test_a_run_that_failed_after_it_began_is_no_reason_to_start_another(storage: Storage) -> None:
    ask(storage)
    house = Pipelines()
    house.answer = {"state": "failed", "run": {"id": "1"}, "why": "out of memory"}
    assert approve(storage, NOW, house.submit).state == "submitted"


def test_a_slot_that_waits_is_gone_on_with_until_it_has_its_run_or_is_given_up(storage: Storage) -> None:
    ask(storage)
    house = Pipelines()
    house.answer = {"state": "pending", "run": None, "why": "the service is busy"}
    assert approve(storage, NOW, house.submit).state == "approved"
    (slot,) = house.slots.values()
    follow(storage, ENTRY, "", later(60), house.submit)
    assert stored(storage)["state"] == "approved"
    vars(slot).update(state="failed", why="given up after 20 attempts")
    with pytest.raises(BadPipeline, match="given up"):
        follow(storage, ENTRY, "", later(120), house.submit)
    assert stored(storage)["state"] == "waiting"
    vars(slot).update(state="skipped")
    assert len(house.slots) == 1


def test_a_storage_that_is_away_burns_nothing(storage: Storage) -> None:
    ask(storage)
    house = Pipelines()

    def away(name: str, at: datetime) -> Receipt:
        house.submit(name, at)
        raise StorageUnavailable("busy")

    with pytest.raises(StorageUnavailable):
        approve(storage, NOW, away)
    assert approve(storage, later(5), house.submit).state == "submitted"
    assert house.runs == 1


def test_two_hosts_that_answer_at_once_start_one_run(storage: Storage) -> None:
    ask(storage)
    house = Pipelines()

    def slow(name: str, at: datetime) -> Receipt:
        # Another host comes by while this one submits.
        follow(storage, ENTRY, "alert", later(1), house.submit)
        with pytest.raises(BadPipeline, match="the last request is submitted"):
            approve(storage, later(1), house.submit)
        return house.submit(name, at)

    assert approve(storage, NOW, slow).state == "submitted"
    assert (stored(storage)["state"], house.runs) == ("submitted", 1)


def test_a_host_that_cannot_start_it_does_not_undo_what_another_has_started(storage: Storage) -> None:
    ask(storage)
    house = Pipelines()

    def without_entry(name: str, at: datetime) -> Receipt:
        raise BadPipeline("no such entry")

    def other_gives_up_first(name: str, at: datetime) -> Receipt:
        receipt = house.submit(name, at)
        with pytest.raises(BadPipeline, match="no such entry"):
            approve(storage, later(1), without_entry)
        return receipt

    approve(storage, NOW, other_gives_up_first)
    assert (stored(storage)["state"], house.runs) == ("submitted", 1)


def test_two_checks_at_once_make_one_request(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    house, read = Pipelines(), retraining.read
    raced: list[str] = []

    def overtaken(storage: Storage) -> Any:
        found = read(storage)
        if not raced:
            raced.append("")
            follow(storage, AT_ONCE, "alert", NOW, house.submit)
        return found

    monkeypatch.setattr(retraining, "read", overtaken)
    follow(storage, AT_ONCE, "alert", later(0.5), house.submit)
    assert (stored(storage)["state"], house.runs) == ("submitted", 1)


def test_requests_of_other_releases_are_read(storage: Storage) -> None:
    house = Pipelines()
    request = {"state": "waiting", "pipeline": "retrain", "why": "w", "at": NOW.isoformat()}
    storage.write_json("state", REQUEST, request | {"colour": {"red": 1}})
    assert approve(storage, NOW, house.submit).state == "submitted"
    # What an earlier release left where it was killed, or refused: only a person knows.
    storage.write_json("state", REQUEST, request | {"state": "approved"})
    follow(storage, AT_ONCE, "alert", later(5), refuse)
    assert approve(storage, later(10), house.submit).state == "submitted"


@pytest.mark.parametrize("wrong", [{"state": 3}, {"at": "yesterday"}, {"slot": 5}, {"slot": "x"}])
def test_a_request_with_fields_of_wrong_types_is_named(wrong: dict[str, Any], storage: Storage) -> None:
    request = {"state": "waiting", "pipeline": "retrain", "why": "w", "at": NOW.isoformat()}
    storage.write_json("state", REQUEST, request | wrong)
    with pytest.raises(BadPipeline, match=f"state/{REQUEST} cannot be read .*restore it"):
        approve(storage, NOW, refuse)
