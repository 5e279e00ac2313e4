"""Results and error records: everything a document names is there before the document is."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from cloud.index.facts import facts_of
from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.blobs import BlobHeld
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import output_path, printable, record_path
from cloud.uploads.receipts import Receipt
from inference.errors import LimitExceeded, StorageUnavailable
from inference.results.result import Result
from inference.results.summary import labels_of
from inference.steps import Analysis

log = logging.getLogger(__name__)

RESULT = "result.json"
_ROUNDS = 20
_MOST_BYTES = 256 * 1024 * 1024  # of a result that is read to be written anew


class Superseded(Exception):
    """The upload was "overwritten" or "deleted" after the version that the receipt speaks of, or somebody else has it
    by now ("lost")."""

    def __init__(self, how: Literal["overwritten", "deleted", "lost"]) -> None:
        super().__init__("taken over by another worker" if how == "lost" else f"{how} while it was analysed")
        self.how = how


@dataclass(frozen=True)
class Published:
    """A result that lies in its place: its ETag, the folder of its artifacts, and those of others that it replaces."""

    etag: str
    folder: str
    replaced: frozenset[str] = frozenset()
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the index says of it


# Raises Superseded where the upload is no longer this worker's: one call.
CheckOurs = Callable[[], None]


def result_path(name: str) -> str:
    """Where the result document of an upload lies in the container `results`."""
    return f"{output_path(name)}/{RESULT}"


def error_path(name: str) -> str:
    """Where the error record of an upload lies in the container `errors`."""
    return f"{record_path(name)}.json"


def current_upload(storage: Storage, receipt: Receipt) -> BlobInfo:
    """The properties of the receipt's upload; a single call. Raises Superseded."""
    current = storage.head(UPLOADS, receipt.name)
    if current is None or current.etag != receipt.etag:
        raise Superseded("overwritten" if current else "deleted")
    return current


def publish(
    storage: Storage, receipt: Receipt, analysis: Analysis, check_ours: CheckOurs, *, blurred: bool = False
) -> Published:
    """Write artifacts, then the document, in the place of the result that was there when the upload was claimed.
    blurred: whether its route hides something of the upload, which the result's metadata says then.

    A call per artifact, then two for the upload's ETag and the document; more only where somebody else wrote the result
    meanwhile. Nothing older is deleted: that is for whoever has noted the end. Raises Superseded.
    """
    folder = f"{output_path(receipt.name)}/{receipt.folder}"
    metadata = {"key": receipt.key, "folder": receipt.folder}
    for relative, content in analysis.artifacts.items():
        storage.write(RESULTS, f"{folder}/{_inside(relative)}", content, metadata=metadata)
    try:
        # How many files it names, so that a listing shows whether all of them are there.
        metadata |= {"etag": receipt.etag, "files": str(len(analysis.artifacts))}
        metadata |= {"blurred": "true"} if blurred else {}
        document = placed(analysis, receipt.folder).to_json()
        published = _replace_result(storage, receipt, document, metadata, check_ours)
        return replace(published, facts=facts_of(document, folder=receipt.folder, blurred=blurred))
    except Superseded:
        clear_away(storage, receipt, receipt.folder)
        raise


def tidy(storage: Storage, receipt: Receipt, check_ours: CheckOurs) -> tuple[tuple[str, ...], bool]:
    """Delete what the receipt's answer replaces: older artifacts, an error record beside a result, the result of an
    older version beside an error record. No call if nothing.

    What others may write, too, is looked at, then it is checked whose the upload is, then that very version is deleted:
    so nothing newer is. Raises Superseded where the upload is another's by now.

    Returns the folders of artifacts that may not be deleted for now, and whether an error record is there. Raises
    StorageUnavailable.
    """
    kept = _result_kept(storage, receipt, check_ours) if receipt.state == "failed" else ""
    held = []
    for folder in receipt.old_keys:
        try:
            if folder == kept:
                held.append(folder)
            else:
                _delete_artifacts(storage, receipt.name, folder)
        except BlobHeld as error:
            log.info("%s", printable(f"{receipt.name}: what an older result had is kept until the next one: {error}"))
            held.append(folder)
    record = receipt.state == "done" and receipt.has_error and storage.head(ERRORS, error_path(receipt.name))
    if not record:
        return tuple(held), receipt.state == "failed"
    check_ours()
    try:
        storage.delete(ERRORS, record.name, if_match=record.etag)
    except BlobHeld as error:
        log.info("%s", printable(f"{receipt.name}: its error record is kept until the next result: {error}"))
        return tuple(held), True
    except Conflict:
        pass
    return tuple(held), False


