"""Results as Parquet: read by others, written twice without a change."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud import health
from cloud.drift import lake
from cloud.storage.containers import BlobInfo, Storage
from inference.engine.registry import Registry
from inference.errors import MissingPackage
from inference.routes import Route, Step
from inference.video.options import VideoOptions
from tests.cloud.drift.drift_world import AGO, NOW, upload


@pytest.mark.slow
def test_the_lake_is_read_by_duckdb_and_filling_it_twice_changes_nothing(
    storage: Storage, registry: Registry, tmp_path: Any
) -> None:
    upload(storage, registry, "old", 4)
    upload(storage, registry, "same", 3)
    written = lake.fill(storage, NOW)
    assert lake.fill(storage, NOW) == []
    day = (NOW - AGO["old"]).date().isoformat()
    assert written[0].startswith("results/date=")

    def query() -> list[Any]:
        for path in written:
            found = storage.read("lake", path)
            assert found is not None
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(found[0])
        answer = duckdb.sql(
            f"select date::varchar, count(distinct name), sum((step = 'classify')::int), max(score) <= 1 "
            f"from read_parquet('{tmp_path}/results/*/*.parquet', hive_partitioning = true) group by 1 order by 1"
        )
        assert answer is not None
        return list(answer.fetchall())

    answer = query()
    assert [row[1] for row in answer] == [4, 3]
    assert answer[0][0] == day
    assert answer[0][2] >= 4
    storage.delete("state", lake.MARK)
    lake.fill(storage, NOW)
    assert query() == answer


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
