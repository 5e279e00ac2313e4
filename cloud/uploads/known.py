"""Which uploads the containers know: those that are there, and those of which only what came of them is."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import Storage
from cloud.storage.paths import printable, record_path, record_prefix
from cloud.uploads.publish import RESULT
from cloud.uploads.receipt_blobs import PREFIX
from inference.errors import LimitExceeded

log = logging.getLogger(__name__)


def known(storage: Storage, beginning: str) -> Iterator[str]:
    """The names of all uploads of which anything is there and that may begin so."""
    for page in storage.pages(UPLOADS, beginning):
        yield from (blob.name for blob in page.blobs)
    below = record_prefix(beginning)
    for container, prefix, ending in ((STATE, PREFIX, ""), (RESULTS, "", f"/{RESULT}"), (ERRORS, "", ".json")):
        for page in storage.pages(container, prefix + below):
            for blob in page.blobs:
                if blob.name.endswith(ending):
                    path = blob.name.removeprefix(prefix).removesuffix(ending)
                    name = path if "%" not in path else name_said(storage, container, blob.name)
                    if name and record_path(name) == path:
                        yield name


def name_said(storage: Storage, container: str, path: str) -> str | None:
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