def _result_kept(storage: Storage, receipt: Receipt, check_ours: CheckOurs) -> str:
    """The folder of the result that stays beside an error record: that of the same version of the upload, which was
    analysed by other routes or models. One of an older version is deleted, as it speaks of what is not there any more.
    """
    current = storage.head(RESULTS, result_path(receipt.name)) if receipt.result_etag or receipt.old_keys else None
    if current is None:
        return ""
    if current.metadata.get("etag", receipt.etag) == receipt.etag:
        return folder_name(current)
    check_ours()
    with suppress(BlobHeld, Conflict):
        storage.delete(RESULTS, current.name, if_match=current.etag)
        _delete_artifacts(storage, receipt.name, folder_name(current))
    return ""


def withdraw(storage: Storage, receipt: Receipt, published: Published) -> None:
    """Delete the result that we wrote, and its artifacts, unless somebody has replaced it."""
    with suppress(Conflict, BlobHeld):
        storage.delete(RESULTS, result_path(receipt.name), if_match=published.etag)
    clear_away(storage, receipt, published.folder)


def clear_away(storage: Storage, receipt: Receipt, *folders: str) -> None:
    """Delete artifacts in folders of claims that are over, but for those of the result that is there."""
    current = storage.head(RESULTS, result_path(receipt.name))
    for folder in {*folders} - {folder_name(current) if current else ""}:
        with suppress(BlobHeld):
            _delete_artifacts(storage, receipt.name, folder)


def folder_name(blob: BlobInfo) -> str:
    """The folder of a result's artifacts, of the result or of one of them; "" for other blobs."""
    return blob.metadata.get("folder") or blob.metadata.get("key", "")[:12]


def already_published(storage: Storage, receipt: Receipt) -> Published | None:
    """The result that an earlier claim wrote under the receipt's key, where its worker died between the last two
    writes: written anew, since a worker that is frozen since may go by the ETag that it had.

    Not the one that was noted before: whoever replays an upload wants another in its place."""
    path = result_path(receipt.name)
    reading = storage.open(RESULTS, path)
    if reading is None or reading.info.metadata.get("key") != receipt.key:
        return None
    if reading.info.etag == receipt.result_etag or not _is_whole(storage, receipt.name, reading.info):
        return None
    try:
        document = json.loads(reading.read(_MOST_BYTES))
        metadata = dict(reading.info.metadata)
        facts = result_facts(reading.info, document)
        etag = storage.write_json(
            RESULTS, path, document, if_match=reading.info.etag, metadata=metadata, tags=tags(document)
        )
    except (Conflict, ValueError, KeyError, TypeError, AttributeError, LimitExceeded):  # another's by now, or no result
        return None
    return Published(etag, folder_name(reading.info), facts=facts)


