"""The lines of results: what they hold, what is left out of them, and which of them a comparison reads."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cloud.drift import lake
from cloud.drift.drift_rows import collect, inputs, published, rows
from cloud.storage.containers import Storage
from inference.engine.registry import Registry
from inference.errors import StorageUnavailable
from tests.cloud.drift.drift_world import NOW, row, upload

pytestmark = pytest.mark.slow

START = NOW - timedelta(days=20)


def test_lines_are_what_an_azureml_monitor_reads_and_collecting_twice_changes_nothing(
    storage: Storage, registry: Registry
) -> None:
    upload(storage, registry, "old", 3)
    assert collect(storage, NOW) == 3
    assert collect(storage, NOW) == 0
    (page,) = storage.pages("lake")
    names = [blob.name for blob in page.blobs]
    first = min(blob.modified for found in storage.pages("results") for blob in found.blobs)
    hour = first.strftime("%Y/%m/%d/%H")
    assert {name.split("/")[3] for name in names} == {"model_inputs", "model_outputs"}
    assert names[0] == f"modelDataCollector/dropsight/everyday/model_inputs/{hour}/dropsight.jsonl"
    content = storage.read("lake", names[0])
    assert content is not None
    lines = [json.loads(line) for line in content[0].splitlines()]
    expected = {"specversion", "id", "source", "type", "datacontenttype", "time", "data", "correlationid",
                "xrequestid", "modelversion", "collectdatatype", "agent", "contentrange"}  # fmt: skip
    assert set(lines[0]) == expected
    assert lines[0]["type"] == "azureml.inference.model_inputs"
    assert {len(line["data"]) for line in lines} == {1}
    storage.delete("state", "drift/collected.json")
    before = rows(storage, START, NOW)
    collect(storage, NOW)
    assert rows(storage, START, NOW) == before
    assert len(before) == 3 and before[0].model.startswith("classify:") and before[0].numbers["brightness"] > 0


def test_what_is_no_result_is_left_out_and_stops_nothing(
    storage: Storage, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    upload(storage, registry, "old", 2)
    for number, content in enumerate((b"{", b"[1]", b'{"schema": "other/1"}', b'"text"')):
        storage.write("results", f"old-x{number}.jpg/result.json", content)
    assert collect(storage, NOW) == 2
    assert len(lake.fill(storage, NOW)) == 1
    left_out = [line for line in caplog.messages if "is no result of this app" in line]
    assert sorted({line.split()[0] for line in left_out}) == [f"results/old-x{n}.jpg/result.json" for n in range(4)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": None},
        {"steps": [{"predictions": 3}]},
        {"steps": [{"predictions": ["cat"], "model": {"name": "m", "version": "1"}}]},
        {"source": {"name": "x.jpg", "width": "640", "height": 480}},
        {"source": {"name": "x.jpg", "width": 10**400, "height": 3}},
        {"source": []},
        {"trace": None, "source": {}},
        {"route": None, "steps": 7},
    ],
)
def test_a_result_with_fields_of_wrong_types_is_left_out_named_and_counted(
    wrong: dict[str, Any], storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    source = {"name": "old-0.jpg", "etag": "1"}
    good = {"schema": "dropsight/1", "route": "r", "trace": "t", "steps": [], "source": source}
    storage.write_json("results", "old-0.jpg/result.json", good)
    storage.write_json("results", "old-1.jpg/result.json", good | wrong)
    assert collect(storage, NOW) == 1
    assert any("old-1.jpg/result.json" in line and "left out" in line for line in caplog.messages)
    assert any("1 of 2" in line for line in caplog.messages)
    assert [row.name for row in rows(storage, START, NOW)] == ["old-0.jpg"]


def line(number: int, **more: Any) -> dict[str, Any]:
    statistics = {"brightness": 0.5, "label": "cat", "model": "m:1"}
    name = f"cam1/{number}.jpg"
    return {"correlationid": f"t{number}", "xrequestid": name, "time": NOW.isoformat(), "data": [statistics]} | more


def write(storage: Storage, lines: list[Any]) -> str:
    path = f"modelDataCollector/dropsight/r/model_outputs/{NOW:%Y/%m/%d/%H}/dropsight.jsonl"
    texts = [text if isinstance(text, bytes) else json.dumps(text).encode() for text in lines]
    storage.write("lake", path, b"\n".join(texts) + b"\n")
    return path


@pytest.mark.parametrize(
    "broken",
    [b"{", b"\xff\xfe\x00", b"null", b"[]", b"{}", b"[" * 100_000, line(1, time=5), line(1, time="today"),
     line(1, data=[]), line(1, data="x"), line(1, data=[None]), line(1, data=[{"embedding": {"a": 1}}]),
     line(1, data=[{"embedding": ["x"]}])],
)  # fmt: skip
def test_a_broken_line_of_a_collected_file_is_left_out_and_counted(broken: Any, storage: Storage) -> None:
    path = write(storage, [line(0), broken, line(2)])
    counted: Counter[str] = Counter()
    found = rows(storage, NOW - timedelta(hours=1), NOW + timedelta(hours=1), counted)
    assert sorted(row.name for row in found) == ["cam1/0.jpg", "cam1/2.jpg"]
    assert counted == {path: 1}


def test_values_of_wrong_types_count_as_unknown(storage: Storage) -> None:
    odd = {"brightness": "0.5", "width": True, "score": 1e999, "count": 10**400, "label": 7, "model": None, "height": 3}
    write(storage, [line(0, data=[odd | {"embedding": [1.0, float("nan")]}])])
    (read,) = rows(storage, NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    assert (read.numbers, read.label, read.model, read.vector) == ({"height": 3.0}, "", "", None)


def test_of_several_results_of_an_upload_only_the_newest_counts(storage: Storage) -> None:
    earlier = (NOW - timedelta(minutes=5)).isoformat()
    anew = line(0, correlationid="again", data=[{"brightness": 0.9}])
    write(storage, [anew, line(0, time=earlier), line(1)])
    found = {row.name: row for row in rows(storage, NOW - timedelta(hours=1), NOW + timedelta(hours=1))}
    assert {name: row.numbers for name, row in found.items()} == {
        "cam1/0.jpg": {"brightness": 0.9}, "cam1/1.jpg": {"brightness": 0.5}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cam7/2026/11/27/a.jpg", "cam7"),
        ("2026-11-27/cam7/a.jpg", "cam7"),
        ("north/cam7/date=2026-11-27/hour=04/a.jpg", "north/cam7"),
        ("cam7/20261127T101500Z/a.jpg", "cam7"),
        ("camera=7/a.jpg", "camera=7"),
        ("2026/11/27/a.jpg", ""),
        ("a.jpg", ""),
    ],
)
def test_the_folder_of_an_upload_is_its_directory_without_dates(name: str, folder: str) -> None:
    assert row(0, name=name).folder == folder


def test_a_storage_that_is_away_costs_no_statistics(
    storage: Storage, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(storage, registry, "old", 2)
    read = Storage.open

    def away(self: Storage, container: str, name: str, etag: str | None = None) -> Any:
        if container == "uploads":
            raise StorageUnavailable("busy")
        return read(self, container, name, etag)

    monkeypatch.setattr(Storage, "open", away)
    with pytest.raises(StorageUnavailable):  # the hour is done again by a later check
        collect(storage, NOW)
    monkeypatch.setattr(Storage, "open", read)
    assert collect(storage, NOW) == 2
    assert all(row.numbers["brightness"] for row in rows(storage, START, NOW))


def test_a_busy_hour_is_sampled_alike_on_both_sides_and_where_pictures_were_looked_at(
    storage: Storage, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.drift.drift_rows.MOST_PICTURES", 3)
    monkeypatch.setattr("cloud.drift.drift_rows.MOST_ROWS", 3)
    upload(storage, registry, "old", 7)
    collect(storage, NOW)
    found = rows(storage, START, NOW)
    assert 3 <= len(found) <= 6  # an hour, or two
    assert all({"brightness", "count"} <= set(row.numbers) for row in found)


def test_a_sample_of_vectors_is_not_that_of_the_first_folder(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.drift.drift_rows.MOST_VECTORS", 20)
    events = [
        line(n, xrequestid=f"cam{n // 30}/{n}.jpg", data=[{"label": "cat", "embedding": [1.0, n]}]) for n in range(60)
    ]
    write(storage, events)
    found = rows(storage, NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    with_vectors = Counter(row.folder for row in found if row.vector is not None)
    assert with_vectors.total() == 20 and min(with_vectors["cam0"], with_vectors["cam1"]) >= 4


def test_statistics_of_a_picture_are_what_they_say() -> None:
    document = {"source": {"width": 200, "height": 100, "bytes": 9}}
    flat = np.full((32, 32, 3), 51, np.uint8)
    checks = np.indices((32, 32)).sum(0) % 2 * np.uint8(255)
    sharp = inputs(document, np.repeat(checks[..., None], 3, 2))
    assert inputs(document, flat) | {"sharpness": 0} == {
        "width": 200, "height": 100, "bytes": 9, "aspect": 2.0, "brightness": 0.2, "contrast": 0.0, "sharpness": 0
    }  # fmt: skip
    # A checkerboard: half of it white; the Laplacian is +4 or -4 everywhere, so its variance is 16.
    assert (sharp["brightness"], sharp["contrast"]) == (0.5, 0.5)
    assert sharp["sharpness"] == pytest.approx(np.log10(16), abs=1e-4)
    assert inputs(document, None)["brightness"] is None


def test_a_report_shows_what_was_published_and_never_the_upload(storage: Storage) -> None:
    """An upload shows what its route blurs; of a video its poster is shown."""

    def grey(level: int) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (60, 40), (level,) * 3).save(out, "JPEG")
        return out.getvalue()

    for name in ("a.jpg", "a%.jpg", "b.mp4", "none.jpg", "odd.jpg"):
        storage.write("uploads", name, grey(250))
    storage.write_json("results", "a.jpg/result.json", {"artifacts": {"annotated": "k1/annotated.jpg"}})
    storage.write_json("results", "b.mp4/result.json",
                       {"artifacts": {"annotated": "k1/annotated.mp4", "poster": "k1/poster.jpg"}})  # fmt: skip
    storage.write_json("results", "none.jpg/result.json", {"artifacts": {}})
    storage.write_json("results", "odd.jpg/result.json", ["artifacts"])
    for name in ("a.jpg/k1/annotated.jpg", "b.mp4/k1/poster.jpg"):
        storage.write("results", name, grey(20))
    for name in ("a.jpg", "b.mp4"):
        image = published(storage, name)
        assert image is not None and image.getpixel((5, 5)) == (20, 20, 20)
    for name in ("none.jpg", "odd.jpg", "gone.jpg", "../x.jpg"):
        assert published(storage, name) is None
