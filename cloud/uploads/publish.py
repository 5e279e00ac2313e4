"""Results and error records: everything a document names is there before the document is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import output_path, printable, record_path
from cloud.uploads.receipts import Receipt
from inference.errors import StorageUnavailable
from inference.results.result import Result
from inference.results.summary import labels_of
from inference.steps import Analysis

log = logging.getLogger(__name__)

RESULT = "result.json"
_ROUNDS = 20


class Superseded(Exception):
    """The upload was "overwritten" or "deleted" after the version that the receipt speaks of."""

    def __init__(self, how: Literal["overwritten", "deleted"]) -> None:
        super().__init__(f"{how} while it was analysed")
        self.how = how


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


def publish(storage: Storage, receipt: Receipt, analysis: Analysis) -> str:
    """Write artifacts, then the document; returns the document's ETag. Raises Superseded.

    A call per artifact, then two for the upload's ETag and the document; more only where somebody else wrote the
    result meanwhile, or something old has to be deleted.
    """
    folder = f"{output_path(receipt.name)}/{receipt.short_key}"
    for relative, content in analysis.artifacts.items():
        storage.write(RESULTS, f"{folder}/{_inside(relative)}", content, metadata={"key": receipt.key})
    document = placed(analysis, receipt.short_key).to_json()
    try:
        etag, others = _replace_result(storage, receipt, document)
    except Superseded:
        _delete_artifacts(storage, receipt.name, receipt.short_key)
        raise
    tidy(storage, receipt, others)
    return etag


def tidy(storage: Storage, receipt: Receipt, others: Iterable[str] = ()) -> None:
    """Delete what this receipt's result replaces: older artifacts, an error record; no call if nothing."""
    for key in {*receipt.old_keys, *others} - {receipt.short_key}:
        _delete_artifacts(storage, receipt.name, key)
    if receipt.has_error:
        storage.delete(ERRORS, error_path(receipt.name))


def already_published(storage: Storage, receipt: Receipt) -> str | None:
    """The ETag of this receipt's result, where its worker died between the last two writes. Tidies up too."""
    current = storage.head(RESULTS, result_path(receipt.name))
    if current is None or current.metadata.get("key") != receipt.key:
        return None
    tidy(storage, receipt)
    return current.etag


def write_error(storage: Storage, receipt: Receipt, document: Mapping[str, Any]) -> str:
    """Write the error record of an upload and return its version."""
    return storage.write_json(ERRORS, error_path(receipt.name), document, metadata={"key": receipt.key})


def withdraw_error(storage: Storage, receipt: Receipt, etag: str) -> None:
    """Delete the record that we wrote, unless somebody has replaced it."""
    try:
        storage.delete(ERRORS, error_path(receipt.name), if_match=etag)
    except Conflict:
        log.info("%s: its error record was replaced meanwhile", printable(receipt.name))


def _replace_result(storage: Storage, receipt: Receipt, document: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The document's ETag, and the short keys of results of others that it replaces."""
    path, expected = result_path(receipt.name), receipt.result_etag
    others: set[str] = set()
    for _ in range(_ROUNDS):
        # After every conflict again: whoever finds the upload unchanged has the newest content, and wins.
        current_upload(storage, receipt)
        options = {"metadata": {"key": receipt.key}, "tags": tags(document), "if_absent": expected is None}
        try:
            return storage.write_json(RESULTS, path, document, if_match=expected, **options), others
        except Conflict:
            current = storage.head(RESULTS, path)
            expected = current.etag if current else None
            key = current.metadata.get("key") if current else None
            if expected and key == receipt.key:
                return expected, others
            if key:
                others.add(key[:12])
    raise StorageUnavailable(f"{receipt.name}: its result changed {_ROUNDS} times while it was being written")


def _delete_artifacts(storage: Storage, name: str, short_key: str) -> None:
    # By the key in their metadata: a hostile upload may be called like the folder of another upload's artifacts.
    for page in storage.pages(RESULTS, f"{output_path(name)}/{short_key}/"):
        for blob in page.blobs:
            if blob.metadata.get("key", "").startswith(short_key):
                storage.delete(RESULTS, blob.name)


def placed(analysis: Analysis, folder: str) -> Result:
    """The result with its files named as they lie beside result.json."""
    result = analysis.result

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            return f"{folder}/{value}" if value in analysis.artifacts else value
        if isinstance(value, Mapping):
            return {key: renamed(item) for key, item in value.items()}
        return [renamed(item) for item in value] if isinstance(value, list | tuple) else value

    return replace(
        result,
        artifacts={name: f"{folder}/{file}" for name, file in result.artifacts.items()},
        files={place: f"{folder}/{file}" for place, file in result.files.items()},
        crops={place: f"{folder}/{file}" for place, file in result.crops.items()},
        extra=renamed(result.extra),
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


def withdraw(storage: Storage, receipt: Receipt, etag: str) -> None:
    """Delete the result that we wrote, and its artifacts, unless somebody has replaced it: its upload was deleted, with
    all that came of it, while we wrote."""
    try:
        storage.delete(RESULTS, result_path(receipt.name), if_match=etag)
    except Conflict:
        return
    _delete_artifacts(storage, receipt.name, receipt.short_key)
