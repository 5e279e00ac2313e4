"""Folders of the container that are deleted, or uploaded again file by file, while a model of them serves."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import pytest
from azure.storage.blob import BlobBlock, BlobServiceClient

from cloud.cli import models_command
from cloud.models import serving_models
from cloud.models.serving_models import ServingModels
from cloud.models.snapshots import Good, Snapshot, good_version
from cloud.storage.containers import Storage
from inference.analysis import analyze
from inference.engine.changes import SERVES_ON_S, SPLIT_S
from inference.engine.registry import Registry
from inference.errors import BadModel, StorageUnavailable
from inference.routes import Route, Step
from tests.inference.engine.test_external_data import MANIFEST as EXTERNAL
from tests.inference.engine.test_external_data import net
from tests.inference.engine.test_replaced_models import PPM, pets

pytestmark = pytest.mark.slow

ROUTE = Route("r", (Step("pets"),))


class App:
    """A process of the app, with a clock of its own."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self.now, self.storage, self.registry = 0.0, storage, Registry([folder], settle=True)
        self.models = ServingModels(storage, self.registry, 0, clock=lambda: self.now)

    def says(self, later: float = 0.0) -> str:
        self.now += later
        self.models.refresh()
        answer = analyze(PPM, ROUTE, self.registry, artifacts=False).result.steps[0].predictions
        return str(answer.names[0])  # type: ignore[union-attr]


@pytest.fixture
def storage(storage_account: str) -> Storage:
    made = Storage(BlobServiceClient.from_connection_string(storage_account))
    made.ensure_containers("models", "state")
    return made


