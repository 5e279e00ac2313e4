"""Results in storage, exported as other tools read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud.__main__ import main
from cloud.settings import UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import jpeg


def test_the_results_below_a_prefix_are_exported(
    worker: UploadWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cloud.cli.export_command.default_storage", lambda: worker.storage)
    for name in ("x/a.jpg", "x/b.jpg", "y/c.jpg"):
        worker.storage.write(UPLOADS, name, jpeg())
        assert worker.handle(BlobEvent(UPLOADS, name)).status == "done"
    assert main(["export", "x/", "--out", str(tmp_path / "coco.json")]) == 0
    assert "2 results" in capsys.readouterr().out
    images = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert [i["file_name"] for i in images] == ["x/a.jpg", "x/b.jpg"]
    assert main(["export", "--format", "jsonl", "--out", str(tmp_path / "all.jsonl")]) == 0
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 3
