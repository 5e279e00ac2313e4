"""Production as evidence: statistics, comparison with a baseline, report, gated retraining."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from azure.storage.blob import BlobServiceClient
from PIL import Image, ImageFilter
from scipy.stats import ks_2samp

from cloud.drift import drift_check
from cloud.drift.drift_entry import DriftEntry
from cloud.drift.drift_rows import collect, inputs, rows
from cloud.drift.drift_verdict import Profile, compare, profile
from cloud.storage.containers import Page, Storage
from inference.analysis import analyze
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import BadPipeline, StorageUnavailable
from inference.results.result import Source
from inference.routes import Route, Step
from inference.tables import build

NOW = datetime.now(UTC)
AGO = {"old": timedelta(days=10), "same": timedelta(days=3), "dark": timedelta(hours=5)}


class Aged(Storage):
    """Real storage whose results look as if they had been written some time ago, by the names they have."""

    def pages(self, container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Iterator[Page]:
        for page in super().pages(container, prefix, token, size):
            if container == "results":
                aged = [replace(b, modified=b.modified - AGO[b.name.split("/")[0]]) for b in page.blobs]
                page = replace(page, blobs=aged)
            yield page


@pytest.fixture
def storage(storage_account: str) -> Storage:
    return Aged(BlobServiceClient.from_connection_string(storage_account))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([BUILT_IN])


def picture(seed: int, *, dark: bool = False) -> bytes:
    chance = np.random.default_rng(seed)
    side = int(chance.integers(80, 140))
    image = Image.fromarray(chance.integers(0, 255, (16, 16, 3), dtype=np.uint8)).resize((side, side - 10))
    if dark:
        image = image.point(lambda value: value * 0.25).filter(ImageFilter.GaussianBlur(4))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def upload(storage: Storage, registry: Registry, folder: str, count: int, *, seed: int = 0) -> None:
    """Results of real analyses, written where the app writes them."""
    route = Route("everyday", (Step("classify"), Step("colors")))
    for number in range(count):
        name, data = f"{folder}/{number}.jpg", picture(seed + number, dark=folder == "dark")
        etag = storage.write("uploads", name, data)
        source = Source("uploads", name, etag, len(data))
        document = analyze(data, route, registry, source, artifacts=False).result.to_json()
        storage.write_json("results", f"{name}/result.json", document)


def refuse(_: str) -> datetime:
    raise AssertionError("nothing may be submitted without a person's word")


@pytest.mark.slow
def test_drift_from_the_first_upload_to_an_approved_retraining(storage: Storage, registry: Registry) -> None:
    entry = DriftEntry(retrain="retrain", window_days=2)
    upload(storage, registry, "old", 31)
    drift_check.save_baseline(storage, 30, NOW - timedelta(days=4))
    upload(storage, registry, "same", 31, seed=500)
    same = drift_check.check(storage, entry, NOW - timedelta(days=2), refuse)
    assert (same.status, same.count) == ("ok", 31)
    upload(storage, registry, "dark", 31, seed=900)
    drifted = drift_check.check(storage, entry, NOW, refuse)
    assert drifted.status == "alert"
    assert {shift.feature for shift in drifted.shifts if shift.psi_excess > 0.25} >= {"brightness", "contrast"}
    verdict = storage.read_json("state", "drift/verdict.json")
    assert verdict is not None
    report = storage.read("state", f"{verdict[0]['report']}/report.html")
    contact = storage.read("state", f"{verdict[0]['report']}/contact.jpg")
    assert report is not None and b"brightness" in report[0]
    assert contact is not None and Image.open(io.BytesIO(contact[0])).size == (960, 440)
    drift_check.check(storage, entry, NOW, refuse)  # a request that waits is not made twice
    asked: list[str] = []

    def submit(name: str) -> datetime:
        asked.append(name)
        return NOW

    drift_check.approve(storage, submit)
    assert asked == ["retrain"]
    with pytest.raises(BadPipeline, match="submitted"):
        drift_check.approve(storage, submit)


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
    before = [(row["name"], row["brightness"], row["score"]) for row in rows(storage, NOW - timedelta(days=20), NOW)]
    collect(storage, NOW)
    after = [(row["name"], row["brightness"], row["score"]) for row in rows(storage, NOW - timedelta(days=20), NOW)]
    assert before == after
    assert len(after) == 3


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
    assert all(row["brightness"] is not None for row in rows(storage, NOW - timedelta(days=20), NOW))


@pytest.mark.parametrize(
    ("container", "path", "content"),
    [
        ("state", "drift/baseline.json", b'{"count": 3, "colour": "red"}'),
        ("state", "drift/baseline.json", b"[1]"),
        ("state", "drift/retraining.json", b'{"state": "waiting"}'),
        ("lake", "modelDataCollector/dropsight/r/model_inputs/DAY/dropsight.jsonl", b"{}"),
    ],
)
def test_a_broken_document_is_named_with_what_to_do(
    container: str, path: str, content: bytes, storage: Storage, registry: Registry
) -> None:
    path = path.replace("DAY", f"{NOW:%Y/%m/%d/%H}")
    storage.write(container, path, content)
    with pytest.raises(BadPipeline, match=f"{container}/{path} cannot be read .*: (restore|save) it"):
        drift_check.check(storage, DriftEntry(), NOW, refuse)
        drift_check.approve(storage, refuse)


def test_a_busy_hour_is_sampled_alike_on_both_sides(
    storage: Storage, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(storage, registry, "old", 7)
    collect(storage, NOW)
    monkeypatch.setattr("cloud.drift.drift_rows.MOST_ROWS", 3)
    found = list(rows(storage, NOW - timedelta(days=20), NOW))
    assert 2 <= len(found) <= 6
    assert all({"brightness", "score", "name"} <= set(row) for row in found)


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


def of(seed: int, count: int, shift: float = 0.0, labels: int = 50) -> Profile:
    chance = np.random.default_rng(seed)
    made: list[dict[str, Any]] = [
        {"brightness": float(chance.normal(shift)), "label": str(chance.integers(labels)), "embedding": [1.0, shift]}
        for _ in range(count)
    ]
    return profile(made)


@pytest.mark.slow
def test_chance_alone_rarely_warns_and_a_real_shift_always_does() -> None:
    entry = DriftEntry()
    base = of(1, 300)
    quiet = [compare(base, of(seed, 120), entry).status for seed in range(2, 42)]
    assert quiet.count("ok") >= 38
    assert {compare(base, of(seed, 120, shift=1.0), entry).status for seed in range(2, 22)} == {"alert"}
    assert compare(base, of(9, 120, labels=5), entry).shifts[0].feature == "label"


def test_indices_are_those_of_their_definitions() -> None:
    old, new = of(1, 400, labels=2), of(2, 400, labels=2)
    shift = next(each for each in compare(old, new, DriftEntry()).shifts if each.feature == "label")
    p, q = ((np.array([each.labels["0"], each.labels["1"]]) + 0.5) / 401 for each in (old, new))
    assert shift.psi == pytest.approx(float(np.sum((p - q) * np.log(p / q))), abs=1e-4)
    m = (p + q) / 2
    js = np.sqrt((np.sum(p * np.log2(p / m)) + np.sum(q * np.log2(q / m))) / 2)
    assert shift.js == pytest.approx(float(js), abs=1e-4)
    turned = compare(old, of(2, 400, shift=1.0), DriftEntry())
    assert turned.embedding == pytest.approx(1 - 1 / np.sqrt(2), abs=1e-3)


@pytest.mark.parametrize("now", [1.0, 6.0])
def test_a_constant_that_becomes_another_one_is_drift(now: float) -> None:
    def cameras(count: float) -> Profile:
        return profile([{"count": count, "label": "person"} for _ in range(60)])

    assert compare(cameras(3.0), cameras(now), DriftEntry()).status == "alert"
    assert compare(cameras(3.0), cameras(3.0), DriftEntry()).status == "ok"


def test_numbers_are_compared_as_a_reference_does() -> None:
    chance = np.random.default_rng(0)
    old, new = chance.normal(0, 1, 500), chance.normal(0.3, 1.2, 400)
    before, now = (profile([{"brightness": float(value), "label": "x"} for value in each]) for each in (old, new))
    shift = next(each for each in compare(before, now, DriftEntry()).shifts if each.feature == "brightness")
    bounds = [-np.inf, *np.quantile(old, np.linspace(0, 1, 11)[1:-1]), np.inf]
    p, q = ((np.histogram(each, bounds)[0] + 0.5) / (len(each) + 5) for each in (old, new))
    assert shift.psi == pytest.approx(float(np.sum((q - p) * np.log(q / p))), abs=1e-4)
    reference = ks_2samp(old, new)
    assert shift.ks == pytest.approx(reference.statistic, abs=1e-4)
    assert shift.p == pytest.approx(reference.pvalue)


def test_too_little_evidence_says_so() -> None:
    assert compare(of(1, 300), of(2, 9), DriftEntry()).status == "unknown"


def test_wrong_drift_entries_are_answered() -> None:
    with pytest.raises(BadPipeline, match="x: unknown key 'warnin'; did you mean 'warning'"):
        build(DriftEntry, {"warnin": 0.1}, "x", BadPipeline)
    with pytest.raises(BadPipeline, match="at most alert"):
        build(DriftEntry, {"warning": 0.5}, "x", BadPipeline)
