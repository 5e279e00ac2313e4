"""What was analysed, and replays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import inference.analysis as engine
from cloud import connection
from cloud.storage.queues import Queue
from cloud.uploads.replays import QUEUE, Replays
from cloud.uploads.upload_worker import UploadWorker


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was analysed, in order; a hook can be set that runs in the middle of it."""
    seen: list[str] = []
    real = engine.analyze

    def analyze(media: Any, route: Any, registry: Any, source: Any, **options: Any) -> Any:
        seen.append(source.name)
        return real(media, route, registry, source, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
    return seen


@pytest.fixture
def replays(worker: UploadWorker) -> Iterator[Replays]:
    connection.queue_service.cache_clear()
    yield Replays(worker.storage, Queue("AzureWebJobsStorage", QUEUE))
    connection.queue_service.cache_clear()
