"""Work that takes long looks whether its upload is still its own: else what was cancelled would go on to its end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cloud.storage.paths import printable
from cloud.uploads.ledger import Claim, Ledger

log = logging.getLogger(__name__)

# Seconds between two looks: so long work goes on that was cancelled, at a call each. At most a quarter of a lease.
LOOK_S = 5.0


@contextmanager
def watched(ledger: Ledger, claim: Claim[Any], begin_thread: Callable[[], None]) -> Iterator[None]:
    """While the block runs `claim.lost` becomes true soon after somebody else has the upload, or has cancelled it."""
    stop = threading.Event()
    args = (ledger, claim, begin_thread, stop)
    thread = threading.Thread(target=_look, args=args, name="dropsight-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _look(ledger: Ledger, claim: Claim[Any], begin_thread: Callable[[], None], stop: threading.Event) -> None:
    begin_thread()
    while not stop.wait(min(LOOK_S, ledger.lease_s / 4)) and not (claim.lost or claim.ended):
        try:
            ledger.holder(claim)
        except Exception as error:  # noqa: BLE001 - the work goes on, and meets the same trouble
            log.debug("%s", printable(f"{claim.receipt.name}: whose it is was not seen ({error})"))
