"""Receipts in memory, on a clock that a test moves: the ledger's states without a storage account."""

from __future__ import annotations

from datetime import UTC, datetime

from cloud.uploads.receipt_blobs import BlobReceipts
from tests.cloud.storage.memory_storage import Account, MemoryStorage


class MemoryReceipts(BlobReceipts):
    """The receipts of an account in memory."""

    def __init__(self) -> None:
        self.account = Account(datetime(2026, 5, 4, tzinfo=UTC))
        super().__init__(MemoryStorage(self.account))

    @property
    def now(self) -> datetime:
        """By the account's clock."""
        return self.account.now

    def pass_s(self, seconds: float) -> None:
        """Let time go by."""
        self.account.pass_s(seconds)
