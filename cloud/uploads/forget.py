"""Forgets uploads: deletes them with all that came of them, and says what it deleted and what it could not.

First the upload is deleted, so that a worker that has it finds it gone before it publishes; then the result, artifacts,
error record and job; the receipt last, so that what dies in between is found by its name again. What a worker may still
write that looked a moment before is deleted by a second look: the names lie in `state/forgotten/` until then.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloud.drift.drift_entry import LAKE
from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import canonical, printable, record_path, record_prefix
from cloud.uploads.names import LONGEST, forms_of
from cloud.uploads.pieces import Piece, pieces_of
from cloud.uploads.publish import RESULT, error_path
from cloud.uploads.receipt_blobs import PREFIX, BlobReceipts
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
_STATISTICS = "modelDataCollector/dropsight/"


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
    """Forgets uploads of an account, side by side. dry_run: says what would be deleted."""

    def __init__(self, storage: Storage, *, dry_run: bool = False) -> None:
        self.storage, self.dry_run = storage, dry_run
        self._receipts = BlobReceipts(storage)
        self._id = f"{storage.date():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._batches = 0
        self._routes: list[str] | None = None  # that have statistics in the lake
        self._hosts: list[str] | None = None
        self._jobs: dict[str, list[BlobInfo]] | None = None
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
        said = []
        days = self.storage.soft_delete_days()
        if days:
            said.append(f"the account keeps deleted blobs for {days} days (soft delete) before they are gone for good")
        elif days is None:
            said.append("the account does not say whether it keeps deleted blobs for a while (soft delete)")
        if any(page.blobs for page in self.storage.pages(STATE, "replays/", size=1)):
            said.append(f"{STATE}/replays/ may name uploads; each replay is forgotten a week after its end")
        if any(page.blobs for page in self.storage.pages(LAKE, "results/", size=1)):
            said.append(
                f"{LAKE}/ may have rows of earlier results: SELECT DISTINCT filename FROM "
                "read_parquet('results/**/*.parquet', filename = true) WHERE name = 'NAME' finds them"
            )
        said.append("logs and exported files name uploads as long as they are kept")
        return said

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
        for piece in [*pieces_of(self.storage, name, receipt), *self._ended_jobs(name)]:
            self._rows(found, name, piece)
            self._delete(found, piece.container, piece.blob.name, piece.blob)
        for path in (record_path(sidecar), record_path(name)):
            self._delete(found, STATE, f"{PREFIX}{path}", self.storage.head(STATE, f"{PREFIX}{path}"))
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

    def _rows(self, found: Forgotten, name: str, piece: Piece) -> None:
        """Names the files of the lake that have rows of a result, and cannot be rewritten here."""
        if piece.container != RESULTS or not piece.blob.name.endswith(f"/{RESULT}"):
            return
        if self._routes is None:
            self._routes = self.storage.folders(LAKE, _STATISTICS)
        for path in _lake_files(piece.blob.modified, self._routes):
            if self.storage.head(LAKE, path):
                found.kept.append(f"{LAKE}/{path} may have rows of it")

    def _ended_jobs(self, name: str) -> Iterator[Piece]:
        """The plans of its long videos that have ended, which are kept for a week."""
        with self._lock:
            if self._jobs is None:
                self._jobs = _plans(self.storage)
        yield from (Piece(STATE, blob) for blob in self._jobs.get(name, ()) if self.storage.head(STATE, blob.name))

    def _of_the_host(self, found: Forgotten, name: str, etags: set[str]) -> None:
        """The Functions host notes by name which versions it has delivered."""
        if self._hosts is None:
            self._hosts = self.storage.folders(_HOSTS, "blobreceipts/")
        for host in self._hosts:
            for etag in etags:
                path = f'blobreceipts/{host}/Host.Functions.on_upload/"{etag}"/{UPLOADS}/{name}'
                self._delete(found, _HOSTS, path, self.storage.head(_HOSTS, path))


def _plans(storage: Storage) -> dict[str, list[BlobInfo]]:
    """The plans of all jobs by the upload; a call for each."""
    found: dict[str, list[BlobInfo]] = {}
    for page in storage.pages(STATE, "jobs/"):
        for blob in page.blobs:
            name = _name_said(storage, STATE, blob.name) if blob.name.endswith("/job.json") else None
            if name:
                found.setdefault(name, []).append(blob)
    return found


def _lake_files(written: datetime, routes: list[str]) -> Iterator[str]:
    yield f"results/date={written:%Y-%m-%d}/{written:%H}.parquet"
    for route in routes:
        for kind in ("model_inputs", "model_outputs"):
            yield f"{_STATISTICS}{route}/{kind}/{written:%Y/%m/%d/%H}/dropsight.jsonl"


def report_of(found: Iterable[Forgotten], forgetter: Forgetter) -> dict[str, Any]:
    """The report: everything that was deleted (in a dry run: would be), and what could not be."""
    uploads = [one.to_json() for one in found]
    kept = sum(bool(one["kept"]) for one in uploads)
    said = {"dry_run": forgetter.dry_run, "uploads": uploads, "count": len(uploads), "with_rest": kept}
    return said | {"notes": forgetter.notes()}


def is_addressable(name: str) -> bool:
    """Whether a client that asks for a blob of this name gets that one, and no other."""
    try:
        return canonical(name) == name
    except UnsupportedMedia:
        return False


def look_again(storage: Storage) -> int:
    """Deletes what workers wrote of forgotten uploads that are still gone, and in the end their names; returns how
    many blobs that were. A listing where nothing was forgotten."""
    found = 0
    for page in storage.pages(STATE, FORGOTTEN):
        for blob in page.blobs:
            is_second = "looked" not in blob.metadata
            if blob.age_s < (SECOND_LOOK_S if is_second else LAST_LOOK_S):
                continue
            names = _names_in(storage, blob.name)
            for name in names:
                found += _left_behind(storage, name)
            if is_second:
                storage.write_json(STATE, blob.name, names, metadata={"looked": "true"})
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


def _left_behind(storage: Storage, name: str) -> int:
    if not is_addressable(name) or storage.head(UPLOADS, name):
        return 0  # uploaded anew, and its own by now
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
            yield from _below(storage, text)
        else:
            yield from map(canonical, forms_of(text))


def _below(storage: Storage, text: str) -> Iterator[str]:
    forms = forms_of(text)

    def is_meant(name: str) -> bool:
        return any(name.startswith(form) if form.endswith("/") else fits(form, name) for form in forms)

    for form in forms:
        beginning = form if form.endswith("/") and not WILD.search(form) else literal_beginning(form)
        # One list after the other: what is forgotten by one is not in the next.
        for name in _known(storage, beginning):
            if is_meant(name):
                yield name


def _known(storage: Storage, beginning: str) -> Iterator[str]:
    """The names of all uploads of which anything is there and that may begin so."""
    for page in storage.pages(UPLOADS, beginning):
        yield from (blob.name for blob in page.blobs)
    below = record_prefix(beginning)
    for container, prefix, ending in ((STATE, PREFIX, ""), (RESULTS, "", f"/{RESULT}"), (ERRORS, "", ".json")):
        for page in storage.pages(container, prefix + below):
            for blob in page.blobs:
                if blob.name.endswith(ending):
                    path = blob.name.removeprefix(prefix).removesuffix(ending)
                    name = path if "%" not in path else _name_said(storage, container, blob.name)
                    if name and record_path(name) == path:
                        yield name


def _name_said(storage: Storage, container: str, path: str) -> str | None:
    """The upload's name as a document says it whose path is escaped."""
    try:
        stored = storage.read_json(container, path)
    except (ValueError, RecursionError, LimitExceeded):
        stored = None
    document = stored[0] if stored else None
    if isinstance(document, dict):
        source = document if container == STATE else document.get("source")
        if isinstance(source, dict) and isinstance(source.get("name"), str):
            return str(source["name"])
    log.warning("%s", printable(f"{container}/{path} does not say of which upload it is: it stays"))
    return None
