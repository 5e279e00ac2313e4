"""Requests to the API as its functions make them, without a host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import azure.functions as func
import pytest

from cloud.uploads.upload_worker import UploadWorker
from cloud.web.api_router import answer_api
from cloud.web.operations import RIGHTS

EVERY = frozenset(RIGHTS)
_USERS = ("uploads_api", "results_api", "similar_api", "analyze_api", "status_api")


def serve(monkeypatch: pytest.MonkeyPatch, worker: UploadWorker) -> None:
    """Has the API answer by this worker."""
    for module in _USERS:
        monkeypatch.setattr(f"cloud.web.{module}.default_worker", lambda: worker)


def ask(
    method: str,
    address: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    rights: frozenset[str] = EVERY,
) -> func.HttpResponse:
    """The answer. address: below the app's prefix, with its query."""
    path, _, query = address.partition("?")
    params = {name: value for name, value in parse_qsl(query, keep_blank_values=True) if value}
    request = func.HttpRequest(
        method, f"http://app/api/{address}", headers=dict(headers or {}), params=params, route_params={}, body=body
    )
    return answer_api(request, method, unquote(path), rights)


def said(answer: func.HttpResponse) -> dict[str, Any]:
    """The document of an answer."""
    document = json.loads(answer.get_body())
    assert isinstance(document, dict)
    return document
