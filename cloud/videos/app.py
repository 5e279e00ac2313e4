"""The bodies of the functions for split videos: queues and HTTP."""

from __future__ import annotations

import logging

import azure.functions as func

from cloud.storage import to_bytes
from cloud.uploads import default_worker
from inference.errors import Transient

from .messages import JOB_ID, Message
from .worker import Videos

log = logging.getLogger(__name__)


def videos() -> Videos:
    """Those of this process."""
    found = default_worker().videos
    assert found
    return found


def on_message(text: str, attempt: int) -> None:
    """A message of `segments`, `merges` or `renders`. Raises what may pass."""
    if message := _parsed(text):
        videos().deliver(message, attempt)


def on_poison(text: str, attempt: int) -> None:
    """A message that the host gave up."""
    if message := _parsed(text):
        videos().poison(message)


def _parsed(text: str) -> Message | None:
    try:
        return Message.parse(text)
    except ValueError as error:
        log.error("%s: dropped", error)  # no attempt would make it another one
        return None


def jobs(request: func.HttpRequest) -> func.HttpResponse:
    """GET, DELETE /api/jobs/{id} or /api/jobs?name=UPLOAD: how far the job of a long video is; DELETE cancels it."""
    try:
        return _jobs(request)
    except Transient as error:
        return _json(503, {"status": "error", "error": {"class": "SERVICE_UNAVAILABLE", "message": str(error)}})


def _jobs(request: func.HttpRequest) -> func.HttpResponse:
    here = videos()
    asked, name = request.route_params.get("id") or "", request.params.get("name", "")
    if not asked and name and (found := here.ledger.read(name)):
        asked = found[0].job or ""
    job = here.jobs.read(asked) if JOB_ID.fullmatch(asked) else None
    if job is None:
        message = f"there is no job {asked or name!r}; ask by its id, or by ?name= of an upload that is being analysed"
        return _json(404, {"status": "error", "error": {"class": "NOT_FOUND", "message": message}})
    if request.method == "DELETE":
        here.cancel(job)
        job = here.jobs.read(job.id) or job
    return _json(200, here.told(job))


def _json(status: int, document: object) -> func.HttpResponse:
    return func.HttpResponse(to_bytes(document), status_code=status, mimetype="application/json")
