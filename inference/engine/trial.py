"""Trying a model that nobody here has run, in a process of its own.

A file may bring onnxruntime down, and the process with it, or never come to an end. That contains faults and is no
boundary: a process of the same user can read its parent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from errno import EAGAIN, EDQUOT, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC
from pathlib import Path
from time import monotonic
from typing import IO

from inference.engine.weights import BUILT_IN
from inference.machine import memory_limit, rss_bytes
from inference.trial import RAN, SURROUNDINGS, TOO_LARGE

PATIENCE_S = 120.0
LEAST_MEMORY = 1 << 30
_MOST_SAID = 1 << 14
_LOOK_S = 0.25
# What is said of this machine when it cannot start a process now; everything else is said of where the app runs.
_MAY_PASS = (EAGAIN, EDQUOT, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC)
# What a run needs of the environment; secrets, connections and identities are none of it.
_HANDED_ON = (
    "PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "LD_LIBRARY_PATH",
    "MALLOC_ARENA_MAX", "ORT_DISABLE_TELEMETRY", "DROPSIGHT_MODELS", "DROPSIGHT_PUBLIC_MODELS", "DROPSIGHT_WEIGHTS",
    "DROPSIGHT_PROVIDERS", "DROPSIGHT_ALLOW_RESEARCH_MODELS",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """How a trial ended. why: empty where the model ran.

    passing: the surroundings are to blame, and it is worth another trial. silent: the process was ended, or died, and
    said nothing. too_large: it needs more memory than it was given. impossible: no process can be started here.
    """

    why: str = ""
    passing: bool = False
    silent: bool = False
    too_large: bool = False
    impossible: bool = False


def memory_of_a_trial() -> int:
    """Bytes that a trial may take unless its caller says otherwise: half of what this process may use."""
    return max(memory_limit() // 2, LEAST_MEMORY)


def trial(folder: Path, patience_s: float = PATIENCE_S, memory: int | None = None) -> Trial:
    """Load the models of a folder, or of a loose .onnx file, and run them on a plain picture.

    memory: bytes that the process may take (on Windows it is not held to it), by default `memory_of_a_trial`.
    """
    memory = memory_of_a_trial() if memory is None else memory
    command = [sys.executable, "-m", "inference.trial", str(folder.resolve()), str(memory), str(patience_s)]
    if not sys.executable:
        return Trial("no process could be started to try it (there is no program of Python)", impossible=True)
    environ = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    # The app's packages lie where its host has put them.
    environ["PYTHONPATH"] = os.pathsep.join([str(BUILT_IN.parent), *filter(None, sys.path)])
    try:
        process = subprocess.Popen(
            command,
            cwd=BUILT_IN.parent,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group of its own, which is ended as one
        )
    except OSError as error:
        passes = error.errno in _MAY_PASS
        return Trial(f"no process could be started to try it ({error})", passing=passes, impossible=not passes)
    assert process.stderr is not None
    last = _Last(process.stderr)
    try:
        ended = _awaited(process, patience_s, memory)
    finally:
        _end(process)
        said = last.line()
    return ended or _answer(process.returncode, said, memory)


def _awaited(process: subprocess.Popen[bytes], patience_s: float, memory: int) -> Trial | None:
    """None where it ended by itself."""
    until = monotonic() + patience_s
    while (left := until - monotonic()) > 0:
        try:
            process.wait(min(_LOOK_S, left))
            return None
        except subprocess.TimeoutExpired:
            # The limit that it sets itself does not count what it maps.
            if rss_bytes(process.pid) > 2 * memory:
                return _too_large(memory)
    return Trial(f"it had not run once after {patience_s:.0f} s", silent=True)


def _too_large(memory: int) -> Trial:
    return Trial(f"it takes more memory than the {memory >> 20:,} MiB that a model is tried in", too_large=True)


def _answer(status: int, said: str, memory: int) -> Trial:
    if status == RAN:
        return Trial()
    if status == TOO_LARGE:
        return _too_large(memory)
    if status < 0 or not said:
        return Trial(f"the process that tried it ended with status {status}", silent=True)
    return Trial(said, passing=status == SURROUNDINGS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, with all that it has started."""
    with suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Last:
    """Reads what a process says to its end, and keeps the last of it: onnxruntime may say any amount."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._kept = stream, b""
        self._thread = threading.Thread(target=self._read, name="dropsight-trial", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError), self._stream:
            while read := os.read(self._stream.fileno(), _MOST_SAID):
                self._kept = (self._kept + read)[-_MOST_SAID:]

    def line(self) -> str:
        """The last line, once the process is over."""
        self._thread.join(5)  # what it started, and left its group, may hold the other end
        lines = self._kept.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:2000] if lines else ""
