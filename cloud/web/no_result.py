"""Why an upload has no result, in a sentence: it waits, is being worked on, has failed, was deleted, or never was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cloud.settings import ERRORS, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.uploads.intake import PAUSED
from cloud.uploads.ledger import Ledger
from cloud.uploads.publish import RESULT, error_path
from cloud.uploads.receipts import StoredReceipt
from cloud.web.problems import NotFound
from inference.clutter import is_clutter
from inference.routes_file import sidecar_target

State = Literal["unknown", "ignored", "waiting", "working", "failed", "cancelled", "deleted", "result_deleted"]
_TURN = "it waits for its turn: nobody has taken it up so far; the next delivery or sweep does"


@dataclass(frozen=True)
class NoResult:
    """state: of the upload, as an answer says it. retry_s: when asking again makes sense; None: it does not."""

    state: State
    message: str
    retry_s: int | None = None

    def error(self) -> NotFound:
        """404 whatever the state is: there is no result at that address."""
        headers = {} if self.retry_s is None else {"Retry-After": str(self.retry_s)}
        return NotFound(self.message, members={"state": self.state}, headers=headers)


def no_result(storage: Storage, ledger: Ledger, path: str, *, paused: bool = False) -> NoResult:
    """Why the container `results` has nothing under a path that was asked for; two calls. paused: whether intake is."""
    name = path.removesuffix(f"/{RESULT}")
    upload, stored = storage.head(UPLOADS, name), ledger.read(name)
    why = why_none(upload, stored, name, paused=paused)
    if why.state == "unknown":
        return NoResult("unknown", f"there is neither a result {path!r} nor an upload {name!r}")
    if why.state == "deleted":
        return NoResult("deleted", f"there is no result {path!r}, and {why.message}")
    return NoResult(why.state, f"there is no result of {name!r}: {why.message}", why.retry_s)


def why_none(upload: BlobInfo | None, stored: StoredReceipt | None, name: str, *, paused: bool = False) -> NoResult:
    """Why an upload has no result. upload, stored: what is there of it, and its receipt. paused: whether intake is."""
    if upload is None:
        if stored is None:
            return NoResult("unknown", f"there is no upload {name!r}")
        return NoResult("deleted", f"the upload {name!r} was deleted")
    state = _ignored(upload) or _of_upload(stored, upload.etag)
    if paused and state.state == "waiting":
        return NoResult("waiting", f"{PAUSED}; then {state.message}", 60)
    return state


def _ignored(upload: BlobInfo) -> NoResult | None:
    if target := sidecar_target(upload.name):
        return NoResult("ignored", f"it says the route of {target!r}, and is not analysed itself")
    if upload.is_folder or is_clutter(upload.name):
        return NoResult("ignored", "it is a folder's marker, or what other programs leave behind, and is not analysed")
    return None


def _of_upload(stored: StoredReceipt | None, etag: str) -> NoResult:
    """Of an upload that is there, in the version `etag`."""
    if stored is None or not stored.receipt.etag:  # of which at most a sidecar is known
        return NoResult("waiting", _TURN, 5)
    receipt = stored.receipt
    if receipt.etag != etag:
        return NoResult("waiting", f"it was uploaded anew, and {_TURN}", 5)
    if receipt.state == "working" and stored.age_s < receipt.lease_s:
        share = "" if receipt.share is None else f", {receipt.share:.0%} done"
        return NoResult("working", f"it is being worked on (as of {receipt.at}{share})", 2)
    if receipt.state == "job":
        how = f"GET /api/v1/jobs/{receipt.job} says how far it is"
        return NoResult("working", f"it is a long video, which is worked on in parts: {how}", 10)
    if receipt.state == "cancelled":
        how = "`python -m cloud replay NAME --all` takes it up again"
        return NoResult("cancelled", f"its analysis was cancelled; {how}")
    if receipt.state == "dropped":
        return NoResult("waiting", f"it was gone while it was analysed, and is there again: {_TURN}", 5)
    if receipt.state == "failed" and not receipt.expired:
        where = f"{ERRORS}/{error_path(receipt.name)}"
        return NoResult("failed", f"it failed: {receipt.reason or 'for a reason that the record says'} ({where})")
    if receipt.expired:
        how = "`python -m cloud replay NAME --expired` brings it back"
        return NoResult("result_deleted", f"it was kept as long as it was to be kept ({receipt.expired}); {how}")
    if receipt.state == "done":
        how = "`python -m cloud replay NAME --missing` brings it back"
        return NoResult("result_deleted", f"it was analysed ({receipt.at}), and its result was deleted; {how}")
    return _waiting(stored)


def _waiting(stored: StoredReceipt) -> NoResult:
    receipt = stored.receipt
    if receipt.state == "working":
        return NoResult("waiting", "its worker has fallen silent; the next delivery or sweep goes on with it", 5)
    if receipt.reason:
        return NoResult("waiting", f"it waits until this is over, and each sweep looks again: {receipt.reason}", 30)
    if receipt.until:
        return NoResult("waiting", f"it waits until {receipt.until}, as its route says (when)", 60)
    return NoResult("waiting", _TURN, 5)
