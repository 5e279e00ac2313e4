"""Receipts as blobs: `state/receipts/<path>`, small JSON documents.

What the sweep needs stands in the blob's metadata too, because a listing shows that without a request per blob.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cloud.settings import STATE, UPLOADS
from cloud.storage.blobs import Conflict
from cloud.storage.containers import BlobInfo, Reading, Storage
from cloud.storage.paths import printable, record_path
from cloud.uploads.receipts import Receipt, ReceiptPage, ReceiptSummary, StoredReceipt
from inference.errors import BadManifest, LimitExceeded
from inference.routes_file import SIDECAR
from inference.tables import build, text_of

log = logging.getLogger(__name__)

PREFIX = "receipts/"
MAX_SIDECAR_BYTES = 64 * 1024


class BlobReceipts:
    """The receipts of a storage account: a ReceiptStore."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, name: str) -> StoredReceipt | None:
        stored = self._storage.read(STATE, PREFIX + record_path(name))
        if stored is None:
            return None
        content, info = stored
        receipt = _receipt(content, info.name)
        if receipt is None:
            return StoredReceipt(self._anew(name), info.etag, info.age_s)
        return StoredReceipt(receipt, self._listed(receipt, info), info.age_s)

    def _listed(self, receipt: Receipt, info: BlobInfo) -> str:
        """The receipt's version; written anew where a copy has lost what a listing shows, or every sweep would ask."""
        if "state" in info.metadata:
            return info.etag
        try:
            return self.replace(receipt, info.etag)
        except Conflict:
            return info.etag  # whoever needs this very version meets the same

    def _anew(self, name: str) -> Receipt:
        """In the place of a receipt that cannot be read: nobody has had the upload yet, but what only the receipt knew
        may be there all the same: a sidecar, which is looked for, and an error record."""
        sidecar = self._storage.open(UPLOADS, f"{name}{SIDECAR}")
        text = sidecar_text(sidecar) if sidecar else None
        return Receipt(name, "", "", "retry", attempt=0, override=text, has_error=True)

    def handed_to(self, job: str) -> str | None:
        for page in self._storage.pages(STATE, PREFIX, size=5000):
            for blob in page.blobs:
                stored = self._storage.read(STATE, blob.name) if blob.metadata.get("state") == "job" else None
                receipt = _receipt(stored[0], blob.name) if stored else None
                if receipt and (receipt.state, receipt.job) == ("job", job):
                    return receipt.name
        return None

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
        if receipt.digest:
            metadata["digest"] = receipt.digest
        if receipt.override is not None:
            metadata["overridden"] = "true"
        if receipt.share is not None:
            metadata["share"] = f"{receipt.share:.3f}"
        path = PREFIX + record_path(receipt.name)
        return self._storage.write_json(STATE, path, asdict(receipt), metadata=metadata, **condition)


def summary_of(blob: BlobInfo) -> ReceiptSummary:
    """What the entry of a receipt in a listing says; where that cannot be read, the receipt itself has to be."""
    path, until = blob.name.removeprefix(PREFIX), blob.metadata.get("until")
    try:
        state, etag, lease_s = blob.metadata["state"], blob.metadata["etag"], float(blob.metadata.get("lease", "0"))
        if not math.isfinite(lease_s):
            raise ValueError(f"a lease of {lease_s} never ends")
        slot = datetime.fromisoformat(until).astimezone(UTC) if until else None
        share = float(blob.metadata["share"]) if "share" in blob.metadata else None
        digest, overridden = blob.metadata.get("digest", ""), "overridden" in blob.metadata
        return ReceiptSummary(path, state, etag, lease_s, slot, blob.age_s, blob.served_at, share, digest, overridden)
    except (KeyError, ValueError, OverflowError):
        return ReceiptSummary(path, "retry", "", 0.0, None, blob.age_s, blob.served_at)


def _receipt(content: bytes, path: str) -> Receipt | None:
    """What a blob says; None, which the log tells, for what is no receipt."""
    try:
        document = json.loads(content)
        # Members of later versions are ignored.
        known = {key: value for key, value in document.items() if key in Receipt.__dataclass_fields__}
        return build(Receipt, known, f"{STATE}/{path}")
    except (ValueError, AttributeError, RecursionError, BadManifest) as error:
        upload = path.removeprefix(PREFIX)
        what = f"the receipt of {upload} cannot be read ({STATE}/{path}: {error}): it begins anew"
        log.warning("%s", printable(what))
        return None


def sidecar_text(sidecar: Reading) -> str | None:
    """The text of a sidecar; None for an empty one, which takes an override back."""
    try:
        return text_of(sidecar.read(MAX_SIDECAR_BYTES)).strip() or None
    except (UnicodeDecodeError, LimitExceeded):
        # No TOML either: it is refused, by its name, when the upload's route is looked for.
        return f"not UTF-8 text of at most {MAX_SIDECAR_BYTES:,} bytes"
