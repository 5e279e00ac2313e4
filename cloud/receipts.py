"""The receipt: what the ledger knows of one upload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["working", "waiting", "retry", "job", "done", "failed", "dropped"]
PREFIX = "receipts/"


@dataclass(frozen=True)
class Receipt:
    """What the ledger knows of one upload."""

    name: str
    etag: str  # of the upload; "" while only an override is known
    key: str  # sha256 hex over the upload's version and everything that shapes its result
    state: State
    attempt: int = 1
    owner: str = ""  # random, one per claim
    lease_s: float = 0.0
    until: str | None = None  # ISO time of the slot it waits for
    reason: str = ""
    override: str | None = None  # text of the sidecar <name>.route.toml
    result_etag: str | None = None  # version of result.json that this ledger wrote last
    old_keys: tuple[str, ...] = ()  # short keys whose artifacts are to be deleted after the next result
    has_error: bool = False  # errors/<path>.json may exist
    job: str | None = None
    at: str = ""

    @property
    def short_key(self) -> str:
        """The folder of this version's artifacts."""
        return self.key[:12]


def make_key(container: str, name: str, etag: str, digest: str) -> str:
    """The receipt's key: sha256 hex over one version of one upload and the digest of its route."""
    return hashlib.sha256("\0".join((container, name, etag, digest)).encode("utf-8", "replace")).hexdigest()


def successor(old: Receipt, name: str, etag: str, key: str, owner: str, again: bool) -> Receipt:
    """The receipt with which a claim replaces `old`: what was written before is remembered for cleaning."""
    counts = old.etag == etag and old.state in ("working", "retry") and not again
    stale = {*old.old_keys, old.short_key} - {key[:12], ""}
    return Receipt(
        name,
        etag,
        key,
        "working",
        attempt=old.attempt + 1 if counts else 1,
        owner=owner,
        override=old.override,
        result_etag=old.result_etag,
        old_keys=tuple(sorted(stale)),
        has_error=old.has_error or old.state == "failed",
    )


def from_json(document: Mapping[str, Any]) -> Receipt:
    """A receipt as it was written; members of later versions are ignored."""
    known = {key: value for key, value in document.items() if key in Receipt.__dataclass_fields__}
    return Receipt(**{**known, "old_keys": tuple(known.get("old_keys", ()))})
