"""Receipts as blobs: `state/receipts/<path>`, small JSON documents.

What the sweep needs stands in the blob's metadata too, because a listing shows that without a request per blob.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cloud.settings import STATE
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import printable, record_path
from cloud.uploads.receipts import Receipt, ReceiptPage, ReceiptSummary, StoredReceipt
from inference.errors import BadManifest
from inference.tables import build

log = logging.getLogger(__name__)

PREFIX = "receipts/"


class BlobReceipts:
    """The receipts of a storage account: a ReceiptStore."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, name: str) -> StoredReceipt | None:
        stored = self._storage.read(STATE, PREFIX + record_path(name))
        if stored is None:
            return None
        content, info = stored
        return StoredReceipt(_receipt(name, content), info.etag, info.age_s)

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
        if receipt.share is not None:
            metadata["share"] = f"{receipt.share:.3f}"
        path = PREFIX + record_path(receipt.name)
        return self._storage.write_json(STATE, path, asdict(receipt), metadata=metadata, **condition)


def summary_of(blob: BlobInfo) -> ReceiptSummary:
    """What the entry of a receipt in a listing says; where that cannot be read, the receipt itself has to be."""
    path, until = blob.name.removeprefix(PREFIX), blob.metadata.get("until")
    try:
        state, etag, lease_s = blob.metadata["state"], blob.metadata["etag"], float(blob.metadata.get("lease", "0"))
        slot = datetime.fromisoformat(until).astimezone(UTC) if until else None
        share = float(blob.metadata["share"]) if "share" in blob.metadata else None
        return ReceiptSummary(path, state, etag, lease_s, slot, blob.age_s, blob.served_at, share)
    except (KeyError, ValueError):
        return ReceiptSummary(path, "retry", "", 0.0, None, blob.age_s, blob.served_at)


def _receipt(name: str, content: bytes) -> Receipt:
    """What a blob says; what is no receipt is like that of an upload that nobody has had yet."""
    try:
        document = json.loads(content)
        # Members of later versions are ignored.
        known = {key: value for key, value in document.items() if key in Receipt.__dataclass_fields__}
        return build(Receipt, known, f"{STATE}/{PREFIX}{record_path(name)}")
    except (ValueError, AttributeError, BadManifest) as error:
        log.warning("the receipt of %s cannot be read (%s): it begins anew", printable(name), error)
        return Receipt(name, "", "", "retry", attempt=0)
