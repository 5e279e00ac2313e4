"""Uploads that storage gives to nobody, and uploads whose Content-Encoding says more or less than the truth."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from azure.storage.blob import ContentSettings, StandardBlobTier

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.blobs import BlobInfo, Reading
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import CorruptMedia, LimitExceeded, StorageRefused, StorageUnavailable, UnreadableMedia
from tests.cloud.helpers import document, drop, during_analysis, jpeg, names, receipt

pytestmark = pytest.mark.slow


def test_an_archived_upload_is_recorded_once_and_analysed_when_it_is_back(worker: UploadWorker) -> None:
    event = drop(worker, "old.jpg", jpeg())
    blob = worker.storage.service.get_blob_client(UPLOADS, "old.jpg")
    blob.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
    reports = [sweep(worker, 60), sweep(worker, 60)]
    assert [(report.unfinished, report.failed) for report in reports] == [(1, 1), (0, 0)]
    assert worker.handle(event).status == "failed"
    error = document(worker, ERRORS, "old.jpg.json")["error"]
    assert error["class"] == "UnreadableMedia" and "archive tier" in error["message"]
    # Azure brings it back without changing its version.
    blob.set_standard_blob_tier(StandardBlobTier.COOL)
    assert sweep(worker, 60).processed == 1
    assert (names(worker, ERRORS), receipt(worker, "old.jpg").state) == ([], "done")


def test_archived_in_the_middle_of_the_work_it_is_analysed_when_it_is_back(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = drop(worker, "old.jpg", jpeg())
    blob = worker.storage.service.get_blob_client(UPLOADS, "old.jpg")

    def archived() -> None:  # what is read of it after that
        blob.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
        raise UnreadableMedia("reading uploads/old.jpg: it is in the archive tier")

    during_analysis(monkeypatch, archived)
    assert worker.handle(event).status == "failed"
    assert sweep(worker, 60).unfinished == 0
    blob.set_standard_blob_tier(StandardBlobTier.COOL)
    assert sweep(worker, 60).processed == 1
    assert (names(worker, ERRORS), receipt(worker, "old.jpg").state) == ([], "done")


@dataclass
class Unopened:
    """Makes opening an upload fail with `error`, so many times."""

    worker: UploadWorker
    error: Exception
    times: int

    def __post_init__(self) -> None:
        self.real = self.worker.storage.open

    def open(self, container: str, name: str, etag: str | None = None) -> Reading | None:
        if container == UPLOADS and self.times:
            self.times -= 1
            raise self.error
        return self.real(container, name, etag)


def test_back_from_the_archive_a_moment_after_it_was_refused_it_is_analysed(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = drop(worker, "a.jpg", jpeg())
    monkeypatch.setattr(worker.storage, "open", Unopened(worker, UnreadableMedia("it is archived"), 1).open)
    assert (worker.handle(event).status, names(worker, ERRORS)) == ("done", [])


@pytest.mark.parametrize(
    ("error", "states", "attempt"),
    [
        (StorageUnavailable("storage answered 403"), ["retry", "waiting", "waiting"], 0),
        (StorageRefused("storage answered 400"), ["retry", "failed", "failed"], 2),
    ],
)
def test_what_storage_does_not_open_is_noted_although_the_rest_of_the_account_answers(
    make_worker: Callable[..., UploadWorker],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    states: list[str],
    attempt: int,
) -> None:
    worker = make_worker(max_attempts=2)
    event, seen = drop(worker, "a.jpg", jpeg()), []
    monkeypatch.setattr(worker.storage, "open", Unopened(worker, error, 3).open)
    for _ in states:
        with suppress(StorageUnavailable):
            worker.handle(event)
        seen.append(receipt(worker, "a.jpg").state)
    assert (seen, receipt(worker, "a.jpg").attempt) == (states, attempt)
    assert sweep(worker, 60).unfinished == 0, "it has its time, or its record"
    assert names(worker, ERRORS) == (["a.jpg.json"] if attempt else [])


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])),
        ("gzip", lambda data: gzip.compress(data) + bytes(512)),
        ("aws-chunked,gzip", gzip.compress),
        ("gzip;q=1, identity", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("gzip", bytes),
        ("deflate", bytes),
        ("br", bytes),
        ("gzip, gzip", bytes),
        ("aws-chunked", bytes),
        ("utf-8", bytes),
    ],
)
def test_a_photo_is_analysed_whatever_its_content_encoding_says(
    worker: UploadWorker, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    container = worker.storage.service.get_container_client(UPLOADS)
    settings = ContentSettings(content_type="image/jpeg", content_encoding=encoding)
    container.upload_blob("a.jpg", pack(jpeg()), content_settings=settings)
    assert sweep(worker, 60).processed == 1
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"
    assert names(worker, ERRORS) == []


def reading(content: bytes, encoding: str, size: int | None = None, step: int = 1000) -> Reading:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    info = BlobInfo("a", "e", len(content) if size is None else size, now, now, encoding=encoding)
    pieces = [content[start : start + step] for start in range(0, len(content), step)]
    return Reading(info, lambda: iter(pieces))


def test_what_unpacks_to_more_than_is_allowed_ends_there() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(LimitExceeded):
        reading(bomb, "gzip").read(10_000_000)
    assert reading(bomb, "gzip").read(50_000_000) == bytes(50_000_000)


def test_packed_content_that_breaks_off_is_the_files_fault() -> None:
    packed = gzip.compress(jpeg() * 50)
    with pytest.raises(CorruptMedia, match="breaks off"):
        reading(packed[:-20], "gzip").read(10_000_000)
    with pytest.raises(CorruptMedia, match="does not unpack"):
        reading(packed[:1500] + b"\0" * 50 + packed[1550:], "gzip").read(10_000_000)


def test_fewer_bytes_than_a_blob_has_are_the_storages_fault() -> None:
    with pytest.raises(StorageUnavailable, match=r"3,000 of 4,000 bytes"):
        reading(bytes(3000), "", size=4000).read(10_000)
