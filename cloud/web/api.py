"""The bodies of the HTTP functions: analyze one picture, read results, follow and cancel the job of a long video."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import azure.functions as func

from cloud.instance import default_videos, default_worker
from cloud.settings import RESULTS
from cloud.storage.containers import guess_type, to_bytes
from cloud.storage.paths import requested_path
from cloud.uploads.publish import RESULT
from inference.errors import DropsightError, LimitExceeded, Transient, UnsupportedMedia
from inference.image.sniff import SNIFF_BYTES, sniff
from inference.results.result import Source, error_document, new_trace

log = logging.getLogger(__name__)

# Azure's load balancer gives up after 230 s.
_PATIENCE_S = 60.0
# What we serve was made from strangers' files: a browser must neither guess its type nor run it.
_SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


def analyze(request: func.HttpRequest) -> func.HttpResponse:
    """POST /api/analyze[?route=NAME][&name=FILE]: picture in the body, result document out. Nothing is stored."""
    trace = new_trace()
    source = Source(name=request.params.get("name", ""), bytes=len(request.get_body()))
    try:
        return _json(_analyze(request, source, trace))
    except DropsightError as error:
        log.warning("analyze: %s: %s (trace %s)", type(error).__name__, error, trace)
        return _json(error_document(source, error, trace), _status(error))


def _analyze(request: func.HttpRequest, source: Source, trace: str) -> dict[str, Any]:
    worker = default_worker()
    worker.refresh_models()
    body, limit = request.get_body(), worker.settings.max_request_bytes
    if len(body) > limit:
        raise LimitExceeded(
            f"the body has {len(body):,} bytes, at most {limit:,} are taken here; put larger files into the "
            "container uploads"
        )
    if not sniff(body[:SNIFF_BYTES]).startswith("image/"):
        raise UnsupportedMedia("found a video; here pictures are taken: put videos into the container uploads")
    with worker.place(_PATIENCE_S):
        route = worker.planner.route(source.name or "request", request.params.get("route"))
        analysis = worker.analyze(body, route, source, trace, artifacts=False)
    return analysis.result.to_json()


def _status(error: DropsightError) -> HTTPStatus:
    if isinstance(error, Transient):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, LimitExceeded):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if isinstance(error, UnsupportedMedia):
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return HTTPStatus.UNPROCESSABLE_ENTITY


def results(request: func.HttpRequest) -> func.HttpResponse:
    """GET /api/results/{*path}: a file of the container `results`; of an upload's path, its document."""
    requested = request.route_params.get("path") or ""
    path = requested_path(requested)
    if path is None:
        return _problem(HTTPStatus.BAD_REQUEST, f"{requested!r} is not the path of a result")
    worker = default_worker()
    try:
        for name in (path, f"{path}/{RESULT}"):
            reading = worker.storage.open(RESULTS, name)
            if reading is not None:
                body = reading.read(worker.settings.max_request_bytes)
                headers = {**_SAFE, "ETag": f'"{reading.info.etag}"'}
                return func.HttpResponse(body, status_code=200, mimetype=guess_type(name), headers=headers)
    except LimitExceeded as error:
        return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{error}, or read it from storage")
    except Transient as error:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    return _problem(HTTPStatus.NOT_FOUND, f"there is no result {path!r} (yet)")


def jobs(request: func.HttpRequest) -> func.HttpResponse:
    """GET, DELETE /api/jobs/{id} or /api/jobs?name=UPLOAD: how far the job of a long video is; DELETE cancels it."""
    try:
        return _jobs(request)
    except Transient as error:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


def _jobs(request: func.HttpRequest) -> func.HttpResponse:
    videos = default_videos()
    requested, name = request.route_params.get("id") or "", request.params.get("name", "")
    if not requested and name and (stored := videos.ledger.read(name)):
        requested = stored.receipt.job or ""
    job = videos.jobs.find(requested)
    if job is None:
        return _problem(
            HTTPStatus.NOT_FOUND,
            f"there is no job {requested or name!r}; ask by its id, or by ?name= of an upload that is being analysed",
        )
    if request.method == "DELETE":
        videos.cancel(job)
        job = videos.jobs.read(job.id) or job
    return _json(videos.describe(job))


def _json(document: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(to_bytes(document), status_code=status, mimetype="application/json", headers=_SAFE)


def _problem(status: HTTPStatus, message: str) -> func.HttpResponse:
    return _json({"status": "error", "error": {"class": status.name, "message": message}}, status)
