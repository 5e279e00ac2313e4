"""The receipt: what the ledger knows of an upload, how it changes, and the port through which it is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol, get_args

ReceiptState = Literal["working", "waiting", "retry", "job", "done", "failed", "dropped"]
Ended = Literal["retry", "done", "failed", "dropped"]
STATES = get_args(ReceiptState)
# No worker is silent for longer and lives: a damaged receipt must not keep its upload for ever.
LONGEST_LEASE_S = 86400.0


@dataclass(frozen=True)
class Receipt:
    """What the ledger knows of an upload."""

    name: str
    etag: str  # of the upload; "" while only an override is known
    key: str  # sha256 hex over the upload's version and everything that shapes its result; "" while unknown
    state: ReceiptState
    attempt: int = 1
    owner: str = ""  # random, new for every claim
    lease_s: float = 0.0
    until: str | None = None  # ISO time of the slot it waits for; with a cause: of the next look, at the latest
    reason: str = ""
    override: str | None = None  # text of the sidecar <name>.route.toml
    result_etag: str | None = None  # version of result.json that this ledger wrote last
    old_keys: tuple[str, ...] = ()  # short keys whose artifacts are to be deleted after the next result
    has_error: bool = False  # errors/<path>.json may exist
    job: str | None = None
    at: str = ""
    share: float | None = None  # of the work that was done (0 to 1) when the lease was renewed last; videos only
    digest: str = ""  # of the route under which the key was made: keys are one-way
    cause: str = ""  # what of the installation it waits for, such as "model:yunet"; "" where it waits for a slot
    deployment: str = ""  # whose worker wrote it
    failed_keys: tuple[str, ...] = ()  # short keys under which this version failed before: each is tried once
    replay: str = ""  # the replay that took this version last, which takes it no second time
    expired: str = ""  # ISO time at which its answer was deleted since it had been kept as long as it was to be kept

    @property
    def short_key(self) -> str:
        """The folder of this version's artifacts."""
        return self.key[:12]

    @property
    def override_mark(self) -> str:
        """The same for all uploads whose sidecars say the same; "" without an override."""
        return (
            "" if self.override is None else hashlib.sha256(self.override.encode("utf-8", "replace")).hexdigest()[:16]
        )

    def claimed(self, name: str, etag: str, key: str, owner: str, again: bool) -> Receipt:
        """The receipt with which a new claim replaces this receipt; it remembers what has to be cleaned up."""
        same = self.etag == etag
        counts = same and self.state in ("working", "retry", "waiting") and not again
        stale = {*self.old_keys, self.short_key} - {key[:12], ""}
        failed = {*self.failed_keys, self.short_key if self.state == "failed" else ""} - {""} if same else set()
        return Receipt(
            name,
            etag,
            key,
            "working",
            attempt=self.attempt + 1 if counts else 1,
            owner=owner,
            reason=self.reason if counts and self.state == "retry" else "",  # of the last attempt
            override=self.override,
            result_etag=self.result_etag,
            old_keys=tuple(sorted(stale)),
            has_error=self.has_error or self.state == "failed",
            failed_keys=tuple(sorted(failed)),
            replay=self.replay if same else "",
        )

    def ended(self, state: Ended, reason: str, result_etag: str | None) -> Receipt:
        """The receipt at the end of a claim: with a result, an error record, neither, or given back ("retry")."""
        receipt = replace(self, state=state, lease_s=0.0, reason=reason)
        if state == "done":
            return replace(receipt, result_etag=result_etag, old_keys=(), has_error=False, failed_keys=())
        return replace(receipt, has_error=True) if state == "failed" else receipt

    def waiting(self, cause: str, reason: str, until: datetime | None) -> Receipt:
        """The receipt of a claim that must wait for the installation: no attempt is spent, and no key is known."""
        old_keys = tuple(sorted({*self.old_keys, self.short_key} - {""}))
        slot = until.isoformat() if until else None
        return replace(
            self, state="waiting", key="", digest="", cause=cause, reason=reason, until=slot,
            lease_s=0.0, attempt=self.attempt - 1, old_keys=old_keys, share=None,
        )  # fmt: skip

    def overridden(self, text: str | None) -> Receipt:
        """The receipt with another override: to be claimed anew, whatever it said; a worker notices when it ends."""
        if self.state == "working":
            return replace(self, override=text)
        return replace(
            self, override=text, state="retry", attempt=0, cause="", reason="", until=None, job=None, failed_keys=()
        )

    def handed_over(self, job: str) -> Receipt:
        """The receipt of an upload that the job `job` works on: no lease runs."""
        return replace(self, state="job", lease_s=0.0, job=job)


def make_key(container: str, name: str, etag: str, digest: str) -> str:
    """The receipt's key: sha256 hex over a version of an upload and the digest of its route."""
    return hashlib.sha256("\0".join((container, name, etag, digest)).encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class StoredReceipt:
    """A receipt as it is kept. `age_s`: since it was written, by the store's own clock."""

    receipt: Receipt
    version: str
    age_s: float


@dataclass(frozen=True)
class ReceiptSummary:
    """What a listing says of a receipt. `path`: see paths.record_path; `listed_at`: by the store's own clock."""

    path: str
    state: str
    etag: str
    lease_s: float
    until: datetime | None
    age_s: float
    listed_at: datetime
    share: float | None = None
    digest: str = ""  # of the route, as far as the listing says
    overridden: bool = False  # a sidecar says another route: only the receipt itself knows its text
    override_mark: str = ""  # see Receipt; "" where the listing does not say
    cause: str = ""
    deployment: str = ""
    job: str = ""  # that has the upload, where the state is "job"; "" where the listing does not say
    replay: str = ""  # as the receipt's
    expired: bool = False  # its answer was deleted since it had been kept as long as it was to be kept

    def is_open(self, etag: str) -> bool:
        """Whether version `etag` of the upload still needs somebody."""
        if self.etag != etag:
            return True
        if self.state == "working":
            return self.age_s >= min(self.lease_s, LONGEST_LEASE_S)
        if self.state == "waiting":
            # Whether a cause is still there only a look at the installation tells: see `Waits`.
            return bool(self.cause) or self.until is None or self.until <= self.listed_at
        return self.state == "retry" or self.state not in STATES


@dataclass(frozen=True)
class ReceiptPage:
    """One page of a listing, in the order of the paths; `token` lists this page again."""

    summaries: list[ReceiptSummary]
    token: str | None


class ReceiptStore(Protocol):
    """Stores a receipt per upload. Every method is a single call, unless it says otherwise; a write is atomic."""

    def get(self, name: str) -> StoredReceipt | None:
        """The receipt of the upload `name`."""

    def create(self, receipt: Receipt) -> str:
        """Stores the first receipt of an upload and returns its version. Raises Conflict where it has a receipt."""

    def replace(self, receipt: Receipt, version: str) -> str:
        """Keeps a receipt in the place of `version` and returns its version. Raises Conflict where that is gone."""

    def handed_to(self, job: str) -> str | None:
        """The upload that waits for the job `job`, or None. No single call: it goes through all receipts."""

    def pages(self, prefix: str = "", token: str | None = None) -> Iterator[ReceiptPage]:
        """The receipts whose paths begin with `prefix`, from the page `token` on."""
