"""Starts the host in a process of its own, waits until it is ready, and always ends it. Standard library only.

with HostProcess(app_dir, environ={"AzureWebJobsStorage": "..."}, arguments=["--scan-interval", "0.5"]) as host:
    urllib.request.urlopen(f"{host.url}/api/health")
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

_PACKAGE_PARENT = Path(__file__).resolve().parents[1]


class HostFailed(Exception):
    """The host ended, or was not ready in time; the message holds what it printed."""


class HostProcess:
    """A host on a free port; ``environ`` is put on top of this process's environment.

    The host stops gracefully when its standard input closes, so it also ends when this process is killed.
    """

    def __init__(
        self,
        app_dir: Path,
        environ: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="localhost-", ignore_cleanup_errors=True)
        self._ready_file = Path(self._folder.name) / "ready"
        self.log = log or Path(self._folder.name) / "log"
        self._command = [sys.executable, "-u", "-m", "localhost", str(app_dir), "--port", "0"]
        self._command += ["--ready-file", str(self._ready_file), "--stop-with-stdin", *arguments]
        self._environ = {**os.environ, **(environ or {})}
        self._output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self, patience_s: float = 60) -> HostProcess:
        """Starts the host and waits until it is ready; raises :class:`HostFailed` when it is not."""
        self._output = self.log.open("ab")
        # From the folder above this package, so that `-m localhost` finds it whatever the app is.
        self._process = subprocess.Popen(
            self._command, cwd=_PACKAGE_PARENT, env=self._environ,
            stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            self.wait_for(self._ready_file.exists, "the host to be ready", patience_s)
        except BaseException:
            self.kill()
            raise
        self.port = int(self._ready_file.read_text())
        return self

    def wait_for(self, condition: Callable[[], object], what: str, patience_s: float = 60) -> None:
        """Polls until ``condition()`` is true; raises :class:`HostFailed` when the host ends or time is up."""
        deadline = time.monotonic() + patience_s
        while not condition():
            ended = self._running().poll()
            if ended is not None:
                raise HostFailed(f"The host ended with {ended} while waiting for {what}:\n{self.printed()}")
            if time.monotonic() > deadline:
                raise HostFailed(f"Waited {patience_s:g} s for {what}. The host printed:\n{self.printed()}")
            time.sleep(0.02)

    def printed(self) -> str:
        """Everything that the host has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def wait(self, patience_s: float = 30) -> int:
        """Waits for the host to end by itself and returns the exit status; raises TimeoutExpired."""
        return self._running().wait(patience_s)

    def stop(self, patience_s: float = 30) -> int:
        """Stops gracefully and returns the exit status; ends the process when that takes too long."""
        process = self._running()
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            return process.wait(patience_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the process at once, as a crash would."""
        process = self._running()
        if process.poll() is None:
            process.kill()
        process.wait()
        if self._output:
            self._output.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise HostFailed("The host was not started.")
        return self._process

    def __enter__(self) -> HostProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()
