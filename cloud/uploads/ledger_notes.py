"""The port through which the ledger tells what becomes of uploads: the index is kept up to date by it."""

from __future__ import annotations

from typing import Any

from cloud.storage.containers import BlobInfo
from cloud.uploads.claims import Claim
from cloud.uploads.receipts import Receipt


class Notes:
    """Is told what receipts say, after they say it; this one wants to know nothing. None of these waits for storage, or
    raises."""

    def ended(self, claim: Claim[Any]) -> None:
        """A claim has ended, and what it says now is `claim.receipt`, in `claim.version`."""

    def waits(self, receipt: Receipt, version: str) -> None:
        """An upload was not claimed: it waits, as its receipt says."""

    def begun(self, claim: Claim[Any]) -> None:
        """Work begins that takes longer than that on a picture."""

    def renewed(self, claim: Claim[Any]) -> None:
        """A claim's lease was renewed: it is being worked on."""

    def changed(self, name: str) -> None:
        """What is known of an upload has changed in another way."""

    def left(self, upload: BlobInfo) -> None:
        """An upload, in this version, goes on waiting for its turn."""
