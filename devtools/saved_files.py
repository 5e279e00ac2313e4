"""Files that the app reads once: whoever saves one while it runs is told so. Standard library only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from devtools.checks import Finding
from devtools.environment import say

LOOK_S = 1.0
AGAIN = "The app uses what it read at its start: press Ctrl-C and start again."


class SavedFiles:
    """Looks at the files every second, and tells of each whose content changed.

    check: what the next start would make of them.
    """

    def __init__(self, files: Iterable[Path], check: Callable[[], Finding]) -> None:
        self._check = check
        self._read = {file: _content(file) for file in files}  # when the app started
        self._told = dict(self._read)
        self._seen = {file: _state(file) for file in self._read}
        self._next = 0.0

    def step(self) -> None:
        """Call it often: it looks when it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_S
        changed = [file for file in self._read if self._is_changed(file)]
        if not changed:
            return
        names = " and ".join(file.name for file in changed)
        if all(self._told[file] == self._read[file] for file in changed):
            say(f"\n{names}: again what the app read at its start.")
            return
        is_now = "saved" if any(self._told[file] is not None for file in changed) else "gone"
        finding = self._check()
        if finding.ok is False:
            say(f"\n{names}: {is_now}, but the next start would meet this: {finding.words}")
            return
        say("\n" + "\n  Note: ".join([f"{names}: {is_now}. {AGAIN}", *finding.notes]))

    def _is_changed(self, file: Path) -> bool:
        state = _state(file)
        if state != self._seen[file]:
            self._seen[file] = state  # editors write in steps: it is read once it is the same for a second
            return False
        if (content := _content(file)) == self._told[file]:
            return False
        self._told[file] = content
        return True


def _state(file: Path) -> tuple[int, int] | None:
    try:
        state = os.stat(file)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
