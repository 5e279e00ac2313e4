"""Receipts as blobs: `state/receipts/<path>`, a small JSON document each.

What the sweep needs stands in the blob's metadata too, because a listing shows that without a request per blob.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from cloud.settings import STATE
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import record_path
from cloud.uploads.receipts import Receipt, ReceiptPage, ReceiptSummary, StoredReceipt

PREFIX = "receipts/"


class BlobReceipts:
    """The receipts of one account: a ReceiptStore."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, name: str) -> StoredReceipt | None:
        stored = self._storage.read(STATE, PREFIX + record_path(name))
        if stored is None:
            return None
        content, info = stored
        return StoredReceipt(_from_json(json.loads(content)), info.etag, info.age_s)

    def create(self, receipt: Receipt) -> str:
        return self._write(receipt, if_absent=True)

    def replace(self, receipt: Receipt, version: str) -> str:
        return self._write(receipt, if_match=version)

    def pages(self, prefix: str = "", token: str | None = None) -> Iterator[ReceiptPage]:
        for page in self._storage.pages(STATE, PREFIX + prefix, token):
            yield ReceiptPage([summary_of(blob) for blob in page.blobs], page.token)

    def _write(self, receipt: Receipt, **condition: Any) -> str:
        metadata = {"state": receipt.state, "etag": receipt.etag, "lease": f"{receipt.lease_s:g}"}
        if receipt.until:
            metadata["until"] = receipt.until
        path = PREFIX + record_path(receipt.name)
        return self._storage.write_json(STATE, path, asdict(receipt), metadata=metadata, **condition)


def summary_of(blob: BlobInfo) -> ReceiptSummary:
    """What the entry of a receipt in a listing says."""
    until = blob.metadata.get("until")
    return ReceiptSummary(
        path=blob.name.removeprefix(PREFIX),
        state=blob.metadata.get("state", ""),
        etag=blob.metadata.get("etag", ""),
        lease_s=float(blob.metadata.get("lease", "0")),
        until=datetime.fromisoformat(until) if until else None,
        age_s=blob.age_s,
        listed_at=blob.served_at,
    )


def _from_json(document: Mapping[str, Any]) -> Receipt:
    # Members of later versions are ignored.
    known = {key: value for key, value in document.items() if key in Receipt.__dataclass_fields__}
    return Receipt(**{**known, "old_keys": tuple(known.get("old_keys", ()))})
