"""One upload, from its event to its result, on a real Azurite and the real engine: nothing lost, nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import inference.analysis as engine
from cloud import instance
from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.uploads import publish
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import Calls, document, drop, during_analysis, jpeg, names, receipt
from tests.processes import eventually


def test_a_photo_becomes_a_document_and_everything_it_names(worker: UploadWorker) -> None:
    assert worker.handle(drop(worker, "street/a.jpg", jpeg())) == Outcome("done", 1)
    found = document(worker, RESULTS, "street/a.jpg/result.json")
    upload = worker.storage.head(UPLOADS, "street/a.jpg")
    assert upload
    assert found["source"] | {"container": "uploads", "name": "street/a.jpg", "etag": upload.etag} == found["source"]
    assert found["status"] == "ok"
    assert found["artifacts"]
    for file in found["artifacts"].values():
        assert worker.storage.head(RESULTS, f"street/a.jpg/{file}")
    assert receipt(worker, "street/a.jpg").state == "done"
    assert names(worker, ERRORS) == []


@pytest.mark.slow
def test_how_far_the_work_is_can_be_read_while_the_lease_is_renewed(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, real = make_worker(lease_seconds=0.4), engine.analyze

    def share() -> float | None:
        (page,) = worker.ledger.store.pages("a.jpg")
        return page.summaries[0].share

    def analyze(*arguments: Any, progress: Any, **options: Any) -> Any:
        assert share() is None
        progress(3, 4)
        eventually(lambda: share() == 0.75, "the share is in the listing")
        progress(5, 4)  # what a header claimed was too little
        eventually(lambda: share() == 1.0, "never more than all")
        progress(6, None)
        eventually(lambda: share() is None, "unknown")
        return real(*arguments, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
    assert worker.handle(drop(worker, "a.jpg", jpeg())) == Outcome("done", 1)
    assert receipt(worker, "a.jpg").share is None


def test_six_storage_calls_three_of_them_the_ledgers(make_worker: Callable[..., UploadWorker], calls: Calls) -> None:
    worker = make_worker(lease_seconds=600.0)  # on a busy machine a short lease is renewed, which is a call more
    event = drop(worker, "a.jpg", jpeg(), dropsight_route="classify")
    calls.seen.clear()
    worker.handle(event)
    path = f"a.jpg/{receipt(worker, 'a.jpg').folder}/annotated.jpg"
    made = [call.removeprefix("PUT ").split("?")[0] for call in calls.seen]
    assert [call.split(" ")[0] for call in calls.seen[:6]] == ["GET", "PUT", "PUT", "HEAD", "PUT", "PUT"]
    assert made[1] == made[5] == "state/receipts/a.jpg"
    # A loop without a ledger: read the photo, write the picture, write the document.
    assert (made[2], made[4]) == (f"results/{path}", "results/a.jpg/result.json")
    assert len(calls) == 7  # the seventh is this test's own reading of the receipt


def test_a_second_delivery_costs_three_calls_and_no_analysis(
    worker: UploadWorker, calls: Calls, analyses: list[str]
) -> None:
    event = drop(worker, "a.jpg", jpeg())
    worker.handle(event)
    calls.seen.clear()
    assert worker.handle(event) == Outcome("done")
    assert len(calls) == 3
    assert analyses == ["a.jpg"]


def test_delivered_to_many_threads_at_once_it_is_analysed_once(worker: UploadWorker, analyses: list[str]) -> None:
    event, together = drop(worker, "a.jpg", jpeg()), threading.Barrier(4)

    def deliver(_: int) -> Outcome:
        together.wait()
        return worker.handle(event)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(deliver, range(4)))
    assert analyses == ["a.jpg"]
    assert sum(each == Outcome("done", 1) for each in outcomes) == 1


@pytest.mark.slow
def test_of_many_threads_only_so_many_work_at_once(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, real = make_worker(max_concurrent=2), engine.analyze
    counting, inside, most = threading.Lock(), 0, 0

    def analyze(*args: Any, **options: Any) -> Any:
        nonlocal inside, most
        with counting:
            inside, most = inside + 1, max(most, inside + 1)
        time.sleep(0.02)  # long enough for the others to come in, were they let
        try:
            return real(*args, **options)
        finally:
            with counting:
                inside -= 1

    monkeypatch.setattr(engine, "analyze", analyze)
    events = [drop(worker, f"{number}.jpg", jpeg(number)) for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert {outcome.status for outcome in pool.map(worker.handle, events)} == {"done"}
    assert most == 2


def test_overwritten_during_the_analysis_the_newest_content_wins(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, analyses: list[str]
) -> None:
    event = drop(worker, "a.jpg", jpeg(1, side=64))
    during_analysis(monkeypatch, lambda: drop(worker, "a.jpg", jpeg(2, side=80)))
    assert worker.handle(event).status == "done"
    found = document(worker, RESULTS, "a.jpg/result.json")
    assert found["source"]["width"] == 80
    assert analyses == ["a.jpg", "a.jpg"]
    # Nothing of the version in between is left.
    assert {name.split("/")[1] for name in names(worker, RESULTS)} == {
        "result.json",
        receipt(worker, "a.jpg").folder,
    }


def test_a_slow_worker_does_not_publish_over_a_newer_version(
    worker: UploadWorker, make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a worker that has just seen that the upload is unchanged WHEN another finishes a newer version
    event, other = drop(worker, "a.jpg", jpeg(1, side=64)), make_worker()
    real, left = publish.current_upload, [True]

    def current_upload(*args: Any) -> Any:
        answer = real(*args)
        if left:
            left.clear()
            assert other.handle(drop(other, "a.jpg", jpeg(2, side=80))).status == "done"
        return answer

    monkeypatch.setattr(publish, "current_upload", current_upload)
    # THEN its own document is refused by the version it was based on, and the newer one stays.
    assert worker.handle(event) == Outcome("done")
    assert document(worker, RESULTS, "a.jpg/result.json")["source"]["width"] == 80


def test_an_overwritten_upload_replaces_its_result_and_its_artifacts(worker: UploadWorker) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg(1, side=64)))
    first = receipt(worker, "a.jpg").folder
    # A hostile upload whose results lie in that very folder keeps them.
    worker.handle(drop(worker, f"a.jpg/{first}/x.jpg", jpeg(3)))
    worker.handle(drop(worker, "a.jpg", jpeg(2, side=80)))
    second = receipt(worker, "a.jpg").folder
    found = names(worker, RESULTS)
    assert f"a.jpg/{second}/sketch.jpg" in found
    assert f"a.jpg/{first}/sketch.jpg" not in found
    assert f"a.jpg/{first}/x.jpg/result.json" in found


def test_a_corrupt_file_is_recorded_at_once_and_its_correction_removes_the_record(worker: UploadWorker) -> None:
    event = drop(worker, "a.jpg", jpeg(side=256)[:300])
    assert worker.handle(event) == Outcome("failed", 1)
    record = document(worker, ERRORS, "a.jpg.json")
    assert record["error"]["class"] == "CorruptMedia"
    assert record["error"]["message"].startswith("a.jpg: ")
    assert record["trace"]
    assert worker.handle(event) == Outcome("failed")
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert names(worker, ERRORS) == []
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("empty.jpg", b"", "UnsupportedMedia"),
        ("page.jpg", b"<!doctype html><p>404", "UnsupportedMedia"),
        ("large.jpg", jpeg() + b"\0" * 40_000, "LimitExceeded"),
        ("x" * 950 + ".jpg", jpeg(), "LimitExceeded"),
    ],
)
def test_what_cannot_be_analysed_says_why(
    make_worker: Callable[..., UploadWorker], name: str, content: bytes, error: str
) -> None:
    worker = make_worker(max_image_bytes=30_000)
    assert worker.handle(drop(worker, name, content)).status == "failed"
    [record] = names(worker, ERRORS)
    told = document(worker, ERRORS, record)
    assert told["error"]["class"] == error and told["source"]["bytes"] == len(content)
    assert worker.handle(BlobEvent(UPLOADS, name)) == Outcome("failed")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("é✓/日本.jpg", "é✓/日本.jpg"),
        ("100%.jpg", "100%.jpg"),
        ("a%20b.jpg", "a%2520b.jpg"),
        ("/lead.jpg", "%2Flead.jpg"),
        ("a//b.jpg", "a/%2Fb.jpg"),
        ("dots..", "dots%2E%2E"),
        ("q?x=1#f", "q?x=1#f"),
        ("back\\slash.jpg", "back/slash.jpg"),
        ("\U0001f600.jpg", "\U0001f600.jpg"),
    ],
)
def test_odd_names_get_their_results_in_a_place_of_their_own(worker: UploadWorker, name: str, folder: str) -> None:
    assert worker.handle(drop(worker, name, jpeg())) == Outcome("done", 1)
    assert document(worker, RESULTS, f"{folder}/result.json")["status"] == "ok"


def test_a_name_that_leads_elsewhere_is_recorded_and_touches_nothing(worker: UploadWorker, calls: Calls) -> None:
    assert worker.handle(BlobEvent(UPLOADS, "../state/receipts/x")).status == "failed"
    assert names(worker, ERRORS) == ["%2E%2E/state/receipts/x.json"]
    assert not any("/state/" in call and "errors" not in call for call in calls.seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "metadata"),
    [
        ("street", b"", {"hdi_isfolder": "true"}),
        ("street", b"", {"Hdi_isfolder": "True"}),
        ("street", b"", {"HDI_ISFOLDER": "TRUE"}),
        ("street/", b"", {}),
        ("nas/@eaDir/a.jpg/SYNOFILE_THUMB_M.jpg", jpeg(), {}),
        ("nas/Thumbs.db", b"x", {}),
        ("nas/Thumbs.db.route.toml", b'route = "default"', {}),
    ],
)
def test_markers_of_folders_and_clutter_are_no_uploads(
    worker: UploadWorker, name: str, content: bytes, metadata: dict[str, str]
) -> None:
    drop(worker, "a.jpg", jpeg())
    assert worker.handle(drop(worker, name, content, **metadata)).status == "ignored"
    assert names(worker, ERRORS) == names(worker, STATE) == []
    report = sweep(worker, 60)
    assert (report.seen, report.processed, report.failed) == (1, 1, 0)
    assert names(worker, STATE) == ["outdated/local.json", "receipts/a.jpg"] and names(worker, ERRORS) == []


def test_a_picture_is_one_whatever_its_metadata_says(worker: UploadWorker) -> None:
    assert worker.handle(drop(worker, "a.jpg", jpeg(), hdi_isfolder="true")) == Outcome("done", 1)
    assert worker.handle(drop(worker, "b.jpg", b"", other="true")) == Outcome("failed", 1), "an empty file"


def test_a_name_with_line_breaks_writes_no_log_lines_of_its_own(
    worker: UploadWorker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    worker.handle(drop(worker, "a\nERROR everything is lost.jpg", jpeg()))
    worker.handle(drop(worker, "b\nERROR everything is lost.jpg", b""))
    assert [line for line in caplog.text.splitlines() if line.startswith("ERROR everything")] == []
    assert caplog.text.count("everything is lost") == 2


def test_one_worker_per_process_whoever_asks_first(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instance.default_worker.cache_clear()
    together = threading.Barrier(8)

    def ask(_: int) -> int:
        together.wait()
        return id(instance.default_worker())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    instance.default_worker.cache_clear()


def test_our_own_results_are_never_analysed(worker: UploadWorker, analyses: list[str], calls: Calls) -> None:
    assert worker.handle(BlobEvent(RESULTS, "a.jpg/0123/annotated.jpg")).status == "ignored"
    assert analyses == []
    assert len(calls) == 0


def test_deleted_before_it_was_analysed_is_no_error(worker: UploadWorker) -> None:
    assert worker.handle(BlobEvent(UPLOADS, "gone.jpg")).status == "dropped"
    assert names(worker, ERRORS) == names(worker, STATE) == []


def test_deleted_during_the_analysis_leaves_nothing_behind(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = drop(worker, "a.jpg", jpeg())
    during_analysis(monkeypatch, lambda: worker.storage.delete(UPLOADS, "a.jpg"))
    assert worker.handle(event).status == "dropped"
    assert receipt(worker, "a.jpg").state == "dropped"
    assert names(worker, RESULTS) == names(worker, ERRORS) == []
