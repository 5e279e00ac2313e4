"""Receipts as blobs: `state/receipts/<path>`, small JSON documents.

What the sweep needs stands in the blob's metadata too, because a listing shows that without a request per blob.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cloud.settings import STATE, UPLOADS
from cloud.storage.blobs import Conflict
from cloud.storage.containers import BlobInfo, Reading, Storage, to_bytes
from cloud.storage.paths import printable, record_path
from cloud.uploads.receipts import Receipt, ReceiptPage, ReceiptSummary, StoredReceipt
from inference.errors import BadManifest, LimitExceeded, StorageUnavailable
from inference.routes_file import MAX_SIDECAR_BYTES, SIDECAR
from inference.tables import build, text_of

log = logging.getLogger(__name__)

PREFIX = "receipts/"
MAX_RECEIPT_BYTES = 1024 * 1024  # of ours the largest is a sidecar's text, and what is kept beside it
_VERSION = re.compile(r"[!-~]{0,200}")  # what a service may call a version of a blob
# What of a receipt's metadata decides whether a sweep asks for the receipt itself.
_DECIDING = ("state", "etag", "until", "cause", "job", "lease", "share", "unsettled")
# Of attempts that were made; storage keeps 8 KiB of metadata.
_MOST_ATTEMPTS, _MOST_METADATA = 1_000_000, 7_000


class BlobReceipts:
    """The receipts of a storage account: a ReceiptStore."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, name: str) -> StoredReceipt | None:
        reading = self._storage.open(STATE, PREFIX + record_path(name))
        if reading is None:
            return None
        info, receipt = reading.info, _receipt(reading)
        if receipt is None:
            return StoredReceipt(self._anew(name), info.etag, info.age_s, info.modified)
        return StoredReceipt(receipt, self._listed(receipt, info), info.age_s, info.modified)

    def _listed(self, receipt: Receipt, info: BlobInfo) -> str:
        """The receipt's version; written anew where a listing shows something else (a copy lost it, an older version of
        the app did not say it), or every sweep would ask. A worker's is left alone: its age is the lease."""
        told = metadata_of(receipt)
        if receipt.state == "working" or all(info.metadata.get(key) == told.get(key) for key in _DECIDING):
            return info.etag
        try:
            return self.replace(receipt, info.etag)
        except (Conflict, StorageUnavailable):
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
                reading = self._storage.open(STATE, blob.name) if blob.metadata.get("state") == "job" else None
                receipt = _receipt(reading) if reading else None
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
        path = PREFIX + record_path(receipt.name)
        return self._storage.write_json(STATE, path, asdict(receipt), metadata=metadata_of(receipt), **condition)


def metadata_of(receipt: Receipt) -> dict[str, str]:
    """What a listing is to say of a receipt."""
    metadata = {"state": receipt.state, "etag": receipt.etag, "lease": f"{receipt.lease_s:g}"}
    if receipt.override is not None:
        metadata |= {"overridden": "true", "override": receipt.override_mark}
    if receipt.share is not None:
        metadata["share"] = f"{receipt.share:.3f}"
    more = {"until": receipt.until, "digest": receipt.digest, "cause": receipt.cause, "by": receipt.deployment}
    more |= {"replay": receipt.replay, "expired": receipt.expired}
    if receipt.state == "job":
        more["job"] = receipt.job
    if receipt.unsettled:
        more["unsettled"] = "true"
    return metadata | {key: value for key, value in more.items() if value}


def summary_of(blob: BlobInfo) -> ReceiptSummary:
    """What the entry of a receipt in a listing says; where that cannot be read, the receipt itself has to be."""
    path, said = blob.name.removeprefix(PREFIX), blob.metadata
    try:
        state, etag, lease_s = said["state"], said["etag"], _finite(said.get("lease", "0"))
        slot = datetime.fromisoformat(said["until"]).astimezone(UTC) if said.get("until") else None
        share = _finite(said["share"]) if "share" in said else None
    except (KeyError, ValueError, OverflowError):
        return ReceiptSummary(path, "retry", "", 0.0, None, blob.age_s, blob.served_at)
    return ReceiptSummary(
        path, state, etag, lease_s, slot, blob.age_s, blob.served_at, share, said.get("digest", ""),
        "overridden" in said, said.get("override", ""), said.get("cause", ""), said.get("by", ""), said.get("job", ""),
        "unsettled" in said, said.get("replay", ""), bool(said.get("expired")),
    )  # fmt: skip


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text}: a lease would never end")
    return number


def _receipt(reading: Reading) -> Receipt | None:
    """What a blob says; None, which the log tells, for what is no receipt."""
    path = reading.info.name
    try:
        document = json.loads(reading.read(MAX_RECEIPT_BYTES))
        # Members of later versions are ignored.
        known = {key: value for key, value in document.items() if key in Receipt.__dataclass_fields__}
        receipt = build(Receipt, known, f"{STATE}/{path}")
        if PREFIX + record_path(receipt.name) != path:
            raise ValueError(f"it speaks of {receipt.name!r}")  # what is written would go there
        if not all(_VERSION.fullmatch(version) for version in (receipt.etag, receipt.result_etag or "")):
            raise ValueError("its versions are none")
        for moment in filter(None, (receipt.until, receipt.uploaded)):
            datetime.fromisoformat(moment)
        counts = (receipt.attempt, receipt.claims, receipt.waits)
        if not all(0 <= count <= _MOST_ATTEMPTS for count in counts) or receipt.lease_s < 0:
            raise ValueError(f"its attempt is {receipt.attempt}, its lease {receipt.lease_s:g} s")
        if (receipt.state, receipt.reason) == ("dropped", "cancelled"):  # as versions before had it
            receipt = replace(receipt, state="cancelled")
        to_bytes(asdict(receipt))  # of what cannot be written again nothing would come
        if sum(len(quote(value)) for value in metadata_of(receipt).values()) > _MOST_METADATA:
            raise ValueError("what a listing would say of it is too long")
        return receipt
    except (ValueError, AttributeError, ArithmeticError, RecursionError, BadManifest, LimitExceeded) as error:
        upload = path.removeprefix(PREFIX)
        what = f"the receipt of {upload} cannot be read ({STATE}/{path}: {str(error)[:300]}): it begins anew"
        log.warning("%s", printable(what))
        return None


def sidecar_text(sidecar: Reading) -> str | None:
    """The text of a sidecar; None for an empty one, which takes an override back."""
    try:
        return text_of(sidecar.read(MAX_SIDECAR_BYTES)).strip() or None
    except (UnicodeDecodeError, LimitExceeded):
        # No TOML either: it is refused, by its name, when the upload's route is looked for.
        return f"not UTF-8 text of at most {MAX_SIDECAR_BYTES:,} bytes"
