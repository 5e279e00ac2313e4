"""An upload and what came of it, as GET v1/uploads/{name} answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.containers import BlobInfo, Storage
from cloud.uploads.ledger import Ledger
from cloud.uploads.publish import error_path, result_path
from cloud.uploads.receipts import StoredReceipt
from cloud.web.answers import JobDoc, ResultLinkDoc, UploadDoc
from cloud.web.no_result import NoResult, why_none
from inference.errors import LimitExceeded
from inference.results.document import ReasonDoc, SummaryDoc
from inference.results.summary import labels_of


def upload_state(
    storage: Storage, ledger: Ledger, name: str, *, paused: bool, job_of: Callable[[str], JobDoc | None]
) -> UploadDoc | None:
    """What is known of an upload, None of one that is not known at all. Two calls, a third for its result or its error
    record. paused: whether intake is. job_of: how far the job of a long video is."""
    upload, stored = storage.head(UPLOADS, name), ledger.read(name)
    if upload is None and stored is None:
        return None
    document: UploadDoc = {
        "name": name,
        "state": "done",
        "etag": upload.etag if upload else None,
        "created": upload.modified.isoformat() if upload else None,
        "message": "",
        "retry_after_s": None,
        "share": None,
        "job": None,
        "result": None,
        "error": None,
    }
    if _may_have_result(upload, stored) and (result := _result(storage, name)):
        document["state"] = "partial" if result["status"] == "partial" else "done"
        document["result"] = result
        return document
    document = _without(document, why_none(upload, stored, name, paused=paused), storage, stored)
    if stored and stored.receipt.job and stored.receipt.state == "job" and document["state"] == "working":
        document["job"] = job_of(stored.receipt.job)
    return document


def _may_have_result(upload: BlobInfo | None, stored: StoredReceipt | None) -> bool:
    """Whether a result that lies there is that of the upload as it is."""
    if upload is None:
        return False
    return stored is None or (stored.receipt.state == "done" and stored.receipt.etag == upload.etag)


def _without(document: UploadDoc, why: NoResult, storage: Storage, stored: StoredReceipt | None) -> UploadDoc:
    document["state"] = why.state if why.state != "unknown" else "waiting"
    document["message"], document["retry_after_s"] = why.message, why.retry_s
    if stored and why.state == "working":
        document["share"] = stored.receipt.share
    if why.state == "failed":
        document["error"] = _error(storage, document["name"], why.message)
    return document


def _result(storage: Storage, name: str) -> ResultLinkDoc | None:
    try:
        path = result_path(name)
    except LimitExceeded:  # a name for whose results there is no room
        return None
    found = _json(storage, RESULTS, path)
    if found is None:
        return None
    labels = labels_of(found)
    summary: SummaryDoc = {
        "objects": dict(labels.objects),
        "scene": dict(labels.scene),
        "guesses": dict(labels.guesses),
    }
    return {
        "path": path,
        "route": str(found.get("route", "")),
        "status": str(found.get("status", "ok")),
        "summary": summary,
        "created": str(found.get("created", "")),
    }


def _error(storage: Storage, name: str, message: str) -> ReasonDoc:
    """The error as its record has it; where that is gone, what the receipt says."""
    record = _json(storage, ERRORS, error_path(name)) or {}
    error = record.get("error")
    if isinstance(error, dict) and {"class", "message", "permanent"} <= error.keys():
        return cast(ReasonDoc, error)
    return {"class": "Permanent", "message": message, "permanent": True}


def _json(storage: Storage, container: str, path: str) -> dict[str, Any] | None:
    try:
        stored = storage.read_json(container, path)
    except (ValueError, RecursionError, LimitExceeded):  # not written by this app
        return None
    return stored[0] if stored and isinstance(stored[0], dict) else None
