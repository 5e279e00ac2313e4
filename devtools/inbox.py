"""inbox/ -> container `uploads`: every complete file once, and again when it changed."""

from __future__ import annotations

import errno
import mimetypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import ContainerClient, ContentSettings

from cloud.storage.blobs import bare, code_of, info_of
from devtools.blob_names import blob_name, check_name
from devtools.console_report import ConsoleReport
from inference.folder_files import UNREADABLE, UNREADABLE_FOLDER, LeftOut, files_in, words_of
from inference.routes_file import SIDECAR

# What a file was when it was uploaded: its size and time. Kept with the blob, so that it cannot get lost.
MARK = "dropsight_inbox"
# What storage says of a file, and not of itself or of who asks.
_OF_THE_FILE = {"InvalidUri", "InvalidResourceName", "OutOfRangeInput", "RequestBodyTooLarge", "InvalidHeaderValue"}
TWIN = "second file of the same name"  # as storage takes it: accents composed or not, backslash or slash
# The app notes what a sidecar says when it is told of it, in any order; what is not noted by then (it may not run) is
# not waited for.
NOTED_S = 10.0
AGAIN_S = 30.0  # until a file that storage refused for now is sent again
Mark = str


class Found(NamedTuple):
    """A file of the folder. placed: when it came there or was last written, in ns; a copy with the time of its original
    changes this alone."""

    path: Path
    mark: Mark
    placed: int


