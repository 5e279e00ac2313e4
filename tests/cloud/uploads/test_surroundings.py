"""Trouble that is nobody's fault: storage, disk, machine. It costs no upload its attempts, and ends by itself."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud.settings import ERRORS, RESULTS, STATE
from cloud.storage.blobs import BlobInfo
from cloud.uploads import receipts
from cloud.uploads.events import Outcome
from cloud.uploads.receipt_blobs import metadata_of, summary_of
from cloud.uploads.receipts import Receipt, backoff_s
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import StorageUnavailable
from tests.cloud.helpers import drop, jpeg, names, receipt

pytestmark = pytest.mark.slow


def test_waits_double_from_a_minute_to_two_hours() -> None:
    assert [backoff_s(waits) for waits in (1, 2, 3, 7, 8, 9, 900)] == [60, 120, 240, 3840, 7200, 7200, 7200]


@pytest.mark.parametrize(("minutes", "is_open"), [(3.9, False), (4.1, True)])
def test_a_pause_is_counted_by_the_clock_of_storage_alone(minutes: float, is_open: bool) -> None:
    claimed = Receipt("a.jpg", "e1", "k" * 64, "working", waits=2)
    waiting = claimed.waiting("storage", "storage answered 403", None)
    written = datetime(2001, 1, 1, tzinfo=UTC)  # whatever time it is here
    looked = written + timedelta(minutes=minutes)
    listed = BlobInfo("receipts/a.jpg", "e", 9, written, looked, metadata=metadata_of(waiting))
    assert (waiting.waits, summary_of(listed).is_open("e1")) == (3, is_open)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (StorageUnavailable("storage answered 403"), "storage"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EMFILE, "Too many open files"), "machine"),
    ],
)
def test_an_outage_fails_nobody_and_everybody_is_done_after_it(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str
) -> None:
    worker, tries = make_worker(max_attempts=2), 0
    events = [drop(worker, f"{number}.jpg", jpeg(number)) for number in range(6)]

    def analyze(*_: Any, **__: Any) -> Any:
        nonlocal tries
        tries += 1
        raise error

    with monkeypatch.context() as outage:
        outage.setattr(worker, "analyze", analyze)
        for event in events:  # the host delivers each until it has an answer
            with pytest.raises(type(error)):
                worker.handle(event)
            assert worker.handle(event) == Outcome("waiting", cause=cause)
        assert {(receipt(worker, event.name).state, receipt(worker, event.name).attempt) for event in events} == {
            ("waiting", 0)
        }
        tries = 0
        for _ in range(3):
            sweep(worker, 60)
        assert tries == 0, "nobody tries before its time has come"
        outage.setattr(receipts, "backoff_s", lambda waits: 0.0)
        for event in events:
            worker.handle(event)
        tries = 0
        for round_ in range(1, 4):
            assert sweep(worker, 60).failed == 0
            assert tries == round_, "one upload a sweep looks whether it is over"
        assert receipt(worker, "0.jpg").waits > 2
    report = sweep(worker, 60)
    assert (report.processed, report.failed) == (6, 0)
    assert (len([name for name in names(worker, RESULTS) if name.endswith("result.json")]), names(worker, ERRORS)) == (
        6,
        [],
    )


def test_an_outage_in_which_not_even_the_receipt_can_be_written_is_no_death(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=1, lease_seconds=0.2)
    event = drop(worker, "a.jpg", jpeg())
    real = worker.storage.write

    def write(container: str, name: str, *args: Any, **options: Any) -> str:
        if container == RESULTS or (container == STATE and options.get("if_match")):
            raise StorageUnavailable(f"writing {container}/{name}: storage answered 503")
        return real(container, name, *args, **options)

    with monkeypatch.context() as outage:
        outage.setattr(worker.storage, "write", write)
        with pytest.raises(StorageUnavailable):
            worker.handle(event)
        assert receipt(worker, "a.jpg").state == "working"
    deadline = time.monotonic() + 20
    while (found := receipt(worker, "a.jpg")).state == "working":
        assert time.monotonic() < deadline
    assert (found.state, found.attempt, found.suspect) == ("retry", 0, False)
    assert worker.handle(event).status == "done"


@pytest.mark.parametrize("content", [jpeg(), b"this is no picture"])
def test_an_outage_while_the_end_is_written_is_no_death(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    worker = make_worker(max_attempts=1, lease_seconds=0.2)
    event, real = drop(worker, "a.jpg", content), worker.storage.write
    ends: list[str] = []

    def write(container: str, name: str, *args: Any, **options: Any) -> str:
        if container == STATE and options.get("if_match") and len(ends) < 3:
            ends.append(name)
            raise StorageUnavailable(f"writing {container}/{name}: storage answered 503")
        return real(container, name, *args, **options)

    monkeypatch.setattr(worker.storage, "write", write)
    with pytest.raises(StorageUnavailable):
        worker.handle(event)
    deadline = time.monotonic() + 20
    while (found := receipt(worker, "a.jpg")).state == "working":
        assert time.monotonic() < deadline
    assert (found.state, found.attempt, found.suspect) == ("retry", 0, False)
    assert worker.handle(event).status in ("done", "failed")
    assert receipt(worker, "a.jpg").attempt == 1


def test_what_is_gone_for_a_moment_is_analysed_when_it_is_there_again(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, real = drop(worker, "a.jpg", jpeg()), worker.storage.head
    with monkeypatch.context() as patch:
        patch.setattr(
            worker.storage, "head", lambda container, name: None if name == "a.jpg" else real(container, name)
        )
        assert worker.handle(event).status == "dropped"
    assert receipt(worker, "a.jpg").state == "dropped"
    assert sweep(worker, 60).processed == 1
    assert receipt(worker, "a.jpg").state == "done"


def test_cancelled_is_for_good_also_where_an_older_version_called_it_dropped(worker: UploadWorker) -> None:
    drop(worker, "a.mp4", jpeg())
    info = worker.storage.head("uploads", "a.mp4")
    assert info
    old = Receipt("a.mp4", info.etag, "k" * 64, "dropped", reason="cancelled")
    worker.ledger.store.create(old)
    for _ in range(2):
        report = sweep(worker, 60)
    assert (report.unfinished, report.processed) == (0, 0)
    assert receipt(worker, "a.mp4").state == "cancelled"


def test_a_receipt_of_a_deleted_upload_does_not_stay_at_work(make_worker: Callable[..., UploadWorker]) -> None:
    worker = make_worker(lease_seconds=0.01)
    drop(worker, "a.jpg", jpeg())
    info = worker.storage.head("uploads", "a.jpg")
    assert info
    worker.ledger.claim("a.jpg", info.etag, lambda _: worker.planner.plan(info, None))
    worker.storage.delete("uploads", "a.jpg")
    drop(worker, "b.jpg", jpeg())
    while receipt(worker, "a.jpg").state != "dropped":
        sweep(worker, 60)
