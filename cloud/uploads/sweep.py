"""Finds uploads without a finished receipt, and brings them to an end: the net below every trigger.

Uploads and receipts are listed side by side, a call per page and none per blob. Receipts are called like
their uploads, so both lists have the same order; where they do not (escaped names, accounts that sort
folders), an upload is only asked about once more, because claiming it decides. Where routes have a `priority`, both
lists are read once for each (see priority.Order).
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Page
from cloud.storage.paths import printable, record_path, record_prefix
from cloud.uploads import outdated
from cloud.uploads.events import Again, BlobEvent, Cause, Outcome, anyway
from cloud.uploads.intake import PAUSED, is_paused
from cloud.uploads.ledger import Stopping
from cloud.uploads.outdated import Digests, Tally
from cloud.uploads.priority import Order, Scan
from cloud.uploads.receipts import ReceiptStore, ReceiptSummary
from cloud.uploads.sweep_mark import ScanMark, SweepMark, note_pause, path_of, read_mark, write_mark
from cloud.uploads.upload_line import is_logged
from cloud.uploads.upload_worker import UploadWorker
from cloud.uploads.waits import Waits
from inference.clutter import is_clutter
from inference.errors import StorageUnavailable

log = logging.getLogger(__name__)

_LOOK_BACK = 5000
_MOST_DROPPED = 100  # a sweep; the next ones go on

# How uploads end for a sweep that neither analyses them nor sees them fail.
OTHERS = {
    "waiting": "waiting",
    "busy": "busy",
    "job": "handed to jobs",
    "done": "finished by others",
    "dropped": "deleted meanwhile",
}

_COUNTS = ("seen", "unfinished", "processed", "recovered", "failed", "left")

Wanted = Callable[[BlobInfo, ReceiptSummary | None], bool]


@dataclass
class SweepReport:
    """What a sweep did. `complete`: it reached the end; else it left a mark for the next sweep, unless `paused`.

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
    paused: bool = False

    def __add__(self, other: SweepReport) -> SweepReport:
        """Both together, of sweeps over different uploads."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in (*_COUNTS, "others")}
        return replace(other, **counts)

    def __str__(self) -> str:
        if self.paused:
            return f"paused ({PAUSED})"
        end = "to the end" if self.complete else "the next sweep goes on from here"
        others = "".join(f", {words} {self.others[status]}" for status, words in OTHERS.items() if self.others[status])
        return (
            f"found {self.unfinished} of {self.seen} uploads to analyse: processed {self.processed}, "
            f"recovered {self.recovered}, failed {self.failed}{others}, left {self.left}; {end}"
        )


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

    def without_upload(self) -> Iterator[ReceiptSummary]:
        """Those that nobody has asked for once all uploads were: of uploads that are gone, or of another scan."""
        yield from self._passed.values()
        if self._next is not None:
            yield from chain([self._next], self._ahead)

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

    A sweep over everything goes on at the mark that the last sweep left; a sweep over a `prefix` has no mark. An upload
    that fails is counted and does not stop the others. again, begin_thread: see BlobEvent. Raises StorageUnavailable.
    """
    end = time.monotonic() + budget_s
    if cause == "sweep" and is_paused(worker.settings):
        note_pause(worker.storage, worker.ledger.deployment)
        return SweepReport(paused=True)
    marked = prefix == "" and cause == "sweep"
    begun = read_mark(worker.storage, worker.ledger.deployment) if marked else SweepMark()
    worker.refresh_models()  # by which it is decided who goes on waiting
    waits = Waits(worker.planner, worker.ledger.store, worker.ledger.deployment)
    with ThreadPoolExecutor(worker.settings.max_concurrent, "dropsight-sweep", begin_thread) as pool:
        order = Order(worker.planner.routes, prefix)
        run = _Sweep(worker, pool, order, waits, wanted or waits.needs_work, cause, again, page_size, begin_thread)
        left = run.to_end_or_mark(end, begun)
    if marked and left:
        write_mark(worker.storage, worker.ledger.deployment, left)
    elif marked and (tally := run.counted()):
        outdated.store(worker.storage, tally)
    return run.report