class Inbox:
    """Watches a folder by looking again: a file is complete when it is the same twice."""

    def __init__(
        self, uploads: ContainerClient, folder: Path, report: ConsoleReport, never: Path | None = None
    ) -> None:
        """never: a folder, maybe below this one, of which nothing is uploaded: where results arrive."""
        self.uploads, self.folder, self.report, self._never = uploads, folder, report, never
        self.uploaded: dict[str, Mark] | None = None  # by blob name; None until storage was asked
        self.seen: dict[str, Mark] = {}
        self.known: dict[str, int] = {}  # by name, when files were placed that were complete once and are still there
        self.unchanged: list[str] = []  # came into the folder as storage had them already; for whoever says so
        self.goes_on: Callable[[], bool] = lambda: True  # asked between two files
        self.noted: Callable[[str], bool] = lambda name: True  # whether the app knows what a file's sidecar says
        self._sidecars: dict[str, float] = {}  # until when that is waited for, by the name of the file
        self._left_out: LeftOut = {}
        self._unread: list[str] = []
        self._said_left_out: set[str] = set()
        self._said: dict[str, tuple[Mark, str]] = {}  # by name, what keeps a file from being uploaded
        self._not_before: dict[str, tuple[Mark, float]] = {}
        self._made = False

    def step(self) -> None:
        """Upload the files that have not changed since the last step and are not there yet.

        Raises OSError where the folder cannot be read; nothing is forgotten then.
        """
        if self.uploaded is None:
            self.uploaded = self._already_uploaded()
        now = self.files()
        complete = {name: found for name, found in now.items() if self.seen.get(name) == found.mark}
        self.seen = {name: found.mark for name, found in now.items()}
        self._say_removed([name for name in self.known if name not in now and name in self.uploaded])
        due = [name for name, found in complete.items() if self.uploaded.get(name) != found.mark]
        again = {name for name, found in complete.items() if self.known.get(name) != found.placed}
        self.unchanged += sorted(again.difference(due))
        there = {name: placed for name, placed in self.known.items() if name in now or self._is_out_of_sight(name)}
        self.known = there | {name: found.placed for name, found in complete.items()}
        self._upload_all(sorted(due, key=lambda name: (not name.endswith(SIDECAR), name)), now)

    def _upload_all(self, due: list[str], now: dict[str, Found]) -> None:
        assert self.uploaded is not None
        for number, name in enumerate(due):
            self.report.to_upload = len(due) - number
            if not self.goes_on():
                return
            path, mark, _ = now[name]
            own_route = now.get(name + SIDECAR)
            if own_route and self.uploaded.get(name + SIDECAR) != own_route.mark:
                continue  # it must be there before the file, which would take another route
            if not self._knows_its_route(name):
                continue
            if self._upload(name, path, mark):
                self.uploaded[name] = mark
                if name.endswith(SIDECAR):
                    self._sidecars[name.removesuffix(SIDECAR)] = time.monotonic() + NOTED_S
        self.report.to_upload = 0

    def _knows_its_route(self, name: str) -> bool:
        """Whether the app would not take another route than the sidecar that was just uploaded says."""
        if name in self._sidecars and time.monotonic() < self._sidecars[name] and not self.noted(name):
            return False
        self._sidecars.pop(name, None)
        return True

    def _say_removed(self, names: list[str]) -> None:
        """Storage is no mirror of the folder: whoever tidies up the folder keeps the results."""
        names = [name for name in names if not self._is_out_of_sight(name)]
        if len(names) == 1:
            self.report.say(f"{names[0]}: no longer in the inbox; its upload and its result stay")
        elif names:
            self.report.say(f"{len(names)} files are no longer in the inbox; their uploads and results stay")

    def _is_out_of_sight(self, name: str) -> bool:
        """Whether the file may be there all the same: it, or a folder above it, cannot be read."""
        return any(name.startswith(path) if path.endswith("/") else name == path for path in self._unread)

    def files(self) -> dict[str, Found]:
        """Blob name -> file, for everything in the folder that is meant for upload. Raises OSError."""
        try:
            self.folder.mkdir(parents=not self._made, exist_ok=True)  # later only where what holds it is still there
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, "a file or a link that leads nowhere", str(self.folder)) from error
        self._made = True
        files: dict[str, Found] = {}
        left_out: LeftOut = {}
        for path, status in files_in(self.folder, left_out, self._never):
            mark = _mark(status)
            relative = path.relative_to(self.folder)
            if files.setdefault(blob_name(relative), Found(path, mark, status.st_ctime_ns)).path is not path:
                left_out[relative.as_posix()] = TWIN
        self._say_left_out(left_out)
        return files

    def _say_left_out(self, left_out: LeftOut) -> None:
        """Say it once, and not before the second look: much that is unfinished is there for a moment only."""
        self._said_left_out &= left_out.keys()
        new = left_out.keys() & self._left_out.keys() - self._said_left_out
        self._said_left_out |= new
        self._left_out = left_out
        self._unread = [path for path, kind in left_out.items() if kind in (UNREADABLE, UNREADABLE_FOLDER)]
        if new:
            self.report.say(f"{self.folder.name}: {words_of(left_out, new)}")

    def _already_uploaded(self) -> dict[str, Mark]:
        try:
            self.uploads.create_container()
            return {}
        except ResourceExistsError:
            blobs = [info_of(blob.name, blob, {}) for blob in self.uploads.list_blobs(include=["metadata"])]
            return {blob.name: blob.metadata.get(MARK, "") for blob in blobs if not blob.is_folder}

    def _upload(self, name: str, path: Path, mark: Mark) -> bool:
        """Whether this file is done with: uploaded, or refused for good. Whatever may pass is tried again."""
        held, until = self._not_before.get(name, ("", 0.0))
        if held == mark and time.monotonic() < until:
            return False
        try:
            check_name(name)
            if _mark(path.stat()) != mark:
                return False  # written to since the folder was listed, which may be long ago
            etag = self._send(name, path, mark)
        except FileNotFoundError:
            return False  # gone meanwhile
        except OSError as error:
            self._not_yet(name, mark, f"cannot be read yet ({error.strerror or error}), trying again")
            return False
        except HttpResponseError as error:
            return self._refused(name, mark, error)
        except ValueError as error:
            self.report.failed(name, f"cannot be uploaded: {error}")
        else:
            self._said.pop(name, None)
            self._not_before.pop(name, None)
            self.report.uploaded(name, etag)
        return True

    def _send(self, name: str, path: Path, mark: Mark) -> str:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        with path.open("rb") as file, self.report.transfer(f"{name}: uploading") as moved:
            answer = self.uploads.get_blob_client(name).upload_blob(
                file,
                overwrite=True,
                metadata={MARK: mark},
                content_settings=ContentSettings(content_type=kind),
                progress_hook=moved,
            )
        return bare(answer["etag"])

    def _refused(self, name: str, mark: Mark, error: HttpResponseError) -> bool:
        """As _upload. Raises what is wrong with storage, or with our access to it, and not with this blob."""
        code, answer = code_of(error), str(error).splitlines()[0]
        if code == "ContainerNotFound":
            self.uploaded = None  # somebody deleted it: all begins anew
        if code in _OF_THE_FILE or error.status_code == 413:
            self.report.failed(name, f"storage refused it (rename or change the file to try again): {answer}")
            return True
        if error.status_code not in (400, 409, 412):
            raise error
        self._not_before[name] = mark, time.monotonic() + AGAIN_S
        self._not_yet(name, mark, f"storage does not take it now ({answer}), trying again")
        return False

    def _not_yet(self, name: str, mark: Mark, why: str) -> None:
        if self._said.get(name) != (mark, why):
            self._said[name] = mark, why
            self.report.say(f"{name}: {why}")


def _mark(status: os.stat_result) -> Mark:
    return f"{status.st_size}:{status.st_mtime_ns}"
