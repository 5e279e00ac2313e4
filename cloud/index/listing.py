"""Lists of uploads from listings of the containers, for accounts without tables: by state, folder and time, and not by
what a result says, which no listing shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloud.index.entry import Entry, EntryPage, Query, State
from cloud.settings import STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import record_path, record_prefix
from inference.clutter import is_clutter
from inference.errors import BadRequest
from inference.routes_file import sidecar_target

_RECEIPTS = "receipts/"
_AT_ONCE = 5000  # uploads that one page is chosen from
# States of receipts as lists say them; what was dropped otherwise is not listed.
STATES: Mapping[str, State] = {
    "working": "working", "job": "working", "waiting": "waiting", "retry": "waiting", "done": "done",
    "failed": "failed", "cancelled": "cancelled",
}  # fmt: skip
_CANNOT = ("route", "task", "label", "min_score", "model")


@dataclass(frozen=True)
class _Place:
    """Where a page goes on: in the slice of the uploads that begins behind a name, after so many of its entries."""

    offset: int
    behind: str


class BlobListing:
    """An Index over the listings of uploads and receipts. The newest come first among 5,000 names at a time."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
        """See Index; a call for each 5,000 uploads and receipts of the folder that lie before the page."""
        place = _place(cursor)
        uploads, more = self._slice(query.folder, place.behind)
        receipts = self._receipts(query.folder, uploads)
        found = [entry for entry in (_entry(blob, receipts) for blob in uploads) if entry and _fits(entry, query)]
        found.sort(key=lambda entry: (-entry.created.timestamp(), entry.name))
        end = place.offset + size
        following = None
        if end < len(found):
            following = _Place(end, place.behind)
        elif more and uploads:
            following = _Place(0, uploads[-1].name)
        unfiltered = tuple(name for name in _CANNOT if getattr(query, name) not in ("", None))
        return EntryPage(found[place.offset : end], _text(following) if following else None, unfiltered)

    def remove(self, names: Iterable[str]) -> None:
        """Nothing: what is gone is not listed."""

    def _slice(self, folder: str, behind: str) -> tuple[list[BlobInfo], bool]:
        """The uploads that come next in the order of names, and whether there are more."""
        found: list[BlobInfo] = []
        for page in self.storage.pages(UPLOADS, folder, size=_AT_ONCE):
            found += [blob for blob in page.blobs if blob.name > behind and _is_listed(blob)]
            if len(found) > _AT_ONCE:
                break
        return found[:_AT_ONCE], len(found) > _AT_ONCE

    def _receipts(self, folder: str, uploads: list[BlobInfo]) -> dict[str, BlobInfo]:
        wanted, found = {record_path(blob.name) for blob in uploads}, dict[str, BlobInfo]()
        for page in self.storage.pages(STATE, _RECEIPTS + record_prefix(folder), size=_AT_ONCE):
            for blob in page.blobs:
                path = blob.name.removeprefix(_RECEIPTS)
                if path in wanted:
                    found[path] = blob
            if len(found) == len(wanted):
                break
        return found


def _is_listed(blob: BlobInfo) -> bool:
    return not (blob.is_folder or is_clutter(blob.name) or sidecar_target(blob.name))


def _entry(upload: BlobInfo, receipts: Mapping[str, BlobInfo]) -> Entry | None:
    receipt = receipts.get(record_path(upload.name))
    if receipt is None or receipt.metadata.get("etag") != upload.etag:
        return Entry(upload.name, upload.etag, "waiting", upload.modified)
    said = receipt.metadata
    if said.get("expired"):
        return None
    share = said.get("share", "")
    return Entry(
        upload.name, upload.etag, STATES.get(said.get("state", ""), "waiting"), upload.modified, receipt.etag,
        share=float(share) if re.fullmatch(r"[01]\.[0-9]{1,6}", share) else None, job=said.get("job", ""),
    )  # fmt: skip


def _fits(entry: Entry, query: Query) -> bool:
    if query.state and entry.state != query.state:
        return False
    return not (query.since and entry.created < query.since) and not (query.until and entry.created >= query.until)


def _place(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place(0, "")
    found = re.fullmatch(r"([0-9]{1,6})-((?:[0-9a-f]{2})*)", cursor)
    try:
        if found:
            return _Place(int(found[1]), bytes.fromhex(found[2]).decode())
    except UnicodeDecodeError:
        pass
    raise BadRequest(f"{cursor[:100]!r} is no cursor; expected what `next` of a page said")


def _text(place: _Place) -> str:
    return f"{place.offset}-{place.behind.encode().hex()}"
