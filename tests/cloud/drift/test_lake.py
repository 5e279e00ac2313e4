"""The lake: Parquet that other readers take, each result in it once, and the queries of the docs on real files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import BlobServiceClient

from cloud import health_parts as health
from cloud.drift import lake
from cloud.drift.drift_rows import collect
from cloud.settings import RESULTS
from cloud.storage.containers import BlobInfo, Page, Storage
from inference.errors import MissingPackage
from inference.routes import Route, Step
from inference.video.options import VideoOptions
from tests.cloud.storage.result_documents import BROKEN, whole

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[3] / "docs/azureml.md"
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


class Aged(Storage):
    """Real storage whose results look as if they had been written some hours ago."""

    ages: dict[str, float]

    def pages(self, container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Iterator[Page]:
        for page in super().pages(container, prefix, token, size):
            if container == RESULTS:
                aged = [replace(b, modified=NOW - HOUR * self.ages[b.name.split("/")[0]]) for b in page.blobs]
                page = replace(page, blobs=aged)
            yield page

    def add(self, name: str, hours_ago: float, **changes: Any) -> None:
        self.ages[name] = hours_ago
        self.write_json(RESULTS, f"{name}/result.json", whole(name, **changes))

    def download(self, folder: Path) -> None:
        """The Parquet files, as the docs' queries want them."""
        for page in self.pages("lake", "results/"):
            for blob in page.blobs:
                found = self.read("lake", blob.name)
                assert found is not None
                target = folder / blob.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(found[0])


@pytest.fixture
def storage(storage_account: str) -> Aged:
    made = Aged(BlobServiceClient.from_connection_string(storage_account))
    made.ages = {}
    return made


