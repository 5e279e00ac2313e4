"""Progress on a terminal, silent elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from inference.plain_text import single

if TYPE_CHECKING:  # lines are written by programs that run no model, too
    from inference.steps import OnProgress

CLEAR = "\r\033[K"
_USUAL = 80


def bar(share: float) -> str:
    """A bar of 30 places for a share of 0 to 1."""
    return f"[{'#' * int(30 * share):.<30}]"


def _columns() -> int:
    """Of the terminal; those of a usual one where nobody knows."""
    with suppress(OSError, ValueError, AttributeError):  # no terminal, as in tests
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL
    return _USUAL


class Progress:
    """A line on stderr that is written over again; `say` prints lines on stdout above it."""

    def __init__(self, total: int = 0) -> None:
        """total: files, for a bar that `step` moves; up to 1 there is none."""
        self.total, self.done = total, 0
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.total > 1:
            self.show("")

    @property
    def is_terminal(self) -> bool:
        """Whether a line is shown at all."""
        return self._terminal

    def show(self, text: str) -> None:
        """Replace the line on a terminal; of one that is too long, the end is shown, which moves."""
        if self._terminal:
            text = text[-max(_columns() - 1, 1) :]  # only a single line can be replaced
            print(f"{CLEAR}{text}", end="", file=sys.stderr, flush=True)

    def step(self) -> None:
        """Another file is done."""
        self.done += 1
        if self.total > 1:
            self.show(f"{bar(self.done / self.total)} {self.done}/{self.total}")

    def frames(self, name: str) -> OnProgress:
        """A callback for the frames of a video: shows its speed and the time that is left."""
        started = time.perf_counter()
        shown = 0.0

        def frames_done(done: int, expected: int | None) -> None:
            nonlocal shown
            now = time.perf_counter()
            if now - shown < 0.1:
                return
            shown, rate = now, done / max(now - started, 1e-6)
            text = f"{done} frames, {rate:.1f} fps"
            if expected:
                share = min(done / expected, 1.0)
                left = max(expected - done, 0) / rate
                text = f"{bar(share)} {share:4.0%} {text}, ETA {int(left // 60)}:{int(left % 60):02}"
            self.show(f"{single(name)} {text}")

        return frames_done

    def bytes_of(self, name: str) -> Callable[[int, int | None], None]:
        """A callback for a file that is fetched: (bytes so far, of how many; None: unknown)."""

        def fetched(done: int, total: int | None) -> None:
            if total:
                self.megabytes(single(name), min(done, total), total)
            else:
                self.show(f"{single(name)} {done / 1e6:.1f} MB")

        return fetched

    def megabytes(self, name: str, done: int, total: int) -> None:
        """The bytes of a download so far; the line vanishes at its end."""
        text = f"{name} {bar(done / total)} {done / 1e6:.1f} of {total / 1e6:.1f} MB"
        self.show(text if done < total else "")

    def say(self, line: str) -> None:
        """Print a line on stdout; characters that its encoding lacks are escaped."""
        self.show("")
        encoding = sys.stdout.encoding or "utf-8"
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
