"""Forgets uploads: deletes them with all that came of them, and says what it deleted and what it could not.

First the upload is deleted, so that a worker that has it finds it gone before it publishes; then the result, artifacts,
error record and job; the receipt last, so that what dies in between is found by its name again. What a worker may still
write that looked a moment before is deleted by a second look: the names lie in `state/forgotten/` until then.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cloud.index.entry import Index
from cloud.settings import ERRORS, STATE, UPLOADS
from cloud.storage.blobs import BlobHeld
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import canonical, printable, record_path
from cloud.uploads.known import known, name_said
from cloud.uploads.names import LONGEST, forms_of
from cloud.uploads.pieces import Piece, pieces_of
from cloud.uploads.publish import error_path
from cloud.uploads.receipt_blobs import PREFIX, BlobReceipts
from cloud.uploads.receipts import Receipt
from cloud.uploads.rests import Rests
from inference.errors import LimitExceeded, StorageUnavailable, UnsupportedMedia
from inference.route_patterns import WILD, fits, literal_beginning
from inference.routes_file import SIDECAR
from inference.threads import begin_thread

log = logging.getLogger(__name__)

FORGOTTEN = "forgotten/"
# When the second look comes, and the last: no function works for longer, and no lease holds.
SECOND_LOOK_S, LAST_LOOK_S = 660.0, 86400.0
_SIDE_BY_SIDE = 8
_BATCH = 200
_HOSTS = "azure-webjobs-hosts"


@dataclass
class Forgotten:
    """What became of an upload. deleted: containers and names of blobs. kept: what could not be deleted, and why."""

    name: str
    deleted: list[str] = field(default_factory=list)
    snapshots: int = 0
    kept: list[str] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing of it was there."""
        return not (self.deleted or self.kept)

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {"name": self.name, "deleted": self.deleted, "snapshots": self.snapshots, "kept": self.kept}


