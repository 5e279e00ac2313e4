"""How our programs end: with an exit status and, where something stopped them, one sentence on standard error."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

from inference.os_errors import in_words
from inference.plain_text import single

FAILED = 1
INTERRUPTED = 128  # plus the number of the signal, as shells say it
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_OUTPUT = "standard output"
_heard: list[int] = []  # the signals that came since the program's work began


class Parser(argparse.ArgumentParser):
    """A parser whose errors are plain: a pattern that the shell fills in makes arguments of names of files."""

    def error(self, message: str) -> NoReturn:
        super().error(single(message))


def run(prog: str, body: Callable[[], int], status_of: Callable[[Exception], int | None]) -> int:
    """The exit status of a program whose work is `body`: what that returns, 1 where it is stopped, 130 by Ctrl-C, 143
    by SIGTERM.

    status_of: the status for an error that is raised on purpose, None for others. Where a fault of ours lies is said in
    a few words; Python's development mode (`python -X dev`) shows its traceback.
    """
    if not _has_streams():
        return _said(f"{prog}: standard output is closed; send it to a file, or to {os.devnull} if nobody wants it")
    with _stopping():
        try:
            try:
                status = body()
                raise_if_stopped()
                return status
            finally:
                sys.stdout.flush()  # here: the flush at the interpreter's end cannot say what went wrong
        except KeyboardInterrupt:
            return _stopped(prog)
        except Exception as error:
            if _heard:
                return _stopped(prog)
            known = status_of(error)
            if known is None and sys.flags.dev_mode:
                raise
            return _ended(prog, error, known)


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Every signal that asks for an end does as Ctrl-C does, so that no temporary files stay; those that whoever
    started the program has ignored, as nohup does, stay ignored."""

    def hear(number: int, _: object) -> None:
        _heard.append(number)
        raise KeyboardInterrupt

    _heard.clear()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_if_stopped() -> None:
    """Raises KeyboardInterrupt where a signal asks for an end: modules in C that are being loaded make an ImportError
    of it, or nothing."""
    if _heard:
        raise KeyboardInterrupt


def _stopped(prog: str) -> int:
    number = _heard[0] if _heard else signal.SIGINT
    return _said(f"{prog}: {'interrupted' if number == signal.SIGINT else 'terminated'}", INTERRUPTED + number)


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
    from inference.plain_text import single  # lazily: nothing to say, nothing to load

    try:
        print(single(sentence), file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)
    return status


def _discard(stream: TextIO) -> None:
    """What the stream still holds is flushed into nothing when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):  # not a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
