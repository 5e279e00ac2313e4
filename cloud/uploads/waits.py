"""Which of the uploads that wait go on waiting: decided from listings, so that waiting costs no call per upload."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from cloud.storage.containers import BlobInfo
from cloud.uploads.events import Outcome
from cloud.uploads.plans import Planner, packages_of
from cloud.uploads.receipts import ARCHIVED, ReceiptStore, ReceiptSummary, is_surroundings
from inference.errors import NotReady, StorageUnavailable
from inference.extras import installed
from inference.routes import Route

# So long the others wait for the first; what takes longer has loaded its models, and analyses.
_FIRST_S = 10.0


def needs_work(upload: BlobInfo, receipt: ReceiptSummary | None) -> bool:
    """Whether this version of the upload still needs somebody."""
    if receipt is None or receipt.is_open(upload.etag):
        return True
    # It was brought back from the archive, by which its version does not change.
    return receipt.state == "failed" and receipt.digest == ARCHIVED and not upload.archived


class Waits:
    """What a single sweep knows of causes: each is looked at once, however many uploads wait for it.

    What was decided by routes and models that have changed since is decided anew: the plan of today counts.
    """

    def __init__(self, planner: Planner, store: ReceiptStore, deployment: str) -> None:
        self._planner, self._store, self._deployment = planner, store, deployment
        self._overrides: dict[str, str | None] = {}
        self._unusable: dict[str, bool] = {}  # by model
        self._taken: dict[str, str] = {}  # the causes of those that are taken, since theirs seem to be gone
        self._met_again: set[str] = set()
        self._gone: set[str] = set()
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def needs_work(self, upload: BlobInfo, receipt: ReceiptSummary | None) -> bool:
        """Whether somebody has to take this version of the upload now. No call but one for each sidecar's text."""
        if receipt is None or receipt.etag != upload.etag or receipt.state != "waiting":
            return needs_work(upload, receipt)
        if is_surroundings(receipt.cause):
            if receipt.is_open(upload.etag):
                self._taken[upload.name] = receipt.cause
            return receipt.is_open(upload.etag)
        try:
            plan = self._planner.plan(upload, self._override(upload, receipt))
        except StorageUnavailable:
            return True  # whoever takes it meets the same, and says so; the others of this page do not wait for it
        # Of what two deployments lack, or when each has time, the one that came first tells, and not both in turns.
        ours = receipt.deployment in ("", self._deployment)
        if not receipt.cause:
            if plan.cause:  # there is time until its slot
                return receipt.is_open(upload.etag)
            return plan.until is None or (plan.until != receipt.until and ours)
        if plan.cause:
            return plan.cause != receipt.cause and ours
        if plan.route and self._is_there(receipt.cause, plan.route):
            return False
        self._taken[upload.name] = receipt.cause
        return True

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Of those that are taken since their cause seems to be gone one at a time, until one has shown whether it is:
        else as many would meet it again as are worked on side by side."""
        cause = self._taken.get(name, "")
        lock = self._turns[cause]
        first = cause not in ("", *self._gone) and lock.acquire(timeout=_FIRST_S)
        if first and cause in self._gone:
            lock.release()
            first = False
        try:
            yield
        finally:
            if first:
                lock.release()

    def goes_on(self, name: str) -> bool:
        """Whether an upload that was to be taken waits after all: in this sweep another one has met its cause again."""
        return self._taken.get(name) in self._met_again

    def note(self, name: str, outcome: Outcome) -> None:
        """Learn from how an upload that was taken ended."""
        cause = self._taken.get(name)
        if cause and outcome.cause == cause:
            self._met_again.add(cause)
        elif cause and outcome.status in ("done", "job") and outcome.attempt:
            self._gone.add(cause)

    def _override(self, upload: BlobInfo, receipt: ReceiptSummary) -> str | None:
        if not receipt.overridden:
            return None
        if receipt.override_mark not in self._overrides:
            stored = self._store.get(upload.name)
            if stored is None or stored.receipt.override_mark != receipt.override_mark:
                return stored.receipt.override if stored else None  # of another sidecar, which came since the listing
            self._overrides[receipt.override_mark] = stored.receipt.override
        return self._overrides[receipt.override_mark]

    def _is_there(self, cause: str, route: Route) -> bool:
        """Whether what the work on an upload once met is still in the way of this route. Loads models."""
        for _, model in route.models():
            if cause == NotReady("", f"model:{model}").cause:
                if model not in self._unusable:
                    self._unusable[model] = self._planner.unusable(model) is not None
                return self._unusable[model]
        return any(cause == f"package:{name}" and not installed(name) for name in packages_of(route))
