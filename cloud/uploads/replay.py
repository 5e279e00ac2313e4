"""Which uploads a replay takes, and what it may do again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cloud.settings import ERRORS, RESULTS
from cloud.storage.containers import BlobInfo
from cloud.storage.paths import record_path
from cloud.uploads.names import Names
from cloud.uploads.outdated import ANSWERED, Digests
from cloud.uploads.publish import RESULT
from cloud.uploads.receipts import Receipt, ReceiptSummary
from cloud.uploads.upload_worker import UploadWorker
from cloud.uploads.waits import needs_work
from inference.errors import LimitExceeded
from inference.results.summary import labels_of
from inference.routes_file import sidecar_target

# Where the answer of an upload lies: the container, and what its path has behind the receipt's.
_ANSWERS = {"done": (RESULTS, f"/{RESULT}"), "failed": (ERRORS, ".json")}


@dataclass(frozen=True)
class Filters:
    """What is taken; several take more. failed: what has an error record. missing: what has no answer, as it was never
    analysed or its answer was deleted. changed: what today's route or models would answer otherwise. expired: what is
    without a result since that was kept as long as it was to be kept. everything: all but that.

    Of these only what fits the others, each where it is set. label: an object or the name of the picture in the result.
    model: of a step of the result, NAME or NAME@VERSION. deployment: whose answer it is. since, until: when the upload
    was written, until excluded.
    """

    failed: bool = False
    missing: bool = False
    changed: bool = False
    everything: bool = False
    expired: bool = False
    label: str = ""
    model: str = ""
    deployment: str = ""
    since: str = ""
    until: str = ""

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            if text := getattr(self, name):
                object.__setattr__(self, name, _moment(name, text).isoformat())
        if self.since and self.until and datetime.fromisoformat(self.since) >= datetime.fromisoformat(self.until):
            raise ValueError(f"until {self.until} is not after since {self.since}: nothing lies between")

    @property
    def as_meant(self) -> Filters:
        """Where none says what is taken: failed and missing ones, or with a label, a model or a deployment everything
        that has it."""
        if self.failed or self.missing or self.changed or self.everything or self.expired:
            return self
        with_result = bool(self.label or self.model or self.deployment)
        return replace(self, failed=not with_result, missing=not with_result, everything=with_result)

    @property
    def asks_results(self) -> bool:
        """Whether the result of each upload has to be read."""
        return bool(self.label or self.model)


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter of the first and the last day that there are
        expected = "a date or a time such as 2026-05-31 or 2026-05-31T18:00"
        raise ValueError(f"{name} is {text[:50]!r}, expected {expected} (UTC)") from None


class Selection:
    """The uploads that a replay takes, each with the first reason that there is.

    names: those that are meant; every one without. replay: its id; what it has taken once it does not take again.

    on_undecided is told each that cannot be analysed today, whatever it would answer, and why.
    """

    def __init__(
        self,
        worker: UploadWorker,
        filters: Filters,
        names: Names | None = None,
        replay: str = "",
        on_undecided: Callable[[str, str], None] = lambda name, why: None,
    ) -> None:
        self.seen = 0
        self.chosen: Counter[str] = Counter()  # by reason
        self.undecided = 0
        self.worker = worker
        self.names = names or Names((), ())
        self.replay = replay
        self._filters = filters
        self._digests = Digests(worker.planner)
        self._on_undecided = on_undecided
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Counts anew from here on."""
        self.seen, self.undecided = 0, 0
        self.chosen.clear()

    def of_page(
        self, pairs: list[tuple[BlobInfo, ReceiptSummary | None]], side_by_side: Callable[..., Iterator[Any]] = map
    ) -> list[BlobInfo]:
        """Those of a page of uploads with their receipts that are taken, which are counted. side_by_side: a `map` for
        what needs a call an upload: `missing` for each that is finished, `label` and `model` for each that is left."""
        reasons = side_by_side(self._asked, *zip(*pairs, strict=True)) if pairs else iter(())
        taken = []
        for (upload, _), reason in zip(pairs, reasons, strict=True):
            if reason is None:
                continue
            self.seen += 1
            if reason:
                self.chosen[reason] += 1
                taken.append(upload)
        return taken

    def again(self, receipt: Receipt, key: str) -> bool:
        """Whether what a receipt says is finished is to be done again: asked while it is claimed, since others may have
        finished it after it was listed. A call more where `missing` is asked for."""
        filters = self._filters
        if receipt.state == "job" or (self.replay and receipt.replay == self.replay):
            return False  # its workers look at routes and models themselves
        if receipt.expired:
            return filters.expired or (filters.failed and receipt.state == "failed")
        if filters.everything or (filters.failed and receipt.state == "failed"):
            return True
        if receipt.state not in ANSWERED:
            return False
        if filters.missing and not self._has_answer(receipt.state, record_path(receipt.name)):
            return True
        return filters.changed and bool(key) and receipt.key != key  # no key: by now its route cannot be used

    def _asked(self, upload: BlobInfo, receipt: ReceiptSummary | None) -> str | None:
        """Why an upload is taken, "" where it is not; None for what is not meant at all."""
        if not self.names.takes(upload.name) or not self._is_of_time(upload):
            return None
        if receipt is None:
            receipt = self._looked_up(upload)
        finished = receipt is not None and not needs_work(upload, receipt)
        if finished and sidecar_target(upload.name):
            return None  # it is noted, and has no answer of its own
        reason = self._reason(upload, receipt) if receipt and finished else self._unfinished()
        if reason and self._filters.deployment and self._filters.deployment != (receipt.deployment if receipt else ""):
            return ""
        if reason and self._filters.asks_results and not self._result_fits(upload):
            return ""
        return reason

    def _is_of_time(self, upload: BlobInfo) -> bool:
        since, until = self._filters.since, self._filters.until
        if since and upload.modified < datetime.fromisoformat(since):
            return False
        return not until or upload.modified < datetime.fromisoformat(until)

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
        if receipt.expired:
            return "expired" if filters.expired else ""
        if filters.missing and receipt.state in ANSWERED and not self._has_answer(receipt.state, receipt.path):
            return "missing"
        if filters.changed and receipt.state in ANSWERED and self._is_changed(upload, receipt):
            # Whose routes and models may be meant to be others; older versions did not say who.
            is_ours = receipt.deployment in ("", self.worker.ledger.deployment)
            return "changed" if is_ours else "changed by others"
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
            with self._lock:
                self.undecided += 1
                self._on_undecided(upload.name, str(plan.problem))
            return False
        return changed

    def _has_answer(self, state: str, path: str) -> bool:
        container, ending = _ANSWERS[state]
        return self.worker.storage.head(container, path + ending) is not None

    def _result_fits(self, upload: BlobInfo) -> bool:
        try:
            stored = self.worker.storage.read_json(RESULTS, f"{record_path(upload.name)}/{RESULT}")
        except (ValueError, RecursionError, LimitExceeded):
            return False
        return stored is not None and fits(stored[0], self._filters)


def fits(document: Any, filters: Filters) -> bool:
    """Whether a result document has the label and the model that are asked for; False for what is none."""
    if not isinstance(document, Mapping):
        return False
    labels = labels_of(document)
    if filters.label and not any(filters.label in part for part in (labels.objects, labels.scene, labels.guesses)):
        return False
    return not filters.model or filters.model in _models_of(document)


def _models_of(document: Mapping[str, Any]) -> set[str]:
    """The models of the steps: NAME, and NAME@VERSION."""
    steps = document.get("steps")
    found = [step.get("model") for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []
    models = [model for model in found if isinstance(model, Mapping)]
    return {str(m.get("name")) for m in models} | {f"{m.get('name')}@{m.get('version')}" for m in models}
