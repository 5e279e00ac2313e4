"""`python -m cloud index` and `query`, on a real account."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.__main__ import main
from cloud.cli.query_command import answer
from cloud.drift.drift_entry import LAKE
from cloud.drift.lake import fill
from cloud.index.entry import Query
from cloud.index.rows import Note
from cloud.index.table import UploadTable
from cloud.settings import RESULTS, STATE
from cloud.storage.containers import default_storage
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import BadRequest
from tests.cloud.helpers import drop, jpeg
from tests.cloud.index.notes import entry
from tests.cloud.storage.result_documents import whole

pytestmark = pytest.mark.slow


def test_an_index_is_checked_and_made_anew(
    worker: UploadWorker, index_table: UploadTable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cloud.uploads.index_check._YOUNG_S", -1.0)
    monkeypatch.setattr("cloud.uploads.index_check._AT_ONCE", 2)
    for name in ("a.jpg", "b%41.jpg", "c.jpg"):
        worker.handle(drop(worker, name, jpeg()))
    drop(worker, "waits.jpg", jpeg())
    drop(worker, "a.jpg.route.toml", b"")
    assert main(["index", "check"]) == 1
    assert "0 uploads: 3 have no rows" in capsys.readouterr().out
    index_table.create([Note(entry("gone.jpg"))])
    assert main(["index", "rebuild"]) == 0
    assert "4 uploads written, the rows of 1 that are gone removed" in capsys.readouterr().out
    states = {one.name: one.state for one in index_table.page(Query()).entries}
    assert states == {"a.jpg": "done", "b%41.jpg": "done", "c.jpg": "done", "waits.jpg": "waiting"}
    assert main(["index", "check"]) == 0
    worker.storage.delete(STATE, "receipts/c.jpg")
    index_table.remove(["b%41.jpg"])
    worker.handle(drop(worker, "a.jpg", b"\xff\xd8\xffno picture"))
    capsys.readouterr()
    assert main(["index", "check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["missing"], found["stale"], found["gone"]) == (1, 2, 0)
    assert main(["index", "rebuild", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["uploads"] == 4
    assert {one.name: one.state for one in index_table.page(Query()).entries}["c.jpg"] == "waiting"


def test_queries_see_the_days_of_the_lake_and_nothing_else(
    account: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = default_storage()
    assert main(["query", "SELECT count(*) AS n FROM results", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 0}]
    storage.write_json(RESULTS, "a.jpg/result.json", whole("a.jpg"))
    assert fill(storage, storage.date() + timedelta(hours=1))
    sql = "SELECT name, label, score, date FROM results"
    assert main(["query", sql, "--csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    day = f"{storage.date():%Y-%m-%d}"
    assert rows[0] == ["name", "label", "score", "date"] and rows[1][:3] == ["a.jpg", "cat", "0.9"]
    assert main(["query", sql]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == rows[0]
    assert main(["query", "SELECT count(*) AS n FROM results", "--json", "--until", "2020-01-01"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 0}]
    assert main(["query", "SELECT count(*) AS n FROM results", "--json", "--since", day[:8] + "01"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 1}]
    assert main(["query", "SELEC 1"]) == 1
    assert "cannot be answered" in capsys.readouterr().err
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for other in (f"SELECT * FROM '{secret}'", f"COPY (SELECT 1) TO '{secret}'", "SET enable_external_access = true"):
        with pytest.raises(BadRequest):
            answer(tmp_path / "lake", other)
    assert [blob.name for page in storage.pages(LAKE) for blob in page.blobs if "results/" in blob.name]
