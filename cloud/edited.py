"""Files that a process reads once: whether they say something else by now, and what the next start would make of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from inference.errors import BadManifest
from inference.tables import read_toml

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Edit:
    """A change of a file since it was read. what: in words; problems: what would be wrong at the next start."""

    what: str
    problems: tuple[str, ...] = ()
    gone: bool = False

    def __str__(self) -> str:
        if not self.problems and self.gone:
            return f"{self.what}; this process uses what it read at its start, and the next start would do without"
        if not self.problems:
            return f"{self.what}; this process uses what it read at its start: restart the app"
        wrong = "; ".join(self.problems)
        return f"{self.what}, and the next start would meet this: {wrong}; until then, what was read before is used"


@dataclass
class FileAsRead:
    """A file of the app as this process read it; make it before the file is parsed, lest a change be missed.

    name: as the settings call it. problems: what is wrong with the file as it is now, asked only of one that changed.
    Contents are compared: times of files are copied along, and too coarse for two writes in a moment.
    """

    path: Path
    name: str
    problems: Callable[[], list[str]]
    content: bytes | None = field(init=False, repr=False)
    _noted: bytes | None = field(init=False, repr=False)  # what `note` spoke of last

    def __post_init__(self) -> None:
        self.content = self._noted = _content(self.path)

    def edit(self) -> Edit | None:
        """What the file says that this process does not know, or None. Reads the file; raises nothing."""
        now = _content(self.path)
        if now == self.content:
            return None
        if now is None:
            what = "is gone, or cannot be read any more"
        else:
            what = f"{'is new' if self.content is None else 'changed'}{_when(self.path)}"
        return Edit(f"{self.name} {what}", tuple(self.problems()), now is None)

    def note(self) -> None:
        """Log a change, once; and that it was taken back."""
        now = _content(self.path)
        if now == self._noted:
            return
        self._noted = now
        if edit := self.edit():
            log.warning("%s", edit)
        else:
            log.info("%s is again what this process read at its start", self.name)


def masks_of(routes: Path) -> list[Path]:
    """The pictures that a file of routes names as masks, which are read with it; none where it cannot be read."""
    try:
        tables = read_toml(routes).get("route")
    except BadManifest:
        return []
    named = [table.get("mask") for table in tables if isinstance(table, dict)] if isinstance(tables, list) else []
    return [routes.parent / mask for mask in dict.fromkeys(mask for mask in named if mask and isinstance(mask, str))]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (OSError, ValueError):  # a path with NUL
        return None


def _when(path: Path) -> str:
    try:
        return f" at {datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"
    except (OSError, OverflowError, ValueError):
        return ""
