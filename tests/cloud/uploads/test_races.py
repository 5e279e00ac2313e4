"""Uploads overwritten, spoilt, delivered twice, workers killed: in the end each result is its newest content's."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import inference.analysis as engine
from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import jpeg

pytestmark = pytest.mark.slow
SECONDS = 5
NAMES = [f"{number}.jpg" for number in range(4)]


class Killed(BaseException):
    """No code of ours catches this, as none runs when a worker is killed."""


def test_whatever_happens_at_once_the_newest_content_wins(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [make_worker(lease_seconds=1, max_attempts=1000) for _ in range(3)]
    chance, numbers, real = random.Random(4), itertools.count(1), engine.analyze

    def analyze(*args: Any, **options: Any) -> Any:
        time.sleep(chance.random() / 10)
        number = next(numbers)
        if number % 9 == 0:
            raise Killed
        if number % 11 == 0:
            raise RuntimeError("a bug")
        return real(*args, **options)

    def deliver(name: str) -> None:
        try:
            chance.choice(workers).handle(BlobEvent(UPLOADS, name))
        except (Killed, Exception) as error:  # noqa: BLE001 - the host would deliver it again, or the sweep finds it
            died.append(error)

    died: list[BaseException] = []
    newest: dict[str, int | None] = {}
    with monkeypatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(engine, "analyze", analyze)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            name, side = chance.choice(NAMES), chance.randrange(16, 200)
            spoilt = chance.random() < 0.15
            workers[0].storage.write(UPLOADS, name, b"spoilt" if spoilt else jpeg(1, side))
            newest[name] = None if spoilt else side
            for _ in range(chance.choice([0, 1, 1, 2])):
                pool.submit(deliver, name)
            time.sleep(chance.random() / 20)
    until_nothing_is_left(workers[0])
    for name, content in newest.items():
        check(workers[0], name, content)
    assert any(isinstance(each, Killed) for each in died), "nobody was killed: this proves less than it says"


def until_nothing_is_left(worker: UploadWorker) -> None:
    deadline = time.monotonic() + 60
    states = {"working"}
    while states & {"working", "retry"}:
        assert time.monotonic() < deadline, states
        sweep(worker, 60)
        states = {blob.metadata["state"] for page in worker.storage.pages("state", "receipts/") for blob in page.blobs}


def check(worker: UploadWorker, name: str, side: int | None) -> None:
    upload, record = worker.storage.head(UPLOADS, name), worker.storage.read_json(ERRORS, f"{name}.json")
    assert upload
    if side is None:
        assert record
        assert record[0]["source"]["etag"] == upload.etag
        return
    assert record is None
    found = worker.storage.read_json(RESULTS, f"{name}/result.json")
    assert found
    assert (found[0]["source"]["etag"], found[0]["source"]["width"]) == (upload.etag, side)
    there = {blob.name for page in worker.storage.pages(RESULTS, f"{name}/") for blob in page.blobs}
    assert there == {f"{name}/result.json", *(f"{name}/{file}" for file in found[0]["artifacts"].values())}
