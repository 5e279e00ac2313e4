"""What the bridge says on the terminal: a line per file when it has its result, and what happens until then."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inference.cli.progress import Progress
from inference.plain_text import single
from inference.results.words import line
from inference.routes_file import sidecar_target

# While there is work, no silence is longer than 10 s; whoever looks does so every second or two.
PATIENCE_S = 8.0
Ending = Literal["analysed", "failed"]


@dataclass
class Pending:
    """An upload without a result so far. etag: of the version; since: when it was uploaded, by time.monotonic(), None
    for what an earlier run uploaded."""

    etag: str = ""
    since: float | None = None


class ConsoleReport:
    """Knows the uploads that have no result yet, and since when. Of use to several threads at once."""

    def __init__(self) -> None:
        self.pending: dict[str, Pending] = {}
        self.to_upload = 0  # complete files that wait for their upload
        self.looks = 0  # at the results, each of which ended with all that was new being here
        self._ended: dict[Ending, int] = {"analysed": 0, "failed": 0}  # since there was nothing to do
        self._transfers: dict[str, str] = {}  # large files on their way, and how far they are
        self._terminal = Progress()
        self._said = time.monotonic()
        self._lock = threading.RLock()

    def say(self, text: str) -> None:
        """One line, whatever the terminal's encoding can show of it and whatever characters a file's name has."""
        with self._lock, contextlib.suppress(OSError):  # a full disk below a redirected output loses only these words
            self._said = time.monotonic()
            self._terminal.say(single(text))

    def waiting(self) -> dict[str, Pending]:
        """The uploads that have no result yet, as they are now."""
        with self._lock:
            return dict(self.pending)

    def waits(self, name: str, pending: Pending) -> None:
        """An upload has no result yet."""
        with self._lock:
            if not self.pending:
                self._ended = dict.fromkeys(self._ended, 0)
            self.pending[name] = pending

    def uploaded(self, name: str, etag: str = "") -> None:
        """A file went to storage: the clock runs. A sidecar has no result of its own."""
        if not sidecar_target(name):
            self.waits(name, Pending(etag, time.monotonic()))
        self.say(f"{name}: uploaded")

    def failed(self, name: str, why: str) -> None:
        """A file will have no result."""
        self._end(name, "failed")
        self.say(f"{name}: failed: {why}")

    def ended(self, name: str, how: str) -> None:
        """An upload ended without a result or an error record."""
        self._end(name, "failed")
        self.say(f"{name}: {how}")

    def _end(self, name: str, how: Ending) -> Pending:
        with self._lock:
            known = self.pending.pop(name, None)
            self._ended[how] += known is not None
            return known or Pending()

    def forget(self, name: str) -> None:
        """Whatever there was to say of an upload was said."""
        self._end(name, "analysed")

    def arrived(self, key: str, path: Path) -> None:
        """A file was mirrored; only a document that ends an upload is worth a line."""
        container, _, rest = key.partition("/")
        ends = {"results": "/result.json", "errors": ".json"}
        if container not in ends or not rest.endswith(ends[container]):
            return
        document = _read(path)
        name = _name(document, rest.removesuffix(ends[container]))
        if container == "errors" and not isinstance(document.get("error"), dict):
            document = {"error": {"message": f"its record cannot be read: {shown(path)}"}}
        waited = self._end(name, "analysed" if container == "results" else "failed").since
        took = None if waited is None else time.monotonic() - waited
        self.say(line(name, document, folder=shown(path.parent), since_upload_s=took))

    @contextlib.contextmanager
    def transfer(self, what: str) -> Iterator[Callable[[int, int | None], None]]:
        """A file is on its way; gives what is told (bytes so far, all bytes), as the SDK's `progress_hook`."""

        def moved(done: int, total: int | None) -> None:
            self._transfers[what] = f"{what}, {100 * done / total:.0f} %" if total else what

        self._transfers[what] = what
        try:
            yield moved
        finally:
            del self._transfers[what]

    def at_work(self, work: list[str], waiting: int, later: int = 0, ended: Sequence[Ending] = ()) -> None:
        """Say how far it all is: on a terminal in a line that is written over again, elsewhere in a line after each
        silence.

        work: of the uploads that are spoken of one by one, in words; waiting: how many others wait for their turn;
        later: how many more cannot have theirs now, which alone are nothing to speak of; ended: how those did whose
        results are still to come here.
        """
        with self._lock, contextlib.suppress(OSError):
            moving = list(self._transfers.values())
            if not (work or waiting or ended or self.to_upload or moving):
                self._terminal.show("")
                return
            text = "; ".join([*self._counts(waiting, later, ended), *work, *moving])
            self._terminal.show(fitted(single(text)))
            if not self._terminal.is_terminal and time.monotonic() - self._said >= PATIENCE_S:
                self.say(text)

    def _counts(self, waiting: int, later: int, ended: Sequence[Ending]) -> list[str]:
        """ "12 of 500 analysed, 1 failed, 5 to fetch, 382 waiting, 100 to upload", unless one alone is at work."""
        total = len(self.pending) + self.to_upload + sum(self._ended.values())
        if total <= 1 and not waiting and not ended:
            return []
        failed = self._ended["failed"] + ended.count("failed")
        parts = [f"{self._ended['analysed'] + ended.count('analysed')} of {total} analysed"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{len(ended)} to fetch"] if ended else []
        parts += [f"{waiting} waiting"] if waiting else []
        parts += [f"{later} for later"] if later else []
        parts += [f"{self.to_upload} to upload"] if self.to_upload else []
        return [", ".join(parts)]


def fitted(text: str) -> str:
    """The text as far as a line of the terminal holds it: one that is wrapped could not be written over."""
    columns = shutil.get_terminal_size().columns - 1
    for number, character in enumerate(text):
        columns -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns < 0:
            return text[:number]
    return text


def shown(path: Path) -> str:
    """A path as a person would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _name(document: dict[str, Any], path: str) -> str:
    """The upload's own name: in the path of its result some characters are escaped."""
    source = document.get("source")
    return str((source.get("name") if isinstance(source, dict) else None) or path)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
