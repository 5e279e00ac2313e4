"""The second look: the facts of a single name, asked for one by one, before anything is called a fault.

The lists of an audit are read over minutes in which workers go on. Whatever changes an upload's answer in good order
begins and ends with a write of its receipt: facts between two equal versions of the receipt are of one moment.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.storage.paths import record_path
from cloud.uploads.audit_facts import Blob, Facts, Folder, is_addressable
from cloud.uploads.audit_listing import folder_of
from cloud.uploads.publish import RESULT
from cloud.uploads.receipt_blobs import MAX_RECEIPT_BYTES, PREFIX, summary_of
from inference.errors import LimitExceeded
from inference.routes_file import SIDECAR

_ROUNDS = 3
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def plain_name(path: str) -> str:
    """The name whose record_path is `path`; "" for a path that was cut."""
    name = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), path)
    return name if record_path(name) == path else ""


def cut_name(storage: Storage, path: str) -> str:
    """The name whose path was cut, as its receipt has it; "" where nobody can tell. A single call."""
    reading = storage.open(STATE, PREFIX + path)
    try:
        name = str(json.loads(reading.read(MAX_RECEIPT_BYTES))["name"]) if reading else ""
    except (ValueError, LookupError, TypeError, RecursionError, LimitExceeded):
        return ""
    return name if record_path(name) == path else ""


class Look:
    """Second looks at a storage account: some six calls each."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def at(self, listed: Facts) -> Facts | None:
        """The facts of now; None where they cannot be told: the name is not known, or somebody is at work on it."""
        name = listed.name or plain_name(listed.path) or cut_name(self._storage, listed.path)
        if not name or not is_addressable(name):
            return None
        for _ in range(_ROUNDS):
            before = self._receipt(listed.path)
            facts = self._facts(listed, name, before)
            after = self._receipt(listed.path)
            if (before and before.etag) == (after and after.etag):
                return facts
        return None

    def _receipt(self, path: str) -> BlobInfo | None:
        return self._storage.head(STATE, PREFIX + path)

    def _facts(self, listed: Facts, name: str, stored: BlobInfo | None) -> Facts:
        head, path = self._storage.head, listed.path
        result, error = head(RESULTS, f"{path}/{RESULT}"), head(ERRORS, f"{path}.json")
        facts = Facts(path, name, receipt=summary_of(stored) if stored else None)
        facts.result, facts.error = (Blob.of(info) if info else None for info in (result, error))
        named = {facts.result.folder} if facts.result and facts.result.files > 0 else set()
        for key in {*listed.folders, *named} - {""}:
            if folder := self._folder(path, key):
                facts.folders[key] = folder
        upload = head(UPLOADS, name)
        facts.upload = Blob.of(upload) if upload and not upload.is_folder else None
        if facts.upload is None:
            facts.has_sidecar = head(UPLOADS, f"{name}{SIDECAR}") is not None
        if facts.receipt and facts.receipt.state == "job" and facts.receipt.job:
            job = head(STATE, f"jobs/{facts.receipt.job}/job.json")
            facts.job_lives = job is not None and job.metadata.get("state", "running") == "running"
        return facts

    def _folder(self, path: str, key: str) -> Folder | None:
        found = Folder(0)
        for info in self.artifacts(path, key):
            found = replace(found, count=found.count + 1, age_s=min(found.age_s, info.age_s))
        return found if found.count else None

    def artifacts(self, path: str, key: str) -> list[BlobInfo]:
        """The artifacts of a name that lie in the folder of a short key; a call per page."""
        pages = self._storage.pages(RESULTS, f"{path}/{key}/", size=5000)
        return [blob for page in pages for blob in page.blobs if folder_of(blob) == (path, key)]
