"""Results hour by hour: a mark, or a document, that cannot be read stops nothing and is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.settings import RESULTS, STATE
from cloud.storage.by_hour import documents, floor, unprocessed
from cloud.storage.containers import Storage

MARK = "lake.json"
GOOD = b'{"schema": "dropsight/1"}'


@pytest.fixture
def storage(storage_account: str) -> Storage:
    storage = Storage(BlobServiceClient.from_connection_string(storage_account))
    storage.ensure_containers(RESULTS, STATE)
    for name, content in (("a", GOOD), ("b", b"[1]"), ("c", b"{half"), ("d", GOOD)):
        storage.write(RESULTS, f"{name}.jpg/result.json", content)
    return storage


@pytest.mark.parametrize("mark", [None, b"{half", b"[]", b'{"through": 5}', b'{"until": "x"}', b'{"through": "soon"}'])
def test_hours_are_gone_through_once_from_a_mark_that_can_be_read(
    storage: Storage, mark: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    if mark is not None:
        storage.write(STATE, MARK, mark)
    now = datetime.now(UTC) + timedelta(hours=2)
    [(start, blobs)] = unprocessed(storage, MARK, now, most=9)
    assert (start, [blob.name[0] for blob in blobs]) == (floor(blobs[0].modified), ["a", "b", "c", "d"])
    assert (f"state/{MARK} is no mark" in caplog.text) == (mark is not None)
    assert list(unprocessed(storage, MARK, now, most=9)) == []


def test_what_is_no_result_document_is_left_out_and_named(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    blobs = [blob for page in storage.pages(RESULTS) for blob in page.blobs]
    storage.delete(RESULTS, "d.jpg/result.json")
    assert [(blob.name, document) for blob, document in documents(storage, blobs)] == [
        ("a.jpg/result.json", json.loads(GOOD))
    ]
    named = [name for name in "abcd" if f"results/{name}.jpg/result.json is no result of" in caplog.text]
    assert named == ["b", "c"]
