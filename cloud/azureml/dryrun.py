"""A transport that lets the SDK read, and stops it at its first write: what a dry run prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from azure.core.pipeline.transport import RequestsTransport


class _Stopped(BaseException):
    """Not an Exception, so that nothing in the SDK takes it for a failure to retry or to wrap."""


class Recorder(RequestsTransport):  # type: ignore[misc]  # azure-core leaves it untyped
    """Sends GET and HEAD; keeps the first other request and stops there."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, Any] = {}

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Called by azure-core for each request."""
        if request.method in ("GET", "HEAD"):
            return super().send(request, **kwargs)
        body = request.content if hasattr(request, "content") else request.body
        text = body.decode() if isinstance(body, bytes) else body
        self._seen = {
            "method": request.method,
            "url": request.url,
            "headers": {
                name: value
                for name, value in request.headers.items()
                if name.lower() not in ("authorization", "x-azureml-token")  # secrets are not printed
            },
            "body": json.loads(text) if text else None,
        }
        raise _Stopped

    def first(self, call: Callable[[], object]) -> dict[str, Any]:
        """The first write that `call` would send. An empty one where it writes nothing."""
        try:
            call()
        except _Stopped:
            return self._seen
        return {}
