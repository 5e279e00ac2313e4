"""The API: finds the operation that a request is for, checks its right, reads its parameters, calls its body."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import azure.functions as func

from cloud.settings import current
from cloud.web.operations import Call, Operation, Right
from cloud.web.parameters import read_parameters
from cloud.web.problems import Forbidden, MethodNotAllowed, NotFound
from cloud.web.router import refusal
from inference.errors import UnsupportedMedia
from inference.tables import nearest

# By the second segment of a path, the module that has its operations in OPERATIONS. Imported by the first request for
# one of them: where one cannot be imported, the others answer, the deep health before all.
MODULES = {
    "uploads": "cloud.web.uploads_api",
    "results": "cloud.web.results_api",
    "errors": "cloud.web.results_api",
    "similar": "cloud.web.similar_api",
    "analyze": "cloud.web.analyze_api",
    "jobs": "cloud.web.jobs_api",
    "replays": "cloud.web.replays_api",
    "pipelines": "cloud.web.pipelines_api",
    "models": "cloud.web.status_api",
    "routes": "cloud.web.status_api",
    "drift": "cloud.web.status_api",
    "health": "cloud.web.health_api",
    "rights": "cloud.web.rights_api",
    "openapi.json": "cloud.web.description_api",
}


def operations() -> list[Operation]:
    """All operations of the API."""
    return [operation for module in dict.fromkeys(MODULES.values()) for operation in _of(module)]


def _of(module: str) -> tuple[Operation, ...]:
    declared: tuple[Operation, ...] = import_module(module).OPERATIONS
    return declared


def answer_api(request: func.HttpRequest, method: str, path: str, rights: frozenset[str]) -> func.HttpResponse:
    """The answer to a request of the API; a problem document for any error.

    path: below the app's prefix, such as "v1/uploads". rights: those that the caller has.
    """
    try:
        return _answer(request, method, path, rights)
    except Exception as error:  # noqa: BLE001 - as the router: the host would answer a bare 500
        return refusal(f"{method} {path[:200]}", error)


def _answer(request: func.HttpRequest, method: str, path: str, rights: frozenset[str]) -> func.HttpResponse:
    found, name = find("GET" if method == "HEAD" else method, path)
    if found.right not in rights:
        raise Forbidden(f"{method} {found.template} needs the right {found.right!r}, which this key has not")
    if found.changes and current().read_only:
        raise Forbidden("this app is read-only (READ_ONLY): it changes nothing that it is asked for over HTTP")
    _refuse_packed(request)
    query: Any = read_parameters(request, found.query)
    answer = found.body(Call(request, name, query))
    return _without_body(answer) if method == "HEAD" else answer


def _refuse_packed(request: func.HttpRequest) -> None:
    """Raises UnsupportedMedia for a body that came packed: some hosts unpack it and leave the header, others do not."""
    coding = request.headers.get("Content-Encoding", "").strip()
    if coding.lower() not in ("", "identity"):
        raise UnsupportedMedia(
            f"the body is packed (Content-Encoding: {coding[:100]}), expected as it is; send it so, without that header"
        )


def find(method: str, path: str) -> tuple[Operation, str]:
    """The operation of a path, and the name in it. Raises NotFound, MethodNotAllowed."""
    subject = (path.split("/") + [""])[1]
    if subject not in MODULES:
        raise NotFound(f"the API has no {path[:100]!r}{nearest(path[:100], [f'v1/{known}' for known in MODULES])}")
    there = _of(MODULES[subject])
    matches = [(each, name) for each in there if (name := each.match(path)) is not None]
    fitting = [(each, name) for each, name in matches if each.method == method]
    if fitting:
        return fitting[0]
    if matches:
        allowed = sorted({each.method for each, _ in matches})
        raise MethodNotAllowed(
            f"{method} is not for {matches[0][0].template}, which takes {', '.join(allowed)}",
            headers={"Allow": ", ".join(allowed)},
        )
    raise NotFound(f"the API has no {path[:100]!r}{nearest(path[:100], {each.template for each in there})}")


def _without_body(answer: func.HttpResponse) -> func.HttpResponse:
    """The answer to HEAD: as GET's, without its body."""
    body = answer.get_body()
    if body:
        answer.headers["Content-Length"] = str(len(body))
    return func.HttpResponse(
        status_code=answer.status_code, headers=dict(answer.headers), mimetype=answer.mimetype, charset=answer.charset
    )


def _keyed(right: Right) -> Callable[[func.HttpRequest], func.HttpResponse]:
    """The body of the function whose key is this right: the host has checked the key."""
    base = "operate" if right == "operate_actions" else "v1"

    def body(request: func.HttpRequest) -> func.HttpResponse:
        path = f"{base}/{request.route_params.get('path') or ''}"
        return answer_api(request, request.method, path, frozenset({right}))

    return body


read = _keyed("read")
contribute = _keyed("contribute")
operate = _keyed("operate")
operate_actions = _keyed("operate_actions")
