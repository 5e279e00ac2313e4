"""Results and error records: everything a document names is there before the document is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import output_path, record_path
from cloud.uploads.events import Outcome
from cloud.uploads.receipts import Receipt
from inference.errors import StorageUnavailable
from inference.results.result import Result
from inference.steps import Analysis

log = logging.getLogger(__name__)

Superseded = Literal["overwritten", "deleted"]
RESULT = "result.json"
_ROUNDS = 20


@dataclass(frozen=True)
class Published:
    """What became of one analysis.

    result_etag: the version of result.json, where there is one ("done"). hand_over: leaves the upload to a job, where
    the analysis goes on in parts ("split").
    """

    status: Literal["done", "split"] | Superseded
    result_etag: str | None = None
    hand_over: Callable[[], Outcome] | None = None


def result_path(name: str) -> str:
    """Where the result document of an upload lies in the container `results`."""
    return f"{output_path(name)}/{RESULT}"


def error_path(name: str) -> str:
    """Where the error record of an upload lies in the container `errors`."""
    return f"{record_path(name)}.json"


def superseded(current: BlobInfo | None, receipt: Receipt) -> Superseded | None:
    """Whether the upload, as it is now, is another one than the receipt speaks of."""
    if current is None:
        return "deleted"
    return None if current.etag == receipt.etag else "overwritten"


def publish(storage: Storage, receipt: Receipt, analysis: Analysis) -> Published:
    """Write artifacts, then the document, unless the upload is another one by now.

    Calls: one per artifact, one for the upload's ETag, one for the document; more only where somebody else
    wrote the result meanwhile, or something old has to be deleted.
    """
    folder = f"{output_path(receipt.name)}/{receipt.short_key}"
    for relative, content in analysis.artifacts.items():
        storage.write(RESULTS, f"{folder}/{_inside(relative)}", content, metadata={"key": receipt.key})
    document = placed(analysis, receipt.short_key).to_json()
    published, others = _replace_result(storage, receipt, document)
    if published.result_etag is None:
        _delete_artifacts(storage, receipt.name, receipt.short_key)
    else:
        tidy(storage, receipt, others)
    return published


def tidy(storage: Storage, receipt: Receipt, others: Iterable[str] = ()) -> None:
    """Delete what this receipt's result replaces: older artifacts, an error record; no call if nothing."""
    for key in {*receipt.old_keys, *others} - {receipt.short_key}:
        _delete_artifacts(storage, receipt.name, key)
    if receipt.has_error:
        storage.delete(ERRORS, error_path(receipt.name))


def already_published(storage: Storage, receipt: Receipt) -> Published | None:
    """The result of this very receipt, if it is there: its worker died between the last two writes. Tidies up too."""
    current = storage.head(RESULTS, result_path(receipt.name))
    if current is None or current.metadata.get("key") != receipt.key:
        return None
    tidy(storage, receipt)
    return Published("done", current.etag)


def write_error(storage: Storage, receipt: Receipt, document: Mapping[str, Any]) -> str:
    """Write the error record of an upload and return its version."""
    return storage.write_json(ERRORS, error_path(receipt.name), document, metadata={"key": receipt.key})


def withdraw_error(storage: Storage, receipt: Receipt, etag: str) -> None:
    """Delete the record that we wrote, unless somebody has replaced it."""
    try:
        storage.delete(ERRORS, error_path(receipt.name), if_match=etag)
    except Conflict:
        log.info("%s: its error record is a newer one by now", receipt.name)


def _replace_result(storage: Storage, receipt: Receipt, document: Mapping[str, Any]) -> tuple[Published, set[str]]:
    """What came of it, and the short keys of results that were there and are not ours."""
    path, expected = result_path(receipt.name), receipt.result_etag
    others: set[str] = set()
    for _ in range(_ROUNDS):
        # After every conflict again: whoever finds the upload unchanged has the newest content, and wins.
        if gone := superseded(storage.head(UPLOADS, receipt.name), receipt):
            return Published(gone), others
        try:
            etag = storage.write_json(
                RESULTS,
                path,
                document,
                if_match=expected,
                if_absent=expected is None,
                metadata={"key": receipt.key},
                tags=tags(document),
            )
            return Published("done", etag), others
        except Conflict:
            current = storage.head(RESULTS, path)
            expected = current.etag if current else None
            key = current.metadata.get("key") if current else None
            if key == receipt.key:
                return Published("done", expected), others
            if key:
                others.add(key[:12])
    raise StorageUnavailable(f"{receipt.name}: its result changed {_ROUNDS} times while it was being written")


def _delete_artifacts(storage: Storage, name: str, short_key: str) -> None:
    # By the key in their metadata: a hostile upload may be called like the folder of another one's artifacts.
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
        extra=renamed(result.extra),
    )


def _inside(relative: str) -> str:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"artifact {relative!r} is not a path inside its result's folder")
    return str(path)


def tags(document: Mapping[str, Any]) -> dict[str, str]:
    """Index tags by which storage itself finds results: task, top, count, model, status."""
    steps = document["steps"]
    labels = Counter(document.get("summary", {})).most_common(1)
    count = sum(len(step["predictions"]) for step in steps)
    values = {"status": str(document["status"]), "count": str(count), "top": labels[0][0] if labels else ""}
    if steps:
        values |= {"task": steps[0]["task"], "model": steps[0]["model"]["name"]}
    return {name: value for name, value in values.items() if value}
