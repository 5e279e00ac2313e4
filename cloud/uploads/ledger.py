"""Receipts: who works on which version of which upload, and how it ended.

One receipt per upload that is only ever replaced on condition of the version read before (the first: that there is
none), so that of any number of workers a single one gets the upload. A ReceiptStore keeps them.

A lease is the age of the receipt, not a blob lease: those need a blob to hang on, two more calls per upload,
and end after 60 s. A living worker rewrites its receipt; a worker that is silent for `lease_s` counts as dead.
Both ends of that time are read from the store's clock, so the clocks of the workers do not matter.

States and every way between them, with what is left by a crash before and after it: docs/ledger.md.

What is done is done whoever did it: several deployments with other routes or models share an account.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from cloud.storage.blobs import Conflict
from cloud.uploads.claims import Claim as Claim
from cloud.uploads.claims import ClaimPlan, P, granted, refusal_of
from cloud.uploads.claims import Finish as Finish
from cloud.uploads.claims import Refusal as Refusal
from cloud.uploads.claims import Stopping as Stopping
from cloud.uploads.events import Again
from cloud.uploads.leases import Leases
from cloud.uploads.receipts import (
    Receipt,
    ReceiptStore,
    Unanswered,
    folder_of,
)
from cloud.uploads.unclaimed_receipts import ROUNDS, UnclaimedReceipts
from inference.errors import StorageUnavailable

_REPEATABLE = ("done", "failed", "dropped", "cancelled")


class Ledger(UnclaimedReceipts):
    """The receipts of a storage account."""

    def __init__(self, store: ReceiptStore, lease_s: float, deployment: str = "") -> None:
        super().__init__(store)
        self.lease_s = lease_s
        self.deployment = deployment
        self.leases = Leases(lease_s, self)

    @property
    def stopped(self) -> bool:
        """Whether nothing is claimed any more: see `stop`."""
        return self.leases.stopped

    def hold(self, claim: Claim[Any], begin_thread: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Keep the lease alive while the block runs; no call for work shorter than a quarter of a lease.

        `begin_thread` is called before every renewal: the thread that renews serves many invocations.
        """
        return self.leases.hold(claim, begin_thread)

    def stop(self) -> None:
        """Give back what is held, no attempt spent, and take nothing more: this process is about to be ended.

        Whoever asks next has the upload at once, and need not wait for the end of a lease. The workers here go on until
        they look at `Claim.given_back`, or want to end their claims, which are lost. Returns once all are given back.
        """
        self.leases.stop()

    def claim(
        self,
        name: str,
        etag: str,
        plan_for: Callable[[str | None], P],
        *,
        again: Again | None = None,
        replay: str = "",
        uploaded: str = "",
    ) -> Claim[P] | Refusal:
        """Try to get version `etag` of the upload `name`; a single call where nobody has seen it before.

        `plan_for(override)` says what would be done, given the sidecar's text. The answer is a claim, or why
        there is none: done (under any key: another deployment's result counts), failed (under this very key),
        busy (a living worker or a job has it), waiting (for its slot, or until the installation is mended: no
        attempt is spent). A claim past any number of attempts is given too: the caller records the failure.
        `again`, of a replay, says whether to claim what is finished, and attempts are counted anew. `replay`: the id of
        that replay, which takes a version once, and counts the attempts that follow on that. uploaded: see Receipt.
        """
        if self.stopped:
            return "busy"
        owner = uuid.uuid4().hex
        plan = plan_for(None)
        first = Receipt(
            name, etag, plan.key, "working", owner=owner, digest=plan.digest, replay=replay,
            claimed_folder=folder_of(plan.key, owner), uploaded=uploaded,
        )  # fmt: skip
        wanted = self._begun(first, plan)
        try:
            return self._granted(wanted, self._put(wanted, None), plan, is_first=True)
        except Conflict:
            pass
        for _ in range(ROUNDS):
            stored = self.read(name)
            if stored is not None:
                old = stored.receipt
                if old.owner == owner and old.state == wanted.state:
                    # Our first write had arrived after all, and only its answer was lost.
                    return self._granted(old, stored.version, plan)
                plan = plan_for(old.override)
                refusal = refusal_of(stored, etag, plan)
                anew = again is not None and not (replay and old.etag == etag and old.replay == replay)
                if refusal and not (anew and again and old.state in _REPEATABLE and again(old, plan.key)):
                    return refusal
                claimed = old.claimed(name, etag, plan.key, owner, anew)
                claimed = replace(claimed, digest=plan.digest, replay=replay or claimed.replay)
                claimed = replace(claimed, uploaded=uploaded or claimed.uploaded)
                wanted = self._begun(claimed, plan)
            try:
                return self._granted(wanted, self._put(wanted, stored.version if stored else None), plan)
            except Conflict:
                continue
        raise StorageUnavailable(f"{name}: its receipt changed {ROUNDS} times while it was being claimed")

    def _granted(self, receipt: Receipt, version: str, plan: P, is_first: bool = False) -> Claim[P] | Refusal:
        answer = granted(receipt, version, plan)
        if isinstance(answer, Claim):
            answer.is_first = is_first
        if answer == "waiting":
            self.notes.waits(receipt, version)
        return answer

    def _begun(self, receipt: Receipt, plan: ClaimPlan) -> Receipt:
        receipt = replace(receipt, deployment=self.deployment)
        if plan.cause:
            return receipt.waiting(plan.cause, plan.blocked, plan.until)
        if plan.until is not None:
            return replace(receipt, state="waiting", attempt=0, until=plan.until.isoformat())
        return replace(receipt, lease_s=self.lease_s)

    def renew(self, claim: Claim[Any]) -> None:
        """Begin the time of the claim's lease anew, unless it has ended; a call."""
        with claim.lock:
            if claim.lost or claim.ended:
                return
            try:
                claim.version = self._put(replace(claim.receipt, share=claim.share), claim.version)
            except Conflict:
                self._reload(claim)
                return
        self.notes.renewed(claim)

    def _reload(self, claim: Claim[Any]) -> Receipt | None:
        """After a conflict: what the receipt says now, or None where the claim is lost.

        It may still be ours: a sidecar came in, or our own write arrived and only its answer was lost.
        """
        stored = self.read(claim.receipt.name)
        if stored is None or stored.receipt.owner != claim.receipt.owner:
            claim.lost = True
            return None
        claim.version = stored.version
        claim.receipt = replace(claim.receipt, override=stored.receipt.override)
        return stored.receipt

    def finish(self, claim: Claim[Any], state: Unanswered, *, reason: str = "", suspect: bool = False) -> Finish:
        """Write the end of a claim without a result: a single call, which never raises Conflict.

        "lost": somebody else has the upload by now. "changed": a sidecar arrived meanwhile; the receipt is
        given back, and the upload has to be claimed again. suspect: the next claim is to run alone.
        """
        return self._end(claim, lambda receipt: receipt.ended(state, reason, suspect))

    def complete(
        self, claim: Claim[Any], result_etag: str, replaced: Collection[str] = (), folder: str | None = None
    ) -> Finish:
        """Write the end of a claim whose result lies there; see Receipt.done. The answer is as `finish`'s.

        folder: that of the result's artifacts, where an earlier claim of the upload wrote them.
        """

        def end(receipt: Receipt) -> Receipt:
            if folder is not None and folder != receipt.folder:
                old_keys = tuple(key for key in (*receipt.old_keys, receipt.folder) if key != folder)
                receipt = replace(receipt, claimed_folder=folder, old_keys=old_keys)
            return receipt.done(result_etag, replaced)

        return self._end(claim, end)

    def give_back(self, claim: Claim[Any], reason: str) -> Finish:
        """Give a claim back that the surroundings ended: no attempt is spent. The answer is as `finish`'s."""
        return self._end(claim, lambda receipt: receipt.unspent(reason))

    def give_back_later(self, claim: Claim[Any], reason: str) -> None:
        """As `give_back`; where storage does not take it, it is tried again in the background until the lease is
        somebody else's: an outage of hours must not look like a death. Nothing where the claim has ended."""
        self.leases.give_back_later(claim, reason)

    def hand_back(self, claim: Claim[Any]) -> Finish:
        """Give a claim back as if it had not been made; see `stop`. The answer is as `finish`'s."""
        return self._end(claim, lambda receipt: receipt.given_back())

    def runs_alone(self, claim: Claim[Any]) -> bool:
        """Note that the claim has its worker for itself from here on: a death counts. False where it is lost."""
        return self._rewrite(claim, lambda receipt: replace(receipt, alone=True))

    def settle(self, claim: Claim[Any], left: tuple[str, ...], has_error: bool) -> None:
        """Note that what an answer replaces is deleted, but for the folders `left` and, perhaps, an error record;
        nothing where the receipt has changed since the claim ended."""
        with suppress(Conflict):
            settled = claim.receipt.settled(left, has_error)
            claim.version = self._put(settled, claim.version)
            claim.receipt = settled

    def holder(self, claim: Claim[Any]) -> Receipt | None:
        """What the store says now of the claim's upload, and whether that is still its own (`claim.lost`); a call."""
        with claim.lock:
            stored = self.read(claim.receipt.name)
            if stored is None or stored.receipt.owner != claim.receipt.owner:
                claim.lost = True
            return stored.receipt if stored else None

    def _rewrite(self, claim: Claim[Any], change: Callable[[Receipt], Receipt]) -> bool:
        """Change a receipt without ending or renewing its claim's time with others; False where it is lost."""
        with claim.lock:
            for _ in range(ROUNDS):
                if claim.lost:
                    return False
                wanted = change(claim.receipt)
                try:
                    claim.version = self._put(wanted, claim.version)
                except Conflict:
                    self._reload(claim)
                    continue
                claim.receipt = wanted
                return True
        raise StorageUnavailable(f"{claim.receipt.name}: its receipt changed {ROUNDS} times while it was noted")

    def wait(self, claim: Claim[Any], cause: str, reason: str, until: datetime | None) -> Finish:
        """Let the upload wait for the installation: no attempt is spent. The answer is as `finish`'s."""
        return self._end(claim, lambda receipt: receipt.waiting(cause, reason, until))

    def hand_over(self, claim: Claim[Any], job: str) -> Finish:
        """Leave the upload to the job `job`: no lease runs, and `adopt` gets it back. The answer is as `finish`'s."""
        return self._end(claim, lambda receipt: receipt.handed_over(job))

    def _end(self, claim: Claim[Any], end: Callable[[Receipt], Receipt]) -> Finish:
        with claim.lock:
            for _ in range(0 if claim.lost else ROUNDS):
                wanted = end(claim.receipt)
                changed = wanted.override != claim.override
                if changed:
                    wanted = replace(wanted, state="retry", attempt=0, cause="", until=None)
                try:
                    claim.version = self._put(wanted, claim.version)
                except Conflict:
                    adopted = claim.receipt.state == "job"
                    current = self._reload(claim)
                    if current is None:
                        return "lost"
                    if adopted and current.state not in ("job", wanted.state):
                        # Workers of a job share its claim, and another worker has ended it in another way.
                        claim.lost = True
                        return "lost"
                    if current.state != wanted.state:
                        continue
                claim.receipt, claim.ended = wanted, True
                if not wanted.unsettled:  # else once what the answer replaces is gone
                    self.notes.ended(claim)
                return "changed" if changed else "ok"
        if claim.lost:
            return "lost"
        name = claim.receipt.name
        raise StorageUnavailable(f"{name}: its receipt changed {ROUNDS} times while it was being ended")

    def adopt(self, name: str, job: str, plan_for: Callable[[str | None], P]) -> Claim[P] | None:
        """The claim of an upload that was handed to `job`, or None where it is another's or gone by now.

        job: "" for a receipt that says nothing of which.
        """
        stored = self.read(name)
        if stored is None or stored.receipt.state != "job" or (stored.receipt.job or "") != job:
            return None
        return Claim(stored.receipt, stored.version, plan_for(stored.receipt.override))