@dataclass
class _Sweep:
    """A sweep at work."""

    worker: UploadWorker
    pool: ThreadPoolExecutor
    order: Order
    waits: Waits
    wanted: Wanted
    cause: Cause
    again: Again
    page_size: int
    begin_thread: Callable[[], None]
    report: SweepReport = field(default_factory=SweepReport)
    tried: int = 0  # uploads for which there was time
    tally: Tally | None = field(init=False)  # of the scans that came to their end

    def __post_init__(self) -> None:
        self._digests = Digests(self.worker.planner)
        self.tally = self._none = Tally(self.worker.ledger.deployment, self._digests.fingerprint())

    def counted(self) -> Tally | None:
        """The count of a pass to the end; None where models were replaced in the middle of it."""
        return self.tally if self.tally and self.tally.today == self._digests.fingerprint() else None

    def to_end_or_mark(self, end: float, mark: SweepMark) -> SweepMark | None:
        """Scan after scan until `end`; where that comes first, the mark for the next sweep."""
        scans, everything = self.order.scans, self.order.everything.key
        first = next((number for number, scan in enumerate(scans) if scan.key == mark.first), 0)
        marks = {**mark.scans, everything: ScanMark(mark.uploads, mark.receipts, mark.outdated)}
        for scan in (turn := scans[first:] + scans[:first]):
            begun, tried = marks.pop(scan.key, ScanMark()), self.tried
            out_of_time = scan != turn[0] and time.monotonic() >= end
            if stopped := begun if out_of_time else self._scan(scan, begun, end):
                # A lower priority waits for a higher one, but not for ever: a scan without time comes first next time.
                starved = scan != turn[0] and stopped == begun and self.tried == tried
                marks[scan.key] = stopped
                kept = {other.key: marks[other.key] for other in scans if other.key in marks}
                here = kept.pop(everything, ScanMark())
                first_of_next = scan.key if starved else ""
                return SweepMark(here.uploads, here.receipts, here.outdated, kept, first_of_next)
        self.report.complete = True
        return None

    def _scan(self, scan: Scan, mark: ScanMark, end: float) -> ScanMark | None:
        """Bring what the scan finds to its end; where it stopped if `end` came first."""
        pages, receipts, mark = self._lists(scan, mark)
        tally = mark.tally(self._none)
        for page in pages:
            here = ScanMark(page.token, receipts.token, tally)
            uploads = [u for u in page.blobs if not is_clutter(u.name) and self.order.scan_of(u) == scan]
            pairs = [(upload, receipts.of(upload.name)) for upload in uploads]
            tally = tally and tally.plus(pairs, self._digests)
            self.report.handed |= {u.name: r.job for u, r in pairs if r and (r.state, r.etag) == ("job", u.etag)}
            chosen = self.order.arranged(upload for upload, receipt in pairs if self.wanted(upload, receipt))
            self.report.seen += len(pairs)
            self.report.unfinished += len(chosen)
            events = [BlobEvent(UPLOADS, u.name, self.cause, self.begin_thread, self.again, end=end) for u in chosen]
            left = _process(self.pool, self.worker, self.waits, events, end, self.report)
            for upload in (u for u in chosen if u.name in left):
                self.worker.ledger.notes.left(upload)
            self.tried += len(events) - self.report.left
            over = time.monotonic() >= end or self.worker.ledger.stopped
            if over and (self.report.left or page.next_token):
                return here if self.report.left else ScanMark(page.next_token, receipts.token, tally)
        self.tally = self.tally + tally if self.tally and tally else None
        self._drop_gone(receipts.without_upload())
        return None

    def _drop_gone(self, receipts: Iterable[ReceiptSummary]) -> None:
        """Ends what receipts still say is to be done with uploads that were deleted."""
        unfinished = (r.path for r in receipts if r.state in ("working", "retry", "waiting") and r.is_open(r.etag))
        for path in islice((path for path in unfinished if record_path(path) == path), _MOST_DROPPED):
            try:
                if self.worker.storage.head(UPLOADS, path) is None:
                    self.worker.ends.gone(path)
            except StorageUnavailable as error:
                log.warning("%s", printable(f"the receipt of {path}, which is gone, stays as it is: {error}"))

    def _lists(self, scan: Scan, mark: ScanMark) -> tuple[Iterator[Page], ReceiptCursor, ScanMark]:
        """Both lists, from the mark on; from the beginning where the service does not take it (any more)."""
        try:
            receipts = ReceiptCursor(self.worker.ledger.store, scan.prefix, mark.receipts)
            pages = self.worker.storage.pages(UPLOADS, scan.prefix, mark.uploads, self.page_size)
            first = next(pages, None)
        except StorageUnavailable as error:
            if (mark.uploads, mark.receipts) == (None, None):
                raise
            path = path_of(self.worker.ledger.deployment)
            log.warning("%s/%s led nowhere (%s): the sweep starts from the beginning", STATE, path, error)
            return self._lists(scan, ScanMark())
        return (chain([first], pages) if first else pages), receipts, mark


def _process(
    pool: ThreadPoolExecutor,
    worker: UploadWorker,
    waits: Waits,
    events: list[BlobEvent],
    end: float,
    report: SweepReport,
) -> set[str]:
    """Brings the uploads to their ends, and counts how; the names of those for which there was no time."""
    left: set[str] = set()

    def handle(event: BlobEvent) -> Outcome | Exception | None:
        with waits.turn(event.name):
            if time.monotonic() >= end or worker.ledger.stopped:
                return None
            if waits.goes_on(event.name):
                return Outcome("waiting")
            try:
                outcome = worker.handle(event)
                waits.note(event.name, outcome)
                return outcome
            except Exception as error:  # noqa: BLE001 - an upload's trouble must not end the sweep of the others
                if not is_logged(error):
                    log.warning("%s", printable(f"{event.name}: {type(error).__name__}: {error}"))
                return error

    for event, outcome in zip(events, pool.map(handle, events), strict=True):
        if outcome is None or isinstance(outcome, Stopping):
            report.left += 1
            left.add(event.name)
        elif isinstance(outcome, Exception) or outcome.status == "failed":
            report.failed += 1
        elif outcome.status == "done" and outcome.attempt:
            report.processed += 1
            report.recovered += outcome.attempt > 1
        else:
            report.others[outcome.status] += 1
            if outcome.status == "busy":  # with a job, perhaps, of which the listing did not say
                report.handed.setdefault(event.name, "")
    return left
