"""How our programs end: with an exit status and, where something stopped them, one sentence on standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from inference.os_errors import in_words

FAILED, INTERRUPTED = 1, 130
_OUTPUT = "standard output"


def run(prog: str, body: Callable[[], int], status_of: Callable[[Exception], int | None]) -> int:
    """The exit status of a program whose work is `body`: what that returns, 1 where it is stopped, 130 by Ctrl-C.

    status_of: the status for an error that is raised on purpose, None for others. Where a fault of ours lies is said in
    a few words; Python's development mode (`python -X dev`) shows its traceback.
    """
    if not _has_streams():
        return _said(f"{prog}: standard output is closed; send it to a file, or to {os.devnull} if nobody wants it")
    try:
        try:
            return body()
        finally:
            sys.stdout.flush()  # here: the flush at the interpreter's end cannot say what went wrong
    except KeyboardInterrupt:
        return _said(f"{prog}: interrupted", INTERRUPTED)
    except Exception as error:
        status = status_of(error)
        if status is None and sys.flags.dev_mode:
            raise
        return _ended(prog, error, status)


def is_output(error: OSError) -> bool:
    """Whether it was standard output that could not be written, and no file."""
    return bool(error.filename == _OUTPUT)


def fault(error: Exception) -> str:
    """An exception that nobody foresaw, in one sentence: what it is, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f", {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"stopped by a fault of its own, please report it ({type(error).__name__}: {error}{where})"


def _ended(prog: str, error: Exception, status: int | None) -> int:
    """Says what stopped the program, unless whoever read its output has read enough."""
    if status is not None:
        return _said(f"{prog}: {error}", status)
    if isinstance(error, OSError):
        if is_output(error):
            _discard(sys.stdout)
            if isinstance(error, BrokenPipeError):
                _discard(sys.stderr)  # often the same pipe
                return FAILED
        words = in_words(error)
    elif isinstance(error, MemoryError):
        words = "memory ran out; give the process more"
    else:
        words = fault(error)
    return _said(f"{prog}: {words}")


class _Output(io.FileIO):
    """Standard output, whose errors say so: the system's name no file."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = _OUTPUT
            raise


def _has_streams() -> bool:
    """Whether standard output is open. The places of the others are taken, or the next file that is opened would get
    what is meant for them."""
    if sys.stdin is None:
        sys.stdin = _null("r")
    there = sys.stdout is not None
    if not there:
        sys.stdout = _null("w")
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files in the letters of a terminal that lacks them
    if sys.stderr is None:
        sys.stderr = _null("w")
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        out, raw = sys.stdout, _Output(sys.stdout.fileno(), "w", closefd=False)
        out.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), out.encoding, out.errors,
            line_buffering=out.line_buffering, write_through=out.write_through,
        )  # fmt: skip
    return there


def _null(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]  # noqa: SIM115 - as long as we run


def _said(sentence: str, status: int = FAILED) -> int:
    from inference.results.words import single  # lazily: nothing to say, nothing to load

    try:
        print(single(sentence), file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)
    return status


def _discard(stream: TextIO) -> None:
    """What the stream still holds is flushed into nothing when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):  # not a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
