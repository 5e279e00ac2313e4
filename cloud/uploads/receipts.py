"""The receipt: what the ledger knows of an upload, how it changes, and the port through which it is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol, get_args

ReceiptState = Literal["working", "waiting", "retry", "job", "done", "failed", "dropped", "cancelled"]
Unanswered = Literal["retry", "failed", "dropped", "cancelled"]
STATES = get_args(ReceiptState)
# No worker is silent for longer and lives: a damaged receipt must not keep its upload for ever.
LONGEST_LEASE_S = 86400.0
# In the place of a route's digest, where the upload could not be read since it was in the archive tier.
ARCHIVED = "archived"
KEPT_BACK = "kept-back"  # ... or is encrypted with a key of its uploader's own
_SETTLING_S = 60.0  # so long whoever wrote a result may still be at deleting what it replaces


@dataclass(frozen=True)
class Receipt:
    """What the ledger knows of an upload."""

    name: str
    etag: str  # of the upload; "" while only an override is known
    key: str  # sha256 hex over the upload's version and everything that shapes its result; "" while unknown
    state: ReceiptState
    attempt: int = 1  # the number of this claim among those that count: see `claimed`
    owner: str = ""  # random, new for every claim
    lease_s: float = 0.0  # how long it is left alone from its last write on: a worker's lease, a pause of what waits
    until: str | None = None  # ISO time of the slot it waits for; with a cause: of the next look, at the latest
    reason: str = ""
    override: str | None = None  # text of the sidecar <name>.route.toml
    result_etag: str | None = None  # version of result.json that this ledger wrote last
    old_keys: tuple[str, ...] = ()  # folders of artifacts that are to be deleted after the next result
    has_error: bool = False  # errors/<path>.json may exist
    job: str | None = None
    at: str = ""
    share: float | None = None  # of the work that was done (0 to 1) when the lease was renewed last; videos only
    digest: str = ""  # of the route under which the key was made: keys are one-way
    cause: str = ""  # what of the installation it waits for, such as "model:yunet"; "" where it waits for a slot
    deployment: str = ""  # whose worker wrote it
    failed_keys: tuple[str, ...] = ()  # short keys under which this version failed before: each is tried once
    claims: int = 1  # of this version so far, in a row, whether they count or not
    waits: int = 0  # how often in a row the surroundings (storage, the disk) were in the way
    suspect: bool = False  # the last claim ended without a word, or of memory or time: the next one runs alone
    alone: bool = False  # this claim has its worker for itself: should that die, this upload is to blame
    unsettled: bool = False  # an answer is there, and what it replaces is not deleted yet
    claimed_folder: str = ""  # see `folder`; "": in receipts of older versions of the app
    replay: str = ""  # the replay that took this version last, which takes it no second time
    expired: str = ""  # ISO time at which its answer was deleted since it had been kept as long as it was to be kept
    uploaded: str = ""  # ISO time at which storage got this version; "": in receipts of older versions of the app
    ends: int = 0  # how often this upload, in any version, has got a result or an error record, or was cancelled

    @property
    def short_key(self) -> str:
        """By which keys are told apart."""
        return self.key[:12]

    @property
    def folder(self) -> str:
        """Where the artifacts of this claim lie, below the upload's folder in `results`. No two claims write into one:
        keys come back (a sidecar that is taken back, a blob that is undeleted), and whoever clears away what it wrote,
        or what its result replaced, however late, must not meet the files of another."""
        return self.claimed_folder or self.short_key

    @property
    def override_mark(self) -> str:
        """The same for all uploads whose sidecars say the same; "" without an override."""
        return (
            "" if self.override is None else hashlib.sha256(self.override.encode("utf-8", "replace")).hexdigest()[:16]
        )

    def claimed(self, name: str, etag: str, key: str, owner: str, again: bool) -> Receipt:
        """The receipt with which a new claim replaces this receipt; it remembers what has to be cleaned up.

        Of claims that ended in death only those count that had their worker for themselves: beside others nobody can
        tell whose fault it was.
        """
        same = self.etag == etag
        counts = same and self.state in ("working", "retry", "waiting") and not again
        died = counts and self.state == "working"
        stale = {*self.old_keys, self.folder} - {""}
        failed = {*self.failed_keys, self.short_key if self.state == "failed" else ""} - {""} if same else set()
        return Receipt(
            name,
            etag,
            key,
            "working",
            attempt=self.attempt + (not died or self.alone) if counts else 1,
            owner=owner,
            reason=self.reason if counts and self.state == "retry" else "",  # of the last attempt
            override=self.override,
            result_etag=self.result_etag,
            old_keys=tuple(sorted(stale)),
            # Who died may have written its error record a moment before.
            has_error=self.has_error or self.state in ("failed", "working"),
            failed_keys=tuple(sorted(failed)),
            claims=self.claims + 1 if counts else 1,
            waits=self.waits if counts and self.state != "working" else 0,
            suspect=counts and (died or self.suspect),
            claimed_folder=folder_of(key, owner),
            replay=self.replay if same else "",
            uploaded=self.uploaded if same else "",
            ends=self.ends,
        )

    def ended(self, state: Unanswered, reason: str, suspect: bool = False) -> Receipt:
        """The receipt at the end of a claim: with an error record, neither that nor a result, or given back."""
        failed = state == "failed"
        return replace(
            self, state=state, lease_s=0.0, reason=reason, waits=0, alone=False, suspect=suspect,
            has_error=self.has_error or failed, unsettled=failed and bool(self.old_keys or self.result_etag),
            ends=self.ends + (state in ("failed", "cancelled")),
        )  # fmt: skip

    def done(self, result_etag: str, replaced: Collection[str]) -> Receipt:
        """The receipt at the end of a claim, with the result `result_etag`. replaced: folders of others' results."""
        old_keys = tuple(sorted({*self.old_keys, *replaced} - {self.folder}))
        return replace(
            self.ended("retry", ""), state="done", result_etag=result_etag, failed_keys=(), old_keys=old_keys,
            unsettled=bool(old_keys or self.has_error), ends=self.ends + 1,
        )  # fmt: skip

    def settled(self, left: tuple[str, ...], has_error: bool) -> Receipt:
        """The receipt of an answer once what it replaces is deleted, but for the folders `left`; has_error: an error
        record is there."""
        return replace(self, old_keys=left, has_error=has_error, unsettled=False)

    def unspent(self, reason: str) -> Receipt:
        """The receipt of a claim that the surroundings ended: given back, no attempt is spent."""
        return replace(
            self, state="retry", lease_s=0.0, reason=reason, attempt=self.attempt - 1, waits=self.waits + 1, alone=False
        )

    def waiting(self, cause: str, reason: str, until: datetime | None) -> Receipt:
        """The receipt of a claim that must wait for the installation or its surroundings: no attempt is spent, and no
        key is known. What waits for its surroundings is left alone for longer every time."""
        waits = self.waits + 1 if is_surroundings(cause) else 0
        old_keys = tuple(sorted({*self.old_keys, self.folder} - {""}))
        slot = until.isoformat() if until else None
        return replace(
            self, state="waiting", key="", digest="", cause=cause, reason=reason, until=slot,
            lease_s=backoff_s(waits) if waits else 0.0, attempt=self.attempt - 1, old_keys=old_keys, share=None,
            alone=False, waits=waits,
        )  # fmt: skip

    def given_back(self) -> Receipt:
        """The receipt of a claim whose worker is being stopped: to be claimed anew, as if it had not been claimed."""
        attempt, claims = max(0, self.attempt - 1), max(0, self.claims - 1)
        return replace(
            self, state="retry", attempt=attempt, claims=claims, owner="", lease_s=0.0, share=None, alone=False
        )

    def overridden(self, text: str | None) -> Receipt:
        """The receipt with another override: to be claimed anew, whatever it said; a worker notices when it ends."""
        if self.state == "working":
            return replace(self, override=text)
        return replace(
            self, override=text, state="retry", attempt=0, cause="", reason="", until=None, job=None, failed_keys=(),
            claims=0, waits=0, suspect=False,
        )  # fmt: skip

    def handed_over(self, job: str) -> Receipt:
        """The receipt of an upload that the job `job` works on: no lease runs."""
        return replace(self, state="job", lease_s=0.0, job=job)


