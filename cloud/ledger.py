"""Receipts: who works on which version of which upload, and how it ended.

One receipt per upload, `state/receipts/<path>`, a small JSON document that is only ever replaced with
`If-Match` on the version read before (the first with `If-None-Match: *`), so that of any number of workers
exactly one gets the upload. What the sweep needs stands in the blob's metadata too, because a listing shows
that without a request per blob.

A lease is the age of the receipt, not a blob lease: those need a blob to hang on, two more calls per upload,
and end after 60 s. A living worker rewrites its receipt; one that is silent for `lease_s` counts as dead.
Both ends of that time are read from the storage service's clock (`Date` minus `Last-Modified`), so the clocks
of the workers do not matter.

States: working -> done | failed | dropped | retry (given back) | job (handed to queue functions);
waiting (for the slot that its route names) -> working.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, Literal, Protocol, TypeVar

from inference.errors import StorageUnavailable

from .paths import record_path
from .receipts import PREFIX as PREFIX
from .receipts import Receipt as Receipt
from .receipts import State as State
from .receipts import from_json, successor
from .receipts import make_key as make_key
from .settings import STATE
from .storage import BlobInfo, Conflict, Storage, to_bytes

log = logging.getLogger(__name__)

Refusal = Literal["done", "failed", "busy", "waiting"]
Finish = Literal["ok", "changed", "lost"]
_ROUNDS = 20
_REPEATABLE = ("done", "failed", "dropped", "job")


class Plan(Protocol):
    """What is to be done with an upload, as far as the ledger is concerned."""

    @property
    def key(self) -> str: ...

    @property
    def until(self) -> datetime | None: ...


P = TypeVar("P", bound=Plan)


@dataclass
class Claim(Generic[P]):
    """An upload that is ours until the lease ends. Renewed in the background, hence the lock."""

    receipt: Receipt
    version: str  # ETag of the receipt
    plan: P
    previous: Receipt | None = None
    lost: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.override = self.receipt.override  # the one that `plan` was made with


class Ledger:
    """The receipts of one account."""

    def __init__(self, storage: Storage, lease_s: float, max_attempts: int) -> None:
        self.storage = storage
        self.lease_s = lease_s
        self.max_attempts = max_attempts
        self._lock = threading.Lock()
        self._held: dict[int, Claim[Any]] = {}
        self._keeper: threading.Thread | None = None

    def claim(
        self, name: str, etag: str, plan_for: Callable[[str | None], P], *, again: bool = False
    ) -> Claim[P] | Refusal:
        """Try to get version `etag` of the upload `name`; one call where nobody has seen it before.

        `plan_for(override)` says what would be done, given the sidecar's text. The answer is a claim, or why
        there is none: done or failed (this very key is finished), busy (a living worker or job has it),
        waiting (for its slot). A claim past `max_attempts` is given too: the caller records the failure.
        `again` claims what is finished, and starts to count attempts anew.
        """
        owner = uuid.uuid4().hex
        plan = plan_for(None)
        wanted = self._start(Receipt(name, etag, plan.key, "working", owner=owner), plan)
        try:
            version = self._write(wanted, if_absent=True)
            return "waiting" if wanted.state == "waiting" else Claim(wanted, version, plan)
        except Conflict:
            pass
        for _ in range(_ROUNDS):
            found = self.read(name)
            old: Receipt | None = None
            current: str | None = None
            if found is not None:
                old, current = found[0], found[1].etag
                if old.owner == owner and old.state == wanted.state:
                    # Our first write had arrived after all, and only its answer was lost.
                    return "waiting" if old.state == "waiting" else Claim(old, current, plan)
                plan = plan_for(old.override)
                refusal = self._refusal(*found, etag, plan)
                if refusal and not (again and old.state in _REPEATABLE):
                    return refusal
                wanted = self._start(successor(old, name, etag, plan.key, owner, again), plan)
            try:
                version = self._write(wanted, if_match=current, if_absent=current is None)
            except Conflict:
                continue
            return "waiting" if wanted.state == "waiting" else Claim(wanted, version, plan, old)
        raise StorageUnavailable(f"{name}: its receipt changed {_ROUNDS} times while it was being claimed")

    def _start(self, receipt: Receipt, plan: Plan) -> Receipt:
        if plan.until is not None:
            return replace(receipt, state="waiting", attempt=0, until=plan.until.isoformat())
        return replace(receipt, lease_s=self.lease_s)

    def _refusal(self, old: Receipt, info: BlobInfo, etag: str, plan: Plan) -> Refusal | None:
        if old.etag != etag:
            return None  # the receipt speaks of an older version: whoever works on it will notice and drop it
        if old.state in ("done", "failed", "dropped") and old.key == plan.key:
            return "done" if old.state != "failed" else "failed"
        if old.state == "job" and old.key == plan.key:
            return "busy"
        if old.state == "working" and info.age_s < old.lease_s:
            return "busy"
        if old.state == "waiting" and plan.until is not None and old.until == plan.until.isoformat():
            return "waiting"
        return None

    @contextmanager
    def hold(self, claim: Claim[Any]) -> Iterator[None]:
        """Keep the lease alive while the block runs; no call for work shorter than a quarter of a lease."""
        with self._lock:
            self._held[id(claim)] = claim
            if self._keeper is None:
                # One for all claims: starting a thread per upload costs more than everything else here.
                self._keeper = threading.Thread(target=self._keep, name="dropsight-leases", daemon=True)
                self._keeper.start()
        try:
            yield
        finally:
            with self._lock:
                del self._held[id(claim)]

    def _keep(self) -> None:
        """Renew whatever was held at the last tick already; end when nothing is held."""
        before: set[int] = set()
        while True:
            time.sleep(self.lease_s / 4)
            with self._lock:
                held = dict(self._held)
                if not held:
                    self._keeper = None
                    return
            for key in before & held.keys():
                try:
                    self._renew(held[key])
                except Exception as error:  # noqa: BLE001 - the other claims' leases depend on this thread
                    log.warning("%s: the lease was not renewed (%s)", held[key].receipt.name, error)
            before = set(held)

    def _renew(self, claim: Claim[Any]) -> None:
        with claim.lock:
            if claim.lost or claim.ended:
                return
            try:
                claim.version = self._write(claim.receipt, if_match=claim.version)
            except Conflict:
                self._reload(claim)

    def _reload(self, claim: Claim[Any]) -> Receipt | None:
        """After a conflict: what the receipt says now, or None where the claim is lost.

        It may still be ours: a sidecar came in, or our own write arrived and only its answer was lost.
        """
        found = self.read(claim.receipt.name)
        if found is None or found[0].owner != claim.receipt.owner:
            claim.lost = True
            return None
        claim.version = found[1].etag
        claim.receipt = replace(claim.receipt, override=found[0].override)
        return found[0]

    def finish(self, claim: Claim[Any], state: State, **changes: Any) -> Finish:
        """Write the end of a claim: one call. Never raises Conflict.

        "lost": somebody else has the upload by now. "changed": a sidecar arrived meanwhile; the receipt is
        given back, keeping `changes`, and the upload has to be claimed again.
        """
        with claim.lock:
            for _ in range(_ROUNDS):
                wanted = replace(claim.receipt, state=state, lease_s=0.0, **changes)
                if wanted.override != claim.override:
                    wanted = replace(wanted, state="retry", attempt=0)
                try:
                    claim.version = self._write(wanted, if_match=claim.version)
                except Conflict:
                    adopted = claim.receipt.state == "job"
                    found = self._reload(claim)
                    if found is None:
                        return "lost"
                    if adopted and found.state not in ("job", wanted.state):
                        # Workers of one job share its claim: one of them has ended it in another way.
                        claim.lost = True
                        return "lost"
                    if found.state == wanted.state:
                        claim.receipt, claim.ended = wanted, True
                        return "ok" if found.state == state else "changed"
                    continue
                claim.receipt, claim.ended = wanted, True
                return "ok" if wanted.state == state else "changed"
        name = claim.receipt.name
        raise StorageUnavailable(f"{name}: its receipt changed {_ROUNDS} times while it was being ended")

    def hand_over(self, claim: Claim[Any], job: str) -> Finish:
        """Leave the upload to the job `job`: no lease runs, and `adopt` gets it back."""
        return self.finish(claim, "job", job=job)

    def adopt(self, name: str, job: str, plan_for: Callable[[str | None], P]) -> Claim[P] | None:
        """The claim of an upload that was handed to `job`, or None where it is another's or gone by now."""
        found = self.read(name)
        if found is None or found[0].state != "job" or found[0].job != job:
            return None
        return Claim(found[0], found[1].etag, plan_for(found[0].override), found[0])

    def override(self, name: str, text: str | None) -> None:
        """Note the text of the upload's sidecar (None: there is no override any more)."""
        for _ in range(_ROUNDS):
            found = self.read(name)
            try:
                if found is None:
                    self._write(Receipt(name, "", "", "retry", attempt=0, override=text), if_absent=True)
                elif found[0].override != text:
                    self._write(replace(found[0], override=text), if_match=found[1].etag)
                return
            except Conflict:
                continue
        raise StorageUnavailable(f"{name}: its receipt changed {_ROUNDS} times while its sidecar was noted")

    def read(self, name: str) -> tuple[Receipt, BlobInfo] | None:
        """The receipt of an upload with its blob's properties; one call."""
        found = self.storage.read(STATE, PREFIX + record_path(name))
        return None if found is None else (from_json(json.loads(found[0])), found[1])

    def _write(self, receipt: Receipt, *, if_match: str | None = None, if_absent: bool = False) -> str:
        receipt = replace(receipt, at=datetime.now(UTC).isoformat(timespec="seconds"))
        summary = {"state": receipt.state, "etag": receipt.etag, "lease": f"{receipt.lease_s:g}"}
        if receipt.until:
            summary["until"] = receipt.until
        return self.storage.write(
            STATE,
            PREFIX + record_path(receipt.name),
            to_bytes(asdict(receipt)),
            if_match=if_match,
            if_absent=if_absent,
            metadata=summary,
            content_type="application/json",
        )
