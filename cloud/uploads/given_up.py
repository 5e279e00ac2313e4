"""Deliveries of uploads that the Functions host gave up: it keeps them in a queue, and never looks at them again.

They are read and shown, and stay as they are: their uploads are found by the sweep, which goes by receipts.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from cloud.settings import UPLOADS
from cloud.storage.paths import printable
from cloud.storage.queues import Queue
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import DropsightError

log = logging.getLogger(__name__)

QUEUE = "webjobs-blobtrigger-poison"
_NAMED = 5
_told: dict[str, int] = {}  # by connection: how many there were when the log said so


@dataclass(frozen=True)
class GivenUp:
    """How many deliveries there are, and of the first the blobs with what became of them: the state of the receipt, of
    uploads that have one."""

    count: int
    first: dict[str, str]

    def __str__(self) -> str:
        named = ", ".join(f"{name} ({state})" for name, state in self.first.items())
        return f"{self.count} deliveries that the host gave up lie in the queue {QUEUE}: {named}"


def given_up(worker: UploadWorker) -> GivenUp:
    """What lies there; two calls, and one for each name. Raises StorageUnavailable."""
    queue = Queue(worker.settings.storage_connection, QUEUE)
    count = queue.waiting()
    blobs = dict.fromkeys(map(_blob, queue.peek() if count else ()))
    return GivenUp(count, {f"{c}/{n}" if n else c: _state(worker, c, n) for c, n in list(blobs)[:_NAMED]})


def note_given_up(worker: UploadWorker) -> None:
    """Says in the log what lies there, once for each number of them."""
    found, connection = given_up(worker), worker.settings.storage_connection
    if found.count != _told.get(connection, 0):
        _told[connection] = found.count
        if found.count:
            log.warning("%s", printable(str(found)))


def _blob(text: str) -> tuple[str, str]:
    """Container and name of the blob that a message of the host is about."""
    try:
        match json.loads(text):
            case {"ContainerName": str(container), "BlobName": str(name)}:
                return container, name
    except (ValueError, RecursionError):
        pass
    return "(not a delivery of a blob)", ""


def _state(worker: UploadWorker, container: str, name: str) -> str:
    if container.lower() != UPLOADS:
        return "no upload"
    try:
        stored = worker.ledger.read(name)
    except DropsightError:
        return "not known"
    return stored.receipt.state if stored else "no receipt"
