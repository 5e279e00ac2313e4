"""What people drop into the container `models`: one odd folder stops nothing else, and what is not used is said."""

from __future__ import annotations

import errno
import io
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from azure.storage.blob import BlobServiceClient
from PIL import Image

from cloud import health_parts as health
from cloud import instance
from cloud.cli import models_command
from cloud.models import serving_models, snapshots
from cloud.models.serving_models import ServingModels
from cloud.models.snapshots import contents
from cloud.storage.blobs import BlobInfo
from cloud.storage.containers import Storage
from cloud.uploads.upload_worker import UploadWorker
from inference.analysis import analyze
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import BadModel
from inference.routes import Route, Step
from inference.routes_file import Routes
from tests.cloud.helpers import drop, jpeg
from tests.inference.engine.test_external_data import MANIFEST, net
from tests.inference.engine.test_folders import CONFIG, changed, odd

pytestmark = pytest.mark.slow
LABELS = {"labels as a list": ["cat", "dog"], "labels the wrong way round": {"cat": 0, "dog": 1}}


@pytest.fixture
def storage(account: str) -> Storage:
    return Storage(BlobServiceClient.from_connection_string(account))


@pytest.fixture
def serve(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Registry, ServingModels]]:
    monkeypatch.setattr(serving_models, "STILL_S", -5.0)
    monkeypatch.setattr(serving_models, "PARTLY_S", -5.0)

    def made() -> tuple[Registry, ServingModels]:
        registry = Registry([BUILT_IN])
        return registry, ServingModels(storage, registry, 0)

    return made


