"""Small pictures, what lies in storage, and a count of what reaches it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inference.analysis as engine
from cloud.settings import UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.uploads.receipts import Receipt
from cloud.uploads.upload_worker import UploadWorker


def jpeg(seed: int = 0, side: int = 64) -> bytes:
    """A small picture, another one for every seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((side, side)).save(buffer, "JPEG")
    return buffer.getvalue()


class Calls:
    """Counts the HTTP requests that reach storage, as (method, container, name or query)."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __len__(self) -> int:
        return len(self.seen)


def drop(worker: UploadWorker, name: str, content: bytes, **metadata: str) -> BlobEvent:
    worker.storage.write(UPLOADS, name, content, metadata=metadata)
    return BlobEvent(UPLOADS, name)


def names(worker: UploadWorker, container: str) -> list[str]:
    return [blob.name for page in worker.storage.pages(container) for blob in page.blobs]


def document(worker: UploadWorker, container: str, name: str) -> Any:
    found = worker.storage.read_json(container, name)
    assert found, f"{container}/{name} is missing; there are {names(worker, container)}"
    return found[0]


def receipt(worker: UploadWorker, name: str) -> Receipt:
    stored = worker.ledger.read(name)
    assert stored
    return stored.receipt


def during_analysis(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Run `act` once, in the middle of the next analysis."""
    real, left = engine.analyze, [act]

    def analyze(*args: Any, **options: Any) -> Any:
        if left:
            left.pop()()
        return real(*args, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
