"""Which release is which: by name, version, path and date, and as documents of older releases of the app say it."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import Pointer, Release
from cloud.models.refusals import AlreadyRefused
from cloud.models.releases import rollback
from inference.errors import BadModel
from tests.cloud.models.delivery_world import PATHS, Delivery, served, sizes

pytestmark = pytest.mark.slow
FRUIT, YOLO = ModelEntry("fruit", "sketch"), ModelEntry("fruit-yolo", "sketch")


def test_an_entry_that_points_at_another_registered_model_gets_it_whatever_its_number(delivery: Delivery) -> None:
    delivery.put("fruit", "1", delivery.make("old"))
    delivery.put("fruit-yolo", "1", new := delivery.make("newer"))
    delivery.deliver(FRUIT)
    assert "released" in delivery.deliver(YOLO)
    assert served(delivery.storage) == sizes(new) and delivery.pointer().release.model == "fruit-yolo"
    assert "serves already" in delivery.deliver(YOLO)
    rollback(delivery.storage, "sketch")
    assert "rolled back" in delivery.deliver(YOLO)
    assert "serves already" in delivery.deliver(FRUIT)  # under another folder's name, and it is the same release


def test_a_version_made_anew_is_fetched_and_again_brings_what_serves_already(delivery: Delivery) -> None:
    where = delivery.put("fruit", "3", delivery.make("first"))
    delivery.deliver(FRUIT)
    delivery.upload(second := delivery.make("second"), where)  # the files alone changed: nobody says so
    assert "serves already" in delivery.deliver(FRUIT)
    assert "released" in delivery.deliver(FRUIT, again=True)
    assert served(delivery.storage) == sizes(second)
    delivery.service.models["fruit", "3"]["systemData"]["createdAt"] = "2031-01-01T00:00:00Z"
    delivery.upload(third := delivery.make("the third"), where)
    assert "released" in delivery.deliver(FRUIT)
    assert served(delivery.storage) == sizes(third)
    del delivery.service.models["fruit", "3"]
    delivery.put("fruit", "3", delivery.make("the fourth"), "LocalUpload/elsewhere")
    assert "released" in delivery.deliver(FRUIT)
    assert delivery.pointer().release.source.endswith("LocalUpload/elsewhere")


def test_the_refusal_of_one_model_blocks_no_other_with_its_number(delivery: Delivery) -> None:
    delivery.put("fruit", "1", delivery.make("old", "another"))
    delivery.put("fruit-yolo", "1", delivery.make("new"))
    with pytest.raises(BadModel, match="'sketch'"):
        delivery.deliver(FRUIT)
    with pytest.raises(AlreadyRefused):
        delivery.deliver(FRUIT)
    assert "released" in delivery.deliver(YOLO)


@pytest.mark.parametrize(
    "pointer",
    [
        {"version": "3"},
        {"version": "3", "source": f"{PATHS}LocalUpload/fruit-3", "previous": ["2"], "rejected": [], "key": 1},
        {"version": "2", "source": f"{PATHS}LocalUpload/fruit-3", "previous": [], "rejected": ["3"], "canary": {}},
    ],
)
def test_what_an_older_release_of_the_app_wrote_is_not_delivered_again(
    pointer: dict[str, Any], delivery: Delivery
) -> None:
    delivery.put("fruit", "3", folder := delivery.make("three"))
    for path in folder.iterdir():
        delivery.storage.write("models", f"sketch/versions/3/{path.name}", path)
    delivery.storage.write_json("models", "sketch/serving.json", {"schema": "dropsight-serving/1", **pointer})
    said = delivery.deliver(FRUIT)
    assert ("serves already" if pointer["version"] == "3" else "was rolled back") in said


def test_a_refusal_of_an_older_release_of_the_app_holds(delivery: Delivery) -> None:
    delivery.put("fruit", "3", delivery.make("three"))
    delivery.storage.write_json(
        "state", "models/delivery/sketch/3.json", {"model": "fruit:3", "why": "w", "at": "2026"}
    )
    with pytest.raises(AlreadyRefused, match=r"^fruit:3 was refused: w; .*models deliver sketch --again` tries it"):
        delivery.deliver(FRUIT)
    assert "released" in delivery.deliver(FRUIT, again=True)
    assert delivery.storage.head("state", "models/delivery/sketch/3.json") is None


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Release("3"), True),
        (Release("3", "fruit", f"{PATHS}a/", "2026-01-02T03:04:05.1234567Z"), True),
        (Release("3-0ab1", "fruit", number="3"), True),
        (
            Release(
                "3", source=f"azureml://subscriptions/1/workspaces/w/{PATHS[10:]}a", created="2026-01-02T04:04:05+01:00"
            ),
            True,
        ),
        (Release("4", "fruit"), False),
        (Release("3", "fruit-yolo"), False),
        (Release("3", "fruit", f"{PATHS}A"), False),
        (Release("3", "fruit", f"{PATHS}a", "2026-01-02T03:04:06Z"), False),
    ],
)
def test_what_is_one_release(other: Release, same: bool) -> None:
    one = Release("3", "fruit", f"{PATHS}a", "2026-01-02T03:04:05+00:00")
    assert one.is_same(other) is other.is_same(one) is same


def test_a_pointer_reads_back_as_it_was() -> None:
    releases = Release("3", "fruit", "a", "2026"), Release("3-0ab1", "fruit", number="3"), Release("2")
    pointer = Pointer(releases[0], releases[1:], releases[2:], {"samples": 1}, "2026")
    assert Pointer.from_json(pointer.to_json()) == pointer
