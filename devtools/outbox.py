"""Containers `results` and `errors` -> outbox/: a mirror, file by file, of what storage holds."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from cloud.storage.blobs import BlobInfo, info_of
from cloud.storage.paths import record_path
from devtools.console_report import ConsoleReport, shown
from inference import os_errors
from inference.results.plurals import counted

CONTAINERS = ("results", "errors")
STATE = ".etags.json"
_AT_ONCE = 4
# What the system says of a name, whatever the state of the disk.
_NO_NAME = (errno.ENAMETOOLONG, errno.EILSEQ)
# So many results in a row that cannot be written for the same reason: the others would fare the same, unless it is
# about their names, as a disk without colons in names has it.
_IN_A_ROW = 3
_OF_NAMES = (errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EEXIST)

Blobs = dict[str, BlobInfo]  # by container/name


class Outbox:
    """Fetches blobs whose ETag is new, removes files whose blob is gone; touches no file but its own.

    What cannot be written is said once and tried again at every step; only a name that no file can have is given up.
    """

    def __init__(self, service: BlobServiceClient, folder: Path, report: ConsoleReport) -> None:
        self.clients = {name: service.get_container_client(name) for name in CONTAINERS}
        self.folder, self.report = folder, report
        self.refused: set[str] = set()
        self.goes_on: Callable[[], bool] = lambda: True  # asked between two results
        self.listing_s = 0.0  # how long the last step listed
        self.etags = self._load()
        self._saved = dict(self.etags)
        self._failed: dict[str, str] = {}  # why, by the result (see _results), or by the folder
        self._restored: list[str] = []
        self._made = False

    @property
    def lacks_something(self) -> bool:
        """Whether something could not be written at the last step."""
        return bool(self._failed)

    def step(self, names: Iterable[str] | None = None) -> None:
        """Bring the folder up to date: all of it, or what belongs to the uploads of these names, which costs two calls
        for each and not a listing of all that there is. What is fetched before a failure stays known."""
        failed: dict[str, str] = {}
        where = [f"{container}/" for container in CONTAINERS]
        if names is not None:
            paths = [record_path(name) for name in names]
            where = [f"results/{path}/" for path in paths] + [f"errors/{path}.json" for path in paths]
        try:
            self.folder.mkdir(parents=not self._made, exist_ok=True)  # later only where what holds it is still there
            self._made = True
            began = time.monotonic()
            blobs, missing = self._listed(where)
            self.listing_s = time.monotonic() - began
            try:
                self._fetch_all(blobs, failed)
                looked = tuple(prefix for prefix in where if prefix not in missing)
                self._remove_all([key for key in self.etags if key not in blobs and key.startswith(looked)], failed)
            finally:
                self._say_restored()
                self._save()
        except OSError as error:
            failed[""] = self._why(error)
        self._say(failed)
        self.report.looks += not failed

    def _listed(self, where: list[str]) -> tuple[Blobs, list[str]]:
        """What storage holds below these prefixes, without markers of folders; those of containers not made yet."""
        blobs: Blobs = {}
        missing = []
        for prefix in where:
            container, _, below = prefix.partition("/")
            try:
                found = self.clients[container].list_blobs(name_starts_with=below or None, include=["metadata"])
                infos = [info_of(blob.name, blob, {}) for blob in found]
            except ResourceNotFoundError:
                missing.append(prefix)
            else:
                blobs |= {f"{container}/{info.name}": info for info in infos if not info.is_folder}
        return blobs, missing

    def _fetch_all(self, blobs: Blobs, failed: dict[str, str]) -> None:
        """Several results at a time, each of which is complete before its document comes."""
        changed = [key for key, blob in blobs.items() if self._is_new(key, blob)]
        results = self._results(changed, blobs)
        enough = threading.Event()

        def fetch(keys: list[str]) -> Exception | None:
            try:
                for key in () if enough.is_set() or not self.goes_on() else keys:
                    self._fetch(key, blobs[key])
            except (OSError, AzureError) as error:
                return error
            return None

        in_a_row: list[str] = []  # why
        with ThreadPoolExecutor(_AT_ONCE, "dropsight-outbox") as pool:
            for result, error in zip(results, pool.map(fetch, results.values()), strict=True):
                if error is None:
                    in_a_row.clear()
                    continue
                if not _is_local(error):
                    enough.set()
                    raise error
                failed[result] = why = self._why(error)
                in_a_row += [why] if getattr(error, "errno", None) not in _OF_NAMES else []
                if in_a_row[-_IN_A_ROW:] == [why] * _IN_A_ROW:
                    failed[""] = why
                    enough.set()

    def _results(self, changed: list[str], blobs: Blobs) -> dict[str, list[str]]:
        """The changed blobs by the result that they belong to, the oldest first, and last what failed before.

        Within a result its document comes last, as it was written: where it is, everything that it names is too.
        """
        results: dict[str, list[str]] = {}
        for key in changed:
            parts = key.split("/")
            above = ("/".join([*parts[:depth], "result.json"]) for depth in range(len(parts) - 1, 1, -1))
            results.setdefault(next((document for document in above if document in blobs), key), []).append(key)
        order = sorted(results, key=lambda result: (result in self._failed, blobs[result].modified))
        return {result: sorted(results[result], key=lambda key: (key == result, key)) for result in order}

    def _is_new(self, key: str, blob: BlobInfo) -> bool:
        if key in self.refused:
            return False
        path = local_path(self.folder, key)
        return path is None or self.etags.get(key) != blob.etag or not os.path.isfile(path)

    def _fetch(self, key: str, blob: BlobInfo) -> None:
        path = local_path(self.folder, key)
        if path is None:
            self._refuse(key, "no file can have this name")
            return
        partial = path.with_name(f".{path.name[:100]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._download(key, blob, partial)
            os.replace(partial, path)
        except (ResourceNotFoundError, ResourceModifiedError):
            return  # replaced meanwhile: fetched at the next step
        except OSError as error:
            if error.errno not in _NO_NAME:
                raise
            self._refuse(key, f"no file can have this name here ({error.strerror})")
            return
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)  # what it takes is room for other files
        if self.etags.get(key) == blob.etag:
            self._restored.append(key)  # somebody deleted or moved it, which is no news of the upload
            return
        self.etags[key] = blob.etag
        self.report.arrived(key, path)

    def _download(self, key: str, blob: BlobInfo, partial: Path) -> None:
        client = self.clients[key.partition("/")[0]]
        with partial.open("wb") as file, self.report.transfer(f"{blob.name}: downloading") as moved:
            client.download_blob(
                blob.name,
                etag=f'"{blob.etag}"',
                match_condition=MatchConditions.IfNotModified,
                progress_hook=moved,
            ).readinto(file)

    def _refuse(self, key: str, why: str) -> None:
        self.refused.add(key)
        self.report.say(f"{key} is only in storage: {why}")

    def _remove_all(self, gone: list[str], failed: dict[str, str]) -> None:
        for key in gone:
            path = local_path(self.folder, key)
            try:
                if path:
                    self._remove(path)
            except OSError as error:
                failed[key] = self._why(error)
            else:
                del self.etags[key]

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(NotADirectoryError):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # stops at the first folder that is not empty
            for parent in path.relative_to(self.folder).parents:
                (self.folder / parent).rmdir()

    def _why(self, error: Exception) -> str:
        if isinstance(error, FileExistsError) and not os.path.isdir(self.folder):
            return "a file or a link that leads nowhere is in its place"
        if isinstance(error, OSError):
            return f"full ({error.strerror})" if error.errno in os_errors.FULL else str(error.strerror or error)
        return str(error).splitlines()[0]

    def _say_restored(self) -> None:
        if self._restored:
            gone = counted(len(self._restored), "file")
            self.report.say(f"{shown(self.folder)}: {gone} that had gone, fetched again")
            self._restored.clear()

    def _say(self, failed: dict[str, str]) -> None:
        """What is new about failures: a line for the folder, or for each result, or for many of them."""
        before, self._failed = self._failed, failed
        full = next((why for why in failed.values() if why.startswith("full (")), None)
        if full:
            if full not in before.values():
                self.report.say(f"{shown(self.folder)} is {full}; the rest comes when there is room")
        elif "" in failed:
            if failed[""] not in before.values():
                self.report.say(f"{shown(self.folder)} cannot be written to ({failed['']}), trying again")
        else:
            new = {result: why for result, why in failed.items() if before.get(result) != why}
            for why in dict.fromkeys(new.values()):
                names = [result for result in new if new[result] == why]
                some = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
                self.report.say(f"{some}: cannot be written here yet ({why}), trying again")
        if before and not failed:
            self.report.say(f"{shown(self.folder)} is complete again")

    def _save(self) -> None:
        if self.etags != self._saved or (self.etags and not (self.folder / STATE).exists()):
            # A file of its own first, so that STATE is the old or the new, never half of it.
            partial = self.folder / f"{STATE}.part"
            try:
                partial.write_text(json.dumps(self.etags), encoding="utf-8")
                os.replace(partial, self.folder / STATE)
            except OSError:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
            self._saved = dict(self.etags)

    def _load(self) -> dict[str, str]:
        try:
            known = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            return {str(key): str(etag) for key, etag in known.items()}
        except (OSError, ValueError, AttributeError):
            return {}  # everything is fetched again


def _is_local(error: Exception) -> bool:
    """Whether it is about this result, or about our disk, and not about storage."""
    return isinstance(error, OSError) or (
        isinstance(error, HttpResponseError) and 400 <= (error.status_code or 0) < 500
    )


def local_path(folder: Path, key: str, windows: bool = os.name == "nt") -> Path | None:
    """Where the blob `container/name` goes, or None where its name leaves the folder, is no file name, or is another
    file's name, too (a path does not tell `a//b` and `a/./b` from `a/b`)."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        return None
    if windows and any(part != part.rstrip(" .") or set(part) & set(':*?"<>|') for part in parts):
        return None  # Windows drops spaces and dots at the end
    return folder.joinpath(*parts)
