"""What the bridge says on the terminal: a line per file when it has its result, and what happens until then."""

from __future__ import annotations

import json
import os
import shutil
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.cli.progress import Progress
from inference.results.words import line, single
from inference.routes import sidecar_target

# Results that come sooner need no word about the work on them.
PATIENCE_S = 10.0
_SHARE, _PAUSE_S = 0.25, 30.0


@dataclass
class Pending:
    """An upload without a result so far. etag: of the version; since: when it was uploaded, by time.monotonic(), None
    for what an earlier run uploaded."""

    etag: str = ""
    since: float | None = None
    shown: float = 0.0  # seconds at work at the last line about it
    share: float = 0.0  # of the work, at the last line about it


class ConsoleReport:
    """Knows the uploads that have no result yet, and since when."""

    def __init__(self) -> None:
        self.pending: dict[str, Pending] = {}
        self._terminal = Progress()

    def say(self, text: str) -> None:
        """One line, whatever the terminal's encoding can show of it and whatever characters a file's name has."""
        self._terminal.say(single(text))

    def uploaded(self, name: str, etag: str = "") -> None:
        """A file went to storage: the clock runs. A sidecar has no result of its own."""
        if not sidecar_target(name):
            self.pending[name] = Pending(etag, time.monotonic())
        self.say(f"{name}: uploaded")

    def failed(self, name: str, why: str) -> None:
        """A file will have no result."""
        self.pending.pop(name, None)
        self.say(f"{name}: failed: {why}")

    def ended(self, name: str, how: str) -> None:
        """An upload ended without a result or an error record."""
        self.pending.pop(name, None)
        self.say(f"{name}: {how}")

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
        waited = self.pending.pop(name, Pending()).since
        took = None if waited is None else time.monotonic() - waited
        self.say(line(name, document, folder=shown(path.parent), since_upload_s=took))

    def at_work(self, work: Iterable[tuple[str, float, float | None, str]]) -> None:
        """Say how far the work is: (name, seconds so far, share done of 0 to 1 if known, words).

        On a terminal a line that is written over again, elsewhere lines now and then.
        """
        items = [(name, seconds, share, words) for name, seconds, share, words in work if name in self.pending]
        self._terminal.show(fitted(single("; ".join(f"{name}: {words}" for name, _, _, words in items))))
        for name, seconds, share, words in () if self._terminal.is_terminal else items:
            upload = self.pending[name]
            more = (share or 0.0) - upload.share >= _SHARE or seconds - upload.shown >= _PAUSE_S
            if seconds - upload.shown >= PATIENCE_S and (more or not upload.shown):
                upload.shown, upload.share = seconds, share or 0.0
                self.say(f"{name}: {words}")


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
