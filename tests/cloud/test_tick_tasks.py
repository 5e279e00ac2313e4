"""Deliveries, the drift check and the lake on the tick."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloud import tick
from cloud.azureml.slot_store import SlotStore
from inference.errors import ServiceBusy
from tests.cloud.tick_world import HOUSE, World, finish

pytestmark = pytest.mark.slow


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
