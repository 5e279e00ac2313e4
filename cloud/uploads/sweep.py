"""Finds uploads without a finished receipt, and brings them to an end: the net below every trigger.

Uploads and receipts are listed side by side, a call per page and none per blob. Receipts are called like
their uploads, so both lists have the same order; where they do not (escaped names, accounts that sort
folders), an upload is only asked about once more, because claiming it decides. Where routes have a `priority`, both
lists are read once for each (see priority.Order).
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import printable, record_path
from cloud.uploads.events import BlobEvent, Cause, Outcome
from cloud.uploads.intake import PAUSED, is_paused
from cloud.uploads.priority import Order, Scan
from cloud.uploads.receipts import ReceiptStore, ReceiptSummary
from cloud.uploads.upload_worker import UploadWorker
from inference.clutter import is_clutter
from inference.errors import BadManifest
from inference.tables import build

log = logging.getLogger(__name__)

MARK = "sweep.json"
_LOOK_BACK = 5000

Wanted = Callable[[BlobInfo, ReceiptSummary | None], bool]


@dataclass
class SweepReport:
    """What a sweep did. `complete`: it reached the end; else it left a mark for the next sweep, unless `paused`."""

    seen: int = 0
    unfinished: int = 0
    processed: int = 0
    recovered: int = 0
    failed: int = 0
    left: int = 0
    complete: bool = False
    paused: bool = False

    def __str__(self) -> str:
        if self.paused:
            return f"paused ({PAUSED})"
        end = "to the end" if self.complete else "the next sweep goes on from here"
        return (
            f"found {self.unfinished} of {self.seen} uploads to analyse: processed {self.processed}, "
            f"recovered {self.recovered}, failed {self.failed}, left {self.left}; {end}"
        )


@dataclass(frozen=True)
class ScanMark:
    """Where a scan goes on: the pages of both lists that were being read."""

    uploads: str | None = None
    receipts: str | None = None


@dataclass(frozen=True)
class SweepMark(ScanMark):
    """Where the next sweep goes on: in the scan of everything, and in `scans`, others that were not finished, by key.

    first: the scan with which it begins, where those before it left that one no time; "" for the first of all.
    """

    scans: Mapping[str, ScanMark] = field(default_factory=dict)
    first: str = ""


def needs_work(upload: BlobInfo, receipt: ReceiptSummary | None) -> bool:
    """Whether this version of the upload still needs somebody."""
    return receipt is None or receipt.is_open(upload.etag)


class ReceiptCursor:
    """The list of receipts, read in step with that of the uploads."""

    def __init__(self, store: ReceiptStore, prefix: str, token: str | None) -> None:
        self.token = token  # of the page that is being read
        self._pages = store.pages(prefix, token)
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
    wanted: Wanted = needs_work,
    cause: Cause = "sweep",
    page_size: int = 5000,
    begin_thread: Callable[[], None] = lambda: None,
) -> SweepReport:
    """Bring every wanted upload to its end, `max_concurrent` at a time, until `budget_s` is used up.

    A sweep over everything goes on at the mark that the last sweep left; a sweep over a `prefix` has no mark. An upload
    that fails is counted and does not stop the others. begin_thread: see BlobEvent. Raises StorageUnavailable.
    """
    if cause == "sweep" and is_paused(worker.settings):
        worker.storage.delete(STATE, MARK)  # what comes meanwhile may lie before it
        return SweepReport(paused=True)
    marked = prefix == "" and cause == "sweep"
    with ThreadPoolExecutor(worker.settings.max_concurrent, "dropsight-sweep", begin_thread) as pool:
        run = _Sweep(worker, pool, Order(worker.planner.routes, prefix), wanted, cause, page_size, begin_thread)
        mark = run.to_end_or_mark(time.monotonic() + budget_s, _read_mark(worker.storage) if marked else SweepMark())
    if mark and marked:
        worker.storage.write_json(STATE, MARK, asdict(mark))
    return run.report


@dataclass
class _Sweep:
    """A sweep at work."""

    worker: UploadWorker
    pool: ThreadPoolExecutor
    order: Order
    wanted: Wanted
    cause: Cause
    page_size: int
    begin_thread: Callable[[], None]
    report: SweepReport = field(default_factory=SweepReport)
    tried: int = 0  # uploads for which there was time

    def to_end_or_mark(self, end: float, mark: SweepMark) -> SweepMark | None:
        """Scan after scan until `end`; where that comes first, the mark for the next sweep."""
        scans, everything = self.order.scans, self.order.everything.key
        first = next((number for number, scan in enumerate(scans) if scan.key == mark.first), 0)
        marks = {**mark.scans, everything: ScanMark(mark.uploads, mark.receipts)}
        for scan in (turn := scans[first:] + scans[:first]):
            begun, tried = marks.pop(scan.key, ScanMark()), self.tried
            out_of_time = scan != turn[0] and time.monotonic() >= end
            if stopped := begun if out_of_time else self._scan(scan, begun, end):
                # A lower priority waits for a higher one, but not for ever: a scan without time comes first next time.
                starved = scan != turn[0] and stopped == begun and self.tried == tried
                marks[scan.key] = stopped
                kept = {other.key: marks[other.key] for other in scans if other.key in marks}
                here = kept.pop(everything, ScanMark())
                return SweepMark(here.uploads, here.receipts, kept, scan.key if starved else "")
        self.report.complete = True
        return None

    def _scan(self, scan: Scan, mark: ScanMark, end: float) -> ScanMark | None:
        """Bring what the scan finds to its end; where it stopped if `end` came first."""
        receipts = ReceiptCursor(self.worker.ledger.store, scan.prefix, mark.receipts)
        for page in self.worker.storage.pages(UPLOADS, scan.prefix, mark.uploads, self.page_size):
            here = ScanMark(page.token, receipts.token)
            uploads = [u for u in page.blobs if not is_clutter(u.name) and self.order.scan_of(u) == scan]
            chosen = self.order.arranged(u for u in uploads if self.wanted(u, receipts.of(u.name)))
            self.report.seen += len(uploads)
            self.report.unfinished += len(chosen)
            events = [BlobEvent(UPLOADS, u.name, self.cause, self.begin_thread) for u in chosen]
            _process(self.pool, self.worker, events, end, self.report)
            self.tried += len(events) - self.report.left
            if time.monotonic() >= end and (self.report.left or page.next_token):
                return here if self.report.left else ScanMark(page.next_token, receipts.token)
        return None


def _process(
    pool: ThreadPoolExecutor, worker: UploadWorker, events: list[BlobEvent], end: float, report: SweepReport
) -> None:
    def handle(event: BlobEvent) -> Outcome | Exception | None:
        if time.monotonic() >= end:
            return None
        try:
            return worker.handle(event)
        except Exception as error:  # noqa: BLE001 - an upload's trouble must not end the sweep of the others
            log.warning("%s", printable(f"{event.name}: {type(error).__name__}: {error}"))
            return error

    for outcome in pool.map(handle, events):
        if outcome is None:
            report.left += 1
        elif isinstance(outcome, Exception) or outcome.status == "failed":
            report.failed += 1
        elif outcome.status == "done":
            report.processed += 1
            report.recovered += outcome.attempt > 1


def _read_mark(storage: Storage) -> SweepMark:
    stored = storage.read(STATE, MARK)
    if stored is None:
        return SweepMark()
    # Deleted before it is used: a mark that the service does not take any more must not stop every sweep.
    storage.delete(STATE, MARK)
    try:
        known = {key: value for key, value in json.loads(stored[0]).items() if key in SweepMark.__dataclass_fields__}
        return build(SweepMark, known, f"{STATE}/{MARK}")
    except (ValueError, AttributeError, RecursionError, BadManifest) as error:
        log.warning("%s/%s is no mark (%s): the sweep starts from the beginning", STATE, MARK, error)
        return SweepMark()
