"""Files as tools leave them: markers of folders, names, wrappers around the model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.models.model_entry import ModelEntry
from cloud.models.model_files import check_files, model_folder, without_folders
from cloud.models.serving_models import ServingModels
from cloud.storage.blobs import BlobInfo
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import BadModel, LimitExceeded
from tests.cloud.models.delivery_world import Delivery, served
from tests.inference.engine.test_external_data import MANIFEST, net

SKETCH = BUILT_IN / "sketch"


def blob(name: str, size: int = 0, **metadata: str) -> BlobInfo:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return BlobInfo(name, "e", size, at, at, metadata)


def test_blobs_that_mark_folders_are_no_files() -> None:
    files = [blob("m/a.onnx", 9), blob("m/sub/x", 9), blob("m/empty"), blob("m/sub-1/y", 1)]
    markers = [blob("m"), blob("m/"), blob("m/sub"), blob("m/other/"), blob("m/alone", hdi_isfolder="true")]
    assert without_folders([*markers, *files]) == files


@pytest.mark.slow
def test_a_model_written_through_a_mount_is_delivered_and_served(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = delivery.make("7")
    (folder / "notes").mkdir()
    (folder / "notes" / "training.txt").write_text("ten epochs")
    where = delivery.put("fruit", "7", folder)
    for container, top in (("azureml", where), ("models", "sketch")):
        delivery.storage.write(container, top, b"", metadata={"hdi_isfolder": "true"})
        delivery.storage.write(container, f"{top}/notes", b"", metadata={"Hdi_isfolder": "True"})
        delivery.storage.write(container, f"{top}/samples", b"")
        delivery.storage.write(container, f"{top}/samples/", b"")
    listed = [blob.name for page in delivery.storage.pages("azureml", where) for blob in page.blobs]
    assert f"{where}/samples" in listed and not {where, f"{where}/notes"} & set(listed)  # nobody else sees them either
    assert "verified without samples" in delivery.deliver(ModelEntry("fruit", "sketch"))
    assert set(served(delivery.storage)) == {"model.onnx", "model.toml", "notes/training.txt", "samples"}
    for path in ("model.onnx", "model.toml"):
        delivery.storage.write("models", f"hand/{path}", folder / path)
    delivery.storage.write(
        "models", "hand/model.toml", (folder / "model.toml").read_bytes().replace(b"sketch", b"hand", 1)
    )
    delivery.storage.write("models", "hand/notes", b"")
    delivery.storage.write("models", "hand/notes/a.txt", b"a")
    monkeypatch.setattr("cloud.models.serving_models.STILL_S", -5.0)
    monkeypatch.setattr("cloud.models.serving_models.PARTLY_S", -5.0)
    models = ServingModels(delivery.storage, Registry([]), 0)
    models.refresh()
    assert models.versions == {"sketch": "7", "hand": "by hand"}


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("Model.onnx", "model.onnx"), "'Model.onnx' and 'model.onnx' differ only in capitals"),
        (("caf\u00e9", "cafe\u0301"), "differ only in capitals or accents"),
        (("a", "A/b"), "'a' is a file and a folder"),
        (("a\nb",), "cannot be the name of a file"),
        (("a//b",), "cannot be the name of a file"),
        (("\u00e9" * 128,), "cannot be the name of a file"),
        (("../a",), "leads out"),
        (("c:a",), "leads out"),
    ],
)
def test_names_that_cannot_lie_on_every_disk_are_refused_in_words(names: tuple[str, ...], why: str) -> None:
    with pytest.raises(BadModel, match=why):
        check_files("m", [(name, 1) for name in names])


def test_names_in_any_script_and_too_many_files() -> None:
    check_files("m", [("Größe/数据 1.txt", 1), ("größen/x", 1), ("a.b-c_d (1).txt", 1)])
    with pytest.raises(LimitExceeded, match="has 201 files"):
        check_files("m", [(str(number), 1) for number in range(201)])


def sketch(folder: Path, file: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = (SKETCH / "model.toml").read_text().replace('name = "sketch"\n', "", 1)
    (folder / "model.toml").write_text(f'file = "{file}"\n{text}' if file else text)
    target = folder / (file or "model.onnx")
    target.parent.mkdir(exist_ok=True)
    shutil.copy(SKETCH / "model.onnx", target)


def weights_below(root: Path) -> None:
    sketch(root, "weights/model.onnx")


def wrapped(root: Path) -> None:
    sketch(root / "export")
    (root / "README.md").write_text("x")


def in_mlflow(root: Path) -> None:
    sketch(root / "artifacts")
    for name in ("MLmodel", "conda.yaml"):
        (root / name).write_text("name: x\n")


def external(root: Path) -> None:
    net(root / "a", (0.9, 0.1))
    (root / "a/model.toml").write_text(MANIFEST)


@pytest.mark.slow
@pytest.mark.parametrize("lay", [weights_below, wrapped, in_mlflow, external], ids=lambda lay: lay.__name__)
def test_what_serves_locally_is_delivered(lay: Callable[[Path], None], delivery: Delivery, tmp_path: Path) -> None:
    lay(root := tmp_path / "pets")
    root.mkdir(exist_ok=True)
    (found,) = [entry for entry in Registry([tmp_path]).list() if entry.name == "pets"]
    assert found.reason is None
    delivery.put("pets", "1", root)
    assert "released" in delivery.deliver(ModelEntry("pets"))
    models = ServingModels(delivery.storage, Registry([]), 0)
    models.refresh()
    assert models.versions == {"pets": "1"} and models.refused == {}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (("model.toml", "weights/model.onnx"), "."),
        (("a/model.toml", "a/b/model.toml", "a/b/model.onnx"), "a"),
        (("config.json", "onnx/model.onnx"), "."),  # the layout of Hugging Face
        (("labels.txt", "weights/best.onnx"), "."),
        (("best.onnx", "docs/model.toml"), "."),
        (("model.onnx", "fp16/model.onnx"), "."),
        (("a/x.onnx", "b/c/y.onnx", "z.txt"), "a"),
        (("a/model.onnx", "b/model.onnx"), "."),  # nobody here says which
        (("__MACOSX/model.toml", "a/model.toml"), "a"),
    ],
)
def test_the_folder_of_the_model(names: tuple[str, ...], folder: str, tmp_path: Path) -> None:
    assert model_folder(touch(tmp_path, *names), "m") == tmp_path / folder


def test_a_training_run_with_many_files_gives_the_folder_of_its_weights(tmp_path: Path) -> None:
    touch(tmp_path, "weights/best.onnx", *(f"runs/{number}.png" for number in range(200)))
    assert model_folder(tmp_path, "m") == tmp_path / "weights"
    with pytest.raises(BadModel, match="m holds no .onnx file; it holds a.txt"):
        model_folder(touch(tmp_path / "none", "a.txt"), "m")


@pytest.mark.slow
def test_a_single_file_is_a_model_too(delivery: Delivery, tmp_path: Path) -> None:
    model = tmp_path / "one" / "best.onnx"
    model.parent.mkdir()
    shutil.copy(SKETCH / "model.onnx", model)
    delivery.upload(model.parent, "LocalUpload/1")
    delivery.register("pets", "1", "LocalUpload/1/best.onnx")
    found = delivery.registered.get("pets")
    assert delivery.registered.download(found, tmp_path / "got") == tmp_path / "got"
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["best.onnx"]
