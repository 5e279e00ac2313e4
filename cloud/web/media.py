"""GET, HEAD media/{kind}/{*path}: pictures and videos of the pages, at signed addresses or by a session.

Kinds: `uploads` (an upload as it is), `view` (an upload as a picture that every browser shows), `thumbnails`, `results`
(a file in the container `results`). Where a result hides something, what was published stands for the upload.
"""

from __future__ import annotations

import time
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import quote

import azure.functions as func

from cloud.instance import default_worker
from cloud.once import once
from cloud.settings import RESULTS, current
from cloud.storage.containers import Conflict, default_storage, guess_type
from cloud.storage.paths import name_problem
from cloud.web.blob_answers import blob_answer, is_known
from cloud.web.problems import MEDIA_TYPE, Forbidden, NotFound, problem
from cloud.web.router import SAFE
from cloud.web.session import session_of
from cloud.web.shown import Showing, Shown
from cloud.web.signing import KINDS, default_signer, signed_text
from cloud.web.thumbnails import Thumbnails
from inference.errors import ServiceBusy, StorageUnavailable, UnsupportedMedia
from inference.image.limits import Limits
from inference.image.media import decode
from inference.image.small_jpeg import small_jpeg
from inference.image.sniff import sniff
from inference.memory import share
from inference.results.strict_json import json_bytes
from inference.time_limits import within

VIEW_SIDE = 2560
# What every browser shows, and none runs; the other types are downloaded.
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp")
_TEXTS = ("application/json", "application/x-ndjson", "text/csv", "text/plain", "text/vtt")
_UNKNOWN = "application/octet-stream"
_HEAD = 64 * 1024
_LASTS_S = 1200
_PATIENCE_S = 20.0


def media(request: func.HttpRequest) -> func.HttpResponse:
    """The body of the function `media`. Raises Forbidden, NotFound, and as reading a blob does."""
    kind, path, vouched = _asked(request)
    if name_problem(path) or {".", ".."} & {*path.replace("\\", "/").split("/")}:  # libraries resolve these dots
        raise NotFound(f"{path[:200]!r} is the name of nothing that can be asked for")
    if not vouched and "read" not in session_of(request).rights:
        raise Forbidden(_why_not(request))
    try:
        if kind == "results":
            return _file(request, RESULTS, path, _with_type(guess_type(path), path))
        if kind == "thumbnails":
            return _thumbnail(request, path, vouched)
        shown = default_showing().of(path)
        media_type = _type_of(shown.container, shown.name, shown.etag)
        if kind == "view" and _needs_view(shown, media_type):
            return _view(request, shown)
        return _file(request, shown.container, shown.name, _with_type(media_type, path))
    except ServiceBusy as error:
        busy = {**SAFE, "Retry-After": "2"}
        body = json_bytes(problem(error))
        return func.HttpResponse(body, status_code=HTTPStatus.SERVICE_UNAVAILABLE, mimetype=MEDIA_TYPE, headers=busy)


def _asked(request: func.HttpRequest) -> tuple[str, str, bool]:
    """The kind, the name, and whether the address is signed for it. Raises NotFound."""
    kind, _, path = (request.route_params.get("path") or "").partition("/")
    if kind not in KINDS or not path:
        raise NotFound(f"there are no media of the kind {kind[:50]!r}; expected {', '.join(KINDS)}, and a name")
    until, signature = request.params.get("until", ""), request.params.get("sig", "")
    is_time = until.isascii() and until.isdigit() and len(until) <= 12
    # Some hosts leave an escaped slash in a path, others decode it; of names that have %2F in them the signature says.
    names = dict.fromkeys((path, path.replace("%2F", "/").replace("%2f", "/")))
    for name in names if is_time and signature else ():
        text = signed_text(kind, name, request.params.get("v", ""), int(until))
        if default_signer().verify("media", text, signature) and int(until) > time.time():
            return kind, name, True
    return kind, list(names)[-1], False


def _why_not(request: func.HttpRequest) -> str:
    until = request.params.get("until", "")
    if not request.params.get("sig"):
        return "this address is not signed, and nobody is signed in who may read; open it from a page of the app"
    if until.isascii() and until.isdigit() and len(until) <= 12 and int(until) <= time.time():
        return "this address was good for some minutes, which are over; load the page again that it is from"
    return "this address is not what a page of the app made it: its signature is another's; load the page again"


