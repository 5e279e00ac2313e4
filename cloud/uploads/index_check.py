"""The whole index against all receipts: made anew, or compared, for a person who asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from cloud.index.mark import IndexMark, write_mark
from cloud.index.rows import id_of, id_of_path
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.uploads.index_notes import Truth, is_listed
from cloud.uploads.index_reconcile import name_of, write_rows
from cloud.uploads.receipt_blobs import PREFIX, BlobReceipts, summary_of

_AT_ONCE = 200
_NAMED = 5
# What ended a moment ago is with the writer of its process.
_YOUNG_S = 10.0


@dataclass
class IndexReport:
    """What was found, or done. uploads: that are listed; removed, gone: rows of what is not there any more; first: some
    names of what is wrong."""

    uploads: int = 0
    written: int = 0
    removed: int = 0
    left: int = 0
    missing: int = 0
    stale: int = 0
    gone: int = 0
    first: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether the index says what the receipts say."""
        return not (self.missing or self.stale or self.gone or self.left)

    def name(self, name: str, why: str) -> None:
        """Keep a name of what is wrong."""
        if len(self.first) < _NAMED:
            self.first.append(f"{name}: {why}")


def rebuild(
    storage: Storage, table: UploadTable, writer: IndexWriter, tell: Callable[[int], None] = lambda _: None
) -> IndexReport:
    """Write the rows of all uploads anew, and remove those of what is gone. tell: is told now and then how many were
    written. Raises StorageUnavailable."""
    report, begun, ids = IndexReport(), storage.date(), set[str]()
    for names in _groups(_all_names(storage, ids)):
        written, left = write_rows(table, writer, names, anew=True)
        report.written, report.left = report.written + written, report.left + left
        tell(report.written)
    report.removed = _removed(table, writer, ids)
    report.uploads = table.count()
    if not report.left:
        write_mark(storage, IndexMark(begun.isoformat(), table.id()))
    return report


def clear_gone(storage: Storage, table: UploadTable) -> int:
    """Remove the rows of uploads of which nothing is there any more, since somebody deleted it by hand; how many that
    were. A listing of the receipts and of the anchors, and some calls for each without a receipt. Raises
    StorageUnavailable."""
    ids = {id_of_path(blob.name.removeprefix(PREFIX)) for blob in _receipts(storage)}
    truth = Truth(storage, BlobReceipts(storage), lambda _: False)
    return _removed(table, IndexWriter(lambda: table, truth), ids)


def _removed(table: UploadTable, writer: IndexWriter, ids: Collection[str]) -> int:
    """Settles what has rows and is not among the ids; how many have none then."""
    count = 0
    for anchor in [anchor for anchor in table.anchors() if anchor.id not in ids]:
        writer.settle(table, anchor.name)
        count += table.anchor(anchor.id) is None
    return count


def compare(storage: Storage, table: UploadTable, writer: IndexWriter) -> IndexReport:
    """Say what of the index differs from the receipts, of what is not being worked on; changes nothing. What seems to
    differ is looked at once more. Raises StorageUnavailable."""
    assert writer.truth
    report = IndexReport()
    found = {anchor.id: anchor for anchor in table.anchors()}
    report.uploads = len(found)
    there: set[str] = set()
    for blob in _receipts(storage):
        path = blob.name.removeprefix(PREFIX)
        upload = id_of_path(path)
        there.add(upload)
        anchor = found.get(upload)
        if summary_of(blob).state in ("working", "job") or blob.age_s < _YOUNG_S:
            continue
        if (anchor is None or anchor.receipt != blob.etag) and (name := name_of(storage, blob)):
            _look(table, writer, name, report)
    for upload, anchor in found.items():
        if upload not in there:
            _look(table, writer, anchor.name, report)
    return report


def _look(table: UploadTable, writer: IndexWriter, name: str, report: IndexReport) -> None:
    assert writer.truth
    anchor, note = table.anchor(id_of(name)), writer.truth(name, None)
    if anchor is None and note is not None:
        report.missing += 1
        report.name(name, "it has no rows")
    elif anchor is not None and note is None:
        report.gone += 1
        report.name(name, "its rows are there, and nothing else of it")
    elif anchor is not None and note is not None and anchor.receipt != note.entry.receipt:
        report.stale += 1
        report.name(name, "its rows are of an older receipt")


def _receipts(storage: Storage) -> Iterator[BlobInfo]:
    for page in storage.pages(STATE, PREFIX, size=5000):
        yield from (blob for blob in page.blobs if is_listed(blob.name))


def _all_names(storage: Storage, ids: set[str]) -> Iterator[str]:
    """Of all receipts, and of the uploads that have none; fills `ids`."""
    for blob in _receipts(storage):
        if name := name_of(storage, blob):
            ids.add(id_of(name))
            yield name
    for page in storage.pages(UPLOADS, size=5000):
        for upload in page.blobs:
            if is_listed(upload.name) and not upload.is_folder and id_of(upload.name) not in ids:
                ids.add(id_of(upload.name))
                yield upload.name


def _groups(names: Iterable[str]) -> Iterator[list[str]]:
    left = iter(names)
    while group := list(islice(left, _AT_ONCE)):
        yield group