class Forgetter:
    """Forgets uploads of an account, side by side. dry_run: says what would be deleted. index: what lists them."""

    def __init__(self, storage: Storage, *, dry_run: bool = False, index: Index | None = None) -> None:
        self.storage, self.dry_run, self._index = storage, dry_run, index
        self._receipts = BlobReceipts(storage)
        self._id = f"{storage.date():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._batches = 0
        self._rests = Rests(storage)
        self._hosts: list[str] | None = None
        self._jobs: dict[str, list[str]] | None = None
        self._lock = threading.Lock()

    def run(self, names: Iterable[str]) -> Iterator[Forgotten]:
        """Each that there was anything of. Raises StorageUnavailable where it cannot go on."""
        batch: list[str] = []
        met: set[str] = set()  # containers name an upload several times
        for name in names:
            if name not in met:
                met.add(name)
                batch.append(name)
            if len(batch) == _BATCH:
                yield from self._of(batch)
                batch = []
        yield from self._of(batch)

    def notes(self) -> list[str]:
        """What holds for all: where else names and copies may lie."""
        return self._rests.notes()

    def _of(self, names: list[str]) -> Iterator[Forgotten]:
        if names and not self.dry_run:
            self._batches += 1
            self.storage.write_json(STATE, f"{FORGOTTEN}{self._id}/{self._batches:06}.json", names)
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "dropsight-forget", begin_thread()) as pool:
            yield from (found for found in pool.map(self._one, names) if not found.is_nothing)

    def _one(self, name: str) -> Forgotten:
        found = Forgotten(name)
        try:
            self._forget(name, found)
        except (StorageUnavailable, LimitExceeded) as error:  # of the others there is more to forget
            found.kept.append(f"not all could be deleted: {error}")
        return found

    def _forget(self, name: str, found: Forgotten) -> None:
        if not is_addressable(
            name
        ):  # of such a blob there is an error record and nothing else, and asking leads elsewhere
            self._delete(found, ERRORS, error_path(name), self.storage.head(ERRORS, error_path(name)))
            found.kept += [f"{UPLOADS}/{name}, which no client can address: delete its container"] * bool(found.deleted)
            return
        stored = self._receipts.get(name)
        receipt = stored.receipt if stored else None
        upload = self.storage.head(UPLOADS, name)
        self._delete(found, UPLOADS, name, upload)
        sidecar = f"{name}{SIDECAR}"
        self._delete(found, UPLOADS, sidecar, self.storage.head(UPLOADS, sidecar))
        for piece in [*pieces_of(self.storage, name, receipt), *self._other_jobs(name, receipt)]:
            found.kept += self._rests.of_piece(piece)
            self._delete(found, piece.container, piece.blob.name, piece.blob)
        for path in (record_path(sidecar), record_path(name)):
            self._delete(found, STATE, f"{PREFIX}{path}", self.storage.head(STATE, f"{PREFIX}{path}"))
        if self._index and not self.dry_run:  # last: who dies before is followed by the second look
            self._index.remove([name])
        if upload or receipt:
            self._of_the_host(found, name, {blob.etag for blob in (upload, receipt) if blob and blob.etag})

    def _delete(self, found: Forgotten, container: str, name: str, blob: BlobInfo | None) -> None:
        """Deletes a blob with its snapshots, and notes what is left of it."""
        has_copies = container == UPLOADS  # of ours an account has them by the same rules, which the notes tell
        copies = self.storage.copies(container, name) if has_copies else Counter[str]()
        if blob is not None:
            found.deleted.append(f"{container}/{name}")
            found.snapshots += copies["snapshots"]
            if not self.dry_run:
                self.storage.delete(container, name, snapshots=True)
                copies = self.storage.copies(container, name) if has_copies else copies
        if copies["versions"]:
            found.kept.append(f"{copies['versions']} earlier versions of {container}/{name}, which the account keeps")
        if copies["deleted"]:
            found.kept.append(f"{copies['deleted']} deleted copies of {container}/{name}, until soft delete ends")

    def _other_jobs(self, name: str, receipt: Receipt | None) -> Iterator[Piece]:
        """What is left of jobs that the receipt does not name: plans are kept for a week after their end."""
        with self._lock:
            if self._jobs is None:
                self._jobs = _jobs(self.storage)
        for folder in self._jobs.get(name, ()):
            if not receipt or folder != f"jobs/{receipt.job}/":
                for page in self.storage.pages(STATE, folder):
                    yield from (Piece(STATE, blob) for blob in page.blobs)

    def _of_the_host(self, found: Forgotten, name: str, etags: set[str]) -> None:
        """The Functions host notes by name which versions it has delivered."""
        if self._hosts is None:
            self._hosts = self.storage.folders(_HOSTS, "blobreceipts/")
        for host in self._hosts:
            for etag in etags:
                path = f'blobreceipts/{host}/Host.Functions.on_upload/"{etag}"/{UPLOADS}/{name}'
                self._delete(found, _HOSTS, path, self.storage.head(_HOSTS, path))


def _jobs(storage: Storage) -> dict[str, list[str]]:
    """The folders of all jobs by the upload; a call for each."""
    found: dict[str, list[str]] = {}
    for page in storage.pages(STATE, "jobs/"):
        for blob in page.blobs:
            folder, _, file = blob.name.rpartition("/")
            name = name_said(storage, STATE, blob.name) if file == "job.json" else None
            if name:
                found.setdefault(name, []).append(f"{folder}/")
    return found


def report_of(
    found: Iterable[Forgotten], forgetter: Forgetter, asked: Iterable[str] = (), stopped: str = ""
) -> dict[str, Any]:
    """The report: everything that was deleted (in a dry run: would be), and what could not be. asked: what the person
    has named; of `unmet` nothing was there. stopped: why it did not come to its end."""
    uploads = [one.to_json() for one in found]
    kept = sum(bool(one["kept"]) for one in uploads)
    said = {"dry_run": forgetter.dry_run, "uploads": uploads, "count": len(uploads), "with_rest": kept}
    names = {str(one["name"]) for one in uploads}
    said["unmet"] = [] if stopped else [text for text in dict.fromkeys(asked) if not _is_met(text, names)]
    return said | {"stopped": stopped, "notes": forgetter.notes() if not stopped else []}


