"""Every HTTP function but the plain health answers through here: what its body raises becomes a problem document."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from importlib import import_module

import azure.functions as func

from cloud.settings import BadSettings, Settings, current
from cloud.storage.paths import printable
from cloud.web.problems import MEDIA_TYPE, HttpError, problem
from inference.errors import DropsightError
from inference.results.strict_json import json_bytes
from inference.time_limits import within

log = logging.getLogger(__name__)

# Function -> module and body. Imported by the first request, so that a failing import is answered like other errors.
BODIES = {
    "read": ("cloud.web.api_router", "read"),
    "contribute": ("cloud.web.api_router", "contribute"),
    "operate": ("cloud.web.api_router", "operate"),
    "operate_actions": ("cloud.web.api_router", "operate_actions"),
    "gallery": ("cloud.web.pages.gallery", "gallery"),
    "media": ("cloud.web.media", "media"),
    "session": ("cloud.web.session", "sign_in"),
    "static": ("cloud.web.static", "static"),
    "health": ("cloud.web.parameters", "refuse_deep"),
    "model_registered": ("cloud.web.model_events", "on_events"),
}
# What is served was made from strangers' files: a browser must neither guess its type nor run it.
SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


def answer(function: str, request: func.HttpRequest) -> func.HttpResponse:
    """The answer of the HTTP function `function`; a problem with a trace, which is logged too, for any error."""
    try:
        module, body = BODIES[function]
        seconds = _seconds()
        with within(seconds, f"a request may take {seconds:g} s (REQUEST_SECONDS)"):
            response: func.HttpResponse = getattr(import_module(module), body)(request)
            return response
    except Exception as error:  # noqa: BLE001 - the host would answer a bare 500, which says nothing to anybody
        return refusal(function, error)


def _seconds() -> float:
    try:
        return current().request_seconds
    except BadSettings:  # which the deep health tells
        return Settings.request_seconds


def json_answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """A document as JSON."""
    body = json_bytes(document)
    more = {**SAFE, **(headers or {})}
    return func.HttpResponse(body, status_code=status, mimetype="application/json", headers=more)


def refusal(function: str, error: Exception) -> func.HttpResponse:
    """The answer to a request that ended with an error, which is logged under the trace that the answer has."""
    document = problem(error)
    status = document["status"]
    level = logging.ERROR if status == HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
    bug = None if isinstance(error, DropsightError | BadSettings) else error
    line = printable(f"{function}: {type(error).__name__}: {error} (trace {document['trace']})")
    log.log(level, "%s", line, exc_info=bug)
    headers = {**SAFE, **(error.headers if isinstance(error, HttpError) else {})}
    return func.HttpResponse(json_bytes(document), status_code=status, mimetype=MEDIA_TYPE, headers=headers)
