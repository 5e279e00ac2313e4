"""What the workspace may list: paths in every spelling, versions of every name, many versions; and what is typed."""

from __future__ import annotations

import pytest

from cloud.models import registered_models
from cloud.models.model_entry import ModelEntry
from cloud.models.refusals import refusals
from inference.errors import BadModel, LimitExceeded
from tests.cloud.models.delivery_world import PATHS, Delivery

pytestmark = pytest.mark.slow
FRUIT = ModelEntry("fruit", "sketch")
WORKSPACE = "AZUREML://Subscriptions/s/resourceGroups/r/Workspaces/w/Datastores/workspaceblobstore/Paths/"


def test_the_path_of_a_model_in_every_spelling(delivery: Delivery) -> None:
    folder = delivery.make("1")
    for path in folder.iterdir():
        delivery.storage.write("azureml", path.name, path)  # the root of the datastore
    delivery.upload(folder, below := "größe 1/a%20b/c+d#e?")
    delivery.register("fruit", "1", below)
    found = delivery.service.models["fruit", "1"]["properties"]
    for uri in (PATHS, PATHS[:-1], f"{PATHS}/", PATHS + below, f"{PATHS}{below}/", WORKSPACE + below, WORKSPACE):
        found["modelUri"] = uri
        folder = delivery.scratch / str(len(list(delivery.scratch.iterdir())))
        assert (delivery.registered.download(delivery.registered.get("fruit"), folder) / "model.onnx").is_file()
    for uri in ("", "azureml://jobs/j/outputs/artifacts/paths/model/"):
        found["modelUri"] = uri
        with pytest.raises(BadModel, match="expected azureml://datastores/NAME/paths/PATH"):
            delivery.registered.download(delivery.registered.get("fruit"), delivery.scratch / "x")


def test_a_version_that_cannot_be_the_name_of_a_folder_is_refused_in_words(delivery: Delivery) -> None:
    delivery.put("fruit", "1", delivery.make("1"))
    row = delivery.service.models.pop(("fruit", "1"))
    for version in ("..", ".", "v3/beta", "by hand", "a\\b", "", "x" * 256):
        delivery.service.models = {("fruit", version): {**row, "name": version or "/"}}
        with pytest.raises(BadModel, match="cannot be the name of a folder; register it as another version"):
            delivery.deliver(FRUIT)
    for version in ("1.0", "2024-01-01", "latest", "größe 1%"):
        delivery.service.models = {("fruit", version): {**row, "name": version}}
        assert "released" in delivery.deliver(FRUIT)
    delivery.patch.setattr(delivery.service, "_models", lambda *_: {"name": "fruit", "properties": {}})
    with pytest.raises(BadModel, match=r"no model 'fruit' of version '\.\.'"):  # the address of the model itself
        delivery.registered.get("fruit", "..")


def test_the_version_with_the_tags_is_found_behind_hundreds_without_them(delivery: Delivery) -> None:
    delivery.registered.register("fruit", f"{PATHS}x", "1", {"approved": "yes"})
    row = delivery.service.models["fruit", "1"]
    untagged = {**row["properties"], "tags": {}}
    for number in range(2, 300):
        delivery.service.models["fruit", str(number)] = {**row, "name": str(number), "properties": untagged}
    assert delivery.registered.newest(ModelEntry("fruit", tags={"approved": "yes"})).version == "1"


def test_a_picture_that_is_too_large_is_no_fault_of_the_model(delivery: Delivery) -> None:
    delivery.put("fruit", "1", delivery.make("1"))

    def samples(*_: object) -> dict[str, bytes]:
        raise LimitExceeded("a.png: 70,000,000 bytes")

    with delivery.patch.context() as patch:
        patch.setattr(registered_models, "_samples", samples)
        with pytest.raises(BadModel, match=r"cannot be tried: remove .*holds a picture that is too large: a\.png"):
            delivery.deliver(FRUIT)
    assert refusals(delivery.storage, FRUIT) == []
    assert "released" in delivery.deliver(FRUIT)


@pytest.mark.parametrize(
    ("name", "folder", "said"),
    [("fruit", "", "there is no folder ''"), ("", f"{PATHS}x", "a model: its name is empty")],
)
def test_what_is_left_empty_registers_nothing(
    name: str, folder: str, said: str, delivery: Delivery, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unset variable of the shell: the folder "" would be the one that one is in."""
    delivery.entries()
    assert delivery.command("register", name, folder) == 1 and delivery.service.models == {}
    assert said in capsys.readouterr().err
