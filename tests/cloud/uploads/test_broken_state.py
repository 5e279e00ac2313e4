"""A broken receipt, or mark of the sweep, stops nothing but itself, is named, and loses nothing of its upload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloud import instance
from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.uploads.sweep import sweep
from cloud.uploads.sweep_mark import MARK
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.broken_state import READABLE, WAYS, broken
from tests.cloud.helpers import document, drop, jpeg, names, receipt

pytestmark = pytest.mark.slow

RECEIPT = "receipts/b.jpg"
UNREADABLE = [way for way in WAYS if way not in READABLE]


def put_broken(worker: UploadWorker, name: str, way: str, key: str, wrong: object) -> None:
    worker.storage.write(STATE, name, broken(document(worker, STATE, name), way, key, wrong))


@pytest.mark.slow
@pytest.mark.parametrize("found_by", ["sweep", "event"])
def test_broken_receipts_begin_anew_once_and_stop_no_other(
    found_by: str, worker: UploadWorker, analyses: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", *WAYS, "z"):
        worker.handle(drop(worker, f"{name}.jpg", jpeg()))
    before = document(worker, RESULTS, "a.jpg/result.json")
    for way in WAYS:
        put_broken(worker, f"receipts/{way}.jpg", way, "attempt", "many")
    worker.storage.write(UPLOADS, "new.jpg", jpeg())
    analyses.clear()
    for way in WAYS if found_by == "event" else ():
        assert worker.handle(BlobEvent(UPLOADS, f"{way}.jpg")).status == "done"
    assert sweep(worker, 60).complete
    assert sorted(analyses) == sorted(f"{name}.jpg" for name in [*UNREADABLE, "new"])
    assert [way for way in WAYS if f"{STATE}/receipts/{way}.jpg" in caplog.text] == UNREADABLE
    for way in WAYS:
        assert (receipt(worker, f"{way}.jpg").state, receipt(worker, f"{way}.jpg").attempt) == ("done", 1)
    assert document(worker, RESULTS, "a.jpg/result.json") == before
    assert len([name for name in names(worker, RESULTS) if name.endswith("result.json")]) == len(WAYS) + 3
    assert sweep(worker, 60).unfinished == 0


def test_numbers_that_cannot_be_and_what_no_listing_can_say_begin_anew(worker: UploadWorker) -> None:
    """Else an upload is tried for ever or never again, taken from its worker at once, or can never be written."""
    wrong: dict[str, Any] = {"attempt": -1_000, "lease_s": -1.0, "digest": "0" * 9_000, "key": {"of": "a.jpg"}}
    for key, value in {**wrong, "attempt ": 10**9}.items():
        worker.handle(drop(worker, f"{key}.jpg", jpeg()))
        document_ = document(worker, STATE, f"receipts/{key}.jpg")
        worker.storage.write_json(STATE, f"receipts/{key}.jpg", {**document_, "state": "retry", key.strip(): value})
    assert sweep(worker, 60).processed == 5
    states = [receipt(worker, f"{key}.jpg") for key in (*wrong, "attempt ")]
    assert [(now.state, now.attempt) for now in states] == [("done", 1)] * 5


def test_what_a_broken_receipt_knew_is_not_lost(worker: UploadWorker) -> None:
    """Its sidecar, its error record, and the files of its older result."""
    worker.handle(drop(worker, "b.jpg", b"no picture"))
    assert names(worker, ERRORS) == ["b.jpg.json"]
    worker.handle(drop(worker, "b.jpg", jpeg()))
    worker.handle(drop(worker, "b.jpg.route.toml", b'route = "classify"'))
    assert document(worker, RESULTS, "b.jpg/result.json")["route"] == "classify"
    worker.storage.write(ERRORS, "b.jpg.json", b"{}")
    files = set(names(worker, RESULTS))
    worker.storage.write(STATE, RECEIPT, b"{half")
    assert worker.handle(drop(worker, "b.jpg", jpeg(7))).status == "done"
    assert document(worker, RESULTS, "b.jpg/result.json")["route"] == "classify"
    assert names(worker, ERRORS) == []
    assert set(names(worker, RESULTS)) & files == {"b.jpg/result.json"}


def test_attempts_are_counted_from_a_receipt_that_began_anew(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=2)
    drop(worker, "b.jpg", jpeg())
    worker.storage.write(STATE, RECEIPT, b"[]")

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError("the same again")

    monkeypatch.setattr(worker, "analyze", fails)
    reports = [sweep(worker, 60) for _ in range(3)]
    assert [report.unfinished for report in reports] == [1, 1, 0]
    assert (receipt(worker, "b.jpg").state, receipt(worker, "b.jpg").attempt) == ("failed", 2)
    assert names(worker, ERRORS) == ["b.jpg.json"]


@pytest.mark.slow
def test_a_broken_receipt_of_a_sidecar_notes_it_again(worker: UploadWorker) -> None:
    for way in WAYS:
        worker.handle(drop(worker, f"{way}.jpg", jpeg()))
        worker.handle(drop(worker, f"{way}.jpg.route.toml", b'route = "classify"'))
        put_broken(worker, f"receipts/{way}.jpg.route.toml", way, "key", 5)
    sweep(worker, 60)
    for way in WAYS:
        assert receipt(worker, f"{way}.jpg.route.toml").state == "done"
        assert document(worker, RESULTS, f"{way}.jpg/result.json")["route"] == "classify"
    assert sweep(worker, 60).unfinished == 0


def test_a_broken_mark_of_the_sweep_begins_at_the_beginning_and_is_named(
    worker: UploadWorker, caplog: pytest.LogCaptureFixture
) -> None:
    mark: dict[str, Any] = {"uploads": None, "receipts": None}
    for number, way in enumerate(WAYS):
        drop(worker, f"{number}.jpg", jpeg(number))
        worker.storage.write(STATE, MARK, broken(mark, way, "uploads", 5))
        caplog.clear()
        report = sweep(worker, 60)
        assert report.complete and (report.seen, report.processed) == (number + 1, 1)
        assert (f"{STATE}/{MARK} is no mark" in caplog.text) == (way not in (*READABLE, "{}"))
    assert MARK not in names(worker, STATE)


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_message_is_dropped_and_named(way: str, caplog: pytest.LogCaptureFixture) -> None:
    whole = {"job": "0" * 24, "stage": "detect", "part": 0}
    if way not in READABLE:
        instance.on_message(broken(whole, way, "part", "first"), 1, lambda: None)
        instance.on_poison(broken(whole, way, "job", 7))
        assert [line.endswith(": dropped") for line in caplog.messages] == [True, True]
    else:
        assert instance._message(broken(whole, way, "part", 0)) is not None