def _is_met(text: str, names: set[str]) -> bool:
    forms = forms_of(text.replace("\\", "/"))
    return not names.isdisjoint(forms) or any(_takes(form, name) for form in forms for name in names)


def is_addressable(name: str) -> bool:
    """Whether a client that asks for a blob of this name gets that one, and no other."""
    try:
        return canonical(name) == name
    except UnsupportedMedia:
        return False


def look_again(storage: Storage, budget_s: float = float("inf"), index: Index | None = None) -> int:
    """Deletes what workers wrote of forgotten uploads that are still gone, and in the end their names, as long as it
    has time; returns how many blobs that were. A listing where nothing was forgotten."""
    found, end = 0, time.monotonic() + budget_s
    for page in storage.pages(STATE, FORGOTTEN):
        for blob in page.blobs:
            is_second = "looked" not in blob.metadata
            if blob.age_s < (SECOND_LOOK_S if is_second else LAST_LOOK_S):
                continue
            if time.monotonic() >= end:
                return found
            names, held = _names_in(storage, blob.name), []
            for name in names:
                try:
                    found += _left_behind(storage, name, index)
                except (BlobHeld, LimitExceeded) as error:  # of the others there may be more
                    log.warning("%s", printable(f"what was written of {name}, which is forgotten, is left: {error}"))
                    held.append(name)
            if is_second or held:
                storage.write_json(STATE, blob.name, names if is_second else held, metadata={"looked": "true"})
            else:
                storage.delete(STATE, blob.name)
    return found


def _names_in(storage: Storage, path: str) -> list[str]:
    try:
        stored = storage.read_json(STATE, path)
    except (ValueError, RecursionError, LimitExceeded):
        return []
    names = stored[0] if stored and isinstance(stored[0], list) else []
    return [name for name in names if isinstance(name, str)]


def _left_behind(storage: Storage, name: str, index: Index | None) -> int:
    if not is_addressable(name) or storage.head(UPLOADS, name):
        return 0  # uploaded anew, and its own by now
    if index:
        index.remove([name])
    stored = BlobReceipts(storage).get(name)
    count = sum(piece.delete(storage) for piece in pieces_of(storage, name, stored.receipt if stored else None))
    receipts = (record_path(name), record_path(f"{name}{SIDECAR}"))
    if storage.head(UPLOADS, f"{name}{SIDECAR}"):
        return count  # somebody has written one anew, for what comes
    return count + sum(storage.delete(STATE, f"{PREFIX}{path}") for path in receipts)


def names_meant(storage: Storage, texts: Iterable[str]) -> Iterator[str]:
    """The uploads that a person names: a name is one upload's, whether it is there or only what came of it; a pattern
    (`**/*.jpg`) and a folder (`street/`) mean all that the containers know. Raises StorageUnavailable."""
    for text in texts:
        text = text.replace("\\", "/")
        is_pattern = WILD.search(text) or text.endswith("/")
        if is_pattern and (len(text) > LONGEST or not storage.head(UPLOADS, canonical(text))):
            for form in forms_of(text):
                yield from _below(storage, form)
        else:
            yield from map(canonical, forms_of(text))


def _below(storage: Storage, form: str) -> Iterator[str]:
    """Those that a folder or a pattern means."""
    beginning = form if form.endswith("/") and not WILD.search(form) else literal_beginning(form)
    # One list after the other: what is forgotten by one is not in the next.
    yield from (name for name in known(storage, beginning) if _takes(form, name))


def _takes(form: str, name: str) -> bool:
    """Whether a folder or a pattern means the name."""
    if form.endswith("/"):
        return name.startswith(form)
    return bool(WILD.search(form)) and fits(form, name)
