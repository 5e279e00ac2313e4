"""Containers `results` and `errors` -> outbox/: a mirror, file by file, of what storage holds."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobProperties, BlobServiceClient, ContainerClient

from devtools.console_report import ConsoleReport

CONTAINERS = ("results", "errors")
STATE = ".etags.json"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Outbox:
    """Fetches blobs whose ETag is new, removes files whose blob is gone; touches no file but its own."""

    def __init__(self, service: BlobServiceClient, folder: Path, report: ConsoleReport) -> None:
        self.clients = {name: service.get_container_client(name) for name in CONTAINERS}
        self.folder, self.report = folder, report
        self.refused: set[str] = set()
        self.etags = self._load()
        self._saved = dict(self.etags)
        self._full = False

    def step(self) -> None:
        """Bring the folder up to date. What is fetched before a failure stays known. A full disk is reported once and
        waited for."""
        try:
            self._bring()
            self._full = False
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if not self._full:
                self.report.say(f"{self.folder} is full ({error.strerror}); the rest comes when there is room")
            self._full = True

    def _bring(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for container, client in self.clients.items():
                self._mirror(container, client)
        finally:
            if self.etags != self._saved:
                # A file of its own first, so that STATE is the old or the new, never half of it.
                partial = self.folder / f"{STATE}.part"
                partial.write_text(json.dumps(self.etags), encoding="utf-8")
                os.replace(partial, self.folder / STATE)
                self._saved = dict(self.etags)

    def _mirror(self, container: str, client: ContainerClient) -> None:
        try:
            blobs = {f"{container}/{blob.name}": blob for blob in client.list_blobs()}
        except ResourceNotFoundError:
            return  # nothing was analysed yet
        changed = [key for key, blob in blobs.items() if self._is_new(key, blob)]
        # The result document last, as it was written: where it is, everything that it names is too.
        for key in sorted(changed, key=lambda key: (key.endswith("/result.json"), key)):
            self._fetch(key, blobs[key], client)
        for key in [key for key in self.etags if key.startswith(f"{container}/") and key not in blobs]:
            self._remove(key)

    def _is_new(self, key: str, blob: BlobProperties) -> bool:
        if key in self.refused:
            return False
        path = local_path(self.folder, key)
        return path is None or self.etags.get(key) != blob.etag or not path.is_file()

    def _fetch(self, key: str, blob: BlobProperties, client: ContainerClient) -> None:
        path = local_path(self.folder, key)
        if path is None:
            self.refused.add(key)
            self.report.say(f"{key} is only in storage: no file can have this name")
            return
        partial = path.with_name(f".{path.name[:100]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unchanged = MatchConditions.IfNotModified
            with partial.open("wb") as file:
                client.download_blob(blob.name, etag=blob.etag, match_condition=unchanged).readinto(file)
            os.replace(partial, path)
        except (ResourceNotFoundError, ResourceModifiedError):
            partial.unlink(missing_ok=True)
            return  # replaced meanwhile: fetched at the next step
        except OSError as error:
            if error.errno in _FULL:
                partial.unlink(missing_ok=True)  # what it takes is room for smaller files
                raise
            self.refused.add(key)
            self.report.say(f"{key} is only in storage: it cannot be written here ({error.strerror})")
            return
        self.etags[key] = blob.etag
        self.report.arrived(key, path)

    def _remove(self, key: str) -> None:
        del self.etags[key]
        path = local_path(self.folder, key)
        if path is None:
            return
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # stops at the first folder that is not empty
            for parent in path.relative_to(self.folder).parents:
                (self.folder / parent).rmdir()

    def _load(self) -> dict[str, str]:
        try:
            known = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            return {str(key): str(etag) for key, etag in known.items()}
        except (OSError, ValueError, AttributeError):
            return {}  # everything is fetched again


def local_path(folder: Path, key: str, windows: bool = os.name == "nt") -> Path | None:
    """Where the blob `container/name` goes, or None where its name leaves the folder, is no file name, or is another
    file's name, too (a path does not tell `a//b` and `a/./b` from `a/b`)."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        return None
    if windows and any(part != part.rstrip(" .") or set(part) & set(':*?"<>|') for part in parts):
        return None  # Windows drops spaces and dots at the end
    return folder.joinpath(*parts)