def queries() -> list[str]:
    """The SQL of the docs, in order: first the view, then what is asked of it."""
    return re.findall(r"```sql\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)


def answers(folder: Path, *more: str) -> list[list[Any]]:
    """Of every query of the docs, and of more, after the view was made."""
    view, *asked = queries()
    with chdir(folder), duckdb.connect() as connection:
        connection.execute(view)
        return [connection.execute(query).fetchall() for query in [*asked, *more]]


def step(label: str, score: float) -> dict[str, Any]:
    made: dict[str, Any] = whole()["steps"][0]
    return made | {"predictions": [{"id": "s/0", "label": label, "score": score}]}


ROWS = "select name, route, label from results order by all"


@pytest.mark.slow
def test_the_queries_of_the_docs_count_every_upload_once_however_often_it_was_analysed(
    storage: Aged, tmp_path: Path
) -> None:
    storage.add("once", 100)
    storage.add("twice", 100, steps=[step("cat", 0.9), step("dog", 0.8)])
    storage.add("other route", 99)
    storage.add("same hour", 50)
    before = NOW - 40 * HOUR
    assert len(lake.fill(storage, before)) == 3
    assert lake.fill(storage, before) == []
    # Replaced, replayed, by another route; once within its hour, before that was in the lake.
    storage.add("twice", 30, steps=[step("person", 0.4)])
    storage.add("other route", 30, route="by night")
    storage.add("late", 29, route="first")
    storage.add("late", 29)
    assert len(lake.fill(storage, NOW)) == 2
    storage.download(tmp_path)
    old = min(tmp_path.rglob("*.parquet"))
    lacking = pq.read_table(old).drop_columns(["threshold", "id"])  # as a release before 0.2.0 wrote it
    pq.write_table(lacking, old)
    by_day, unsure, rows = answers(tmp_path, ROWS)
    assert rows == [
        ("late", "r", "cat"), ("once", "r", "cat"), ("other route", "by night", "cat"), ("same hour", "r", "cat"),
        ("twice", "r", "person"),
    ]  # fmt: skip
    assert unsure == [("twice", "person", 0.4)]
    assert {label for _, label, _ in by_day} == {"cat"}
    assert sum(count for _, _, count in by_day) == 3  # not "once": nobody knows its threshold


@pytest.mark.slow
def test_hours_without_their_times_count_and_give_way_to_newer_results(storage: Aged, tmp_path: Path) -> None:
    storage.add("a", 100)
    storage.add("b", 100)
    lake.fill(storage, NOW - 40 * HOUR)
    storage.download(tmp_path)
    [old] = tmp_path.rglob("*.parquet")
    pq.write_table(pq.read_table(old).drop_columns(["written", "threshold", "id"]), old)
    storage.add("b", 3, route="new")
    lake.fill(storage, NOW)
    written = old.read_bytes()
    storage.download(tmp_path)
    old.write_bytes(written)
    assert answers(tmp_path, ROWS)[-1] == [("a", "r", "cat"), ("b", "new", "cat")]


def test_filling_from_the_beginning_gives_the_same_rows(storage: Aged, tmp_path: Path) -> None:
    for name, age in (("a", 100), ("b", 99), ("c", 99)):
        storage.add(name, age)
    files = []
    for _ in range(2):
        lake.fill(storage, NOW)
        storage.delete("state", lake.MARK)
        storage.download(tmp_path)
        files.append([pq.read_table(path).to_pylist() for path in sorted(tmp_path.rglob("*.parquet"))])
    assert files[0] == files[1] and len(files[0]) == 2


def test_broken_documents_stop_neither_the_lake_nor_drift(
    storage: Aged, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage.add("a", 5)
    storage.add("caf\u00e9", 5)
    for number, content in enumerate(BROKEN.values()):
        storage.ages[f"x{number}"] = 5
        storage.write(RESULTS, f"x{number}/result.json", content)
    [path] = lake.fill(storage, NOW)
    assert collect(storage, NOW) == 2
    storage.download(tmp_path)
    assert pq.read_table(tmp_path / path)["name"].to_pylist() == ["a", "caf\u00e9"]
    counted = [line for line in caplog.messages if f"{len(BROKEN)} of {len(BROKEN) + 2} documents are left out" in line]
    assert len(counted) == 2 and "results/x0/result.json" in counted[0]
    assert lake.fill(storage, NOW) == [] and collect(storage, NOW) == 0


def test_half_a_character_of_a_files_name_stops_no_hour(tmp_path: Path) -> None:
    blob = BlobInfo("r/result.json", "0x2", 1, NOW, NOW)
    file = tmp_path / "results.parquet"
    assert lake._write(file, [(blob, whole("caf\udce9.jpg"))]) == 1
    assert pq.read_table(file)["name"].to_pylist() == ["caf?.jpg"]


@pytest.mark.slow
def test_the_lake_has_the_schema_and_the_rows_that_other_readers_expect(tmp_path: Path) -> None:
    number, real, text = pa.int64(), pa.float64(), pa.string()
    kinds = {"bytes": number, "width": pa.int32(), "height": pa.int32(), "duration_s": real, "wall_ms": real,
             "written": pa.timestamp("us", tz="UTC"), "number": pa.int32(), "score": real, "track": number,
             "threshold": real, **dict.fromkeys(("x1", "y1", "x2", "y2"), pa.float32())}  # fmt: skip
    schema = pa.schema([(name, kinds.get(name, text)) for name in lake.COLUMNS])
    written = datetime(2026, 11, 23, 4, 5, 6, 789012, tzinfo=UTC)
    source = {"name": 'a "b", c\n\u00fc.jpg', "etag": "0x1", "bytes": 2**40, "width": 640, "height": 480}
    document = {
        "source": source, "route": "r", "status": "ok", "cost": {"wall_ms": 0.1},
        "steps": [
            {"name": "s", "task": "t", "model": {"name": "m", "version": "1"}, "threshold": 0.4, "predictions": [
                {"id": "s/0", "label": "null", "score": 0.1 + 0.2, "box": [0.1, 2, 3.25, 4], "track": 7},
                {"label": "", "score": 1}]},
            {"name": "none", "task": "t", "model": {"name": "m", "version": "01"}, "predictions": []},
        ],
    }  # fmt: skip
    blob = BlobInfo("r/result.json", "0x2", 1, written, written)
    file = tmp_path / "results.parquet"
    assert lake._write(file, [(blob, document)] * 3) == 9
    table = pq.read_table(file)
    assert table.schema.equals(schema)
    expected = [row | {"written": written} for row in lake._rows(blob, document)] * 3
    assert table.equals(pa.Table.from_pylist(expected, schema=schema))
    assert table.column("number").to_pylist()[:3] == [0, 1, None]
    assert lake._write(file, []) == 0 and pq.read_table(file).schema.equals(schema)


def test_a_lake_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingPackage, match="requirements-lake.txt"):
        lake._write(tmp_path / "a.parquet", [])
    monkeypatch.setattr(health, "installed", lambda name: False)
    with pytest.raises(MissingPackage, match=r"\[lake\] in pipelines.toml.*requirements-lake.txt"):
        health.extras_of([], lake=True)
    assert health.extras_of([], lake=False) == dict.fromkeys(("cv2", "duckdb"), "not installed, and not needed")
    with pytest.raises(MissingPackage, match=r"route 'f'.*requirements-flow.txt"):
        health.extras_of([Route("f", (Step("faces"),), video=VideoOptions(camera_motion=True))], lake=False)
