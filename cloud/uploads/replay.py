"""Which uploads a replay takes, and what it may do again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cloud.storage.containers import BlobInfo
from cloud.storage.paths import record_path
from cloud.uploads.missing import ANSWERS, without_answer
from cloud.uploads.names import Names
from cloud.uploads.outdated import ANSWERED, Digests
from cloud.uploads.receipts import Receipt, ReceiptSummary
from cloud.uploads.upload_worker import UploadWorker
from cloud.uploads.waits import needs_work
from inference.routes_file import sidecar_target


@dataclass(frozen=True)
class Filters:
    """What is taken; several take more. failed: what has an error record. missing: what has no answer, as it was never
    analysed or its answer was deleted. changed: what today's route or models would answer otherwise."""

    failed: bool = False
    missing: bool = False
    changed: bool = False
    everything: bool = False


class Replay:
    """The uploads that a replay takes, each with the first reason that there is.

    names: those that are meant; every one without.

    on_chosen is told each name; on_undecided each that cannot be analysed today, whatever it would answer, and why.
    """

    def __init__(
        self,
        worker: UploadWorker,
        filters: Filters,
        names: Names | None = None,
        on_chosen: Callable[[str], None] = lambda name: None,
        on_undecided: Callable[[str, str], None] = lambda name, why: None,
    ) -> None:
        """Lists receipts and answers where `missing` is asked for. Raises StorageUnavailable."""
        self.seen = 0
        self.chosen: Counter[str] = Counter()  # by reason
        self.undecided = 0
        self.worker = worker
        self.names = names or Names((), ())
        self._filters = filters
        self._digests = Digests(worker.planner)
        self._on_chosen = on_chosen
        self._on_undecided = on_undecided
        self._missing: dict[str, set[str]] = {}
        if filters.missing:
            self._missing = {
                state: {
                    path
                    for place in self.names.places
                    for path in without_answer(worker.storage, worker.ledger.store, place, state)
                }
                for state in ANSWERS
            }

    def takes(self, upload: BlobInfo, receipt: ReceiptSummary | None) -> bool:
        """Whether an upload is taken, given what the listing says of its receipt; counts it."""
        if not self.names.takes(upload.name):
            return False
        if receipt is None:
            receipt = self._looked_up(upload)
        finished = receipt is not None and not needs_work(upload, receipt)
        if finished and sidecar_target(upload.name):
            return False  # it is noted, and has no answer of its own
        self.seen += 1
        reason = self._reason(upload, receipt) if receipt and finished else self._unfinished()
        if reason:
            self.chosen[reason] += 1
            self._on_chosen(upload.name)
        return bool(reason)

    def again(self, receipt: Receipt, key: str) -> bool:
        """Whether what a receipt says is finished is to be done again: asked while it is claimed, since others may have
        finished it after it was listed. A call more where `missing` is asked for."""
        filters = self._filters
        if filters.everything or (filters.failed and receipt.state == "failed"):
            return True
        if receipt.state not in ANSWERED:
            return False
        if filters.missing and not self._has_answer(receipt):
            return True
        return filters.changed and bool(key) and receipt.key != key  # no key: by now its route cannot be used

    def _looked_up(self, upload: BlobInfo) -> ReceiptSummary | None:
        """The receipt of an upload whose place in the list of receipts may be another than its own in that of uploads:
        names that are escaped, and those that services and Python sort in different ways."""
        if upload.name.isascii() and record_path(upload.name) == upload.name:
            return None
        path = record_path(upload.name)
        page = next(self.worker.ledger.store.pages(path), None)
        return next((found for found in page.summaries if found.path == path), None) if page else None

    def _unfinished(self) -> str:
        filters = self._filters
        return "unfinished" if filters.everything or filters.missing else ""

    def _reason(self, upload: BlobInfo, receipt: ReceiptSummary) -> str:
        filters = self._filters
        if receipt.state == "failed" and (filters.failed or filters.everything):
            return "failed"
        if receipt.path in self._missing.get(receipt.state, ()):
            return "missing"
        if filters.changed and receipt.state in ANSWERED and self._is_changed(upload, receipt):
            return "changed"
        if filters.everything:
            return "finished" if receipt.state in ANSWERED else receipt.state
        return ""

    def _is_changed(self, upload: BlobInfo, receipt: ReceiptSummary) -> bool:
        if receipt.digest and not receipt.overridden and (today := self._digests.of(upload)):
            return today != receipt.digest
        # What the listing does not say: receipts of older versions, sidecars; and why there is no route today.
        stored = self.worker.ledger.read(upload.name)
        if stored is None or stored.receipt.etag != upload.etag:
            return False
        plan = self.worker.planner.plan(upload, stored.receipt.override, now=True)
        changed = plan.key != stored.receipt.key
        if changed and plan.problem:
            self.undecided += 1
            self._on_undecided(upload.name, str(plan.problem))
            return False
        return changed

    def _has_answer(self, receipt: Receipt) -> bool:
        container, ending = ANSWERS[receipt.state]
        return self.worker.storage.head(container, record_path(receipt.name) + ending) is not None
