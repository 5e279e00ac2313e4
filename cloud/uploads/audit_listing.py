"""The listings of an account, read in step: uploads, receipts, results with their artifacts, errors.

All are called like the uploads (paths.record_path), with something behind, so that they can be merged as they come: a
name is complete once every list has passed all that begins with it, and in memory are only the names that are
beginnings of the one that is read. Names that are escaped or cut have another place than their uploads, and accounts
with folders another order than others. What has no partner is therefore kept for some thousand names more; what has
none then is looked up by its name, so that the order of the lists decides how much an audit costs, not what it says.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import record_path
from cloud.uploads.audit_facts import Blob, Facts, Folder, judge
from cloud.uploads.publish import RESULT, folder_name
from cloud.uploads.receipt_blobs import PREFIX, summary_of
from inference.clutter import is_clutter

PAGE = 5000  # the most that the service puts into one
_LOOK_BACK = 5000
_FOLDER = re.compile(r"(.+)/([0-9a-f]{12})/[^/]")
_LISTS = {"uploads": (UPLOADS, ""), "receipts": (STATE, PREFIX), "results": (RESULTS, ""), "errors": (ERRORS, "")}


@dataclass(frozen=True)
class ListMark:
    """Where a list goes on: on the page `token`, behind the blob `last`. over: it was read to its end."""

    token: str | None = None
    last: str = ""
    over: bool = False


def path_of(list_name: str, blob: BlobInfo) -> str | None:
    """The path of the name that a blob is about, None for what an audit does not look at."""
    if list_name == "uploads":
        return None if is_clutter(blob.name) else record_path(blob.name)
    if list_name == "receipts":
        return blob.name.removeprefix(PREFIX)
    if list_name == "errors":
        return blob.name.removesuffix(".json") if blob.name.endswith(".json") else None
    folder = folder_of(blob)
    if folder:
        return folder[0]
    return blob.name.removesuffix(f"/{RESULT}") if blob.name.endswith(f"/{RESULT}") else None


def folder_of(blob: BlobInfo) -> tuple[str, str] | None:
    """The path and the short key of an artifact, None for any other blob of `results`.

    By the key in its metadata: an upload may be called like a folder of artifacts. Only what has lost its metadata is
    told by its path alone.
    """
    if folder := folder_name(blob):
        path, found, _ = blob.name.partition(f"/{folder}/")
        return (path, folder) if found and path else None
    match = None if blob.name.endswith(f"/{RESULT}") else _FOLDER.match(blob.name)
    return (match[1], match[2]) if match else None


def add(facts: Facts, list_name: str, blob: BlobInfo) -> None:
    """Put what a blob says to the other facts of its name."""
    if list_name == "uploads":
        facts.name, facts.upload = blob.name, Blob.of(blob)
    elif list_name == "receipts":
        facts.receipt = summary_of(blob)
    elif list_name == "errors":
        facts.error = Blob.of(blob)
    elif artifact := folder_of(blob):
        folder = facts.folders.setdefault(artifact[1], Folder())
        folder.count += 1
        folder.age_s = min(folder.age_s, blob.age_s)
    else:
        facts.result = Blob.of(blob)


class _Order:
    """The order of names: by their characters, or, in accounts with folders, folder by folder; or neither."""

    def __init__(self) -> None:
        self._by_characters = self._by_folder = True

    @property
    def is_known(self) -> bool:
        """Whether all lists have one of the two so far."""
        return self._by_characters or self._by_folder

    def key(self, text: str) -> str:
        return text if self._by_characters or not self._by_folder else _by_folder(text)

    def check(self, before: str, after: str) -> None:
        """Learn from two names of a list that follow each other."""
        if before > after:
            self._by_characters = False
        if self._by_folder and _by_folder(before) > _by_folder(after):
            self._by_folder = False


def _by_folder(text: str) -> str:
    return text.replace("/", "\0")


class _List:
    """One of the lists; `sort_by` is the name of the blob that comes next, as its place in all lists has it."""

    def __init__(self, storage: Storage, name: str, mark: ListMark, order: _Order) -> None:
        self.name, self.pages = name, 0
        self._order, self._mark = order, mark
        self.token, self.last = mark.token, mark.last
        container, self._prefix = _LISTS[name]
        self._source = storage.pages(container, self._prefix, mark.token, PAGE)
        self._blobs = iter(()) if mark.over else self._read()
        self.head: tuple[str, str, BlobInfo] | None = None  # sort_by, path, blob
        self.advance()

    def _read(self) -> Iterator[BlobInfo]:
        skip = self._mark.last
        for page in self._source:
            self.token = page.token
            self.pages += 1
            blobs = page.blobs
            if skip:
                names = [blob.name for blob in blobs]
                key = self._order.key
                begin = names.index(skip) + 1 if skip in names else sum(key(name) <= key(skip) for name in names)
                blobs, skip = blobs[begin:], ""
            yield from blobs

    def advance(self) -> None:
        """Go on to the next blob that an audit looks at."""
        if self.head:
            self.last = self.head[2].name
        for blob in self._blobs:
            if path := path_of(self.name, blob):
                self._order.check(self.last, blob.name)
                place = path if self.name == "uploads" else blob.name.removeprefix(self._prefix)
                # An escaped name may lie before the one that it follows: the list has not gone back.
                self.head = max(place, self.head[0] if self.head else "", key=self._order.key), path, blob
                return
        self.head = None

    def mark(self) -> ListMark:
        """With which another process goes on from here."""
        return ListMark(self.token, self.last, self.head is None)


class Listing:
    """The facts of every name, once all lists have passed it. marks: where an earlier reading stopped; none to begin.

    Raises StorageUnavailable.
    """

    def __init__(self, storage: Storage, marks: Mapping[str, ListMark] | None = None) -> None:
        self._order = _Order()
        self._lists = [_List(storage, name, (marks or {}).get(name, ListMark()), self._order) for name in _LISTS]
        self._open: dict[str, Facts] = {}
        self._lonely: OrderedDict[str, Facts] = OrderedDict()

    @property
    def pages(self) -> int:
        """How many pages were read: a call each."""
        return sum(one.pages for one in self._lists)

    @property
    def is_ordered(self) -> bool:
        """Whether what has no partner here has none, but for names whose paths are others."""
        return self._order.is_known

    def __iter__(self) -> Iterator[Facts]:
        key = self._order.key
        while waiting := [(key(one.head[0]), number) for number, one in enumerate(self._lists) if one.head]:
            source = self._lists[min(waiting)[1]]
            assert source.head
            here, path, blob = source.head
            yield from self._passed(here)
            facts = self._open.get(path) or self._lonely.get(path)
            if facts is None:
                facts = self._open[path] = Facts(path)
            add(facts, source.name, blob)
            source.advance()
        yield from self._passed("")
        while self._lonely:
            yield self._lonely.popitem(last=False)[1]

    def _passed(self, here: str) -> Iterator[Facts]:
        """The names that all lists have passed, when the next blob is at `here` ("": none follows)."""
        for path in [path for path in self._open if not here or not here.startswith(path)]:
            facts = self._open.pop(path)
            if facts.upload and facts.receipt and not judge(facts).is_fault:
                yield facts
            else:
                self._lonely[path] = facts
            if len(self._lonely) > _LOOK_BACK:
                yield self._lonely.popitem(last=False)[1]

    def stop(self) -> tuple[list[Facts], list[Facts], dict[str, ListMark]]:
        """To stop here: the names that have no partner so far, those that are not complete, and the marks with which
        another reading goes on."""
        return list(self._lonely.values()), list(self._open.values()), {one.name: one.mark() for one in self._lists}
