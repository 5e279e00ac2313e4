"""What an audit mends, always in the version that its second look has seen: whoever was faster wins.

Lost, stale and contradicting answers: the receipt is given back, so that the next sweep takes the upload. An error
record beside the result of a receipt that is done, an older result beside a newer record, and what belongs to nothing:
deleted. Nothing is deleted that is younger than a lease, or while a living worker or job has the upload, nor what does
not show by its metadata that the app wrote it: people may keep files of their own beside ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from cloud.settings import ERRORS, RESULTS, STATE
from cloud.storage.blobs import Conflict
from cloud.storage.containers import Storage
from cloud.uploads.audit_facts import OVERWRITTEN, Facts, Verdict, is_kept
from cloud.uploads.audit_look import Look
from cloud.uploads.publish import RESULT, folder_name
from cloud.uploads.receipt_blobs import PREFIX
from cloud.uploads.receipts import ReceiptStore

Repair = Literal["marked", "deleted", "left"]


class Repairer:
    """Mends what was found; every method says how."""

    def __init__(self, storage: Storage, receipts: ReceiptStore, lease_s: float) -> None:
        self._storage, self._receipts, self._lease_s = storage, receipts, lease_s
        self._look = Look(storage)

    def repair(self, facts: Facts, verdict: Verdict) -> list[Repair]:
        """Mend all of a verdict on facts of a second look. Raises StorageUnavailable."""
        if facts.is_held:
            return ["left"]
        done: list[Repair] = []
        try:
            if verdict.kind == "doubled" and facts.receipt and facts.receipt.state == "done":
                done.append(self._delete_record(facts))
            elif verdict == OVERWRITTEN:
                done.append(self._delete_orphan(facts, "result"))
            elif verdict.kind in ("lost", "doubled", "stale"):
                done.append(self._give_back(facts))
            for orphan in verdict.orphans:
                done.append(self._delete_orphan(facts, orphan.what))
            if facts.upload is None and verdict.orphans and "left" not in done:
                self._tidy_receipt(facts)
        except Conflict:
            done.append("left")  # somebody works on it: the next audit sees how that ended
        return done

    def _give_back(self, facts: Facts) -> Repair:
        """As a replay marks an upload: the receipt says retry, and forgets nothing that the next result tidies up."""
        stored = self._receipts.get(facts.name)
        if stored is None or facts.receipt is None:
            return "marked"  # nobody has begun it: a sweep takes it as it is
        receipt = stored.receipt
        if (receipt.state, receipt.etag) != (facts.receipt.state, facts.receipt.etag):
            return "left"
        if receipt.state == "retry":
            return "marked"
        given = replace(
            receipt, state="retry", attempt=0, lease_s=0.0, cause="", reason="", until=None, job=None, share=None,
            failed_keys=(), claims=0, waits=0, suspect=False, has_error=receipt.has_error or facts.error is not None,
        )  # fmt: skip
        self._receipts.replace(given, stored.version)
        return "marked"

    def _delete_orphan(self, facts: Facts, what: str) -> Repair:
        if what == "error record":
            return self._delete_record(facts)
        if what == "receipt":
            return "deleted" if self._tidy_receipt(facts) else "left"
        if what == "result" and facts.result and facts.result.is_ours:
            done = self._delete(RESULTS, f"{facts.path}/{RESULT}", facts.result.etag, facts.result.age_s)
            folders = [self._delete_folder(facts.path, key) for key in facts.folders] if done == "deleted" else []
            return "left" if "left" in folders else done
        return self._delete_folder(facts.path, what)

    def _delete_record(self, facts: Facts) -> Repair:
        record = facts.record
        return self._delete(ERRORS, f"{facts.path}.json", record.etag, record.age_s) if record else "left"

    def _delete_folder(self, path: str, key: str) -> Repair:
        blobs = self._look.artifacts(path, key)
        if any(blob.age_s < self._lease_s for blob in blobs):
            return "left"
        ours = [blob for blob in blobs if folder_name(blob) == key]
        for blob in ours:
            self._storage.delete(RESULTS, blob.name, if_match=blob.etag)
        return "deleted" if len(ours) == len(blobs) else "left"

    def _tidy_receipt(self, facts: Facts) -> bool:
        """Delete the receipt of an upload that is gone, unless its result is kept, or it keeps what a sidecar
        says."""
        if facts.receipt is None or is_kept(facts) or facts.has_sidecar:
            return True
        stored = self._storage.head(STATE, PREFIX + facts.path)
        if stored is None:
            return True
        same = stored.metadata.get("state") == facts.receipt.state and stored.age_s >= self._lease_s
        return same and self._delete(STATE, stored.name, stored.etag, stored.age_s) == "deleted"

    def _delete(self, container: str, name: str, etag: str, age_s: float) -> Repair:
        if age_s < self._lease_s:
            return "left"
        self._storage.delete(container, name, if_match=etag)
        return "deleted"
