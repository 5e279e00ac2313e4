"""Uploads without a place: they wait no longer than the host, or the sweep, has time, and spend no attempt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloud.places import Kind
from cloud.settings import UPLOADS
from cloud.uploads import upload_worker
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.ledger import Claim
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import jpeg


@contextmanager
def taken(worker: UploadWorker, kind: Kind) -> Iterator[None]:
    """Another thread has a place of this kind."""
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        with worker.places.take(kind):
            inside.set()
            go.wait(20)

    (thread := threading.Thread(target=hold)).start()
    inside.wait(20)
    try:
        yield
    finally:
        go.set()
        thread.join()


def test_a_picture_without_a_place_is_left_to_the_sweep_which_takes_it_then(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker.storage.write(UPLOADS, "a.jpg", jpeg())
    with taken(worker, "alone"):
        with monkeypatch.context() as patch:
            patch.setattr(upload_worker, "PATIENCE_S", 0.01)
            assert worker.handle(BlobEvent(UPLOADS, "a.jpg")) == Outcome("waiting")
        assert [line for line in caplog.messages if line.startswith("a.jpg is left to the sweep: ")]
        report = sweep(worker, 0.1)  # nor does a sweep wait longer than it has time
        assert (report.processed, report.failed) == (0, 0)
    assert sweep(worker, 60).processed == 1


def test_a_suspect_that_does_not_get_the_worker_for_itself_spends_no_attempt_and_stays_one(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = worker.storage.write(UPLOADS, "a.jpg", jpeg())
    head = worker.storage.head(UPLOADS, "a.jpg")
    assert head
    claim = worker.ledger.claim("a.jpg", etag, lambda override: worker.planner.plan(head, override))
    assert isinstance(claim, Claim)
    worker.ledger.finish(claim, "retry", suspect=True)
    monkeypatch.setattr(upload_worker, "PATIENCE_S", 0.01)
    with taken(worker, "video"):
        for waits in (1, 2):
            assert worker.handle(BlobEvent(UPLOADS, "a.jpg")) == Outcome("waiting")
            stored = worker.ledger.read("a.jpg")
            assert stored
            assert (stored.receipt.attempt, stored.receipt.suspect, stored.receipt.waits) == (1, True, waits)
    assert worker.handle(BlobEvent(UPLOADS, "a.jpg")) == Outcome("done", 4)
