"""Every HTTP function but the plain health answers through here: whatever its body raises is answered as JSON."""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from importlib import import_module
from typing import Any

import azure.functions as func

from cloud.machine_paths import text_without_paths
from cloud.settings import BadSettings, Settings, current
from cloud.storage.paths import printable
from cloud.web.parameters import check_parameters
from inference.errors import DropsightError, LimitExceeded, Permanent, Transient, UnsupportedMedia
from inference.results.strict_json import json_bytes
from inference.time_limits import within

log = logging.getLogger(__name__)

# Function -> module and body. Imported by the first request, so that a failing import is answered like other errors.
BODIES = {
    "analyze": ("cloud.web.api", "analyze"),
    "results": ("cloud.web.api", "results"),
    "jobs": ("cloud.web.api", "jobs"),
    "operate_replays": ("cloud.web.operate", "replays"),
    "operate_uploads": ("cloud.web.operate", "uploads"),
    "health": ("cloud.web.parameters", "refuse_deep"),
    "health_deep": ("cloud.health", "on_request"),
    "model_registered": ("cloud.models.deliveries", "on_events"),
}
# The first class that fits; anything else is a bug of ours.
_STATUS: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (LimitExceeded, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedMedia, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (Permanent, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Transient, HTTPStatus.SERVICE_UNAVAILABLE),
    (BadSettings, HTTPStatus.SERVICE_UNAVAILABLE),
)
# What is served was made from strangers' files: a browser must neither guess its type nor run it.
SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


def answer(function: str, request: func.HttpRequest) -> func.HttpResponse:
    """The answer of the HTTP function `function`; an error record with a trace, which is logged too, for any error."""
    try:
        check_parameters(function, request)
        module, body = BODIES[function]
        seconds = _seconds()
        with within(seconds, f"a request may take {seconds:g} s (REQUEST_SECONDS)"):
            response: func.HttpResponse = getattr(import_module(module), body)(request)
            return response
    except Exception as error:  # noqa: BLE001 - the host would answer a bare 500, which says nothing to anybody
        return _refusal(function, request, error)


def _seconds() -> float:
    try:
        return current().request_seconds
    except BadSettings:  # which the deep health tells
        return Settings.request_seconds


def json_answer(document: object, status: int = 200) -> func.HttpResponse:
    """A document as JSON."""
    body = json_bytes(document)
    return func.HttpResponse(body, status_code=status, mimetype="application/json", headers=SAFE)


def _refusal(function: str, request: func.HttpRequest, error: Exception) -> func.HttpResponse:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    record = _record(request, error)
    level = logging.ERROR if status == HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
    bug = None if isinstance(error, DropsightError | BadSettings) else error
    line = printable(f"{function}: {type(error).__name__}: {error} (trace {record['trace']})")
    log.log(level, "%s", line, exc_info=bug)
    return json_answer(record, status)


def _record(request: func.HttpRequest, error: Exception) -> dict[str, Any]:
    record = _full_record(request, error)
    record["error"]["message"] = text_without_paths(record["error"]["message"])  # which the log has in full
    return record


def _full_record(request: func.HttpRequest, error: Exception) -> dict[str, Any]:
    try:
        from inference.results.result import Source, error_document  # numpy: the deep health answers without it

        return error_document(Source(name=request.params.get("name", ""), bytes=len(request.get_body())), error)
    except Exception:  # noqa: BLE001 - the engine itself cannot be imported: what failed is said all the same
        what = {"class": type(error).__name__, "message": str(error), "permanent": False}
        return {"status": "error", "error": what, "trace": os.urandom(16).hex()}
