"""What the index is told of uploads: by the ledger when something ends, and by their receipts whenever it is asked."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cloud.index.entry import Entry
from cloud.index.listing import STATES
from cloud.index.rows import Note
from cloud.index.writer import IndexWriter
from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import printable, record_path
from cloud.uploads.claims import Claim
from cloud.uploads.ledger_notes import Notes
from cloud.uploads.publish import RESULT, error_path, result_facts
from cloud.uploads.receipts import Receipt, ReceiptStore, StoredReceipt
from inference.clutter import is_clutter
from inference.errors import LimitExceeded, StorageUnavailable, UnreadableMedia
from inference.routes_file import sidecar_target

log = logging.getLogger(__name__)

_MOST_BYTES = 256 * 1024 * 1024
_MOST_LEFT = 20_000
_TURN = "it waits for its turn"


def is_listed(name: str) -> bool:
    """Whether an upload of this name is analysed, and so stands in lists."""
    return not (is_clutter(name) or sidecar_target(name))


class IndexNotes(Notes):
    """Notes (see the ledger) for the writer of the index."""

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._left: OrderedDict[tuple[str, str], None] = OrderedDict()

    def ended(self, claim: Claim[Any]) -> None:
        """See Notes. What has an answer already, or is not known well enough, is read from its receipt."""
        receipt = claim.receipt
        if not is_listed(receipt.name):
            return
        is_answer = receipt.state in ("done", "failed")  # a result may be there, and a sidecar came in meanwhile
        facts = claim.facts if is_answer else {}
        has_facts = bool(facts) if is_answer else receipt.state != "dropped"
        if not receipt.uploaded or not has_facts or (claim.now is None and receipt.state != "job"):
            self._writer.refresh(receipt.name)
            return
        at = None if receipt.state == "job" else facts.get("written") or claim.now
        self._writer.note(Note(_entry(receipt, claim.version, facts), at, ends=receipt.ends), is_new=claim.is_first)

    def waits(self, receipt: Receipt, version: str) -> None:
        """See Notes."""
        if not receipt.uploaded:
            self.changed(receipt.name)
        elif is_listed(receipt.name):
            # By the clock of this host: where that is wrong, the sweep looks once more, and finds the row right.
            self._writer.note(Note(_entry(receipt, version, {}), datetime.now(UTC), ends=receipt.ends))

    def begun(self, claim: Claim[Any]) -> None:
        """See Notes."""
        self._working(claim)

    def renewed(self, claim: Claim[Any]) -> None:
        """See Notes."""
        self._working(claim)

    def changed(self, name: str) -> None:
        """See Notes."""
        if is_listed(name):
            self._writer.refresh(name)

    def left(self, upload: BlobInfo) -> None:
        """See Notes."""
        version = upload.name, upload.etag  # of thousands that wait each sweep tells anew
        if is_listed(upload.name) and not upload.is_folder and version not in self._left:
            self._left[version] = None
            if len(self._left) > _MOST_LEFT:
                self._left.popitem(last=False)
            self._writer.note(Note(Entry(upload.name, upload.etag, "waiting", upload.modified, message=_TURN)))

    def _working(self, claim: Claim[Any]) -> None:
        receipt = claim.receipt
        if receipt.uploaded and is_listed(receipt.name):
            facts = {} if claim.share is None else {"share": claim.share}
            self._writer.note(Note(_entry(receipt, claim.version, facts), ends=receipt.ends), is_new=claim.is_first)


class Truth:
    """What the receipt of an upload says now. blurs: whether a route of this name hides something, for results that do
    not say so themselves."""

    def __init__(self, storage: Storage, receipts: ReceiptStore, blurs: Callable[[str], bool]) -> None:
        self._storage, self._receipts, self._blurs = storage, receipts, blurs

    def __call__(self, name: str, hint: Note | None = None) -> Note | None:
        """None where nothing is to be listed; `hint` where that was made from the receipt that is there: a call then,
        else up to three. Raises StorageUnavailable."""
        if not is_listed(name):
            return None
        stored = self._receipts.get(name)
        if hint and stored and hint.entry.receipt == stored.version:
            return hint
        upload = self._upload(name)
        if upload is None:
            return self._without_upload(stored)
        if upload.is_folder:
            return None
        if stored is None or stored.receipt.etag != upload.etag or stored.receipt.state == "dropped":
            version, ends = (stored.version, stored.receipt.ends) if stored else ("", 0)
            return Note(Entry(name, upload.etag, "waiting", upload.modified, version, message=_TURN), ends=ends)
        return self._of(stored, upload.modified)

    def _upload(self, name: str) -> BlobInfo | None:
        try:
            return self._storage.head(UPLOADS, name)
        except UnreadableMedia as error:
            raise StorageUnavailable(str(error)) from error

    def _without_upload(self, stored: StoredReceipt | None) -> Note | None:
        """Of an upload that is gone its answer is listed, as long as that is there."""
        if stored is None or stored.receipt.state not in ("done", "failed") or not stored.receipt.etag:
            return None
        said = stored.receipt.uploaded
        created = datetime.fromisoformat(said) if said else stored.written
        return self._of(stored, created) if created else None

    def _of(self, stored: StoredReceipt, created: datetime) -> Note | None:
        receipt = stored.receipt
        if receipt.expired:
            return None
        facts: Mapping[str, Any] = {}
        if receipt.state == "done":
            facts = self._result(receipt)
        elif receipt.state == "failed":
            facts = self._error(receipt)
        elif receipt.state == "working" and receipt.share is not None:
            facts = {"share": receipt.share}
        entry = _entry(receipt, stored.version, facts, created)
        at = None if receipt.state in ("working", "job") else entry.written or stored.written
        return Note(entry, at, exact=entry.written is not None, ends=receipt.ends)

    def _result(self, receipt: Receipt) -> dict[str, Any]:
        path = f"{record_path(receipt.name)}/{RESULT}"
        stored = self._document(RESULTS, path)
        if stored is None:
            return {"message": "its result was deleted"}
        document, info = stored
        try:
            facts = result_facts(info, document) | {"written": info.modified}
        except (LookupError, TypeError, ValueError, AttributeError):
            return {"message": "its result is not one of this app"}
        return facts | {"blurred": facts["blurred"] or self._blurs(facts["route"])}

    def _error(self, receipt: Receipt) -> dict[str, Any]:
        stored = self._document(ERRORS, error_path(receipt.name))
        if stored is None:
            return {}
        error = stored[0].get("error") if isinstance(stored[0], Mapping) else None
        found = error.get("class") if isinstance(error, Mapping) else None
        return {"error_class": found if isinstance(found, str) else "", "written": stored[1].modified}

    def _document(self, container: str, path: str) -> tuple[Any, BlobInfo] | None:
        try:
            stored = self._storage.read(container, path, _MOST_BYTES)
            return (json.loads(stored[0]), stored[1]) if stored else None
        except (ValueError, RecursionError, LimitExceeded, UnreadableMedia) as error:
            log.warning("%s", printable(f"{container}/{path} cannot be read for the index: {str(error)[:300]}"))
            return None
        except Conflict as error:
            raise StorageUnavailable(f"{container}/{path} was replaced while it was read") from error


def _entry(receipt: Receipt, version: str, facts: Mapping[str, Any], created: datetime | None = None) -> Entry:
    state = STATES.get(receipt.state, "waiting")
    job = {"working": receipt.owner, "job": receipt.job or ""}.get(receipt.state, "")
    known: dict[str, Any] = {
        "name": receipt.name,
        "etag": receipt.etag,
        "state": state,
        "created": created or datetime.fromisoformat(receipt.uploaded),
        "receipt": version,
        "message": "" if state == "done" else receipt.reason,
        "job": job,
        "share": receipt.share if receipt.state == "job" else None,
    }
    return Entry(**{**known, **facts})
