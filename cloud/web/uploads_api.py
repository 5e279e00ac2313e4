"""Uploads over HTTP: listed, told about, written, and deleted with all that came of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import azure.functions as func

from cloud.index.default import default_index, note_waiting
from cloud.index.entry import Query, State
from cloud.instance import default_videos, default_worker
from cloud.settings import UPLOADS
from cloud.storage.containers import BlobInfo, Conflict, guess_type
from cloud.uploads.forget import Forgetter, report_of
from cloud.uploads.intake import is_paused
from cloud.uploads.names import forms_of
from cloud.uploads.upload_worker import UploadWorker
from cloud.web.answers import ForgottenDoc, JobDoc, UploadDoc, UploadListDoc, WrittenDoc
from cloud.web.blob_answers import is_known
from cloud.web.operations import Call, Header, NoQuery, Takes, operation
from cloud.web.parameters import parameter
from cloud.web.problems import NotFound, PreconditionFailed
from cloud.web.router import SAFE, json_answer
from cloud.web.upload_items import item_of
from cloud.web.upload_names import upload_name
from cloud.web.upload_state import upload_state
from inference.clutter import is_clutter
from inference.errors import BadRequest, LimitExceeded
from inference.results.strict_json import json_bytes
from inference.routes_file import sidecar_target
from inference.tables import nearest

# No library signs what is beyond ASCII: it answers that the account's key is wrong.
_MEDIA_TYPE = re.compile(r"[!#$&^_.+\w-]+/[!#$&^_.+*\w-]+(?:[ \t]*;[\x20-\x7e]*)?", re.ASCII)


@dataclass(frozen=True)
class ListQuery:
    """The parameters of GET v1/uploads. Every filter holds at once."""

    folder: str = parameter("", "The beginning of names, with its slash: `street/`.")
    state: State | None = parameter(None, "Only uploads in this state.")
    route: str = parameter("", "Only those of this route.")
    task: str = parameter("", "Only those with a step of this task, such as `object-detection`.")
    label: str = parameter("", "Only those in whose result this label is.")
    min_score: float | None = parameter(None, "Its least score; without `label`: of any label.", low=0, high=1)
    model: str = parameter("", "Only those that this model has seen.")
    since: datetime | None = parameter(None, "Uploaded at this moment or later.")
    until: datetime | None = parameter(None, "Uploaded before this moment.")
    cursor: str = parameter("", "Where the list goes on: `next` of the page before.")
    limit: int = parameter(60, "How many uploads a page has at most.", low=1, high=200)


@dataclass(frozen=True)
class PutQuery:
    """The parameters of PUT v1/uploads/{name}."""

    route: str = parameter("", "The route by which it is analysed, whatever its name is.")


@dataclass(frozen=True)
class DeleteQuery:
    """The parameters of DELETE v1/uploads/{name}."""

    dry_run: bool = parameter(False, "Only says what would be deleted.")


@operation(
    "GET",
    "v1/uploads",
    {200: UploadListDoc, 304: None},
    query=ListQuery,
    headers={"If-None-Match": "The ETag of the list that the caller has."},
    gives=dict.fromkeys((200, 304), {"ETag": Header("The same as long as the list is.")}),
)
def list_uploads(call: Call[ListQuery]) -> func.HttpResponse:
    """Uploads, the newest first, a page at a time. Where filters leave out much, a page ends before it is full, or with
    nothing: only `next` null is the end of the list."""
    asked = call.query
    query = Query(
        asked.folder, asked.state, asked.route, asked.task, asked.label, asked.min_score, asked.model, asked.since,
        asked.until,
    )  # fmt: skip
    page = default_index().page(query, asked.cursor or None, asked.limit)
    document: UploadListDoc = {
        "items": [item_of(entry) for entry in page.entries],
        "next": page.next,
        "unfiltered": list(page.unfiltered),
    }
    etag = hashlib.sha256(json_bytes(document)).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if is_known(call.request, etag):
        return func.HttpResponse(status_code=HTTPStatus.NOT_MODIFIED, headers={**SAFE, **headers})
    return json_answer(document, headers=headers)


@operation(
    "GET",
    "v1/uploads/{name}",
    {200: UploadDoc},
    gives={200: {"Retry-After": Header("Ask again after so many seconds; none where all is told.", always=False)}},
)
def read_upload(call: Call[NoQuery]) -> func.HttpResponse:
    """An upload: its state, and its result or why it has none. One that failed is no error of this request."""
    name, worker = upload_name(call.name), default_worker()
    document = upload_state(worker.storage, worker.ledger, name, paused=is_paused(worker.settings), job_of=_job)
    if document is None:
        raise NotFound(f"there is no upload {name[:100]!r}", members={"state": "unknown"})
    after = document["retry_after_s"]
    return json_answer(document, headers={} if after is None else {"Retry-After": str(after)})


def _job(job_id: str) -> JobDoc | None:
    jobs = default_videos().jobs
    job = jobs.read(job_id)
    return cast(JobDoc, jobs.describe(job)) if job else None


@operation(
    "PUT",
    "v1/uploads/{name}",
    {200: WrittenDoc, 201: WrittenDoc},
    query=PutQuery,
    takes=Takes({"application/octet-stream": None}),
    headers={
        "If-None-Match": "`*`: only where there is no upload of that name.",
        "If-Match": "The `etag` of the version that is replaced.",
    },
    gives=dict.fromkeys((200, 201), {"ETag": Header("Of the new version."), "Location": Header("Of the upload.")}),
)
def write_upload(call: Call[PutQuery]) -> func.HttpResponse:
    """Uploads a file as it is; it is analysed as if it had been put into the container `uploads`. Any Content-Type is
    taken, and kept."""
    name, worker, request = upload_name(call.name, new=True), default_worker(), call.request
    _check_upload(request, name, worker)
    before = worker.storage.head(UPLOADS, name)
    conditions, metadata = _conditions(request, before), _metadata(call.query.route, worker)
    content, kind = request.get_body(), _kind(request, name)
    try:
        etag = worker.storage.write(UPLOADS, name, content, content_type=kind, metadata=metadata, **conditions)
    except Conflict:
        raise PreconditionFailed(f"{name!r} is in another version than the request says; look again") from None
    after = worker.storage.head(UPLOADS, name)
    created = after.modified if after else worker.storage.date()
    if not sidecar_target(name):
        note_waiting(name, etag, created)  # lists show it before anybody has begun with it
    document: WrittenDoc = {
        "name": name,
        "etag": etag,
        "created": created.isoformat(),
        "replaced": before is not None,
    }
    location = quote(request.url.partition("?")[0], safe=":/%[]@!$&'()*+,;=~")
    headers = {"Location": location, "ETag": f'"{etag}"'}
    return json_answer(document, HTTPStatus.OK if before else HTTPStatus.CREATED, headers)


def _check_upload(request: func.HttpRequest, name: str, worker: UploadWorker) -> None:
    """Raises BadRequest or LimitExceeded for what is not written."""
    size, limit = len(request.get_body()), worker.settings.max_request_bytes
    if not size:
        raise BadRequest("the body is empty; send the file itself, as curl -T photo.jpg does")
    if request.headers.get("Content-Type", "").strip().lower().startswith("multipart/"):
        raise BadRequest("this is a form; send the file itself as the body, as curl -T photo.jpg does")
    if request.headers.get("Content-Range"):
        raise BadRequest("this is a part of a file (Content-Range); send the whole, as curl -T does without -C")
    if is_clutter(name):
        raise BadRequest(f"{name!r} is what other programs leave behind, and is never analysed; give it another name")
    if size > limit:
        address = worker.storage.address(UPLOADS, name)
        raise LimitExceeded(
            f"the body has {size:,} bytes, at most {limit:,} are taken here; larger files go straight into storage, "
            f'after azcopy login: azcopy copy "{name.rpartition("/")[2]}" "{address}"'
        )


def _kind(request: func.HttpRequest, name: str) -> str:
    """The content type as the caller says it, or as the name does. Raises BadRequest for what is none."""
    given = request.headers.get("Content-Type", "").strip()
    if given and (len(given) > 255 or not _MEDIA_TYPE.fullmatch(given)):
        raise BadRequest(f"Content-Type is {given[:100]!r}, expected such as image/jpeg, or none")
    of_curl = given.lower().startswith("application/x-www-form-urlencoded")  # which it says of any body
    return guess_type(name) if of_curl or not given else given


def _conditions(request: func.HttpRequest, before: BlobInfo | None) -> dict[str, Any]:
    """What has to hold when the upload is written. Raises BadRequest, PreconditionFailed."""
    absent, match = (request.headers.get(header, "").strip() for header in ("If-None-Match", "If-Match"))
    if absent and match:
        raise BadRequest("both If-None-Match and If-Match are given; give one of them")
    if absent and absent != "*":
        raise BadRequest(f"If-None-Match is {absent[:100]!r}, expected *: only where there is no such upload")
    if absent:
        return {"if_absent": True}
    if not match:
        return {}
    if before is None or match not in ("*", f'"{before.etag}"'):
        there = f"its ETag is {before.etag!r}" if before else "there is no such upload"
        raise PreconditionFailed(f"If-Match is {match[:100]!r}, and {there}")
    return {"if_match": before.etag}


def _metadata(route: str, worker: UploadWorker) -> dict[str, str]:
    """What names the route of an upload. Raises BadRequest where there is no such route."""
    if not route:
        return {}
    known = [entry.name for entry in worker.planner.routes.entries]
    if route not in known:
        raise BadRequest(f"no route is called {route[:100]!r}{nearest(route[:100], known)}")
    return {"dropsight_route": route}


@operation("DELETE", "v1/uploads/{name}", {200: ForgottenDoc}, query=DeleteQuery)
def delete_upload(call: Call[DeleteQuery]) -> func.HttpResponse:
    """Forgets an upload and all that came of it, and says what that was; `python -m cloud forget` takes many."""
    name = upload_name(call.name)
    forgetter = Forgetter(default_worker().storage, dry_run=call.query.dry_run, index=default_index())
    found = list(forgetter.run(forms_of(name)))
    if not found:
        raise NotFound(f"there is no upload {name[:100]!r}, and nothing that came of it")
    return json_answer(report_of(found, forgetter))


OPERATIONS = (list_uploads, read_upload, write_upload, delete_upload)
