"""Deletes what came of uploads that are gone, and what was kept as long as it is to be kept.

A pass goes through receipts and uploads side by side, as the sweep does, and only where a setting or a route asks for
it: once an hour at most, as long as it has time, and from where the last pass stopped. An upload without a finished
receipt is never touched. What is deleted is deleted in the version that was found. The receipt is replaced at the end,
so that a pass that dies is done again, and in the version that was read, so that whoever has the upload by then keeps
it.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from cloud.settings import RESULTS, STATE, UPLOADS, Settings
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import printable, record_path
from cloud.uploads.forget import is_addressable
from cloud.uploads.outdated import ANSWERED, Digests
from cloud.uploads.pieces import pieces_of
from cloud.uploads.plans import Planner
from cloud.uploads.publish import RESULT
from cloud.uploads.receipt_blobs import PREFIX, summary_of
from cloud.uploads.receipts import Receipt, ReceiptSummary, StoredReceipt
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import BadManifest, DropsightError, LimitExceeded, StorageUnavailable
from inference.routes import Route
from inference.routes_file import SIDECAR, sidecar_target
from inference.tables import build

log = logging.getLogger(__name__)

_LOOK_BACK = 5000
_EVERY_S = 3600.0
_DAY_S = 86400.0
_SIDE_BY_SIDE = 8
# An upload that is gone for a moment only (overwritten by way of a deletion, undeleted) keeps what came of it.
GONE_S = 600.0
_MARK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Mark:
    """Where the next pass goes on: pages of both lists. deleted, expired: what this pass did so far."""

    receipts: str | None = None
    uploads: str | None = None
    deleted: int = 0
    expired: int = 0
    done: bool = False


class Retention:
    """What a deployment keeps, and for how long."""

    def __init__(self, worker: UploadWorker) -> None:
        self.worker, self.storage = worker, worker.storage
        self.settings: Settings = worker.settings
        self._planner: Planner = worker.planner
        self._digests: Digests | None = None
        self._path = f"retention/{worker.ledger.deployment}.json"

    @property
    def is_on(self) -> bool:
        """Whether anything is ever to be deleted."""
        settings, routes = self.settings, self._planner.routes.routes
        return bool(
            settings.delete_results_with_uploads
            or settings.retention_days
            or any(route.retention_days for route in routes)
        )

    def days_of(self, upload: BlobInfo | None, override: str | None) -> float:
        """How many days what comes of an upload is kept, 0 for ever, as its route or the setting says; of one that is
        gone the setting. A route that a sidecar writes itself has no say, and where none can be had, all is kept."""
        days = self.settings.retention_days
        if upload is None:
            return days
        routes = self._planner.routes
        try:
            route: Route | None
            if override:
                route = routes.of_sidecar(override, upload.name, inline=True)
            else:
                route = routes.match(upload.name, upload.metadata.get("dropsight_route"))
        except (DropsightError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError):
            return 0.0
        said = route.retention_days if any(route is ours for ours in routes.entries) and route else None
        return days if said is None else said

    def run(self, budget_s: float, *, page_size: int = 5000, now: bool = False) -> Mark | None:
        """A pass, or the next part of one; None where nothing is asked for, or the last was a moment ago (but `now`).
        Raises StorageUnavailable."""
        if not self.is_on:
            return None
        end, mark, age_s = time.monotonic() + budget_s, *self._mark()
        if mark.done and age_s < _EVERY_S and not now:
            return None
        mark = Mark() if mark.done else mark
        uploads = _Uploads(self.storage, mark.uploads, page_size)
        while not mark.done:
            mark = self._page(mark, uploads, page_size)
            self.storage.write_json(STATE, self._path, asdict(mark))
            if time.monotonic() >= end:
                break
        if mark.done and (mark.deleted or mark.expired):
            log.info("retention: %d expired, %d of uploads that are gone deleted", mark.expired, mark.deleted)
        return mark

    def _mark(self) -> tuple[Mark, float]:
        try:
            stored = self.storage.read(STATE, self._path, _MARK_BYTES)
            if stored is None:
                return Mark(), 0.0
            return build(Mark, json.loads(stored[0]), f"{STATE}/{self._path}"), stored[1].age_s
        except (ValueError, RecursionError, BadManifest, LimitExceeded) as error:
            log.warning("%s/%s is no mark (%s): it begins anew", STATE, self._path, printable(str(error)[:300]))
            return Mark(), 0.0

    def _page(self, mark: Mark, uploads: _Uploads, size: int) -> Mark:
        page = next(self.storage.pages(STATE, PREFIX, mark.receipts, size), None)
        pairs = [(summary, uploads.of(summary.path)) for summary in map(summary_of, page.blobs if page else ())]
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "dropsight-retention") as pool:
            # All of a page may be due at once, and its end is waited for.
            ends = list(pool.map(self._looked_at, pairs))
        for (summary, _), end in zip(pairs, ends, strict=True):
            if isinstance(end, StorageUnavailable):  # a lease, a legal hold: it stays until the next pass
                log.warning("%s", printable(f"{STATE}/{PREFIX}{summary.path}: {end}"))
        token = page.next_token if page else None
        return replace(
            mark,
            receipts=token,
            uploads=uploads.token,
            deleted=mark.deleted + ends.count("deleted"),
            expired=mark.expired + ends.count("expired"),
            done=token is None,
        )

    def _looked_at(self, pair: tuple[ReceiptSummary, BlobInfo | None]) -> str | StorageUnavailable:
        """What became of what an upload left: "deleted", "expired", or "" for nothing."""
        summary, upload = pair
        try:
            if upload is None:
                return "deleted" if self._after_its_upload(summary) else ""
            return "expired" if self._is_over(summary, upload) and self._expired(summary, upload) else ""
        except StorageUnavailable as error:
            return error

    def _after_its_upload(self, summary: ReceiptSummary) -> bool:
        """Deletes what came of an upload that is gone, where that is asked for, and for long enough."""
        if not self.settings.delete_results_with_uploads and not self._is_over_without_upload(summary):
            return False
        if summary.age_s < (_DAY_S if summary.state in ("working", "job") else GONE_S):
            return False
        name = self._name_of(summary.path)
        stored = self.worker.ledger.read(name) if name else None
        if stored is None or name is None or self.storage.head(UPLOADS, name):
            return False
        is_only_noted = stored.receipt.override is not None and self.storage.head(UPLOADS, f"{name}{SIDECAR}")
        if is_only_noted and not stored.receipt.etag:
            return False
        if not self._pieces_deleted(stored):
            return False
        if not is_only_noted:
            return self._forgotten(name, stored.version)
        # The route that its sidecar names holds for the upload when it comes back.
        noted = Receipt(name, "", "", "retry", attempt=0, override=stored.receipt.override)
        return self._replaced(noted, stored.version) is not None

    def _is_over_without_upload(self, summary: ReceiptSummary) -> bool:
        """Whether what came of an upload that is gone was kept for long enough since."""
        said = (self.settings.retention_days, *(route.retention_days for route in self._planner.routes.routes))
        shortest = min((days for days in said if days), default=0.0)
        if not shortest or summary.age_s <= shortest * _DAY_S:
            return False
        days = self._days_without_upload(summary)
        return bool(days) and summary.age_s > days * _DAY_S

    def _days_without_upload(self, summary: ReceiptSummary) -> float:
        """As the route says by which it was answered: known by its digest, else (it was edited since) by the result."""
        digests = self._digests = self._digests or Digests(self._planner)
        routes = self._planner.routes.routes
        mine = [route for route in routes if summary.digest and digests.of_route(route) == summary.digest]
        if not mine:
            name = self._route_said(f"{summary.path}/{RESULT}")
            if any(entry.name == name for entry in self._planner.routes.entries if not isinstance(entry, Route)):
                return 0.0  # misspelt: nobody knows what it would say
            mine = [route for route in routes if route.name == name]
        setting = self.settings.retention_days
        days = [setting if route.retention_days is None else route.retention_days for route in mine] or [setting]
        return max(days) if all(days) else 0.0  # of several that answer alike the one that keeps longest

    def _route_said(self, path: str) -> str:
        try:
            stored = self.storage.read_json(RESULTS, path)
            return str(stored[0]["route"]) if stored else ""
        except (ValueError, LookupError, TypeError, RecursionError, LimitExceeded):
            return ""

    def _name_of(self, path: str) -> str | None:
        """The upload of a receipt; None where nobody can tell."""
        if "%" not in path:
            return path
        try:
            stored = self.storage.read_json(STATE, f"{PREFIX}{path}")
            name = stored[0]["name"] if stored else None
        except (ValueError, LookupError, TypeError, RecursionError, LimitExceeded):
            return None
        return name if isinstance(name, str) and record_path(name) == path and is_addressable(name) else None

    def _is_over(self, summary: ReceiptSummary, upload: BlobInfo) -> bool:
        """Whether what came of an upload was kept for long enough, as far as a listing tells; what was not analysed to
        its end is kept."""
        if summary.state not in ANSWERED or summary.etag != upload.etag or sidecar_target(upload.name):
            return False
        if summary.expired and not (self.settings.retention_deletes_uploads and summary.state == "done"):
            return False
        return summary.overridden or self._is_older(upload, self.days_of(upload, None))

    @staticmethod
    def _is_older(upload: BlobInfo, days: float) -> bool:
        return bool(days) and (upload.served_at - upload.modified).total_seconds() >= days * _DAY_S

    def _expired(self, summary: ReceiptSummary, upload: BlobInfo) -> bool:
        stored = self.worker.ledger.read(upload.name)
        if stored is None or (stored.receipt.state, stored.receipt.etag) != (summary.state, upload.etag):
            return False
        receipt = stored.receipt
        if not self._is_older(upload, self.days_of(upload, receipt.override)) or not self._pieces_deleted(stored):
            return False
        when = receipt.expired or upload.served_at.isoformat(timespec="seconds")
        marked = replace(receipt, expired=when, result_etag=None, old_keys=(), has_error=False)
        version = self._replaced(marked, stored.version)
        if version is None:
            return False
        if self.settings.retention_deletes_uploads and receipt.state == "done":
            self._upload_deleted(receipt, version)
        return True

    def _upload_deleted(self, receipt: Receipt, version: str) -> None:
        """Deletes the upload, its sidecar and both receipts, unless somebody has written it anew."""
        if not self._deleted(UPLOADS, receipt.name, receipt.etag, snapshots=True):
            return
        sidecar = f"{receipt.name}{SIDECAR}"  # an empty one says nothing, and lies there all the same
        if self.storage.delete(UPLOADS, sidecar, snapshots=True):
            self.storage.delete(STATE, f"{PREFIX}{record_path(sidecar)}")
        self._forgotten(receipt.name, version)

    def _pieces_deleted(self, stored: StoredReceipt) -> bool:
        """Deletes what was made; False where somebody is making it anew."""
        receipt = stored.receipt
        pieces = pieces_of(self.storage, receipt.name, receipt)
        first = next(pieces, None)
        if first and first.container == RESULTS and first.blob.name == f"{record_path(receipt.name)}/{RESULT}":
            if not first.delete(self.storage):
                return False
            first = None
        rest = [*filter(None, [first]), *pieces]
        now = self.worker.ledger.read(receipt.name)
        if now is None or now.version != stored.version:
            return False  # what was listed may be of whoever has it by now
        return all(piece.delete(self.storage) for piece in rest)

    def _replaced(self, receipt: Receipt, version: str) -> str | None:
        try:
            replaced = self.worker.ledger.store.replace(receipt, version)
        except Conflict:
            return None
        self.worker.ledger.notes.changed(receipt.name)
        return replaced

    def _forgotten(self, name: str, version: str) -> bool:
        is_gone = self._deleted(STATE, f"{PREFIX}{record_path(name)}", version)
        self.worker.ledger.notes.changed(name)
        return is_gone

    def _deleted(self, container: str, name: str, version: str, *, snapshots: bool = False) -> bool:
        try:
            return self.storage.delete(container, name, if_match=version, snapshots=snapshots)
        except Conflict:
            return False


class _Uploads:
    """The list of uploads, read in step with that of the receipts."""

    def __init__(self, storage: Storage, token: str | None, size: int) -> None:
        self.token = token  # of the page that is being read
        self._pages = storage.pages(UPLOADS, "", token, size)
        self._ahead = self._listed()
        self._next = next(self._ahead, None)
        self._passed: OrderedDict[str, BlobInfo] = OrderedDict()

    def _listed(self) -> Iterator[tuple[str, BlobInfo]]:
        for page in self._pages:
            self.token = page.token
            yield from ((record_path(blob.name), blob) for blob in page.blobs)

    def of(self, path: str) -> BlobInfo | None:
        """The upload of a receipt; None where it is not at its place, so that only asking for it tells."""
        while self._next is not None and self._next[0] <= path:
            self._passed[self._next[0]] = self._next[1]
            if len(self._passed) > _LOOK_BACK:
                self._passed.popitem(last=False)
            self._next = next(self._ahead, None)
        return self._passed.pop(path, None)
