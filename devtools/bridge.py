"""Carries files between folders and storage: inbox/ -> `uploads`, `results` and `errors` -> outbox/.

Runs in the environment, as a child of `dev.py run`: python -m devtools.bridge INBOX OUTBOX. The account is
the one of the variable AzureWebJobsStorage.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from cloud.connection import by_connection_string
from cloud.storage.reasons import reason_of
from devtools.checks import intake_findings
from devtools.console_report import ConsoleReport
from devtools.inbox import Inbox
from devtools.outbox import Outbox
from devtools.upload_watch import UploadWatch
from inference.errors import StorageUnavailable

PAUSE_S = 1.0
# Listing takes longer the more there is, and the pause half of that, but nobody has to wait for longer than this.
LONGEST_PAUSE_S = 3.0
# While nobody waits, or only for so few that they are asked for by name, listing everything takes a fifth of the time.
_FEW, _IDLE_S = 8, 10.0
_GOODBYE_S = 3.0
# A connection that was cut, as all are by a laptop's sleep, is made again after a second: the SDK would wait for 18,
# and whatever takes longer is tried again by us.
_RETRY = {"retry_total": 1, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 0}


class Bridge:
    """Both directions and what is said of them, each at its own pace: none waits for another."""

    def __init__(self, connection: str, inbox: Path, outbox: Path) -> None:
        self.service = by_connection_string(BlobServiceClient, connection, **_RETRY)
        self.report = ConsoleReport()
        self.inbox = Inbox(self.service.get_container_client("uploads"), inbox, self.report, never=outbox)
        self.outbox = Outbox(self.service, outbox, self.report)
        self.watch = UploadWatch(self.service, self.report, paused=any(intake_findings(os.environ)))
        self.inbox.noted = self.watch.has_noted
        self.begun = False
        self._threads: list[threading.Thread] = []
        self._all_at = 0.0  # when all results are listed again, by time.monotonic()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._away: set[str] = set()  # the directions for which storage did not answer
        self._lost: dict[str, str] = {}  # why a direction cannot use its folder

    def step(self) -> None:
        """Upload what is complete in the inbox, fetch what is new in storage, say what is under way."""
        self._upload()
        self.outbox.step()
        self.watch.step()

    def _upload(self) -> None:
        self.inbox.step()
        if not self.begun:
            self.watch.begin(self.inbox.uploaded or ())
            self.begun = True
        self.watch.unchanged(self.inbox.unchanged)
        self.inbox.unchanged.clear()

    def _download(self) -> None:
        names = list(self.report.waiting())
        if len(names) <= _FEW and time.monotonic() < self._all_at and not self.outbox.lacks_something:
            self.outbox.step(names)
            return
        self.outbox.step()
        self._all_at = time.monotonic() + min(4 * self.outbox.listing_s, _IDLE_S)

    def run(self) -> None:
        """Go on until stopped or interrupted; whatever may pass is said once and waited for."""
        self.inbox.goes_on = self.outbox.goes_on = lambda: not self._stop.is_set()
        directions = {"inbox": self._upload, "outbox": self._download}
        self._threads = [threading.Thread(target=self._go_on, args=each, daemon=True) for each in directions.items()]
        for thread in self._threads:
            thread.start()
        try:
            while not self._stop.is_set():
                self._try("watch", self.watch.step)
                self._stop.wait(PAUSE_S)
            if self._failure:
                raise self._failure
        finally:
            self.stop()
            for thread in self._threads:
                thread.join(_GOODBYE_S)

    def stop(self) -> None:
        """Have `run` come to its end."""
        self._stop.set()

    @property
    def is_busy(self) -> bool:
        """Whether a direction still is in the middle of something, a large file or a drive that is gone."""
        return any(thread.is_alive() for thread in self._threads)

    def _go_on(self, direction: str, step: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                self._try(direction, step)
                listed_s = self.outbox.listing_s if direction == "outbox" else time.monotonic() - began
                self._stop.wait(min(max(PAUSE_S, listed_s / 2), LONGEST_PAUSE_S))
        except BaseException as error:  # noqa: BLE001 - a fault of ours ends the bridge, whose starter says so
            self._failure = error
            self.stop()

    def _try(self, direction: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (AzureError, StorageUnavailable) as error:
            if not self._away:
                why = reason_of(error) if isinstance(error, AzureError) else str(error).splitlines()[0]
                self.report.say(f"storage does not answer, trying again: {why}")
            self._away.add(direction)
        except OSError as error:
            why = f"{error.filename or direction}: {error.strerror or error}"
            if self._lost.get(direction) != why:
                self.report.say(f"the {direction} cannot be read ({why}), trying again")
            self._lost[direction] = why
        else:
            if self._away == {direction}:
                self.report.say("storage answers again")
            self._away.discard(direction)
            if self._lost.pop(direction, None):
                self.report.say(f"the {direction} can be read again")


def main() -> int:
    """Run until SIGTERM or Ctrl-C."""
    inbox, outbox = (Path(argument) for argument in sys.argv[1:3])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bridge = Bridge(os.environ["AzureWebJobsStorage"], inbox, outbox)
    with contextlib.suppress(KeyboardInterrupt):
        bridge.run()
    if bridge.is_busy:
        os._exit(0)  # the interpreter's own end might wait for what the thread holds
    return 0


if __name__ == "__main__":
    sys.exit(main())