@pytest.fixture
def app(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr(serving_models, "STILL_S", -1.0)  # what lies there is old
    monkeypatch.setattr(serving_models, "PARTLY_S", -1.0)
    monkeypatch.setenv("DROPSIGHT_PUBLIC_MODELS", str(tmp_path / "none"))
    upload(storage, pets(tmp_path / "old", 0))
    app = App(storage, tmp_path / "none")
    assert app.says() == "cat"
    return app


def upload(storage: Storage, folder: Path, *names: str) -> None:
    for name in names or ("labels.txt", "model.onnx", "model.toml"):
        storage.write("models", f"pets/{name}", folder / name)


def delete(storage: Storage) -> None:
    for name in ("labels.txt", "model.onnx", "model.toml"):
        storage.delete("models", f"pets/{name}")


def test_a_deleted_model_serves_for_ten_minutes_and_then_waits(
    app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    delete(app.storage)
    with caplog.at_level(logging.WARNING):
        assert app.says() == app.says(1) == app.says(SERVES_ON_S - 2) == "cat"
    words = "it left the container `models`, and serves until "
    assert caplog.text.count(words) == 1 and words in app.models.leaving["pets"]
    monkeypatch.setattr("cloud.storage.containers.default_storage", lambda: app.storage)
    models_command._list(None)  # type: ignore[arg-type]
    assert f"left        pets                           {words}" in capsys.readouterr().out
    with pytest.raises(BadModel, match="no model is called 'pets': it left the container `models`; put it back"):
        app.says(1)
    upload(app.storage, pets(tmp_path / "new", 1))
    assert app.says(1) == "dog" and not app.models.leaving
    models_command._list(None)  # type: ignore[arg-type]
    assert "left " not in capsys.readouterr().out


def test_a_process_that_begins_meanwhile_serves_it_as_long_as_the_others(app: App, tmp_path: Path) -> None:
    delete(app.storage)
    assert app.says() == "cat"
    begun = App(app.storage, tmp_path / "none")
    assert begun.says() == begun.says(SERVES_ON_S - 30) == "cat" and list(begun.models.leaving) == ["pets"]
    words = "no model is called 'pets': it left the container `models`; put it back"
    with pytest.raises(BadModel, match=words):
        begun.says(30)
    app.storage.write_json("state", "models/left/pets.json", {"model": "pets", "until": 0})
    late = App(app.storage, tmp_path / "none")
    with pytest.raises(BadModel, match=words):
        late.says()
    upload(app.storage, pets(tmp_path / "new", 1))
    assert late.says(1) == begun.says(1) == "dog"


def test_put_back_within_that_time_nothing_has_happened(app: App, tmp_path: Path) -> None:
    model = app.registry.model("pets")
    delete(app.storage)
    assert app.says() == app.says(SERVES_ON_S / 2) == "cat"
    upload(app.storage, tmp_path / "old")
    assert app.says(1) == "cat" and not app.models.leaving
    assert app.says(SERVES_ON_S) == "cat" and app.registry.model("pets").digest == model.digest


def test_half_of_an_upload_is_never_served(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New labels with old weights would say "red", new weights with old labels "dog"."""
    monkeypatch.setattr(serving_models, "PARTLY_S", 1e6)
    new = pets(tmp_path / "new", 1, "red green")
    for name in ("labels.txt", "model.onnx"):
        upload(app.storage, new, name)
        assert app.says(9) == "cat"
    upload(app.storage, new, "model.toml")
    assert app.says(9) == "green"


def test_half_of_a_deletion_is_never_served(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_models, "PARTLY_S", 30.0)
    app.storage.delete("models", "pets/model.toml")
    assert app.says() == app.says(29) == "cat" and not app.models.refused
    delete(app.storage)
    assert app.says(2) == "cat" and "pets" in app.models.leaving


def test_new_labels_alone_serve_when_nothing_has_followed_for_a_while(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_models, "PARTLY_S", 30.0)
    upload(app.storage, pets(tmp_path / "new", 0, "Katze Hund"), "labels.txt")
    assert app.says() == app.says(29) == "cat"
    assert app.says(1) == "Katze"


def test_a_process_that_begins_in_the_middle_of_an_upload_serves_what_the_others_do(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_models, "PARTLY_S", 1e6)
    upload(app.storage, pets(tmp_path / "new", 1, "red green"), "labels.txt")
    assert App(app.storage, tmp_path / "none").says() == "cat"


def test_files_that_a_cleaner_took_from_the_disk_are_fetched_again(app: App) -> None:
    ((_, folder),) = app.models._serving.values()
    (folder / "pets/model.onnx").unlink()
    assert app.says() == "cat" and (folder / "pets/model.onnx").is_file()


def test_what_can_be_no_model_is_said_once_with_the_way_on(app: App, caplog: pytest.LogCaptureFixture) -> None:
    wanted = {
        "My Model": "rename it, to My-Model for example",
        "größe": "rename it, to groesse for example",
        "_hidden": "rename it, to hidden for example",
        "best.onnx": "put it at best/best.onnx",
        "zwei Hühner.onnx": "put it at zwei-Huehner/zwei Hühner.onnx",
        "last.pt": "export model=last.pt format=onnx",
        "all.zip": "unpack it into a folder of its own",
        "model.toml": "put it beside its model",
        "nothing": "no .onnx file here; it holds a.txt, b.txt",
    }
    for clutter in ("__MACOSX/pets/._model.onnx", ".git/x.onnx", "._best.pt", "Thumbs.db"):
        app.storage.write("models", clutter, b"x")
    for name in wanted:
        inner = {"nothing": ["/a.txt", "/b.txt"]}.get(name, [""] if "." in name else ["/model.onnx", "/labels.txt"])
        for path in inner:
            app.storage.write("models", f"{name}{path}", b"x")
    with caplog.at_level(logging.WARNING):
        assert app.says() == app.says(60) == "cat"
    assert set(app.models.unused) == set(wanted)
    for name, words in wanted.items():
        assert words in app.models.unused[name]
        assert caplog.text.count(f"models/{name} is not used: ") == 1
    for number in range(120):
        app.storage.write("models", f"{number}.zip", b"x")
    app.says()
    assert len(app.models.unused) == 101 and app.models.unused["..."] == "29 more of such files and folders"


def test_weights_that_are_uploaded_block_by_block_hold_up_the_labels(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all clients upload what is large; the new labels with the weights of before would say "red"."""
    monkeypatch.setattr(serving_models, "PARTLY_S", 30.0)
    new = pets(tmp_path / "new", 1, "red green")
    upload(app.storage, new, "labels.txt")
    blob = app.storage.service.get_blob_client("models", "pets/model.onnx")
    content = (new / "model.onnx").read_bytes()
    parts = [content[:50], content[50:90], content[90:]]
    assert app.says() == "cat"
    for number, part in enumerate(parts):
        blob.stage_block(f"{number:04}", part)
        assert app.says(30) == "cat"
    blob.commit_block_list([BlobBlock(f"{number:04}") for number in range(3)])
    assert app.says() == app.says(29) == "cat" and app.says(1) == "green"


def test_an_upload_that_was_given_up_holds_up_nothing_for_long(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage keeps its blocks for a week."""
    monkeypatch.setattr(serving_models, "PARTLY_S", 30.0)
    app.storage.service.get_blob_client("models", "pets/model.onnx").stage_block("0000", b"x")
    upload(app.storage, pets(tmp_path / "new", 0, "Katze Hund"), "labels.txt")
    assert app.says() == app.says(30) == app.says(29) == "cat" and app.says(1) == "Katze"


def test_a_new_graph_waits_for_the_weights_beside_it(storage: Storage, app: App, tmp_path: Path) -> None:
    def dropped(scores: tuple[float, float]) -> Path:
        net(tmp_path / "big", scores).with_name("model.toml").write_text(EXTERNAL)
        return tmp_path / "big"

    for name in ("model.onnx", "model.onnx.data", "model.toml"):
        storage.write("models", f"big/{name}", dropped((0.9, 0.1)) / name)
    app.says()
    old = app.registry.digest("big")
    graph = onnx.load(dropped((0.1, 0.9)) / "model.onnx", load_external_data=False)
    graph.producer_version = "2"
    storage.write("models", "big/model.onnx", graph.SerializeToString())
    for later in (0, 60, SPLIT_S - 61):
        app.says(later)
        assert app.registry.digest("big") == old
    storage.write("models", "big/model.onnx.data", tmp_path / "big/model.onnx.data")
    app.says()
    app.says()
    assert app.registry.digest("big") != old


def test_storage_that_fails_in_the_middle_of_a_look_costs_no_model_that_was_taken(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(app.storage, pets(tmp_path / "new", 1))
    app.storage.write("models", "zebras/model.onnx", tmp_path / "new/model.onnx")

    def fails(storage: Storage, name: str) -> Good | None:
        if name == "zebras":
            raise StorageUnavailable("503")
        return good_version(storage, name)

    monkeypatch.setattr(serving_models, "PARTLY_S", 30.0)
    monkeypatch.setattr(serving_models, "good_version", fails)
    assert app.says() == "dog"


@pytest.mark.parametrize(
    ("kept", "split"),
    [
        ("model.onnx.data", True),
        ("model.onnx_data_1", True),
        ("weights.bin", True),
        ("pytorch_model.bin", False),
        ("labels.txt", False),
    ],
)
def test_only_data_of_a_graph_is_waited_for_so_long(kept: str, split: bool) -> None:
    snapshot = Snapshot("m", "by hand", "m/", (("model.onnx", "1", 9), (kept, "2", 9)), 60.0)
    assert serving_models._is_split(snapshot, [kept]) is split
    assert not serving_models._is_split(snapshot, ["model.onnx", kept])


def test_a_model_that_comes_again_waits_for_the_labels_that_it_had(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_models, "PARTLY_S", 30.0)
    delete(app.storage)
    new = pets(tmp_path / "new", 1, "red green")
    (new / "model.toml").write_text((new / "model.toml").read_text().replace('labels = "labels.txt"\n', ""))
    upload(app.storage, new, "model.onnx", "model.toml")
    assert app.says() == app.says(29) == "cat"
    upload(app.storage, pets(tmp_path / "new", 1, "red green"))
    assert app.says() == "green"
