"""What changes a receipt without a claim: uploads that are gone or cancelled, sidecars that come in."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from cloud.storage.blobs import Conflict
from cloud.uploads.ledger_notes import Notes
from cloud.uploads.receipts import Receipt, ReceiptStore, StoredReceipt
from inference.errors import StorageUnavailable

ROUNDS = 20


class UnclaimedReceipts:
    """The receipts of a storage account, as far as nobody has to have an upload to change them. notes: is told of each
    change, once it is stored."""

    def __init__(self, store: ReceiptStore) -> None:
        self.store = store
        self.notes = Notes()

    def drop(self, name: str) -> Receipt | None:
        """Note that an upload is gone that nobody works on (any more); what its receipt said, where that is noted."""
        stored = self.read(name)
        old = stored.receipt if stored else None
        if old is None or stored is None or old.state not in ("working", "retry", "waiting") or not old.etag:
            return None
        if old.state == "working" and not stored.lease_is_over:
            return None
        with suppress(Conflict):
            ended = old.ended("dropped", "deleted before it was analysed")
            self._put(replace(ended, owner=""), stored.version)  # whoever is at it still has lost it
            self.notes.changed(name)
            return old
        return None

    def cancel(self, name: str) -> bool:
        """End what a worker does with an upload, or what it waits for, without a result, until the upload changes or is
        replayed; False where there is nothing of that (of a video in parts, its job is cancelled). Its worker loses the
        claim, and publishes nothing."""
        for _ in range(ROUNDS):
            stored = self.read(name)
            old = stored.receipt if stored else None
            if old is None or stored is None or old.state not in ("working", "retry", "waiting") or not old.etag:
                return False
            with suppress(Conflict):
                self._put(replace(old.ended("cancelled", "cancelled"), owner="", cause="", until=None), stored.version)
                self.notes.changed(name)
                return True
        raise StorageUnavailable(f"{name}: its receipt changed {ROUNDS} times while it was being cancelled")

    def override(self, name: str, text: str | None) -> None:
        """Note the text of the upload's sidecar (None: there is no override any more): it is claimed anew then."""
        for _ in range(ROUNDS):
            stored = self.read(name)
            try:
                if stored is None:
                    self._put(Receipt(name, "", "", "retry", attempt=0, override=text), None)
                elif stored.receipt.override != text:
                    self._put(stored.receipt.overridden(text), stored.version)
                    self.notes.changed(name)
                return
            except Conflict:
                continue
        raise StorageUnavailable(f"{name}: its receipt changed {ROUNDS} times while its sidecar was noted")

    def read(self, name: str) -> StoredReceipt | None:
        """The receipt of an upload; a single call."""
        return self.store.get(name)

    def _put(self, receipt: Receipt, version: str | None) -> str:
        receipt = replace(receipt, at=datetime.now(UTC).isoformat(timespec="seconds"))
        return self.store.create(receipt) if version is None else self.store.replace(receipt, version)
