"""Receipts in memory, on a clock that a test moves: the ledger's states without a storage account."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cloud.storage.blobs import Conflict
from cloud.storage.containers import BlobInfo
from cloud.storage.paths import record_path
from cloud.uploads.receipt_blobs import PREFIX, metadata_of, summary_of
from cloud.uploads.receipts import Receipt, ReceiptPage, ReceiptSummary, StoredReceipt


class MemoryReceipts:
    """A ReceiptStore; pages are of two."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, tzinfo=UTC)
        self._kept: dict[str, tuple[Receipt, str, datetime]] = {}
        self._versions = map(str, itertools.count(1))
        self._lock = threading.Lock()

    def pass_s(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    def get(self, name: str) -> StoredReceipt | None:
        kept = self._kept.get(record_path(name))
        return kept and StoredReceipt(kept[0], kept[1], self._age_s(kept[2]))

    def create(self, receipt: Receipt) -> str:
        return self._put(receipt, None)

    def replace(self, receipt: Receipt, version: str) -> str:
        return self._put(receipt, version)

    def handed_to(self, job: str) -> str | None:
        receipts = (kept[0] for kept in self._kept.values())
        return next((receipt.name for receipt in receipts if (receipt.state, receipt.job) == ("job", job)), None)

    def pages(self, prefix: str = "", token: str | None = None) -> Iterator[ReceiptPage]:
        paths = sorted(path for path in self._kept if path.startswith(prefix))
        for start in range(int(token or 0), len(paths), 2):
            yield ReceiptPage([self._summary(path) for path in paths[start : start + 2]], str(start) if start else None)

    def _put(self, receipt: Receipt, version: str | None) -> str:
        with self._lock:
            path = record_path(receipt.name)
            kept = self._kept.get(path)
            if (kept[1] if kept else None) != version:
                raise Conflict(f"{path} is in another version than {version}")
            new = next(self._versions)
            self._kept[path] = (receipt, new, self.now)
            return new

    def _summary(self, path: str) -> ReceiptSummary:
        receipt, version, written = self._kept[path]
        return summary_of(BlobInfo(PREFIX + path, version, 0, written, self.now, metadata_of(receipt)))

    def _age_s(self, written: datetime) -> float:
        return (self.now - written).total_seconds()
