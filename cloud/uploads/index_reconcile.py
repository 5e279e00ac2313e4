"""Brings the index up to date with the receipts: whatever ended while its rows could not be written.

A pass compares the receipts that were written since the last pass, as a listing shows them, with the rows of what ended
since then, and writes anew what is missing or was made from another version. `state/index.json` says up to when all was
compared: it is moved by a pass that came to its end, to that pass's beginning. Without it, in a new table and with rows
of another kind everything is compared, a sweep's share of time after another: so an account that comes from a version
without the index fills it by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain

from cloud.index.create import create_all
from cloud.index.mark import MARK, IndexMark, read_mark, write_mark
from cloud.index.rows import Note, id_of, id_of_path
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter, Truth
from cloud.settings import STATE
from cloud.storage.containers import BlobInfo, Page, Storage
from cloud.storage.paths import printable
from cloud.uploads.index_notes import is_listed
from cloud.uploads.known import name_said
from cloud.uploads.receipt_blobs import PREFIX, summary_of
from inference.errors import StorageUnavailable
from inference.threads import begin_thread

log = logging.getLogger(__name__)

# A listing may show a receipt a little after it was written.
_MARGIN = timedelta(minutes=2)
# Rows say when a result was written, receipts when that was noted: so long may lie between them.
_BETWEEN = timedelta(minutes=15)
_AT_ONCE, _PAGE = 200, 5000
_SIDE_BY_SIDE = 8
# What ended a moment ago is with the writer of its process; the next pass looks at it.
_YOUNG_S = 10.0


@dataclass
class Reconciled:
    """What a pass did. left: rows that could not be written. complete: it came to its end."""

    compared: int = 0
    written: int = 0
    left: int = 0
    complete: bool = False

    def add(self, ended: tuple[int, int]) -> None:
        """Count what `write_rows` did."""
        self.written += ended[0]
        self.left += ended[1]


def reconcile(storage: Storage, table: UploadTable, writer: IndexWriter, budget_s: float) -> Reconciled:
    """A pass, or the next part of one, as far as there is time. Raises StorageUnavailable."""
    end, now, mark = time.monotonic() + budget_s, storage.date().isoformat(), read_mark(storage, table)
    if not mark.token:
        mark = replace(mark, begun=now, left=0)
    report = Reconciled(left=mark.left)
    since = mark.until - _MARGIN if mark.until else None
    # Of what ended before there was an index, or before a table was deleted, everybody was told, or nobody wants to be.
    untold = since or datetime.fromisoformat(mark.begun) - _MARGIN
    rows = {row.id: row.receipt for row in table.ended(since - _BETWEEN if since else None)}
    for page in _pages(storage, mark.token):
        chosen = [blob for blob in page.blobs if _is_to_be_compared(blob, since)]
        report.compared += len(chosen)
        differ = [b for b in chosen if rows.get(id_of_path(b.name.removeprefix(PREFIX))) != b.etag]
        for start in range(0, len(differ), _AT_ONCE):
            names = (name_of(storage, blob) for blob in differ[start : start + _AT_ONCE])
            report.add(write_rows(table, writer, [name for name in names if name], untold=untold))
            if time.monotonic() >= end and start + _AT_ONCE < len(differ):
                write_mark(storage, replace(mark, token=page.token or "", left=report.left))
                return report
        if time.monotonic() >= end and page.next_token:
            write_mark(storage, replace(mark, token=page.next_token, left=report.left))
            return report
    report.complete = not report.left
    write_mark(storage, IndexMark(mark.begun if report.complete else mark.through, mark.table))
    return report


def _pages(storage: Storage, token: str) -> Iterator[Page]:
    """The list of receipts, from a place on; from the beginning where the service does not take it (any more)."""
    pages = storage.pages(STATE, PREFIX, token or None, size=_PAGE)
    try:
        first = next(pages, None)
    except StorageUnavailable as error:
        if not token:
            raise
        log.warning("%s/%s led nowhere (%s): all receipts are compared", STATE, MARK, printable(str(error)[:200]))
        return _pages(storage, "")
    return chain([first], pages) if first else pages


def _is_to_be_compared(receipt: BlobInfo, since: datetime | None) -> bool:
    """Whether a receipt, as listed, was written since then and speaks of what is not being worked on."""
    if receipt.age_s < _YOUNG_S or (since and receipt.modified < since) or not is_listed(receipt.name):
        return False
    # The row of what is being worked on is as old as the last step of that.
    return since is None or summary_of(receipt).state not in ("working", "job")


def name_of(storage: Storage, receipt: BlobInfo) -> str | None:
    """The upload of a receipt in a listing; None where nobody can tell. A call where its path is escaped."""
    path = receipt.name.removeprefix(PREFIX)
    return path if "%" not in path else name_said(storage, STATE, receipt.name)


def write_rows(
    table: UploadTable, writer: IndexWriter, names: list[str], *, anew: bool = False, untold: datetime | None = None
) -> tuple[int, int]:
    """Writes the rows of uploads as their receipts say, those that have none in groups; how many have some now, and how
    many are left since storage does not give what is to be read of them. anew: see IndexWriter.settle. untold: of ends
    from then on without rows others were not told, perhaps."""
    if writer.truth is None or not names:
        return 0, 0
    with ThreadPoolExecutor(_SIDE_BY_SIDE, "dropsight-index", begin_thread()) as pool:
        found = list(pool.map(partial(_truth, writer.truth), names))
        notes = [note for note in found if isinstance(note, Note)]
        for note in notes:
            if untold and note.at and note.at >= untold and table.anchor(id_of(note.entry.name)) is None:
                writer.tell(note)
        existing = create_all(table, notes)
        again: list[tuple[str, Note | None]] = [(note.entry.name, note) for note in existing]
        again += [(name, None) for name, note in zip(names, found, strict=True) if note is None]
        settled = list(pool.map(lambda pair: _settled(table, writer, pair, anew), again))
    failed = [one for one in (*found, *settled) if isinstance(one, StorageUnavailable)]
    if failed:
        log.warning("%s", printable(f"index: {len(failed)} uploads are left to the next pass: {failed[0]}"))
    return len(notes) - sum(bool(one) for one in settled[: len(existing)]), len(failed)


def _settled(
    table: UploadTable, writer: IndexWriter, upload: tuple[str, Note | None], anew: bool
) -> StorageUnavailable | None:
    try:
        writer.settle(table, *upload, anew=anew)
    except StorageUnavailable as error:  # as in `_truth`
        return error
    return None


def _truth(truth: Truth, name: str) -> Note | StorageUnavailable | None:
    try:
        return truth(name, None)
    except StorageUnavailable as error:  # of the others there is more to write
        return error
