"""Deliveries that the host gave up are shown, and stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cloud import connection
from cloud.storage.queues import Queue
from cloud.uploads.given_up import QUEUE, given_up, note_given_up
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import drop, jpeg


@pytest.fixture
def queue(worker: UploadWorker) -> Iterator[Queue]:
    connection.queue_service.cache_clear()
    yield Queue("AzureWebJobsStorage", QUEUE)
    connection.queue_service.cache_clear()


def message(container: str, name: str) -> str:
    """As the host writes it."""
    return json.dumps(
        {
            "Type": "BlobTrigger", "FunctionId": "Host.Functions.on_upload", "BlobType": "BlockBlob",
            "ContainerName": container, "BlobName": name, "ETag": '"0x8D"',
        }
    )  # fmt: skip


def test_how_many_there_are_and_the_first_with_what_became_of_them(
    worker: UploadWorker, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    assert given_up(worker).count == 0
    worker.handle(drop(worker, "a.jpg", jpeg()))
    texts = [message("uploads", "a.jpg"), message("uploads", "b\n.jpg"), message("uploads", "a.jpg")]
    for text in (*texts, message("others", "c"), "[", "[" * 3000, '{"BlobName": 1}'):
        queue.send(text)
    found = given_up(worker)
    assert found.count == 7
    assert found.first == {
        "uploads/a.jpg": "done", "uploads/b\n.jpg": "no receipt", "others/c": "no upload",
        "(not a delivery of a blob)": "no upload",
    }  # fmt: skip
    for _ in range(2):
        note_given_up(worker)
    [line] = [record.getMessage() for record in caplog.records if QUEUE in record.getMessage()]
    assert line.startswith("7 deliveries that the host gave up") and "\n" not in line
    assert queue.waiting() == 7


def test_a_message_that_is_no_base64_is_counted(worker: UploadWorker, queue: Queue) -> None:
    service = connection.queue_service("AzureWebJobsStorage")
    service.create_queue(QUEUE).send_message("no base64!")
    found = given_up(worker)
    assert (found.count, found.first) == (1, {"(not a delivery of a blob)": "no upload"})
