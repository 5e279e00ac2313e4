"""Results in storage, exported as other tools read them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from azure.storage.blob import BlobServiceClient
from PIL import Image

from cloud.__main__ import main
from cloud.settings import MODELS, RESULTS, UPLOADS
from cloud.storage.containers import Storage
from cloud.uploads.events import BlobEvent
from cloud.uploads.upload_worker import UploadWorker
from inference.results.formats import FORMATS
from tests.cloud.helpers import jpeg
from tests.cloud.storage.result_documents import BROKEN, whole

pytestmark = pytest.mark.slow


def test_the_results_below_a_prefix_are_exported(
    worker: UploadWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cloud.cli.export_command.default_storage", lambda: worker.storage)
    for name in ("x/a.jpg", "x/b.jpg"):
        worker.storage.write_json(RESULTS, f"{name}/result.json", whole(name))
    worker.storage.write(UPLOADS, "y/c.jpg", jpeg())
    assert worker.handle(BlobEvent(UPLOADS, "y/c.jpg")).status == "done"
    assert main(["export", "x/", "--out", str(tmp_path / "coco.json")]) == 0
    assert "2 results" in capsys.readouterr().out
    images = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert [i["file_name"] for i in images] == ["x/a.jpg", "x/b.jpg"]
    assert main(["export", "--format", "jsonl", "--out", str(tmp_path / "all.jsonl")]) == 0
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 3


def test_maps_and_label_lists_come_from_storage(
    storage_account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    monkeypatch.setattr("cloud.cli.export_command.default_storage", lambda: storage)
    rows = [{"id": "s/0", "label": "road", "label_id": 1, "area": 3}]
    model = {"name": "lanes", "version": "1", "sha256": "1" * 64}
    step = {"name": "s", "task": "image-segmentation", "model": model, "predictions": rows, "map": "s.png"}
    storage.write_json(RESULTS, "a.jpg/result.json", whole("a.jpg", steps=[step]))
    assert main(["export", "--out", str(tmp_path / "coco.json")]) == 1  # no map yet
    assert "results/a.jpg/s.png: there is no such blob" in capsys.readouterr().err
    ids = np.zeros((10, 10), np.uint8)
    ids[2, 3:6] = 1
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "PNG")
    storage.write(RESULTS, "a.jpg/s.png", buffer.getvalue())
    manifest = 'task = "image-segmentation"\nhead = "semantic"\nlabels = ["sky", "road", "kerb"]\n'
    storage.write(MODELS, "lanes/model.toml", manifest.encode())
    assert main(["export", "--out", str(tmp_path / "coco.json")]) == 0
    made = json.loads((tmp_path / "coco.json").read_text())
    assert [(a["category_id"], a["bbox"], a["area"]) for a in made["annotations"]] == [(2, [3, 2, 3, 1], 3)]
    assert [c["name"] for c in made["categories"]] == ["sky", "road", "kerb"]
    assert capsys.readouterr().err == ""


def test_an_export_of_nothing_is_none(
    storage_account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    monkeypatch.setattr("cloud.cli.export_command.default_storage", lambda: storage)
    storage.ensure_containers(RESULTS)
    assert main(["export", "none/", "--format", "yolo", "--out", str(tmp_path / "set")]) == 1
    assert "there are no results" in capsys.readouterr().err and not (tmp_path / "set").exists()


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_what_is_no_result_is_left_out_named_and_counted(
    form: str,
    storage_account: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    monkeypatch.setattr("cloud.cli.export_command.default_storage", lambda: storage)
    for name in ("a.jpg", "z.jpg"):
        storage.write_json(RESULTS, f"{name}/result.json", whole(name))
    for number, content in enumerate(BROKEN.values()):
        storage.write(RESULTS, f"m{number:02}.jpg/result.json", content)
    assert main(["export", "--format", form, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out'}: 2 results as {form}\n"
    assert f"{len(BROKEN)} of {len(BROKEN) + 2} documents are left out: results/m00.jpg/result.json" in said.err
    assert "results/m04.jpg/result.json is no result of this app and is left out: " in caplog.text


def test_the_pictures_of_a_data_set_are_fetched_where_they_are_the_same_still(
    worker: UploadWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cloud.cli.export_command.default_storage", lambda: worker.storage)
    for name in ("x/a.jpg", "x/b.jpg"):
        etag = worker.storage.write(UPLOADS, name, jpeg())
        document = whole(name)
        document["source"] |= {"etag": etag if name == "x/a.jpg" else '"0x1"', "bytes": len(jpeg())}
        worker.storage.write_json(RESULTS, f"{name}/result.json", document)
    out = tmp_path / "set"
    assert main(["export", "x/", "--format", "yolo", "--out", str(out)]) == 0
    assert "--fetch gets them" in capsys.readouterr().err
    assert main(["export", "x/", "--format", "yolo", "--out", str(out), "--fetch"]) == 0
    assert "1 pictures are not found" in capsys.readouterr().err
    assert [p.relative_to(out).as_posix() for p in out.rglob("*.jpg")] == ["images/x/a.jpg"]
    assert (out / "images/x/a.jpg").read_bytes() == jpeg()
