"""Whatever a delivery, a rollback and a kill do to a folder, and in whatever order, nobody serves a mixture from it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from cloud.models import canary, releases, serving_models
from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import Release
from cloud.models.refusals import refusals
from cloud.models.releases import release, rollback
from cloud.models.serving_models import ServingModels
from cloud.models.snapshots import contents
from inference.engine.registry import Registry
from inference.errors import BadModel
from tests.cloud.models.delivery_world import Delivery, served, sizes

pytestmark = pytest.mark.slow
FRUIT = ModelEntry("fruit", "sketch")


def look(delivery: Delivery) -> ServingModels:
    """A process of the app that has looked once."""
    models = ServingModels(delivery.storage, Registry([]), 0)
    models.refresh()
    return models


def test_a_file_that_another_delivery_wrote_too_late_is_not_served_and_the_next_delivery_mends_it(
    delivery: Delivery,
) -> None:
    release(delivery.storage, "sketch", Release("6", "fruit"), delivery.make("6"))
    look(delivery)
    delivery.put("fruit", "7", folder := delivery.make("7", notes="7"))
    delivery.deliver(FRUIT)
    delivery.storage.write("models", "sketch/versions/7/config.json", b"{}")
    (snapshot,), _ = contents(delivery.storage)
    assert "sketch/versions/7/ holds other files than were released: `python -m cloud" in snapshot.problem
    assert look(delivery).versions == {"sketch": "6"} and snapshot.problem in refusals(delivery.storage, FRUIT)
    assert "released" in delivery.deliver(FRUIT)
    assert served(delivery.storage) == sizes(folder) and look(delivery).versions == {"sketch": "7"}
    assert [before.version for before in delivery.pointer().previous] == ["6", "by hand"]


def test_a_rollback_to_a_folder_that_a_killed_delivery_clears_at_that_moment_serves_no_mixture(
    delivery: Delivery,
) -> None:
    for version in ("5", "6"):
        release(delivery.storage, "sketch", Release(version), delivery.make(version, notes=version))
    delivery.storage.write_json("models", "sketch/serving.json", {"version": "6"})  # nothing refers to 5
    running = look(delivery)
    real = canary.verify

    def verify(*args: Any) -> Any:
        verified = real(*args)
        delivery.storage.delete("models", "sketch/versions/5/notes.txt")
        return verified

    delivery.patch.setattr(releases, "verify", verify)
    rollback(delivery.storage, "sketch", to="5")
    running.refresh()
    assert running.versions == look(delivery).versions == {"sketch": "6"}
    assert "sketch/versions/5/ holds" in running.refused["sketch"][1]


def test_what_was_released_and_is_not_whole_any_more_is_not_gone_back_to(delivery: Delivery) -> None:
    for version in ("5", "6"):
        release(delivery.storage, "sketch", Release(version), delivery.make(version))
    delivery.storage.write("models", "sketch/versions/5/config.json", b"{}")
    with pytest.raises(BadModel, match="versions/5/ holds other files than were released; version 6 serves on"):
        rollback(delivery.storage, "sketch")


def test_a_rollback_hides_no_refusal(delivery: Delivery) -> None:
    for version in ("5", "6"):
        release(delivery.storage, "sketch", Release(version, "fruit"), delivery.make(version))
    delivery.put("fruit", "7", delivery.make("7", "another"))
    with pytest.raises(BadModel):
        delivery.deliver(FRUIT)
    rollback(delivery.storage, "sketch")
    assert len(refusals(delivery.storage, FRUIT)) == 1


def test_a_process_that_begins_while_a_folder_is_being_dropped_serves_what_the_others_serve(delivery: Delivery) -> None:
    release(delivery.storage, "sketch", Release("5"), folder := delivery.make("5"))
    look(delivery)
    delivery.patch.setattr("cloud.models.snapshots._dropped_since", lambda pointer, hand: bool(hand))
    delivery.patch.setattr(serving_models, "STILL_S", 60.0)
    delivery.storage.write("models", "sketch/model.onnx", folder / "model.onnx")
    assert look(delivery).versions == {"sketch": "5"}


def test_what_cannot_be_fetched_leaves_nothing_on_the_disk(delivery: Delivery) -> None:
    release(delivery.storage, "sketch", Release("5"), delivery.make("5"))

    def fail(_: object, __: object, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with delivery.patch.context() as patch:
        patch.setattr(serving_models, "fetch", fail)
        models = look(delivery)
        assert models.versions == {} and list(models._root.iterdir()) == []
    models.refresh()
    assert models.versions == {"sketch": "5"}
