"""inbox/ -> container `uploads`: every complete file once, and again when it changed."""

from __future__ import annotations

import mimetypes
import os
import re
import stat
import unicodedata
from pathlib import Path, PurePosixPath

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import ContainerClient, ContentSettings

from cloud.storage.blobs import bare
from devtools.console_report import ConsoleReport

# What a file was when it was uploaded: its size and time. Kept with the blob, so that it cannot get lost.
MARK = "dropsight_inbox"
UNFINISHED = {".part", ".partial", ".crdownload", ".download", ".tmp", ".swp"}
CLUTTER = {"thumbs.db", "desktop.ini"}
LONGEST_NAME = 1024
# Characters that XML 1.0 has no place for (section 2.2). Azurite takes a blob of such a name, and then answers every
# listing of its container with a 500, so that no other upload would be found. Single surrogates: a name not in UTF-8.
_NOT_IN_LISTINGS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SIDECAR = ".route.toml"
Mark = str


class Inbox:
    """Watches a folder by looking again: a file is complete when it is the same twice."""

    def __init__(self, uploads: ContainerClient, folder: Path, report: ConsoleReport) -> None:
        self.uploads, self.folder, self.report = uploads, folder, report
        self.uploaded: dict[str, Mark] | None = None  # by blob name; None until storage was asked
        self.seen: dict[str, Mark] = {}
        self.known: set[str] = set()  # the names of files that were complete at some step, and are still there
        self.unreadable: set[tuple[str, Mark]] = set()
        self.unchanged: list[str] = []  # came into the folder as storage had them already; for whoever says so

    def step(self) -> None:
        """Upload the files that have not changed since the last step and are not there yet."""
        if self.uploaded is None:
            self.uploaded = self._already_uploaded()
        now = self.files()
        complete = [name for name, (_, mark) in now.items() if self.seen.get(name) == mark]
        for name in sorted(complete, key=lambda name: (not name.endswith(SIDECAR), name)):
            path, mark = now[name]
            own_route = now.get(name + SIDECAR)
            if own_route and self.uploaded.get(name + SIDECAR) != own_route[1]:
                continue  # it must be there before the file, which would take another route
            if self.uploaded.get(name) == mark:
                self.unchanged += [] if name in self.known else [name]
            elif self._upload(name, path, mark):
                self.uploaded[name] = mark
        self._say_removed([name for name in self.known if name not in now and name in self.uploaded])
        self.known = {*complete, *self.known} & now.keys()
        self.seen = {name: mark for name, (_, mark) in now.items()}

    def _say_removed(self, names: list[str]) -> None:
        """Storage is no mirror of the folder: whoever tidies up the folder keeps the results."""
        if len(names) == 1:
            self.report.say(f"{names[0]}: no longer in the inbox; its upload and its result stay")
        elif names:
            self.report.say(f"{len(names)} files are no longer in the inbox; their uploads and results stay")

    def files(self) -> dict[str, tuple[Path, Mark]]:
        """Blob name -> file and mark, for everything in the folder that is meant for upload."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, tuple[Path, Mark]] = {}
        for parent, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(parent, name)
                if not is_meant(path):
                    continue
                try:
                    status = path.stat()
                except OSError:
                    continue  # gone again, or a link to nothing
                if not stat.S_ISREG(status.st_mode):
                    continue  # opening a pipe would wait for a writer
                mark = f"{status.st_size}:{status.st_mtime_ns}"
                files[blob_name(path.relative_to(self.folder))] = path, mark
        return files

    def _already_uploaded(self) -> dict[str, Mark]:
        try:
            self.uploads.create_container()
            return {}
        except ResourceExistsError:
            blobs = self.uploads.list_blobs(include=["metadata"])
            return {blob.name: (blob.metadata or {}).get(MARK, "") for blob in blobs}

    def _upload(self, name: str, path: Path, mark: Mark) -> bool:
        """Whether this file is done with: uploaded, or refused for good. A locked file is tried again."""
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        try:
            check_name(name)
            with path.open("rb") as file:
                settings = ContentSettings(content_type=kind)
                blob = self.uploads.get_blob_client(name)
                etag = blob.upload_blob(file, overwrite=True, metadata={MARK: mark}, content_settings=settings)["etag"]
        except OSError as error:
            if (name, mark) not in self.unreadable:
                self.report.say(f"{name}: cannot be read yet ({error.strerror}), trying again")
                self.unreadable.add((name, mark))
            return False
        except HttpResponseError as error:
            if not error.status_code or error.status_code >= 500:
                raise
            answer = str(error).splitlines()[0]
            self.report.failed(name, f"storage refused it (rename or change the file to try again): {answer}")
        except ValueError as error:
            self.report.failed(name, f"cannot be uploaded: {error}")
        else:
            self.report.uploaded(name, bare(etag))
        return True


def is_meant(path: Path) -> bool:
    """Whether a file is meant for upload, and not the system's clutter or a half-finished download."""
    name = path.name.lower()
    return not (name.startswith((".", "~")) or name in CLUTTER or path.suffix.lower() in UNFINISHED)


def check_name(name: str) -> None:
    """Raise ValueError, with what to do, for a blob's name that storage does not take, or could not list."""
    if len(name) > LONGEST_NAME:
        raise ValueError(f"its path has {len(name)} characters, storage takes {LONGEST_NAME}; rename it")
    odd = sorted(set(_NOT_IN_LISTINGS.findall(name)))
    if any("\ud800" <= c <= "\udfff" for c in odd):
        raise ValueError("its name is not UTF-8; rename it")
    if odd:
        characters = ", ".join(f"U+{ord(c):04X}" for c in odd)
        raise ValueError(f"its name has characters that storage cannot list ({characters}); rename it")


def blob_name(relative: Path) -> str:
    """The blob's name: the path with forward slashes, composed (macOS hands out decomposed names).

    Storage takes a backslash for a slash: under another name than storage's, every start would upload the file again.
    """
    return unicodedata.normalize("NFC", str(PurePosixPath(*relative.parts))).replace("\\", "/")
