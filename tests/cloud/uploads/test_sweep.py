"""The sweep alone brings everything to its end: pages, a time budget, a mark, and no request per finished blob."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cloud.__main__ import main
from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import BlobInfo
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.receipt_blobs import summary_of
from cloud.uploads.sweep import SweepReport, sweep
from cloud.uploads.sweep_mark import MARK
from cloud.uploads.upload_worker import UploadWorker
from cloud.uploads.waits import needs_work
from inference.errors import ServiceBusy
from inference.routes_file import Routes
from tests.cloud.helpers import Calls, jpeg

pytestmark = pytest.mark.slow


def drop(worker: UploadWorker, *names: str) -> None:
    for number, name in enumerate(names):
        worker.storage.write(UPLOADS, name, jpeg(number))


def names(worker: UploadWorker, container: str) -> list[str]:
    return [blob.name for page in worker.storage.pages(container) for blob in page.blobs]


def results(worker: UploadWorker) -> list[str]:
    return [name.removesuffix("/result.json") for name in names(worker, RESULTS) if name.endswith("/result.json")]


@pytest.mark.slow
def test_thirty_photos_are_found_and_analysed_once(worker: UploadWorker, calls: Calls) -> None:
    photos = sorted(f"{number % 3}/{number:02}.jpg" for number in range(30))
    drop(worker, *photos)
    report = sweep(worker, 120)
    assert (report.unfinished, report.processed, report.recovered, report.failed) == (30, 30, 0, 0)
    assert report.complete
    assert results(worker) == photos
    calls.seen.clear()
    again = sweep(worker, 120)
    assert (again.seen, again.unfinished) == (30, 0)
    assert str(again).startswith("found 0 of 30 uploads to analyse: ")  # `replay --all` takes finished ones, too
    assert len(calls) == 4  # the mark, a page of uploads, a page of receipts, the count of outdated ones


def test_markers_of_folders_and_clutter_cost_no_request(
    worker: UploadWorker, calls: Calls, account: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, metadata in (("s", {"Hdi_isfolder": "True"}), ("s/", {}), ("s/._a.jpg", {}), ("#recycle/b.jpg", {})):
        worker.storage.write(UPLOADS, name, b"", metadata=metadata)
    calls.seen.clear()
    assert str(sweep(worker, 60)).startswith("found 0 of 0 uploads to analyse: ")
    assert len(calls) == 4  # the mark, a page of uploads, a page of receipts, the count of outdated ones
    assert (names(worker, STATE), names(worker, ERRORS)) == (["outdated/local.json"], [])
    assert main(["replay", "--here", "--all", "--dry-run"]) == 0
    assert capsys.readouterr().out == ""


def test_out_of_time_it_leaves_a_mark_and_the_next_one_goes_on(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a clock that moves only when an upload is handled, and pages of four
    now, handled = [0.0], []
    real = worker.handle

    def handle(event: BlobEvent) -> Outcome:
        now[0] += 1
        handled.append(event.name)
        return real(event)

    monkeypatch.setattr(worker, "handle", handle)
    monkeypatch.setattr("cloud.uploads.sweep.time.monotonic", lambda: now[0])
    worker.settings = replace(worker.settings, max_concurrent=1)
    photos = [f"{number:02}.jpg" for number in range(10)]
    drop(worker, *photos)
    # WHEN each sweep has time for three
    reports: list[SweepReport] = []
    while not reports or not reports[-1].complete:
        reports.append(sweep(worker, 3, page_size=4))
        assert len(reports) < 6
    # THEN each photo is handled once, in order, and no mark is left.
    assert handled == photos
    assert [report.processed for report in reports] == [3, 3, 3, 1]
    assert reports[0].left == 1
    assert worker.storage.head(STATE, MARK) is None


@pytest.mark.parametrize("mark", [b"[not a mark", b"[]", b'{"uploads": 5, "receipts": null}', b'{"page": "x"}'])
def test_a_mark_that_cannot_be_read_stops_no_sweep(worker: UploadWorker, mark: bytes) -> None:
    drop(worker, "a.jpg")
    worker.storage.write(STATE, MARK, mark)
    assert sweep(worker, 60).processed == 1


@pytest.mark.parametrize(
    ("content", "metadata"),
    [
        (b"{}", {}),
        (b"\xff not a receipt", {"state": "retry", "etag": "e", "lease": "soon"}),
        (b"[" * 200_000, {"state": "banana", "etag": "e"}),
        (b'{"name": "b.jpg", "etag": "e", "key": "k", "state": "retry", "lease_s": 1' + b"0" * 400 + b"}", {}),
        (b'{"name": "b.jpg", "etag": "e", "key": "k", "state": "retry", "result_etag": "a\\nb"}', {}),
        (b'{"name": "other.jpg", "etag": "e", "key": "k", "state": "retry"}', {}),
        (b" " * (2 * 2**20) + b"{}", {"state": "retry", "etag": "e"}),
        (b'{"name": "b.jpg", "etag": 5}', {"state": "waiting", "etag": "e", "until": "tomorrow"}),
    ],
)
def test_a_receipt_that_cannot_be_read_costs_no_upload_its_result(
    worker: UploadWorker, content: bytes, metadata: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    drop(worker, "a.jpg", "b.jpg", "c.jpg")
    worker.storage.write(STATE, "receipts/b.jpg", content, metadata=metadata)
    assert sweep(worker, 60).processed == 3
    assert results(worker) == ["a.jpg", "b.jpg", "c.jpg"]
    assert "the receipt of b.jpg cannot be read" in caplog.text
    assert sweep(worker, 60).unfinished == 0


def test_one_uploads_trouble_does_not_stop_the_others(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(worker, "a.jpg", "b.jpg", "c.jpg")
    worker.storage.write(UPLOADS, "b.jpg", b"not a picture")
    real = worker.handle

    def handle(event: BlobEvent) -> Outcome:
        if event.name == "a.jpg":
            raise ServiceBusy("for now")
        return real(event)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "handle", handle)
        report = sweep(worker, 60)
    assert (report.processed, report.failed) == (1, 2)
    assert names(worker, ERRORS) == ["b.jpg.json"]
    assert sweep(worker, 60).unfinished == 1  # a.jpg again; b.jpg is recorded
    assert results(worker) == ["a.jpg", "c.jpg"]


def test_a_name_with_line_breaks_writes_no_log_lines_of_its_own(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(event: BlobEvent) -> Outcome:
        raise ServiceBusy(f"{event.name}: for now")

    drop(worker, "a\nERROR everything is lost.jpg")
    monkeypatch.setattr(worker, "handle", handle)
    assert sweep(worker, 60).failed == 1
    assert [line for line in caplog.text.splitlines() if line.startswith("ERROR everything")] == []
    assert caplog.text.count("everything is lost") == 2


def test_work_of_a_dead_worker_is_recovered(make_worker: Callable[..., UploadWorker]) -> None:
    worker = make_worker(lease_seconds=1)
    drop(worker, "a.jpg")
    info = worker.storage.head(UPLOADS, "a.jpg")
    assert info
    worker.ledger.claim("a.jpg", info.etag, lambda override: worker.planner.plan(info, override))
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while not (report := sweep(worker, 60)).unfinished and datetime.now(UTC) < deadline:
        pass
    assert (report.processed, report.recovered) == (1, 1)
    assert results(worker) == ["a.jpg"]


def test_an_overwritten_upload_is_found_and_a_deleted_one_is_not_missed(worker: UploadWorker) -> None:
    drop(worker, "a.jpg", "b.jpg", "c.jpg")
    sweep(worker, 60)
    worker.storage.delete(UPLOADS, "a.jpg")
    drop(worker, "b.jpg")
    report = sweep(worker, 60)
    assert (report.seen, report.unfinished, report.processed) == (2, 1, 1)


def test_escaped_and_unsorted_names_are_asked_about_but_not_analysed_again(worker: UploadWorker) -> None:
    odd = ["/lead.jpg", "a//b.jpg", "dots..", "é.jpg", "\U0001f600.jpg", "\uffee.jpg", "z.jpg"]
    drop(worker, *odd)
    assert sweep(worker, 60).processed == len(odd)
    again = sweep(worker, 60)
    assert again.processed == again.failed == 0


@pytest.mark.parametrize(
    ("metadata", "age", "wanted"),
    [
        ({"state": "done", "etag": "e1"}, 0, False),
        ({"state": "failed", "etag": "e1"}, 0, False),
        ({"state": "done", "etag": "e1", "unsettled": "true"}, 1, False),
        ({"state": "done", "etag": "e1", "unsettled": "true"}, 99, True),
        ({"state": "failed", "etag": "e1", "digest": "archived"}, 0, True),
        ({"state": "dropped", "etag": "e1"}, 0, True),
        ({"state": "cancelled", "etag": "e1"}, 0, False),
        ({"state": "job", "etag": "e1"}, 9999, False),
        ({"state": "done", "etag": "e0"}, 0, True),
        ({"state": "retry", "etag": "e1"}, 0, True),
        ({"state": "working", "etag": "e1", "lease": "60"}, 60, False),
        ({"state": "working", "etag": "e1", "lease": "60"}, 61, True),
        ({"state": "working", "etag": "e0", "lease": "60"}, 1, True),
        ({"state": "waiting", "etag": "e1", "until": "2026-05-04T02:00:01+00:00"}, 0, False),
        ({"state": "waiting", "etag": "e1", "until": "2026-05-04T02:00:00+00:00"}, 0, True),
        ({"state": "waiting", "etag": "e1", "until": "tomorrow"}, 0, True),
        ({"state": "working", "etag": "e1", "lease": "soon"}, 0, True),
        ({}, 0, True),
    ],
)
def test_what_counts_as_unfinished(metadata: dict[str, str], age: int, wanted: bool) -> None:
    now = datetime(2026, 5, 4, 2, tzinfo=UTC)
    receipt = BlobInfo("receipts/a", "r", 1, now - timedelta(seconds=age), now, metadata)
    upload = BlobInfo("a", "e1", 1, now, now)
    assert needs_work(upload, summary_of(receipt)) is wanted
    assert needs_work(upload, None)


def test_replay_analyses_failed_uploads_again_and_all_when_told(
    worker: UploadWorker, account: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cloud.instance.default_worker", lambda: worker)
    drop(worker, "x/a.jpg", "x/b.jpg", "y/c.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(worker.planner, "routes", Routes(()))
        sweep(worker, 60)
    assert names(worker, ERRORS) == ["x/a.jpg.json", "x/b.jpg.json", "y/c.jpg.json"]

    assert main(["replay", "--here", "x/", "--dry-run"]) == 0
    assert capsys.readouterr().out.split() == ["x/a.jpg", "x/b.jpg"]
    assert results(worker) == []

    assert main(["replay", "--here", "x/"]) == 0
    assert results(worker) == ["x/a.jpg", "x/b.jpg"]
    assert names(worker, ERRORS) == ["y/c.jpg.json"]

    before = worker.storage.head(RESULTS, "x/a.jpg/result.json")
    assert main(["replay", "--here", "x/a", "--all"]) == 0
    after = worker.storage.head(RESULTS, "x/a.jpg/result.json")
    assert before and after
    assert before.etag != after.etag
