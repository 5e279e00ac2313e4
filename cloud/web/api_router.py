"""The API: finds the operation that a request is for, checks its right, reads its parameters, calls its body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import azure.functions as func

from cloud.settings import current
from cloud.web import (
    analyze_api,
    jobs_api,
    pipelines_api,
    replays_api,
    results_api,
    status_api,
    uploads_api,
)
from cloud.web.openapi import document
from cloud.web.operations import Call, NoQuery, Operation, Right, operation
from cloud.web.parameters import read_parameters
from cloud.web.problems import Forbidden, MethodNotAllowed, NotFound
from cloud.web.router import json_answer, refusal
from inference.tables import nearest


@operation("GET", "v1/openapi.json", {200: dict[str, Any]})
def read_openapi(call: Call[NoQuery]) -> func.HttpResponse:
    """The OpenAPI document of this API."""
    # As it is asked for, below whatever prefix.
    path = call.request.url.partition("?")[0].partition("://")[2].partition("/")[2]
    prefix = path.removesuffix("v1/openapi.json").strip("/")
    return json_answer(document(OPERATIONS, f"/{prefix}" if prefix else "/"))


OPERATIONS: tuple[Operation, ...] = (
    *uploads_api.OPERATIONS,
    *results_api.OPERATIONS,
    *analyze_api.OPERATIONS,
    *jobs_api.OPERATIONS,
    *replays_api.OPERATIONS,
    *pipelines_api.OPERATIONS,
    *status_api.OPERATIONS,
    read_openapi,
)


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
    query: Any = read_parameters(request, found.query)
    answer = found.body(Call(request, name, query))
    return _without_body(answer) if method == "HEAD" else answer


def find(method: str, path: str) -> tuple[Operation, str]:
    """The operation of a path, and the name in it. Raises NotFound, MethodNotAllowed."""
    matches = [(each, name) for each in OPERATIONS if (name := each.match(path)) is not None]
    fitting = [(each, name) for each, name in matches if each.method == method]
    if fitting:
        return fitting[0]
    if matches:
        allowed = sorted({each.method for each, _ in matches})
        raise MethodNotAllowed(
            f"{method} is not for {matches[0][0].template}; {', '.join(allowed)} is",
            headers={"Allow": ", ".join(allowed)},
        )
    known = {each.template.partition("/{")[0] for each in OPERATIONS}
    raise NotFound(f"the API has no {path[:100]!r}{nearest(path[:100], known)}")


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