def result_facts(result: BlobInfo, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the index says of a result that lies there. Raises as `facts_of`."""
    return facts_of(document, folder=folder_name(result), blurred=result.metadata.get("blurred") == "true")


def _is_whole(storage: Storage, name: str, result: BlobInfo) -> bool:
    """Whether the files are there that a result says it has: who was frozen may write it after they were deleted."""
    return sum(1 for _ in _artifacts(storage, name, folder_name(result))) >= files_of(result)


def write_error(storage: Storage, receipt: Receipt, document: Mapping[str, Any], check_ours: CheckOurs) -> str:
    """Write the error record of an upload and return its version; a call, unless there may be one. Raises Superseded
    where somebody else has the upload by now, whose record must not be replaced."""
    path, expected, known = error_path(receipt.name), None, not receipt.has_error
    for _ in range(_ROUNDS):
        if not known:
            current = storage.head(ERRORS, path)
            expected = current.etag if current else None
            check_ours()
        try:
            options: dict[str, Any] = {"metadata": {"key": receipt.key}, "if_absent": expected is None}
            return storage.write_json(ERRORS, path, document, if_match=expected, **options)
        except Conflict:
            known = False
    raise StorageUnavailable(f"{receipt.name}: its error record changed {_ROUNDS} times while it was being written")


def withdraw_error(storage: Storage, receipt: Receipt, etag: str) -> None:
    """Delete the record that we wrote, unless somebody has replaced it."""
    try:
        storage.delete(ERRORS, error_path(receipt.name), if_match=etag)
    except (Conflict, BlobHeld) as error:
        log.info("%s", printable(f"{receipt.name}: its error record is left: {error}"))


def _replace_result(
    storage: Storage,
    receipt: Receipt,
    document: Mapping[str, Any],
    metadata: Mapping[str, str],
    check_ours: CheckOurs,
) -> Published:
    path, expected = result_path(receipt.name), receipt.result_etag
    others: set[str] = set()
    for _ in range(_ROUNDS):
        current_upload(storage, receipt)
        options = {"metadata": metadata, "tags": tags(document), "if_absent": expected is None}
        try:
            etag = storage.write_json(RESULTS, path, document, if_match=expected, **options)
            return Published(etag, receipt.folder, frozenset(others))
        except Conflict:
            # Written or deleted since the upload was claimed: who has it by now is the one whose result stays.
            check_ours()
            current = storage.head(RESULTS, path)
            expected = current.etag if current else None
            if current and folder_name(current) == receipt.folder:  # ours: it had arrived, and only the answer was lost
                return Published(current.etag, receipt.folder, frozenset(others))
            if current:
                others.add(folder_name(current))
    raise StorageUnavailable(f"{receipt.name}: its result changed {_ROUNDS} times while it was being written")


def files_of(result: BlobInfo) -> int:
    """How many files a result says it has; -1 where it does not say."""
    said = result.metadata.get("files", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else -1


def _delete_artifacts(storage: Storage, name: str, folder: str) -> None:
    for blob in _artifacts(storage, name, folder):
        storage.delete(RESULTS, blob.name)


def _artifacts(storage: Storage, name: str, folder: str) -> Iterator[BlobInfo]:
    """By what their metadata says: a hostile upload may be called like the folder of another upload's artifacts."""
    for page in storage.pages(RESULTS, f"{output_path(name)}/{folder}/") if folder else ():
        for blob in page.blobs:
            if folder == blob.metadata.get("folder") or blob.metadata.get("key", "").startswith(folder):
                yield blob


def placed(analysis: Analysis, folder: str) -> Result:
    """The result with its files named as they lie beside result.json."""
    result, extra = analysis.result, dict(analysis.result.extra)
    # Member by member: what a model calls a thing may be called like a file.
    if "thumbnails" in extra:
        extra["thumbnails"] = [f"{folder}/{file}" for file in extra["thumbnails"]]
    if "tracks" in extra:
        extra["tracks"] = [
            {**track, "crop": f"{folder}/{track['crop']}"} if "crop" in track else track for track in extra["tracks"]
        ]
    return replace(
        result,
        artifacts={name: f"{folder}/{file}" for name, file in result.artifacts.items()},
        files={place: f"{folder}/{file}" for place, file in result.files.items()},
        crops={place: f"{folder}/{file}" for place, file in result.crops.items()},
        extra=extra,
    )


def _inside(relative: str) -> str:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"artifact {relative!r} is not a path inside its result's folder")
    return str(path)


def tags(document: Mapping[str, Any]) -> dict[str, str]:
    """Index tags by which storage itself finds results: task, top, scene, objects, count, model, status.

    top: the commonest object, else the best name of the whole picture; scene: that name; never a guess. objects: how
    many of all labels. count: all predictions of all steps. A blob may have ten tags.
    """
    steps, labels = document["steps"], labels_of(document)
    count = sum(len(step["predictions"]) for step in steps)
    values = {"status": str(document["status"]), "count": str(count), "top": labels.top}
    values |= {"scene": next(iter(labels.scene), ""), "objects": str(sum(labels.objects.values()))}
    if steps:
        values |= {"task": steps[0]["task"], "model": steps[0]["model"]["name"]}
    return {name: value for name, value in values.items() if value}