def _headers(request: func.HttpRequest) -> dict[str, str]:
    # What has its version in its address never changes; all else is asked for again, which its ETag makes cheap.
    kept = f"private, max-age={_LASTS_S}, immutable" if request.params.get("v") else "private, no-cache"
    return {**SAFE, "Cache-Control": kept, "Cross-Origin-Resource-Policy": "same-origin"}


def _with_type(media_type: str, path: str) -> tuple[str, dict[str, str]]:
    """The type that a file is answered as, and what keeps a browser from opening what is neither picture nor video."""
    if media_type in _PICTURES or media_type.startswith("video/"):
        return media_type, {}
    if media_type in _TEXTS:
        return media_type, {}
    name = quote(path.rpartition("/")[2].encode("utf-8", "surrogatepass"), safe="")
    shown = media_type if media_type.startswith("image/") and media_type != "image/svg+xml" else _UNKNOWN
    return shown, {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}


def _file(request: func.HttpRequest, container: str, name: str, typed: tuple[str, dict[str, str]]) -> func.HttpResponse:
    media_type, more = typed
    answer = blob_answer(
        request, default_storage(), container, name,
        most_bytes=current().max_request_bytes, media_type=media_type, headers={**_headers(request), **more},
    )  # fmt: skip
    if answer is None:
        raise NotFound(f"there is nothing called {name[:200]!r} in the container {container}")
    return answer


def _thumbnail(request: func.HttpRequest, name: str, vouched: bool) -> func.HttpResponse:
    # What is stored may be of a time when nothing was hidden: only a page that knows better may name its version.
    version = request.params.get("v", "") if vouched else ""
    if version and is_known(request, version):
        return func.HttpResponse(status_code=HTTPStatus.NOT_MODIFIED, headers=_tagged(request, version))
    found = default_thumbnails().get(name, version)
    return func.HttpResponse(found.data, mimetype="image/jpeg", headers=_tagged(request, found.version))


def _tagged(request: func.HttpRequest, version: str) -> dict[str, str]:
    return {**_headers(request), "ETag": f'"{version}"'}


@lru_cache(maxsize=1024)
def _type_by_content(container: str, name: str, etag: str) -> str:
    reading = default_storage().open(container, name, etag or None)
    if reading is None:
        raise NotFound(f"there is nothing called {name[:200]!r} in the container {container}")
    try:
        return sniff(reading.head[:_HEAD])
    except UnsupportedMedia:
        return _UNKNOWN


def _type_of(container: str, name: str, etag: str) -> str:
    """The media type of an upload by its content, never by its name; of a file of ours by its name."""
    if container == RESULTS:
        return guess_type(name)
    try:
        return _type_by_content(container, name, etag)
    except Conflict as error:
        raise StorageUnavailable(f"{container}/{name} was replaced while it was read; ask again") from error


def _needs_view(shown: Shown, media_type: str) -> bool:
    """Whether a browser is to get a picture made for it. Raises UnsupportedMedia for what is no picture."""
    if not media_type.startswith("image/"):
        raise UnsupportedMedia(f"this is {media_type}, expected a picture; as it is, it is at media/uploads/")
    if media_type not in _PICTURES:
        return True
    info = default_storage().head(shown.container, shown.name)
    return info is not None and info.size > current().max_request_bytes


def _view(request: func.HttpRequest, shown: Shown) -> func.HttpResponse:
    tag = f"{shown.version}.view"
    if is_known(request, tag):
        return func.HttpResponse(status_code=HTTPStatus.NOT_MODIFIED, headers=_tagged(request, tag))
    worker, limits = default_worker(), Limits(bytes=current().max_image_bytes, seconds=current().picture_seconds)
    whole = within(limits.seconds, f"a picture may take {limits.seconds:g} s (PICTURE_SECONDS)")
    with worker.places.take("picture", _PATIENCE_S), whole, share():
        try:
            reading = worker.storage.open(shown.container, shown.name, shown.etag or None)
            if reading is None:
                raise NotFound(f"{shown.name[:200]!r} was deleted a moment ago")
            data = small_jpeg(decode(reading.read(limits.bytes), limits, VIEW_SIDE), VIEW_SIDE)
        except Conflict as error:
            raise StorageUnavailable(f"{shown.name} was replaced while it was read; ask again") from error
    return func.HttpResponse(data, mimetype="image/jpeg", headers=_tagged(request, tag))


@once
def default_showing() -> Showing:
    """What decides, in this process, what is shown of uploads."""
    return Showing(default_storage(), lambda: default_worker().planner, lambda name: default_worker().ledger.read(name))


@once
def default_thumbnails() -> Thumbnails:
    """The thumbnails of this process's account."""
    return Thumbnails(default_showing(), current())
