"""What the app has made of an upload, wherever it lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cloud.settings import ERRORS, RESULTS, STATE
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import record_path
from cloud.uploads.publish import RESULT, error_path, folder_name
from cloud.uploads.receipts import Receipt

THUMBNAILS = "thumbnails/"  # in `state`, each at the record_path of its upload
_SHORT_KEY = re.compile(r"[0-9a-f]{12}")
_JOB = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Piece:
    """A blob, in the version that was found."""

    container: str
    blob: BlobInfo

    def delete(self, storage: Storage) -> bool:
        """Deletes it in this version; False where it is gone or another by now. Raises StorageUnavailable."""
        try:
            return storage.delete(self.container, self.blob.name, if_match=self.blob.etag)
        except Conflict:
            return False


def pieces_of(storage: Storage, name: str, receipt: Receipt | None) -> Iterator[Piece]:
    """Result, artifacts, error record, thumbnail and the work of its job, in the order in which they are to be deleted:
    whoever finds a result finds all that it names. Three calls and a listing, and one more for each version and the
    job."""
    folder = record_path(name)
    result = storage.head(RESULTS, f"{folder}/{RESULT}")
    if result:
        yield Piece(RESULTS, result)
    known = [receipt.folder, *receipt.old_keys] if receipt else []
    there = [name for name in storage.folders(RESULTS, f"{folder}/") if _SHORT_KEY.fullmatch(name)]
    yield from _artifacts(storage, folder, {*known, *there})
    if error := storage.head(ERRORS, error_path(name)):
        yield Piece(ERRORS, error)
    if thumbnail := storage.head(STATE, f"{THUMBNAILS}{folder}"):
        yield Piece(STATE, thumbnail)
    if receipt and receipt.job and _JOB.fullmatch(receipt.job):
        for page in storage.pages(STATE, f"jobs/{receipt.job}/"):
            yield from (Piece(STATE, blob) for blob in page.blobs)


def _artifacts(storage: Storage, folder: str, keys: Iterable[str]) -> Iterator[Piece]:
    # By what their metadata says: a hostile upload may be called like the folder of another upload's artifacts.
    for key in sorted(key for key in keys if _SHORT_KEY.fullmatch(key)):
        for page in storage.pages(RESULTS, f"{folder}/{key}/"):
            for blob in page.blobs:
                if folder_name(blob) == key:
                    yield Piece(RESULTS, blob)