def put(storage: Storage, prefix: str, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            storage.write("models", f"{prefix}/{path.relative_to(folder).as_posix()}", path)


def test_a_folder_with_an_odd_side_file_is_refused_and_everything_else_goes_on(
    storage: Storage,
    make_worker: Callable[..., UploadWorker],
    serve: Callable[[], tuple[Registry, ServingModels]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, value in enumerate(LABELS.values()):
        put(storage, f"odd{number}", odd(tmp_path / str(number), config=changed(CONFIG, id2label=value)))
    shutil.copytree(BUILT_IN / "sketch", tmp_path / "second")
    manifest = tmp_path / "second/model.toml"
    manifest.write_text(manifest.read_text().replace('name = "sketch"', 'name = "second"'))
    put(storage, "second", tmp_path / "second")
    storage.write("models", "pointer/serving.json", b"[" * 100_000)
    registry, models = serve()
    worker = make_worker()
    worker.models, worker.registry = models, registry
    assert worker.handle(drop(worker, "a.jpg", jpeg())).status == "done"
    assert models.versions == {"second": "by hand"} and set(models.refused) == {"odd0", "odd1", "pointer"}
    assert "serving.json cannot be read (RecursionError" in models.refused.pop("pointer")[1]
    for name, (_, why) in models.refused.items():
        record = storage.read_json("state", f"models/refused/{name}.json")
        assert record and record[0]["why"] == why and "\n" not in why and "config.json" in why
    monkeypatch.setattr(instance, "default_worker", lambda: worker)
    with pytest.raises(ValueError, match="models in the container that are refused: odd0: .*; odd1: "):
        health.models_refused()
    assert health.models()["second"] == health.models()["sketch"] == "usable"
    with pytest.raises(BadModel, match=r"^model 'odd0' cannot be used: odd0: config\.json: id2label"):
        registry.model("odd0")
    monkeypatch.setattr("cloud.storage.containers.default_storage", lambda: storage)
    models_command._list(SimpleNamespace())  # type: ignore[arg-type]
    listed = {line.split()[1]: line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert listed["odd0"] == "refused" and listed["second"] == "serving"


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (AttributeError("no such member"), "AttributeError: no such member"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), "NotADirectoryError"),
        (OSError(errno.ENOSPC, "No space left on device"), ""),
    ],
)
def test_whatever_goes_wrong_with_a_model_is_its_own_affair(
    error: Exception,
    refused: str,
    storage: Storage,
    serve: Callable[[], tuple[Registry, ServingModels]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is wrong with the files is refused; what this machine lacks is tried again."""
    put(storage, "sketch", BUILT_IN / "sketch")
    registry, models = serve()

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(serving_models, "verify", fail)
        models.refresh()
    assert registry.model("sketch") and registry.model("classify")
    assert refused in models.refused.get("sketch", ("", ""))[1] and bool(models.refused) == bool(refused)
    models.refresh()
    assert bool(models.versions) != bool(refused)


def test_what_lies_there_and_is_not_used_is_said(
    storage: Storage,
    serve: Callable[[], tuple[Registry, ServingModels]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "best.pt", "camera.onnx", "a1b2c3.ONNX.zip", "README.md", "my model/model.onnx", "export/detect.tflite",
        "waiting/samples/a.jpg", "notes/b.txt",
    ):  # fmt: skip
        storage.write("models", name, b"0123")
    put(storage, "sketch", BUILT_IN / "sketch")
    serving, unused = contents(storage)
    assert [snapshot.name for snapshot in serving] == ["sketch"]
    assert set(unused) == {"best.pt", "camera.onnx", "a1b2c3.ONNX.zip", "my model", "export", "notes"}
    assert "put it at camera/camera.onnx" in unused["camera.onnx"] and "unpack it" in unused["a1b2c3.ONNX.zip"]
    assert "detect.tflite is a TensorFlow Lite model" in unused["export"] and "rename it" in unused["my model"]
    assert unused["notes"] == "no .onnx file here; it holds b.txt"
    monkeypatch.setattr("cloud.storage.containers.default_storage", lambda: storage)
    models_command._list(SimpleNamespace())  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("serving")] == [["serving", "sketch"]]
    assert [line for line in lines if line.startswith("not used    best.pt ") and "yolo export model=best.pt" in line]
    registry, models = serve()
    planner = SimpleNamespace(routes=Routes(()))
    worker = SimpleNamespace(models=models, registry=registry, refresh_models=models.refresh, planner=planner)
    monkeypatch.setattr(instance, "default_worker", lambda: worker)
    listed = health.models()  # a hint, and nothing is wrong with the app
    assert listed["best.pt"].startswith("not used: it is PyTorch weights") and listed["sketch"] == "usable"


def test_capitals_and_weights_beside_the_graph_serve_and_new_weights_serve_anew(
    storage: Storage, serve: Callable[[], tuple[Registry, ServingModels]], tmp_path: Path
) -> None:
    """Whoever copies what changed since last time uploads only the .data: labels and weights change together."""
    model = net(tmp_path / "pets", (0.9, 0.1))
    model.rename(model.with_name("Model.ONNX"))
    (tmp_path / "pets/model.toml").write_text(f'{MANIFEST}file = "Model.ONNX"\n')
    put(storage, "pets", tmp_path / "pets")
    registry, models = serve()
    models.refresh()
    seen = [answer(registry)]
    for scores, labels in (((0.2, 0.8), "dog"), ((0.9, 0.1), "cat")):
        (tmp_path / "pets/model.onnx.data").write_bytes(np.asarray(scores, np.float32).tobytes())
        storage.write("models", "pets/model.onnx.data", tmp_path / "pets/model.onnx.data")
        models.refresh()
        seen.append(answer(registry))
        assert seen[-1][0] == labels
    assert [label for label, _ in seen] == ["cat", "dog", "cat"]
    assert seen[0][1] == seen[2][1] != seen[1][1]


@pytest.mark.parametrize(
    ("newer", "by_hand"),
    [
        ("model.onnx", True), ("Model.ONNX", True), ("model.toml", True), ("model.onnx.data", True),
        ("model.onnx_data", True), ("weights.bin", True), ("README.md", False), ("labels.txt", False),
    ],
)  # fmt: skip
def test_weights_that_are_dropped_over_a_release_count_as_a_wish_to_change_it(newer: str, by_hand: bool) -> None:
    def blob(name: str, second: int) -> BlobInfo:
        at = datetime(2026, 1, 1, second=second, tzinfo=UTC)
        return BlobInfo(f"pets/{name}", "etag", 1, at, at)

    model = blob("model.onnx", 1)
    assert snapshots._dropped_since(blob("serving.json", 5), [model, blob(newer, 9)]) is by_hand
    assert not snapshots._dropped_since(blob("serving.json", 5), [model, blob(newer, 3)])
    assert not snapshots._dropped_since(blob("serving.json", 5), [blob("weights.bin", 9)])  # there is nothing to serve


def answer(registry: Registry) -> tuple[str, str]:
    """(label, sha256 of the model) for a picture."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG")
    result = analyze(data.getvalue(), Route("r", (Step("pets"),)), registry, artifacts=False).result.to_json()
    return result["steps"][0]["predictions"][0]["label"], result["steps"][0]["model"]["sha256"]
