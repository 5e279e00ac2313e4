"""The leases of the claims that a process holds: renewed while it works on them, given back where it cannot go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from cloud.storage.paths import printable
from cloud.uploads.claims import Claim, Finish
from inference.errors import StorageUnavailable

log = logging.getLogger(__name__)


class LeasedReceipts(Protocol):
    """What of the ledger leases need."""

    def renew(self, claim: Claim[Any]) -> None:
        """Rewrites the receipt, so that its age begins anew."""

    def give_back(self, claim: Claim[Any], reason: str) -> Finish:
        """Gives a claim back that the surroundings ended; no attempt is spent."""

    def hand_back(self, claim: Claim[Any]) -> Finish:
        """Gives a claim back as if it had not been made: this process is being stopped."""


class Leases:
    """The claims of a process. Safe to use from many threads."""

    def __init__(self, lease_s: float, receipts: LeasedReceipts) -> None:
        self.lease_s = lease_s
        self.stopped = False
        self._receipts = receipts
        self._lock = threading.Lock()
        self.held: dict[int, tuple[Claim[Any], Callable[[], None]]] = {}
        self._owed: dict[str, tuple[Claim[Any], str]] = {}  # by owner: to be given back, with the reason
        self._keeper: threading.Thread | None = None

    @contextmanager
    def hold(self, claim: Claim[Any], begin_thread: Callable[[], None]) -> Iterator[None]:
        """See Ledger.hold."""
        with self._lock:
            self.held[id(claim)] = claim, begin_thread
            self._keep_going()
            stopped = self.stopped
        try:
            if stopped:  # between the claim and here
                self._hand_back(claim, begin_thread)
            yield
        finally:
            with self._lock:
                del self.held[id(claim)]

    def _keep_going(self) -> None:
        if self._keeper is None:
            # One for all claims: starting a thread per upload costs more than everything else here.
            self._keeper = threading.Thread(target=self._keep, name="dropsight-leases", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        """Renew whatever was held at the last tick already; end when nothing is held."""
        before: set[int] = set()
        while True:
            time.sleep(self.lease_s / 4)
            with self._lock:
                held, owed = dict(self.held), dict(self._owed)
                if not held and not owed:
                    self._keeper = None
                    return
            self._pay(owed)
            for claim, begin_thread in (held[key] for key in before & held.keys()):
                try:
                    begin_thread()
                    self._receipts.renew(claim)
                except Exception as error:  # noqa: BLE001 - the other claims' leases depend on this thread
                    log.warning("%s", printable(f"{claim.receipt.name}: the lease was not renewed ({error})"))
            before = set(held)

    def _pay(self, owed: dict[str, tuple[Claim[Any], str]]) -> None:
        """Give back what could not be given back before."""
        for owner, (claim, reason) in owed.items():
            try:
                self._receipts.give_back(claim, reason)
            except Exception:  # noqa: BLE001 - the next round tries again, and begins with another
                with self._lock:  # storage may not be there yet, or this one receipt be held
                    self._owed[owner] = self._owed.pop(owner)
                return
            with self._lock:
                del self._owed[owner]

    def give_back_later(self, claim: Claim[Any], reason: str) -> None:
        """See Ledger.give_back_later."""
        if claim.ended:
            return
        try:
            self._receipts.give_back(claim, reason)
        except StorageUnavailable as error:
            log.warning(
                "%s", printable(f"{claim.receipt.name}: it is given back as soon as storage takes it ({error})")
            )
            with self._lock:
                self._owed[claim.receipt.owner] = claim, reason
                self._keep_going()

    def stop(self) -> None:
        """See Ledger.stop."""
        with self._lock:
            self.stopped = True
            held = list(self.held.values())
        for claim, _ in held:  # first, and without waiting for a lock that may be held while storage is silent
            claim.given_back = not claim.ended
        # Side by side, in threads that nobody waits for in the end: there is about a second, and storage may hang.
        threads = [threading.Thread(target=self._hand_back, args=each, daemon=True) for each in held]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _hand_back(self, claim: Claim[Any], begin_thread: Callable[[], None]) -> None:
        begin_thread()
        try:
            with claim.lock:
                claim.given_back = not claim.ended  # its worker may have come to its end after all
                if claim.given_back and self._receipts.hand_back(claim) != "lost":
                    claim.lost = True
                    name = printable(claim.receipt.name)
                    log.warning("%s: given back, since this instance is being stopped", name)
        except Exception as error:  # noqa: BLE001 - its lease ends by itself
            log.warning("%s", printable(f"{claim.receipt.name}: not given back ({error})"))
