"""Everything below gallery/: pages, the forms that do without scripts, and the API for the pages' scripts."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote

import azure.functions as func

from cloud.machine_paths import text_without_paths
from cloud.settings import UPLOADS, BadSettings
from cloud.storage.paths import printable
from cloud.web.pages import services
from cloud.web.pages.export import export
from cloud.web.pages.filters import address_of, query_of
from cloud.web.pages.grid import grid
from cloud.web.pages.render import HEADERS, Frame, in_path, page, redirect
from cloud.web.pages.result_page import result_page
from cloud.web.pages.similar_page import similar_page
from cloud.web.pages.status_page import status_page
from cloud.web.problems import HttpError, status_of
from inference.errors import BadRequest, DropsightError, Transient

log = logging.getLogger(__name__)

_READS = ("GET", "HEAD")
_API = ("v1", "operate")


def gallery(request: func.HttpRequest) -> func.HttpResponse:
    """The answer for what lies below gallery/."""
    path = request.route_params.get("path") or ""
    before, slash, raw = request.url.partition("?")[0].partition("/gallery/")
    if not slash:  # from gallery itself relative addresses would lead elsewhere
        query = request.url.partition("?")[2]
        return redirect(f"gallery/{'?' if query else ''}{query}")
    # A host that keeps %2F gives the page another depth than the name's slashes do.
    counted = raw if unquote(raw) == path else path
    frame = Frame(counted, services.session_of(request))
    try:
        return _answer(request, path, frame)
    except Exception as error:  # noqa: BLE001 - who looks at a page is told on a page
        if _first(path) in _API:
            raise  # by the router, as JSON
        return _problem(request, frame, error)


def _answer(request: func.HttpRequest, path: str, frame: Frame) -> func.HttpResponse:
    first, _, rest = path.partition("/")
    if first not in _API and frame.session.asks_key and not frame.session.signed_in:
        return sign_in(request, frame)
    if request.method not in _READS:
        services.check_origin(request)
    elif first not in _API and not frame.may(services.READ):
        return sign_in(request, frame, "This key opens something else: pages need one of the function read.")
    if first in _API:
        return services.call_api(request, request.method, path, frame.session.rights)
    if request.method == "POST" and first in _FORMS:
        return _FORMS[first](request, frame, rest)
    if request.method not in _READS:
        raise BadRequest(f"{request.method} {path[:100]!r} is none of the pages' forms")
    if path == "":
        return grid(request, frame)
    if path == "status":
        return status_page(request, frame)
    if first == "result" and rest:
        return result_page(request, frame, rest)
    if first == "similar" and rest:
        return similar_page(request, frame, rest)
    if first == "export" and rest:
        return export(request, frame, rest)
    message = f"there is no page {path[:200]!r}"
    return page("problem.html", frame, 404, title="Not here", message=message, retry="")


def _first(path: str) -> str:
    return path.partition("/")[0]


def sign_in(request: func.HttpRequest, frame: Frame, message: str = "") -> func.HttpResponse:
    """The page that asks for a key. It leads back to what was asked for."""
    wrong = message or ("This key opens nothing here." if "refused" in request.params else "")
    following = request.params.get("next", "")
    if not following and request.method in _READS:
        query = request.url.partition("?")[2]
        following = f"gallery/{in_path(unquote(frame.path))}{'?' if query else ''}{query}"
    return page("sign_in.html", frame, 401, headers={"Cache-Control": "no-store"}, message=wrong, following=following)


def _upload(request: func.HttpRequest, frame: Frame, _: str) -> func.HttpResponse:
    """The files of a form; to the grid where all are in, else to the reason."""
    folder = str(request.form.get("folder") or "").strip().strip("/")
    files = [file for file in request.files.getlist("file") if file.filename]
    if not files:
        raise BadRequest("no file was chosen; choose one or more pictures or videos")
    for file in files:
        name = f"{folder}/{file.filename}" if folder else str(file.filename)
        _call(request, "PUT", f"v1/uploads/{name}", frame, file.read(), file.mimetype or "")
    return redirect(frame.home)


def _delete(request: func.HttpRequest, frame: Frame, name: str) -> func.HttpResponse:
    _call(request, "DELETE", f"v1/uploads/{name}", frame)
    return redirect(f"{frame.home}{address_of(query_of(request.params))}")


def _replay(request: func.HttpRequest, frame: Frame, name: str) -> func.HttpResponse:
    if services.storage().head(UPLOADS, name) is None:  # else it would name all that begin so
        raise Refused(f"there is no upload {name[:200]!r} any more", HTTPStatus.NOT_FOUND)
    body = json.dumps({"names": [name], "all": True}).encode()
    _call(request, "POST", "operate/replays", frame, body, "application/json")
    query = address_of(query_of(request.params), cursor=request.params.get("cursor", ""))
    return redirect(f"{frame.home}result/{in_path(name)}{query}" if "stay" in request.params else frame.home + query)


_FORMS: dict[str, Callable[[func.HttpRequest, Frame, str], func.HttpResponse]] = {
    "upload": _upload,
    "delete": _delete,
    "replay": _replay,
}


class Refused(HttpError):
    """The API does not do what a form asks for. status: its answer's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = HTTPStatus(status)


def _call(
    request: func.HttpRequest, method: str, path: str, frame: Frame, body: bytes = b"", kind: str = ""
) -> func.HttpResponse:
    """What the API answers to a form. Raises Refused with its words."""
    headers = {name: value for name, value in request.headers.items() if name.lower() in ("origin", "host")}
    headers |= {"Content-Type": kind} if kind else {}
    url = request.url.partition("?")[0]  # the list's filters are no parameters of the operation
    inner = func.HttpRequest(method, url, headers=headers, params={}, route_params={"path": path}, body=body)
    answer = services.call_api(inner, method, path, frame.session.rights)
    if answer.status_code >= 400:
        try:
            message = str(json.loads(answer.get_body())["detail"])
        except (ValueError, KeyError, TypeError):
            message = f"the answer was {answer.status_code}"
        raise Refused(message, answer.status_code)
    return answer


def _problem(request: func.HttpRequest, frame: Frame, error: Exception) -> func.HttpResponse:
    trace = os.urandom(16).hex()
    status = int(status_of(error))
    known = isinstance(error, DropsightError | BadSettings)
    line = printable(f"gallery: {type(error).__name__}: {error} (trace {trace})")
    log.log(logging.WARNING if known else logging.ERROR, "%s", line, exc_info=None if known else error)
    message = text_without_paths(str(error)) if known else f"a fault of ours; the log has more under the trace {trace}"
    retry = frame.home if isinstance(error, Transient) else ""
    title = "Not now" if isinstance(error, Transient) else "This did not work"
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return page("problem.html", frame, status, headers, title=title, message=message, retry=retry)
