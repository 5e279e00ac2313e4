"""The bodies of the HTTP functions: analyze a picture, read results, follow and cancel the job of a long video."""

from __future__ import annotations

import contextlib
from http import HTTPStatus

import azure.functions as func

from cloud.instance import default_videos, default_worker
from cloud.places import NoPlace
from cloud.settings import RESULTS
from cloud.storage.containers import guess_type
from cloud.storage.paths import requested_path
from cloud.uploads.intake import is_paused
from cloud.uploads.publish import RESULT, result_path
from cloud.web.no_result import no_result
from cloud.web.router import SAFE, json_answer
from inference.errors import BadRequest, LimitExceeded, ServiceBusy, UnsupportedMedia
from inference.image.sniff import sniff
from inference.results.result import Source, new_trace


def analyze(request: func.HttpRequest) -> func.HttpResponse:
    """POST /api/analyze[?route=NAME][&name=FILE]: picture in the body, result document out. Nothing is stored."""
    worker = default_worker()
    worker.refresh_models()
    body, limit = request.get_body(), worker.settings.max_request_bytes
    source = Source(name=request.params.get("name", ""), bytes=len(body))
    if len(body) > limit:
        raise LimitExceeded(
            f"the body has {len(body):,} bytes, at most {limit:,} are taken here; put larger files into the "
            "container uploads"
        )
    if not sniff(body).startswith("image/"):
        raise UnsupportedMedia("this is a video, expected a picture: put videos into the container uploads")
    try:
        with worker.places.take("picture"):
            route = worker.planner.route(source.name or "request", request.params.get("route"))
            analysis = worker.analyze(body, route, source, new_trace(), artifacts=False)
    except NoPlace as error:
        raise ServiceBusy(str(error)) from error  # the class that callers know
    return json_answer(analysis.result.to_json())


def results(request: func.HttpRequest) -> func.HttpResponse:
    """GET /api/results/{*path}: a file of the container `results`; for an upload's path, its document."""
    requested = request.route_params.get("path") or ""
    path = requested_path(requested)
    if path is None:
        return _problem(HTTPStatus.BAD_REQUEST, f"{requested!r} is not the path of a result")
    worker = default_worker()
    for name in _places(path):
        reading = worker.storage.open(RESULTS, name)
        if reading is not None:
            try:
                body = reading.read(worker.settings.max_request_bytes)
            except LimitExceeded as error:
                raise LimitExceeded(f"{error}, or read it from storage") from error
            headers = {**SAFE, "ETag": f'"{reading.info.etag}"'}
            return func.HttpResponse(body, status_code=200, mimetype=guess_type(name), headers=headers)
    return no_result(worker.storage, worker.ledger, path, paused=is_paused(worker.settings)).answer()


def _places(path: str) -> list[str]:
    """Where what is asked for may lie: as it was asked for, or as the result of the upload of that name."""
    places = [path, f"{path}/{RESULT}"]
    with contextlib.suppress(LimitExceeded):  # a name for whose results there is no room
        places += [result_path(path)] * (result_path(path) not in places)
    return places


def jobs(request: func.HttpRequest) -> func.HttpResponse:
    """GET, DELETE /api/jobs/{id} or /api/jobs?name=UPLOAD: how far the job of a long video is; DELETE cancels it."""
    videos = default_videos()
    requested, name = request.route_params.get("id") or "", request.params.get("name", "")
    if requested and name:
        raise BadRequest("both an id and ?name= are given; ask by one of them")
    if not requested and name and (stored := videos.ledger.read(name)):
        requested = stored.receipt.job or ""
    job = videos.jobs.read(requested)
    if job is None:
        return _problem(
            HTTPStatus.NOT_FOUND,
            f"there is no job {requested or name!r}; ask by its id, or by ?name= of an upload that is being analysed",
        )
    if request.method == "DELETE":
        videos.cancel(job)
        job = videos.jobs.read(job.id) or job
    return json_answer(videos.jobs.describe(job))


def _problem(status: HTTPStatus, message: str) -> func.HttpResponse:
    return json_answer({"status": "error", "error": {"class": status.name, "message": message}}, status)