# What may be in the way of any upload, is not this installation's, and passes: storage that does not answer or refuses,
# a full disk, a machine out of its means.
SURROUNDINGS = ("storage", "disk", "machine")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30.0, 7200.0


def is_surroundings(cause: str) -> bool:
    """Whether a cause is one of the surroundings, in contrast to those of the installation, such as "model:yunet"."""
    return cause in SURROUNDINGS


def backoff_s(waits: int) -> float:
    """How long an upload waits that has met trouble of its surroundings `waits` times in a row: from a minute on,
    doubled every time, two hours at most."""
    return float(min(_FIRST_WAIT_S * 2 ** min(waits, 20), _LONGEST_WAIT_S))


def make_key(container: str, name: str, etag: str, digest: str) -> str:
    """The receipt's key: sha256 hex over a version of an upload and the digest of its route."""
    return hashlib.sha256("\0".join((container, name, etag, digest)).encode("utf-8", "replace")).hexdigest()


def folder_of(key: str, owner: str) -> str:
    """The name of the folder for the artifacts of a claim."""
    return hashlib.sha256(f"{key}\0{owner}".encode()).hexdigest()[:12] if key else ""


def _is_over(lease_s: float, age_s: float) -> bool:
    return age_s >= min(lease_s, LONGEST_LEASE_S)


@dataclass(frozen=True)
class StoredReceipt:
    """A receipt as it is kept. `age_s`: since it was written, by the store's own clock."""

    receipt: Receipt
    version: str
    age_s: float
    written: datetime | None = None  # by the store's own clock

    @property
    def lease_is_over(self) -> bool:
        """Whether whoever had the upload may be taken for dead."""
        return _is_over(self.receipt.lease_s, self.age_s)


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
    unsettled: bool = False
    replay: str = ""  # as the receipt's
    expired: bool = False  # its answer was deleted since it had been kept as long as it was to be kept

    @property
    def lease_is_over(self) -> bool:
        """As StoredReceipt's."""
        return _is_over(self.lease_s, self.age_s)

    def is_open(self, etag: str) -> bool:
        """Whether version `etag` of the upload, which is there, still needs somebody."""
        if self.etag != etag:
            return True
        if self.state == "working":
            return self.lease_is_over
        if self.state == "waiting" and is_surroundings(self.cause):
            # By the store's clock: that of a worker may be days ahead.
            return self.lease_is_over
        if self.state == "waiting":
            # Whether a cause is still there only a look at the installation tells: see `Waits`.
            return bool(self.cause) or self.until is None or self.until <= self.listed_at
        if self.state in ("done", "failed"):
            return self.unsettled and self.age_s >= _SETTLING_S
        # Dropped is what was gone: where it is listed, it is there again.
        return self.state in ("retry", "dropped") or self.state not in STATES


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
