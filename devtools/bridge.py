"""Carries files between folders and storage: inbox/ -> `uploads`, `results` and `errors` -> outbox/.

Runs in the environment, as a child of `dev.py run`: python -m devtools.bridge INBOX OUTBOX. The account is
the one of the variable AzureWebJobsStorage.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from cloud.connection import by_connection_string
from cloud.storage.reasons import reason_of
from devtools.console_report import ConsoleReport
from devtools.inbox import Inbox
from devtools.outbox import Outbox
from devtools.upload_watch import UploadWatch
from inference.errors import StorageUnavailable

PAUSE_S = 1.0


class Bridge:
    """Both directions, one step at a time."""

    def __init__(self, connection: str, inbox: Path, outbox: Path) -> None:
        self.service = by_connection_string(BlobServiceClient, connection, retry_total=1)
        self.report = ConsoleReport()
        self.inbox = Inbox(self.service.get_container_client("uploads"), inbox, self.report)
        self.outbox = Outbox(self.service, outbox, self.report)
        self.watch = UploadWatch(self.service, self.report)
        self.begun = False

    def step(self) -> None:
        """Upload what is complete in the inbox, fetch what is new in storage, say what is under way."""
        self.inbox.step()
        if not self.begun:
            self.watch.begin(self.inbox.uploaded or ())
            self.begun = True
        self.outbox.step()
        self.watch.unchanged(self.inbox.unchanged)
        self.inbox.unchanged.clear()
        self.watch.step()

    def run(self) -> None:
        """Step until interrupted; storage that is away for a while is reported once and waited for."""
        away = False
        while True:
            began = time.monotonic()
            try:
                self.step()
                away = False
            except (AzureError, StorageUnavailable) as error:
                if not away:
                    why = reason_of(error) if isinstance(error, AzureError) else str(error).splitlines()[0]
                    self.report.say(f"storage does not answer, trying again: {why}")
                away = True
            # Listing takes longer the more there is: never more than a fifth of the time.
            time.sleep(max(PAUSE_S, 4 * (time.monotonic() - began)))


def main() -> int:
    """Run until SIGTERM or Ctrl-C."""
    inbox, outbox = (Path(argument) for argument in sys.argv[1:3])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        Bridge(os.environ["AzureWebJobsStorage"], inbox, outbox).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
