"""A blob over HTTP: strong ETags, If-None-Match, HEAD, and single ranges, without which Safari plays no video.

An answer is in memory as a whole before it is sent, so that a range brings 4 MiB at most, and a whole file no more than
a request may take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus

import azure.functions as func

from cloud.storage.containers import BlobInfo, Conflict, Reading, Storage, guess_type
from cloud.web.problems import RangeNotSatisfiable
from cloud.web.router import SAFE
from inference.errors import LimitExceeded, StorageUnavailable

MOST_RANGE = 4 * 1024 * 1024
_ROUNDS = 3
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def blob_answer(
    request: func.HttpRequest,
    storage: Storage,
    container: str,
    name: str,
    *,
    most_bytes: int,
    media_type: str = "",
    headers: Mapping[str, str] | None = None,
) -> func.HttpResponse | None:
    """The answer to GET or HEAD of a blob; None where there is none.

    most_bytes: of a whole file. media_type: by default what the name says, which only names that we gave do. headers:
    beside, or instead of, those that keep a browser from guessing and running what it gets.
    Raises LimitExceeded, RangeNotSatisfiable, StorageUnavailable, UnreadableMedia.
    """
    fixed = {**SAFE, **(headers or {})}
    for _ in range(_ROUNDS):
        # Its first bytes come with its properties: who asks for the whole costs a single call, as a rule.
        reading = storage.open(container, name) if _is_plain(request) else None
        info = reading.info if reading else None if _is_plain(request) else storage.head(container, name)
        if info is None:
            return None
        asked = _Asked(request, storage, container, info, reading)
        try:
            return _answer(asked, most_bytes, media_type or guess_type(name), fixed)
        except Conflict:
            continue  # replaced between two calls: what is there now is answered
    raise StorageUnavailable(f"{container}/{name} was replaced {_ROUNDS} times while it was read; ask again")


@dataclass(frozen=True)
class _Asked:
    """A blob in the version that is answered. reading: it, opened, where the whole is asked for."""

    request: func.HttpRequest
    storage: Storage
    container: str
    info: BlobInfo
    reading: Reading | None


def _is_plain(request: func.HttpRequest) -> bool:
    """Whether the whole is asked for, whatever the caller has."""
    return request.method != "HEAD" and not ({"range", "if-none-match"} & {name.lower() for name in request.headers})


def _answer(asked: _Asked, most_bytes: int, media_type: str, fixed: Mapping[str, str]) -> func.HttpResponse:
    request, info = asked.request, asked.info
    # What is stored packed is answered as what it is: a range of it would be one of the packed bytes.
    packed = bool(info.encoding)
    headers = {
        **fixed,
        "ETag": f'"{info.etag}"',
        "Last-Modified": format_datetime(info.modified, usegmt=True),
        "Accept-Ranges": "none" if packed else "bytes",
    }
    if is_known(request, info.etag):
        return func.HttpResponse(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if request.method == "HEAD":
        length = {} if packed else {"Content-Length": str(info.size)}
        return func.HttpResponse(status_code=HTTPStatus.OK, mimetype=media_type, headers={**headers, **length})
    span = None if packed else _span(request, info)
    if span is not None:
        start, length_ = span
        body = asked.storage.read_range(asked.container, info.name, start, length_, info.etag)
        headers["Content-Range"] = f"bytes {start}-{start + length_ - 1}/{info.size}"
        return func.HttpResponse(body, status_code=HTTPStatus.PARTIAL_CONTENT, mimetype=media_type, headers=headers)
    body = _whole(asked, most_bytes)
    return func.HttpResponse(body, status_code=HTTPStatus.OK, mimetype=media_type, headers=headers)


def _whole(asked: _Asked, most_bytes: int) -> bytes:
    info, container = asked.info, asked.container
    if info.size > most_bytes:
        raise LimitExceeded(
            f"{info.name}: {info.size:,} bytes; at most {most_bytes:,} are answered at once: ask for ranges of it, at "
            f"most {MOST_RANGE:,} bytes each (the header Range: bytes=0-{MOST_RANGE - 1}), or read it from the "
            f"container {container}"
        )
    reading = asked.reading or asked.storage.open(container, info.name, info.etag)
    if reading is None:
        raise Conflict(f"reading {container}/{info.name}: it was deleted")
    return reading.read(most_bytes)


def is_known(request: func.HttpRequest, etag: str) -> bool:
    """Whether the caller has this version, as If-None-Match says."""
    given = request.headers.get("If-None-Match", "").strip()
    return given == "*" or etag in _TAG.findall(given)


def _span(request: func.HttpRequest, info: BlobInfo) -> tuple[int, int] | None:
    """First byte and number of bytes that are asked for, as many as go into an answer; None: the whole.

    What is no single range of bytes is passed over, as RFC 9110 has it. Raises RangeNotSatisfiable.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if not found or not _holds(request.headers.get("If-Range", "").strip(), info):
        return None
    first, last, final = found.groups()
    if final is not None:
        start, end = max(0, info.size - int(final)), info.size
        if int(final) == 0:
            start = info.size
    else:
        start, end = int(first), min(info.size, int(last) + 1 if last else info.size)
        if last and int(last) < start:
            return None
    if start >= info.size:
        raise RangeNotSatisfiable(
            f"{info.name} has {info.size:,} bytes, and the range {found[0][:60]!r} has none of them",
            headers={"Content-Range": f"bytes */{info.size}"},
        )
    return start, min(end - start, MOST_RANGE)


def _holds(if_range: str, info: BlobInfo) -> bool:
    if not if_range or if_range == f'"{info.etag}"':
        return True
    if '"' in if_range:
        return False
    try:
        return parsedate_to_datetime(if_range) == info.modified
    except (ValueError, TypeError):  # one without a zone compares with none
        return False
