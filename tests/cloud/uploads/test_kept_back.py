"""Uploads that storage gives to nobody, and uploads whose Content-Encoding says more or less than the truth."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from azure.storage.blob import ContentSettings, StandardBlobTier

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.blobs import BlobInfo, Reading
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import CorruptMedia, LimitExceeded, StorageUnavailable
from tests.cloud.helpers import document, drop, jpeg, names, receipt


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


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])),
        ("deflate", zlib.compress),
        ("gzip", bytes),
        ("deflate", bytes),
        ("br", bytes),
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
