"""Errors of HTTP as application/problem+json (RFC 9457), all in one shape and with one naming of classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from cloud.machine_paths import text_without_paths
from cloud.settings import BadSettings
from inference.errors import BadRequest, LimitExceeded, Permanent, Transient, UnsupportedMedia

MEDIA_TYPE = "application/problem+json"


class HttpError(Permanent):
    """An error that only a request has. members: what its answer says beside; headers: what goes along with it."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(
        self, message: str, *, members: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.members, self.headers = dict(members or {}), dict(headers or {})


class NotFound(HttpError):
    """There is nothing of that name."""

    status = HTTPStatus.NOT_FOUND


class Forbidden(HttpError):
    """The right that came along does not open this, or nobody may do it now."""

    status = HTTPStatus.FORBIDDEN


class MethodNotAllowed(HttpError):
    """There is something of that name, of which this cannot be asked."""

    status = HTTPStatus.METHOD_NOT_ALLOWED


class PreconditionFailed(HttpError):
    """If-Match or If-None-Match does not hold."""

    status = HTTPStatus.PRECONDITION_FAILED


class RangeNotSatisfiable(HttpError):
    """The range begins behind the end."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


# The first class that fits; anything else is a bug of ours.
_STATUS: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (BadRequest, HTTPStatus.BAD_REQUEST),
    (LimitExceeded, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedMedia, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (Permanent, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Transient, HTTPStatus.SERVICE_UNAVAILABLE),
    (BadSettings, HTTPStatus.SERVICE_UNAVAILABLE),
)


def status_of(error: Exception) -> HTTPStatus:
    """The status by which an error is answered."""
    if isinstance(error, HttpError):
        return error.status
    fitting = (status for kind, status in _STATUS if isinstance(error, kind))
    return next(fitting, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(error: Exception, trace: str = "") -> dict[str, Any]:
    """The document of an error. Its message names no file of this machine; `error` is as in error records."""
    status, name = status_of(error), type(error).__name__
    permanent = isinstance(error, Permanent)
    message = text_without_paths(str(error))
    return {
        "type": f"urn:dropsight:error:{name}",
        "title": status.phrase,
        "status": int(status),
        "detail": message,
        "error": {"class": name, "message": message, "permanent": permanent},
        "trace": trace or os.urandom(16).hex(),
        **(error.members if isinstance(error, HttpError) else {}),
    }
