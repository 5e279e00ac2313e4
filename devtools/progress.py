"""Runs pip and npm and says how far they are, in packages and bytes. Standard library only.

What they print themselves is a page or nothing at all. Here it becomes a line that is written over again on a terminal,
and a line every few seconds elsewhere; their complaints pass through.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from devtools.supervisor import end_group, group_options
from inference.plain_text import plain_lines, single

EVERY_S = 10.0  # between two lines where there is no terminal


class ProgressLine:
    """A line about work that goes on."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._width = 0
        self._said = time.monotonic()

    def show(self, text: str) -> None:
        """Write the line over again on a terminal; elsewhere print it if the last is some seconds old."""
        text = single(text)
        if self._terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r{text:<{self._width}}", end="", flush=True)
            self._width = len(text)
        elif time.monotonic() - self._said >= EVERY_S:
            self.say(text)

    def say(self, text: str, file: IO[str] | None = None) -> None:
        """Print a line that stays, in place of the one that is shown."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", flush=True)
            self._width = 0
        print(plain_lines(text), file=file, flush=True)
        self._said = time.monotonic()


def run_watched(
    command: list[str], cwd: Path, on_line: Callable[[str], object], state: Callable[[], str], env: dict[str, str]
) -> tuple[int, str]:
    """Run a command to its end; (exit status, what it wrote to stderr, which is also passed on).

    on_line: called with each line of its stdout. state: how far it is, asked several times a second. Raises OSError
    where it cannot be started. Interrupted, it has the command tidy up and end.
    """
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **group_options(),
    )  # fmt: skip
    try:
        return _follow(process, on_line, state)
    except BaseException:
        try:
            if os.name == "posix":
                process.send_signal(signal.SIGINT)  # pip puts back what it was about to replace
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5 if os.name == "posix" else 0)
        finally:
            end_group(process, 0)
        raise


def _follow(
    process: subprocess.Popen[bytes], on_line: Callable[[str], object], state: Callable[[], str]
) -> tuple[int, str]:
    assert process.stdout is not None and process.stderr is not None
    lines: queue.SimpleQueue[tuple[bool, str | None]] = queue.SimpleQueue()
    for stream, complains in ((process.stdout, False), (process.stderr, True)):
        threading.Thread(target=_read, args=(stream, complains, lines), daemon=True).start()
    line, complaints, open_streams = ProgressLine(), [], 2
    while open_streams:
        with contextlib.suppress(queue.Empty):
            complains, text = lines.get(timeout=0.25)
            if text is None:
                open_streams -= 1
            elif complains:
                complaints.append(text)
                line.say(text, sys.stderr)
            else:
                on_line(text)
                if not lines.empty():
                    continue
        line.show(state())
    status = process.wait()
    if not status:
        line.say(state())
    return status, "\n".join(complaints)


def _read(stream: IO[bytes], complains: bool, lines: queue.SimpleQueue[tuple[bool, str | None]]) -> None:
    with stream:
        for raw in stream:
            lines.put((complains, raw.decode(errors="replace").rstrip()))
    lines.put((complains, None))


class PipProgress:
    """How far `pip install` is, from what it prints and from what it has put into `site-packages`.

    pins: the lines of the locks that it is given.
    """

    def __init__(self, pins: Iterable[str], site_packages: list[Path]) -> None:
        self._lines = Counter(_plain(re.split("[=[ ]", pin)[0]) for pin in set(pins))
        self._downloaded: dict[str, float] = {}  # bytes by package
        self._coming = ("", 0.0, 0.0)  # the package that is being downloaded, its bytes so far, all its bytes
        self._site_packages = site_packages
        self._sizes: dict[Path, int] = {}
        self._look()
        self._before = set(self._sizes)
        self._installing = False

    def read(self, line: str) -> None:
        """Take a line of pip's output into account."""
        name, _, size = self._coming
        if match := re.match(r"Progress (\d+) of (\d+)", line):
            self._coming = (name, float(match[1]), size)
            return
        if name:
            self._downloaded[name] = size
        self._coming = ("", 0.0, 0.0)
        if match := re.match(r"Ignoring (\S+): markers", line):
            self._lines[_plain(match[1])] -= 1
        elif match := re.match(r"Requirement already satisfied: ([\w.-]+)", line):
            self._lines[_plain(match[1])] = 0
        elif match := re.match(r"\s+(Downloading|Using cached) (?:\S*/)?([^-\s/]+)-\S+\.whl \(([\d.]+) (\w+)\)", line):
            name, size = _plain(match[2]), float(match[3]) * _UNITS.get(match[4].lower(), 1)
            if match[1] == "Downloading":
                self._coming = (name, 0.0, size)
            else:
                self._downloaded[name] = size
        elif match := re.match(r"Processing \S*?([^-\s/\\]+)-[^\s/\\]+\.whl", line):
            self._downloaded.setdefault(_plain(match[1]), 0.0)
        elif line.startswith("Installing collected packages"):
            self._installing = True

    def state(self) -> str:
        """How far it is, in a few words."""
        wanted = sum(count > 0 for count in self._lines.values())
        if self._installing:
            self._look()
            new = [size for info, size in self._sizes.items() if info not in self._before]
            return f"  {len(new)} of {wanted} packages installed, {sum(new) / 1e6:.0f} MB"
        name, so_far, size = self._coming
        done = len(self._downloaded.keys() - {name})
        text = f"  {done} of {wanted} packages downloaded, {(sum(self._downloaded.values()) + so_far) / 1e6:.0f} MB"
        return f"{text}; next is {name} with {size / 1e6:.0f} MB" if size >= 1e6 else text

    def _look(self) -> None:
        """Note the bytes of every distribution that is completely there, by its folder of metadata."""
        for site in self._site_packages:
            for info in site.glob("*.dist-info"):
                if info not in self._sizes and is_complete(info):
                    self._sizes[info] = _recorded_bytes(info / "RECORD")


_UNITS = {"bytes": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}


def is_complete(info: Path) -> bool:
    """Whether a distribution was installed to its end: pip writes INSTALLER last but for the RECORD."""
    return (info / "INSTALLER").is_file() and (info / "RECORD").is_file()


def _recorded_bytes(record: Path) -> int:
    try:
        rows = record.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(size) for row in rows if (size := row.rpartition(",")[2]).isdigit())


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def bytes_below(folder: Path) -> int:
    """The bytes of all files below a folder that others are writing to."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total
