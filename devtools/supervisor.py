"""Child processes that never outlive this one. Standard library only.

Every child is in a process group of its own, so that Ctrl-C reaches only us, and holds a pipe whose other end
we hold: closing it asks the child to end, and the system closes it when we are killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

STOP_SIGNALS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if (number := getattr(signal, name, None)) is not None
]


def group_options() -> dict[str, Any]:
    """Popen options that put a child into a process group of its own."""
    if os.name == "posix":
        return {"start_new_session": True}
    return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}


def end_group(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Ask a child to end by closing its stdin, wait, then kill whatever is left of its group."""
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        subprocess.call(["taskkill", "/F", "/T", "/PID", str(process.pid)], stdout=subprocess.DEVNULL)
    process.kill()
    process.wait()


@dataclass(frozen=True)
class Child:
    """A process in a group of its own, which ends when its stdin closes. may_end: by itself too, its work done."""

    process: subprocess.Popen[bytes]
    may_end: bool = field(default=False, kw_only=True)

    def stop(self, patience_s: float = 5) -> None:
        """Ask it to end, wait for so many seconds, then kill its group."""
        end_group(self.process, patience_s)


@dataclass
class Supervisor:
    """Starts children, watches them, and ends them all, the youngest first. Use as a context manager."""

    children: dict[str, Child] = field(default_factory=dict)

    def start(
        self,
        name: str,
        module: list[str],
        *,
        python: Path,
        cwd: Path,
        env: dict[str, str],
        log: Path | None,
        may_end: bool = False,
    ) -> Child:
        """Run a Python module as a child, tethered; its output goes to `log`, or to our own without a log."""
        command = [str(python), "-u", "-m", "devtools.tethered", *module]
        with contextlib.ExitStack() as stack:
            out = None if log is None else stack.enter_context(log.open("wb"))
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=None if out is None else subprocess.STDOUT,
                **group_options(),
            )
        child = Child(process, may_end=may_end)
        self.children[name] = child
        return child

    def ended(self) -> str | None:
        """The name of a child that has ended and should not have, or None while all run."""
        running = self.children.items()
        return next((name for name, c in running if c.process.poll() is not None and not c.may_end), None)

    def wait(self, meanwhile: Callable[[], object] = lambda: None) -> str:
        """Wait until some child ends and return its name. meanwhile: called several times a second."""
        while (name := self.ended()) is None:
            meanwhile()
            time.sleep(0.2)
        return name

    def stop(self) -> None:
        """End all children; another Ctrl-C meanwhile means at once."""
        hurry = False

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            nonlocal hurry
            hurry = True
            raise KeyboardInterrupt

        with handling(on_signal):
            while self.children:
                name = next(reversed(self.children))
                with contextlib.suppress(KeyboardInterrupt):
                    self.children[name].stop(0 if hurry else 10)
                    del self.children[name]

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def handling(handler: Any) -> Iterator[None]:
    """Have `handler` called for every signal that asks a program to end.

    `nohup` has SIGHUP ignored, and so it stays. SIGINT is taken over even where a shell had it ignored, as it does
    for commands in the background: whoever sends it to those means it.
    """
    hang_up = getattr(signal, "SIGHUP", None)
    wanted = [n for n in STOP_SIGNALS if n != hang_up or signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in wanted}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """A signal handler: every wish to end is a KeyboardInterrupt."""
    raise KeyboardInterrupt


def run_through(command: list[str], cwd: Path, patience_s: float = 15) -> int:
    """Run a command on our terminal to its end and return its status.

    Asked to end meanwhile, by whatever signal, it has the command end as by Ctrl-C (which lets pytest end its own
    children), kills what is left of it after `patience_s`, and raises KeyboardInterrupt.
    """
    # On a terminal the command stays in the foreground: it may read (--pdb), and the terminal sends it Ctrl-C.
    terminal = sys.stdin.isatty()
    process = subprocess.Popen(command, cwd=cwd, **({} if terminal else group_options()))
    deadline = float("inf")

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal deadline
        if deadline == float("inf"):
            deadline = time.monotonic() + patience_s
        if number != signal.SIGINT or not terminal:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT if os.name == "posix" else number)

    with handling(on_signal):
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        if terminal and process.poll() is None:
            process.kill()
        elif not terminal:
            end_group(process, 0)
        status = process.wait()
    if deadline < float("inf"):
        raise KeyboardInterrupt
    return status
