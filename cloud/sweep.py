"""Finds uploads without a finished receipt, and brings them to an end: the net below every trigger.

Uploads and receipts are listed side by side, a call per page and none per blob. Receipts are called like
their uploads, so both lists have the same order; where they do not (escaped names, accounts that sort
folders), an upload is only asked about once more, because claiming it decides.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from .events import BlobEvent, Cause
from .ledger import PREFIX
from .paths import record_path, shown
from .settings import STATE, UPLOADS
from .storage import BlobInfo, Page, Storage
from .uploads import Outcome, Worker, default_worker

log = logging.getLogger(__name__)

MARK = "sweep.json"
_LOOK_BACK = 5000

Wanted = Callable[[BlobInfo, BlobInfo | None], bool]


@dataclass
class Report:
    """What one sweep did. `complete`: it reached the end; else it left a mark for the next one."""

    seen: int = 0
    found: int = 0
    processed: int = 0
    recovered: int = 0
    failed: int = 0
    left: int = 0
    complete: bool = False

    def __str__(self) -> str:
        end = "to the end" if self.complete else "the next one goes on from here"
        return (
            f"found {self.found} of {self.seen} uploads unfinished: processed {self.processed}, "
            f"recovered {self.recovered}, failed {self.failed}, left {self.left}; {end}"
        )


@dataclass(frozen=True)
class Mark:
    """Where the next sweep goes on: the page of each list that was being read."""

    uploads: str | None = None
    receipts: str | None = None


def unfinished(upload: BlobInfo, receipt: BlobInfo | None) -> bool:
    """Whether this version of the upload still needs somebody, by what its receipt's metadata says."""
    if receipt is None or receipt.metadata.get("etag") != upload.etag:
        return True
    state = receipt.metadata.get("state")
    if state == "working":
        return receipt.age_s >= float(receipt.metadata.get("lease", "0"))
    if state == "waiting":
        return datetime.fromisoformat(receipt.metadata["until"]) <= receipt.served_at
    return state == "retry"


class Receipts:
    """The list of receipts, read in step with that of the uploads."""

    def __init__(self, storage: Storage, prefix: str, token: str | None) -> None:
        self.token = token  # of the page that is being read
        self._pages = storage.pages(STATE, PREFIX + prefix, token)
        self._ahead = self._blobs()
        self._next = next(self._ahead, None)
        self._passed: OrderedDict[str, BlobInfo] = OrderedDict()

    def _blobs(self) -> Iterator[BlobInfo]:
        for page in self._pages:
            self.token = page.token
            yield from page.blobs

    def of(self, upload: str) -> BlobInfo | None:
        """The receipt of an upload; uploads are asked for in the order of their list."""
        path = PREFIX + record_path(upload)
        while self._next is not None and self._next.name <= path:
            self._passed[self._next.name] = self._next
            if len(self._passed) > _LOOK_BACK:
                self._passed.popitem(last=False)
            self._next = next(self._ahead, None)
        return self._passed.pop(path, None)


def sweep(
    worker: Worker,
    budget_s: float,
    *,
    prefix: str = "",
    wanted: Wanted = unfinished,
    cause: Cause = "sweep",
    page_size: int = 5000,
    begin_thread: Callable[[], None] = lambda: None,
) -> Report:
    """Bring every wanted upload to its end, `max_concurrent` at a time, until `budget_s` is used up.

    A sweep over everything starts at the mark that the last one left; one over a `prefix` neither reads nor
    leaves one. An upload that fails is counted and does not stop the others. `begin_thread` is called in each thread
    before its first upload. Raises StorageUnavailable.
    """
    end = time.monotonic() + budget_s
    marked = prefix == "" and cause == "sweep"
    mark = _read_mark(worker.storage) if marked else Mark()
    report = Report()
    receipts = Receipts(worker.storage, prefix, mark.receipts)
    with ThreadPoolExecutor(worker.settings.max_concurrent, "dropsight-sweep", begin_thread) as pool:
        for page in worker.storage.pages(UPLOADS, prefix, mark.uploads, page_size):
            here = Mark(page.token, receipts.token)
            found = _wanted(page, receipts, wanted, report)
            _process(pool, worker, found, cause, end, report)
            if time.monotonic() >= end and (report.left or page.next_token):
                if marked:
                    _write_mark(worker.storage, here if report.left else Mark(page.next_token, receipts.token))
                return report
    report.complete = True
    return report


def _wanted(page: Page, receipts: Receipts, wanted: Wanted, report: Report) -> list[BlobInfo]:
    found = [upload for upload in page.blobs if wanted(upload, receipts.of(upload.name))]
    report.seen += len(page.blobs)
    report.found += len(found)
    return found


def _process(
    pool: ThreadPoolExecutor, worker: Worker, found: list[BlobInfo], cause: Cause, end: float, report: Report
) -> None:
    def one(upload: BlobInfo) -> Outcome | Exception | None:
        if time.monotonic() >= end:
            return None
        try:
            return worker.handle(BlobEvent(UPLOADS, upload.name, upload.etag, upload.size, cause=cause))
        except Exception as error:  # noqa: BLE001 - one upload's trouble must not end the sweep of the others
            log.warning("%s: %s: %s", shown(upload.name), type(error).__name__, error)
            return error

    for outcome in pool.map(one, found):
        if outcome is None:
            report.left += 1
        elif isinstance(outcome, Exception) or outcome.status == "failed":
            report.failed += 1
        elif outcome.status == "done":
            report.processed += 1
            report.recovered += outcome.attempt > 1


def _read_mark(storage: Storage) -> Mark:
    found = storage.read(STATE, MARK)
    if found is None:
        return Mark()
    # Deleted before it is used: a mark that the service does not take any more must not stop every sweep.
    storage.delete(STATE, MARK)
    try:
        document: Mapping[str, str | None] = json.loads(found[0])
        return Mark(document.get("uploads"), document.get("receipts"))
    except (ValueError, AttributeError):
        log.warning("%s/%s is not a mark: starting from the beginning", STATE, MARK)
        return Mark()


def _write_mark(storage: Storage, mark: Mark) -> None:
    storage.write_json(STATE, MARK, {"uploads": mark.uploads, "receipts": mark.receipts})


def on_timer(begin_thread: Callable[[], None]) -> None:
    """The body of the function `sweep`; `begin_thread` makes the lines of a thread those of this invocation."""
    worker = default_worker()
    worker.storage.ensure_containers(UPLOADS)
    log.info("sweep: %s", sweep(worker, worker.settings.sweep_seconds, begin_thread=begin_thread))
    if worker.videos:
        from .videos.revive import revive

        revive(worker.videos)
