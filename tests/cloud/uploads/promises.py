"""What must be true of an account: after each change of it, and in the end, when nobody works any more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.paths import output_path, record_path
from cloud.uploads.publish import error_path, result_path
from cloud.uploads.receipts import Receipt
from inference.routes_file import SIDECAR, sidecar_target
from inference.tables import build
from tests.cloud.storage.memory_storage import Account, Blob

_RECEIPTS = "receipts/"


class Promises:
    """Those of a world. kinds: of the uploads' content, by ETag (see world.content). broken: a sentence each."""

    def __init__(self, account: Account, kinds: Mapping[str, str]) -> None:
        self.account, self.kinds = account, kinds
        self.broken: list[str] = []
        account.watch = self._changed

    def receipt(self, name: str) -> Receipt | None:
        """What the ledger says of an upload."""
        blob = self.account.find(STATE, _RECEIPTS + record_path(name))
        return _receipt(blob) if blob else None

    def _changed(self, container: str, name: str, before: Blob | None, after: Blob | None) -> None:
        if container == STATE and name.startswith(_RECEIPTS) and after:
            receipt = _receipt(after)
            if before:
                self._taken(_receipt(before), receipt, before)
            self.broken += [f"{problem} (receipt written)" for problem in self._torn(receipt.name)]
        if container == RESULTS:
            upload = name.removesuffix("/result.json") if name.endswith("/result.json") else name.rsplit("/", 2)[0]
            self.broken += [f"{problem} ({name} changed)" for problem in self._torn(upload)]

    def _taken(self, old: Receipt, new: Receipt, before: Blob) -> None:
        """A living worker's upload is left to it."""
        both = (old.state, new.state, old.etag) == ("working", "working", new.etag)
        age_s = (self.account.now - before.modified).total_seconds()
        if both and old.owner != new.owner and age_s < old.lease_s:
            self.broken.append(f"{old.name}: taken from its owner after {age_s:g} s of {old.lease_s:g}")

    def _torn(self, name: str) -> Iterator[str]:
        """A result has all that it names, and a receipt that says done speaks of the result that is there."""
        blob, receipt = self.account.find(RESULTS, result_path(name)), self.receipt(name)
        if blob and receipt and _is_losers(blob, receipt):
            return  # it may be seen until the holder's is written
        if self.account.find(UPLOADS, name) is None or (receipt and receipt.state == "failed"):
            return  # where nobody writes another one, a loser's result may be seen until it is taken back
        for file in _artifacts(blob):
            if self.account.find(RESULTS, f"{output_path(name)}/{file}") is None:
                yield f"{name}: its result names {file}, which is not there"
        if receipt and receipt.state == "done" and not sidecar_target(name):
            key = blob.metadata["key"] if blob else ""
            if key != receipt.key:
                yield f"{name}: done with the key {receipt.short_key}, and the result has {key[:12]!r}"

    def at_the_end(self) -> list[str]:
        """What is wrong when all is quiet."""
        found = [problem for name in self.account.containers[UPLOADS] for problem in self._of_upload(name)]
        for path, blob in self.account.containers[STATE].items():
            if path.startswith(_RECEIPTS) and _receipt(blob).state == "working":
                found.append(f"{_receipt(blob).name}: its receipt says working for ever")
        return found + [f"{name}: an orphan" for name in sorted(self._orphans())]

    def _of_upload(self, name: str) -> Iterator[str]:
        etag, receipt = self.account.containers[UPLOADS][name].etag, self.receipt(name)
        record = self.account.find(ERRORS, error_path(name))
        if receipt is None or receipt.etag != etag:
            yield f"{name}: lost, its receipt is {receipt}"
        elif sidecar_target(name):
            if receipt.state != "done":
                yield f"{name}: a sidecar, and it ended as {receipt}"
        elif self.kinds[etag] in ("corrupt", "poison"):
            if receipt.state != "failed" or not record or json.loads(record.content)["source"]["etag"] != etag:
                yield f"{name}: {self.kinds[etag]}, and its receipt is {receipt}, its record {record}"
        elif self.kinds[etag] == "fickle" and receipt.state == "failed" and record:
            return
        elif receipt.state != "done":
            yield f"{name}: {self.kinds[etag]}, and it ended as {receipt}"
        else:
            yield from self._of_result(name, receipt)
            if record:
                yield f"{name}: an error record beside a good result"

    def _of_result(self, name: str, receipt: Receipt) -> Iterator[str]:
        upload = self.account.containers[UPLOADS][name]
        blob = self.account.find(RESULTS, result_path(name))
        if blob is None:
            yield f"{name}: done, and there is no result"
            return
        document, sidecar = json.loads(blob.content), self.account.find(UPLOADS, f"{name}{SIDECAR}")
        if blob.metadata["key"] != receipt.key or document["source"]["etag"] != upload.etag:
            yield f"{name}: its result is stale: {document['source']}, {receipt}"
            return
        route = "other" if sidecar and b"other" in sidecar.content else "default"
        if document["route"] != route:
            yield f"{name}: by the route {document['route']}, where {route} is asked for"
        for file in _artifacts(blob):
            artifact = self.account.find(RESULTS, f"{output_path(name)}/{file}")
            if artifact is None or artifact.content != upload.content:
                yield f"{name}: its artifact {file} is {artifact}"

    def _orphans(self) -> set[str]:
        """Artifacts that no result names, and records of failures that no receipt knows."""
        results = self.account.containers[RESULTS]
        documents = {name: blob for name, blob in results.items() if name.endswith("/result.json")}
        named = {
            f"{name[: -len('result.json')]}{file}" for name, blob in documents.items() for file in _artifacts(blob)
        }
        return results.keys() - documents.keys() - named


def _artifacts(document: Blob | None) -> list[str]:
    """The files that a result names, beside it."""
    return list(json.loads(document.content)["artifacts"].values()) if document else []


def _is_losers(result: Blob, receipt: Receipt) -> bool:
    """Whether a result is neither the one that was there when the upload was claimed, nor the claim's own."""
    claims = receipt.folder if receipt.state in ("working", "job") else ""
    return receipt.state != "done" and receipt.result_etag != result.etag and claims != result.metadata["folder"]


def _receipt(blob: Blob) -> Receipt:
    document: dict[str, Any] = json.loads(blob.content)
    return build(Receipt, document, "a receipt")
