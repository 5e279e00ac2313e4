"""A claim: an upload that is one worker's until its lease ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Protocol, TypeVar

from cloud.uploads.receipts import Receipt, StoredReceipt, is_surroundings
from inference.errors import Transient

Refusal = Literal["done", "failed", "busy", "waiting"]
Finish = Literal["ok", "changed", "lost"]


class ClaimPlan(Protocol):
    """What is to be done with an upload, as far as the ledger is concerned."""

    @property
    def key(self) -> str: ...

    @property
    def until(self) -> datetime | None:
        """The slot it waits for; where it is blocked, when it is looked at again at the latest."""

    @property
    def digest(self) -> str:
        """Of the route by which it is analysed; "" where there is none."""

    @property
    def cause(self) -> str:
        """What of this installation must be mended first, such as "model:yunet"; "" where it can work on it."""

    @property
    def blocked(self) -> str:
        """The cause as a sentence."""


P = TypeVar("P", bound=ClaimPlan)


@dataclass
class Claim(Generic[P]):
    """An upload that is ours until the lease ends. Renewed in the background, hence the lock."""

    receipt: Receipt
    version: str  # of the receipt
    plan: P
    lost: bool = False
    ended: bool = False
    share: float | None = None  # of the work, for whoever reads the receipt while it is renewed
    given_back: bool = False  # it is being given back: nothing of it is to be published any more
    begun: float = field(default_factory=time.monotonic)
    seen: datetime | None = None  # when it began, by the clock of storage, as an answer to a call for it said
    is_first: bool = False  # nobody had this upload before, in any version
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the index says of how it ended

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.override = self.receipt.override  # with which `plan` was made
        self.attempt = self.receipt.attempt  # the receipt's own is less where its end spends none

    @property
    def now(self) -> datetime | None:
        """About what the clock of storage says now, at no call; None where nobody has asked it."""
        return self.seen + timedelta(seconds=time.monotonic() - self.begun) if self.seen else None

    def note(self, done: int, expected: int | None) -> None:
        """How many frames are done, of about how many: stored when the lease is renewed, at no call of its own."""
        self.share = min(done / expected, 1.0) if expected else None


class Stopping(Transient):
    """This process is being stopped: let the host deliver it again, to another one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: this instance is being stopped; it is delivered again")


def granted(receipt: Receipt, version: str, plan: P) -> Claim[P] | Refusal:
    """The claim whose receipt was written; "waiting" where that says so."""
    return Claim(receipt, version, plan) if receipt.state == "working" else "waiting"


def refusal_of(stored: StoredReceipt, etag: str, plan: ClaimPlan) -> Refusal | None:
    """Why what the receipt says leaves nothing to do for `plan`."""
    old = stored.receipt
    if old.etag != etag:
        return None  # the receipt speaks of an older version: whoever works on it will notice and drop it
    if old.state == "working":
        return None if stored.lease_is_over else "busy"
    if old.state == "waiting":
        return "waiting" if _waits_on(old, plan) else None
    if old.state == "failed":
        # Another deployment's routes and models may do better, once: without a key nobody can tell.
        tried = (old.short_key, *old.failed_keys)
        return "failed" if not plan.key or plan.key[:12] in tried else None
    answers: dict[str, Refusal] = {"done": "done", "cancelled": "done", "job": "busy"}
    return answers.get(old.state)


def _waits_on(old: Receipt, plan: ClaimPlan) -> bool:
    if is_surroundings(old.cause) and not plan.cause:
        return False  # whoever comes may try
    if plan.cause or old.cause:
        return plan.cause == old.cause
    return plan.until is not None and old.until == plan.until.isoformat()
