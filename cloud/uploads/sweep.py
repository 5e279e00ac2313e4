"""Finds uploads without a finished receipt, and brings them to an end: the net below every trigger.

Uploads and receipts are listed side by side, a call per page and none per blob. Receipts are called like
their uploads, so both lists have the same order; where they do not (escaped names, accounts that sort
folders), an upload is only asked about once more, because claiming it decides.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain

from cloud.settings import STATE, UPLOADS, deployment
from cloud.storage.containers import BlobInfo, Conflict, Page, Storage
from cloud.storage.paths import printable, record_path, record_prefix
from cloud.uploads import outdated
from cloud.uploads.events import Again, BlobEvent, Cause, Outcome, anyway
from cloud.uploads.outdated import Digests, Tally
from cloud.uploads.receipts import ReceiptStore, ReceiptSummary
from cloud.uploads.upload_worker import UploadWorker
from cloud.uploads.waits import Waits
from inference.clutter import is_clutter
from inference.errors import BadManifest, LimitExceeded, StorageUnavailable
from inference.tables import build

log = logging.getLogger(__name__)

MARK = "sweep.json"
_LOOK_BACK = 5000
_MARK_BYTES = 64 * 1024

# How uploads end for a sweep that neither analyses them nor sees them fail.
OTHERS = {
    "waiting": "waiting",
    "busy": "busy",
    "job": "handed to jobs",
    "done": "finished by others",
    "dropped": "deleted meanwhile",
}

Wanted = Callable[[BlobInfo, ReceiptSummary | None], bool]


@dataclass
class SweepReport:
    """What a sweep did. `complete`: it reached the end; else it left a mark for the next sweep.

    others: how many neither got their answer from us nor failed, by the outcome's status; "done": somebody else was
    faster.
    """

    seen: int = 0
    unfinished: int = 0
    processed: int = 0
    recovered: int = 0
    failed: int = 0
    left: int = 0
    complete: bool = False
    others: Counter[str] = field(default_factory=Counter)
    handed: dict[str, str] = field(default_factory=dict)  # uploads that wait for a job -> its id, "" where unknown

    def __str__(self) -> str:
        end = "to the end" if self.complete else "the next sweep goes on from here"
        others = "".join(f", {words} {self.others[status]}" for status, words in OTHERS.items() if self.others[status])
        return (
            f"found {self.unfinished} of {self.seen} uploads to analyse: processed {self.processed}, "
            f"recovered {self.recovered}, failed {self.failed}{others}, left {self.left}; {end}"
        )


@dataclass(frozen=True)
class SweepMark:
    """Where the next sweep goes on: the pages of both lists that were being read, and what was counted before them.

    outdated: None where that is not known, as in the marks of older versions.
    """

    uploads: str | None = None
    receipts: str | None = None
    outdated: Tally | None = None


class ReceiptCursor:
    """The list of receipts, read in step with that of the uploads."""

    def __init__(self, store: ReceiptStore, prefix: str, token: str | None) -> None:
        self.token = token  # of the page that is being read
        self._pages = store.pages(record_prefix(prefix), token)
        self._ahead = self._summaries()
        self._next = next(self._ahead, None)
        self._passed: OrderedDict[str, ReceiptSummary] = OrderedDict()

    def _summaries(self) -> Iterator[ReceiptSummary]:
        for page in self._pages:
            self.token = page.token
            yield from page.summaries

    def of(self, upload: str) -> ReceiptSummary | None:
        """The receipt of an upload; uploads are asked for in the order of their list."""
        path = record_path(upload)
        while self._next is not None and self._next.path <= path:
            self._passed[self._next.path] = self._next
            if len(self._passed) > _LOOK_BACK:
                self._passed.popitem(last=False)
            self._next = next(self._ahead, None)
        return self._passed.pop(path, None)


def sweep(
    worker: UploadWorker,
    budget_s: float,
    *,
    prefix: str = "",
    wanted: Wanted | None = None,
    cause: Cause = "sweep",
    again: Again = anyway,
    page_size: int = 5000,
    begin_thread: Callable[[], None] = lambda: None,
) -> SweepReport:
    """Bring every wanted upload to its end, `max_concurrent` at a time, until `budget_s` is used up.

    wanted: by default what needs work, but for what waits for a slot or for a cause that is still there.

    A sweep over everything starts at the mark that the last sweep left; a sweep over a `prefix` has no mark. An upload
    that fails is counted and does not stop the others. again, begin_thread: see BlobEvent. Raises StorageUnavailable.
    """
    end = time.monotonic() + budget_s
    marked = prefix == "" and cause == "sweep"
    mark = _read_mark(worker.storage) if marked else SweepMark()
    worker.refresh_models()  # by which it is decided who goes on waiting
    tally, digests = _tally_from(mark) if marked else None, Digests(worker.planner)
    waits = Waits(worker.planner, worker.ledger.store, worker.ledger.deployment)
    wanted = wanted or waits.needs_work
    report = SweepReport()
    pages, receipts = _lists(worker, prefix, mark, page_size)
    with ThreadPoolExecutor(worker.settings.max_concurrent, "dropsight-sweep", begin_thread) as pool:
        for page in pages:
            here = SweepMark(page.token, receipts.token, tally)
            pairs = [(upload, receipts.of(upload.name)) for upload in page.blobs if not is_clutter(upload.name)]
            tally = tally and tally.plus(pairs, digests)
            report.handed |= {u.name: r.job for u, r in pairs if r and (r.state, r.etag) == ("job", u.etag)}
            chosen = [upload for upload, receipt in pairs if wanted(upload, receipt)]
            report.seen += len(pairs)
            report.unfinished += len(chosen)
            events = [BlobEvent(UPLOADS, upload.name, cause, begin_thread, again) for upload in chosen]
            _process(pool, worker, waits, events, end, report)
            if time.monotonic() >= end and (report.left or page.next_token):
                if marked:
                    mark = here if report.left else SweepMark(page.next_token, receipts.token, tally)
                    worker.storage.write_json(STATE, MARK, asdict(mark))
                return report
    report.complete = True
    if tally:
        outdated.store(worker.storage, tally)
    return report


def _tally_from(mark: SweepMark) -> Tally | None:
    """The count with which a pass begins or goes on; None where another deployment, or a version that did not count,
    has begun it."""
    here = deployment()
    if mark.uploads is None:
        return Tally(here)
    return mark.outdated if mark.outdated and mark.outdated.by == here else None


def _lists(worker: UploadWorker, prefix: str, mark: SweepMark, size: int) -> tuple[Iterator[Page], ReceiptCursor]:
    """Both lists, from the mark on; from the beginning where the service does not take it (any more)."""
    try:
        receipts = ReceiptCursor(worker.ledger.store, prefix, mark.receipts)
        pages = worker.storage.pages(UPLOADS, prefix, mark.uploads, size)
        first = next(pages, None)
    except StorageUnavailable as error:
        if mark == SweepMark():
            raise
        log.warning("%s/%s led nowhere (%s): the sweep starts from the beginning", STATE, MARK, error)
        return _lists(worker, prefix, SweepMark(), size)
    return (chain([first], pages) if first else pages), receipts


def _process(
    pool: ThreadPoolExecutor,
    worker: UploadWorker,
    waits: Waits,
    events: list[BlobEvent],
    end: float,
    report: SweepReport,
) -> None:
    def handle(event: BlobEvent) -> Outcome | Exception | None:
        if time.monotonic() >= end:
            return None
        if waits.goes_on(event.name):
            return Outcome("waiting")
        try:
            outcome = worker.handle(event)
            waits.note(event.name, outcome)
            return outcome
        except Exception as error:  # noqa: BLE001 - an upload's trouble must not end the sweep of the others
            log.warning("%s", printable(f"{event.name}: {type(error).__name__}: {error}"))
            return error

    for outcome in pool.map(handle, events):
        if outcome is None:
            report.left += 1
        elif isinstance(outcome, Exception) or outcome.status == "failed":
            report.failed += 1
        elif outcome.status == "done" and outcome.attempt:
            report.processed += 1
            report.recovered += outcome.attempt > 1
        else:
            report.others[outcome.status] += 1


def _read_mark(storage: Storage) -> SweepMark:
    reading = storage.open(STATE, MARK)
    if reading is None:
        return SweepMark()
    # Deleted before it is used: a mark that the service does not take any more must not stop every sweep.
    storage.delete(STATE, MARK)
    try:
        document = json.loads(reading.read(_MARK_BYTES))
        known = {key: value for key, value in document.items() if key in SweepMark.__dataclass_fields__}
        return build(SweepMark, known, f"{STATE}/{MARK}")
    except (ValueError, AttributeError, RecursionError, BadManifest, LimitExceeded, Conflict) as error:
        what = f"{STATE}/{MARK} is no mark ({str(error)[:300]}): the sweep starts from the beginning"
        log.warning("%s", printable(what))
        return SweepMark()
