"""Connections that let the SDK read and stop it where it would start something: what a dry run prints."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter


class _Stopped(BaseException):
    """Not an Exception, so that nothing in the SDK takes it for a failure to retry or to wrap."""


class _Reading(HTTPAdapter):
    """Sends GET and HEAD; keeps the request that starts a job, and stops there.

    A job from a file first uploads code and creates environments and components: those are answered here as
    the service would, so that the job itself is shown and nothing is sent. (The SDK draws the ids of uploaded
    code at random, so a job's reference to a component without a name differs every time.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Any] = {}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Called by requests for every request."""
        path = urlsplit(request.url or "").path
        if "/codes/" in path:
            return _answer(request, _code(path))
        if "/datastores/" in path:
            # Asked for only to upload a local input, which a storage client of its own would really send.
            note = "a local input of the YAML is uploaded before the job is sent; name it azureml://... to see it"
            self.seen = {"method": request.method, "url": request.url, "headers": {}, "body": {"note": note}}
            raise _Stopped
        if request.method in ("GET", "HEAD"):
            return super().send(request, *args, **kwargs)
        text = request.body.decode() if isinstance(request.body, bytes) else request.body
        body = json.loads(str(text)) if text else None
        if "/jobs/" not in path and "/schedules/" not in path:
            return _answer(request, {"id": path, "name": path.rpartition("/")[2], **(body or {})})
        secret = ("authorization", "x-azureml-token")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in secret}
        self.seen = {"method": request.method, "url": request.url, "headers": headers, "body": body}
        raise _Stopped


class Recorder(RequestsTransport):  # type: ignore[misc]  # azure-core leaves it untyped
    """A transport of azure-core for a dry run."""

    def __init__(self) -> None:
        session = requests.Session()
        self._adapter = _Reading()
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        super().__init__(session=session, session_owner=False)

    def first(self, call: Callable[[], object]) -> dict[str, Any]:
        """The request by which `call` would start something. Empty where it starts nothing."""
        try:
            call()
        except _Stopped:
            return self._adapter.seen
        return {}


def _code(path: str) -> dict[str, Any]:
    """The code of a step as if it had been uploaded before: its versions, or the version that is asked for."""
    base = path.removesuffix("/versions")
    version = {"id": path if base == path else f"{path}/1", "name": "1", "properties": {"codeUri": "not uploaded"}}
    return version if base == path else {"value": [version]}


def _answer(request: requests.PreparedRequest, document: object) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = 200, "OK"
    response.headers["Content-Type"] = "application/json"
    response.raw = io.BytesIO(json.dumps(document).encode())
    response.request, response.url = request, str(request.url)
    return response
