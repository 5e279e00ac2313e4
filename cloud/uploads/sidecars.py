"""Sidecars: files `<name>.route.toml`, which say by which route an upload is analysed."""

from __future__ import annotations

from collections.abc import Callable

from cloud.settings import UPLOADS
from cloud.storage.containers import Reading, Storage
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.ledger import Claim, Ledger, Stopping
from cloud.uploads.plans import UploadPlan
from cloud.uploads.receipt_blobs import sidecar_text
from cloud.uploads.receipts import make_key

_ROUNDS = 5


class Sidecars:
    """Notes what sidecars say in the receipts of their uploads. Safe to use from many threads."""

    def __init__(self, storage: Storage, ledger: Ledger) -> None:
        self.storage, self.ledger = storage, ledger

    def handle(self, reading: Reading, target: str, event: BlobEvent, then: Callable[[], object]) -> Outcome:
        """Note an override of the upload `target`, under a receipt of the sidecar's own; `then` brings the upload up to
        date. What that raises is raised, and the claim given back."""
        info = reading.info
        claim = self.ledger.claim(
            info.name, info.etag, lambda _: UploadPlan(make_key(UPLOADS, info.name, info.etag, "sidecar"))
        )
        if claim == "busy" and self.ledger.stopped:
            raise Stopping(info.name)
        if not isinstance(claim, Claim):
            return Outcome(claim)
        try:
            with self.ledger.hold(claim, event.begin_thread):
                self.note(target, reading)
                then()
        except Exception as error:
            self.ledger.give_back_later(claim, str(error))
            raise
        if self.ledger.complete(claim, "") == "lost" and claim.given_back:
            raise Stopping(info.name)
        return Outcome("done", claim.receipt.attempt)

    def note(self, target: str, reading: Reading) -> None:
        """Note a sidecar's text; where it was replaced meanwhile, that of today: whoever read an older one and was slow
        must not have the last word."""
        for _ in range(_ROUNDS):
            self.ledger.override(target, sidecar_text(reading))
            latest = self.storage.head(UPLOADS, reading.info.name)
            if latest is None or latest.etag == reading.info.etag:
                return
            newer = self.storage.open(UPLOADS, reading.info.name)
            if newer is None:
                return
            reading = newer
