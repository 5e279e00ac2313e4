"""The check from uploads to a report: baselines of other releases, broken documents, how long a verdict counts."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cloud.azureml.expressions import Facts
from cloud.drift import drift_check
from cloud.drift.drift_entry import DriftEntry
from cloud.drift.drift_profile import MOST_KEPT, from_json, profile
from cloud.drift.drift_verdict import compare
from cloud.drift.freshness import good_until, stale
from cloud.drift.retraining import Receipt, approve
from cloud.pipelines_file import Pipelines
from cloud.storage.containers import Storage
from inference.engine.registry import Registry
from inference.errors import BadPipeline
from inference.tables import build
from tests.cloud.drift.drift_world import NOW, row, upload
from tests.cloud.drift.test_retraining import refuse

# As release 0.1.0 wrote it.
EARLIER = {"count": 90, "numbers": {"score": [0.5]}, "labels": {"cat": 90}, "centroid": [], "until": NOW.isoformat()}


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
    assert verdict is not None and verdict[0]["good_until"] == (NOW + timedelta(hours=3)).isoformat()
    report = storage.read("state", f"{verdict[0]['report']}/report.html")
    contact = storage.read("state", f"{verdict[0]['report']}/contact.jpg")
    assert report is not None and b"route everyday: alert" in report[0] and b"<td>brightness" in report[0]
    assert contact is not None and Image.open(io.BytesIO(contact[0])).size == (960, 440)
    asked: list[str] = []

    def submit(name: str, at: Any) -> Receipt:
        asked.append(name)
        return SimpleNamespace(state="submitted", run={"id": "1"}, why="")

    # A person's word needs no verdict of today.
    assert approve(storage, NOW + timedelta(days=3), submit).state == "submitted"
    assert asked == ["retrain"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("drift/baseline.json", b'{"count": 3, "colour": "red"}'),
        ("drift/baseline.json", b"[1]"),
        ("drift/baseline.json", b'{"schema": "dropsight-baseline/2", "count'),
        ("drift/retraining.json", b'{"state": "waiting"}'),
    ],
)
def test_a_broken_document_is_named_with_what_to_do(path: str, content: bytes, storage: Storage) -> None:
    storage.write("state", path, content)
    with pytest.raises(BadPipeline, match=f"state/{path} cannot be read .*: (restore|save) it"):
        drift_check.check(storage, DriftEntry(), NOW, refuse)


WRONG: list[dict[str, Any]] = [
    {"rows": []}, {"rows": {}}, {"vectors": None}, {"vectors": [{}]}, {"until": 5}, {"until": "x"}, {"count": "many"}
]  # fmt: skip
WRONG_COLUMNS: list[dict[str, Any]] = [
    {"hour": [25]}, {"hour": ["x"]}, {"hour": [10**400]}, {"route": [3]}, {"label": "cat"}, {"score": ["x"]},
    {"score": [float("inf")]}, {"score": [1, 2]}, {"width": [[1], [2, 3]]}, {"model": None},
]  # fmt: skip


@pytest.mark.parametrize("wrong", [*WRONG, *({"rows": column} for column in WRONG_COLUMNS)])
def test_a_baseline_with_fields_of_wrong_types_is_named(wrong: dict[str, Any], storage: Storage) -> None:
    good = profile([row(0, score=0.5, vector=[1.0, 2.0])], NOW).to_json()
    if wrong.get("rows"):
        wrong = {"rows": good["rows"] | wrong["rows"]}
    storage.write("state", "drift/baseline.json", json.dumps(good | wrong).encode())
    with pytest.raises(BadPipeline, match="state/drift/baseline.json cannot be read .*: save it anew"):
        drift_check.check(storage, DriftEntry(), NOW, refuse)


@pytest.mark.parametrize("stored", [EARLIER, EARLIER | {"more": 1}, {"schema": "dropsight-baseline/3"}])
def test_a_baseline_of_another_release_is_asked_for_anew(stored: dict[str, Any], storage: Storage) -> None:
    storage.write_json("state", "drift/baseline.json", stored)
    verdict = drift_check.check(storage, DriftEntry(), NOW, refuse)
    assert verdict.status == "unknown" and "python -m cloud drift baseline" in verdict.why


def test_a_stored_baseline_compares_as_the_rows_it_was_made_of() -> None:
    chance = np.random.default_rng(1)
    made = profile(
        [row(n, folder=f"c{n % 3}", hour=n % 24, vector=chance.normal(1, 0.3, 8), score=float(chance.random()),
             **({"brightness": 0.5} if n % 2 else {})) for n in range(300)], NOW
    )  # fmt: skip
    read = from_json(json.loads(json.dumps(made.to_json() | {"colour": "red"})))
    assert read is not None and read.until == NOW
    window = profile([row(n, hour=n % 24, folder="c1", vector=chance.normal(1, 0.3, 8), score=0.5) for n in range(99)])
    before, after = compare(made, window, DriftEntry()), compare(read, window, DriftEntry())
    assert before.shifts == after.shifts and before.status == after.status == "alert"
    assert [turn.distance for turn in before.turns] == pytest.approx([turn.distance for turn in after.turns], abs=1e-3)


@pytest.mark.slow
def test_a_baseline_stays_small() -> None:
    chance = np.random.default_rng(1)
    scores = chance.random(MOST_KEPT + 500).round(4).tolist()
    rows = [row(n, folder=f"cam{n % 40}", hour=n % 24, score=score) for n, score in enumerate(scores)]
    vectors = [row(n, folder=f"cam{n % 40}", hour=n % 24, vector=chance.normal(0, 1, 512)) for n in range(2000)]
    made = profile([*rows, *vectors], NOW)
    assert (made.count, len(made.route)) == (MOST_KEPT + 2500, MOST_KEPT)
    assert len(json.dumps(made.to_json())) < 10_000_000


def test_a_line_that_cannot_be_read_is_counted_in_the_verdict_and_ends_nothing(storage: Storage) -> None:
    path = f"modelDataCollector/dropsight/r/model_inputs/{NOW:%Y/%m/%d/%H}/dropsight.jsonl"
    storage.write("lake", path, b"{}\n{\n")
    verdict = drift_check.check(storage, DriftEntry(), NOW, refuse)
    assert f"2 lines that cannot be read are left out, of lake/{path}" in verdict.why
    assert storage.read_json("state", "drift/verdict.json") is not None


def test_a_retrain_that_names_no_pipeline_is_said_at_the_check(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = "pipelines.toml: [drift]: retrain is 'x', which is no usable [[pipeline]] of this file"
    monkeypatch.setattr(drift_check, "pipelines", lambda: Pipelines(problems=("pipelines.toml: other", problem)))
    why = drift_check.check(storage, DriftEntry(), NOW, refuse).why
    assert problem in why and "other" not in why


def facts(storage: Storage) -> str:
    def service() -> Any:
        raise AssertionError("not asked")

    return Facts(storage, service, None).drift


def test_a_verdict_that_is_too_old_starts_nothing(storage: Storage) -> None:
    assert facts(storage) == "unknown"
    for age, until, expected in (
        (timedelta(hours=4), timedelta(hours=3), "unknown"),
        (timedelta(hours=4), timedelta(hours=5), "alert"),
        (timedelta(days=1), None, "alert"),
        (timedelta(days=3), None, "unknown"),  # an earlier release does not say
    ):
        at = NOW - age
        more = {"good_until": (at + until).isoformat()} if until else {}
        storage.write_json("state", "drift/verdict.json", {"status": "alert", "at": at.isoformat(), "x": 1, **more})
        assert facts(storage) == expected
        said = stale(storage, DriftEntry(), NOW)
        assert ("the newest verdict is of" in said and "drift check" in said) == (expected == "unknown")


@pytest.mark.parametrize(
    "wrong", [{"status": "red"}, {"status": 3}, {"at": 5}, {"at": "today"}, {"good_until": [1]}, {"good_until": "x"}]
)
def test_a_verdict_with_fields_of_wrong_types_is_named(wrong: dict[str, Any], storage: Storage) -> None:
    storage.write_json("state", "drift/verdict.json", {"status": "ok", "at": NOW.isoformat()} | wrong)
    with pytest.raises(BadPipeline, match="state/drift/verdict.json cannot be read"):
        facts(storage)


def test_a_check_that_never_gave_a_verdict_is_said_after_a_while(storage: Storage) -> None:
    assert stale(storage, DriftEntry(), NOW + timedelta(days=9)) == ""  # nothing was ever asked of it
    storage.write_json("state", "drift/baseline.json", {})
    assert stale(storage, DriftEntry(), NOW + timedelta(hours=1)) == ""
    assert "no check has given a verdict since" in stale(storage, DriftEntry(), NOW + timedelta(hours=4))
    assert stale(storage, DriftEntry("0 0 4 * * *"), NOW + timedelta(hours=4)) == ""


@pytest.mark.parametrize(
    ("schedule", "days"), [("0 20 * * * *", 3 / 24), ("0 0 4 * * *", 2 + 1 / 24), ("0 0 4 * * 1-5", 6 + 1 / 24)]
)
def test_a_verdict_counts_until_two_checks_were_missed(schedule: str, days: float) -> None:
    assert good_until(schedule, NOW) == NOW + timedelta(days=days)
    assert good_until("0 0 0 1 * *", NOW) > NOW + timedelta(days=31)


def test_wrong_drift_entries_are_answered() -> None:
    with pytest.raises(BadPipeline, match="x: unknown key 'warnin'; did you mean 'warning'"):
        build(DriftEntry, {"warnin": 0.1}, "x", BadPipeline)
    with pytest.raises(BadPipeline, match="at most alert"):
        build(DriftEntry, {"warning": 0.5}, "x", BadPipeline)
