"""What the pages use of the rest of the app, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import azure.functions as func

from cloud.index.default import default_index
from cloud.index.entry import Entry, Index
from cloud.machine_paths import text_without_paths
from cloud.settings import UPLOADS, BadSettings, current
from cloud.storage.containers import Storage, default_storage
from cloud.uploads.intake import is_paused
from cloud.web import session, shown, signing
from cloud.web.api_router import answer_api
from cloud.web.no_result import why_none
from cloud.web.session import Session
from cloud.web.similar import SimilarUploads, read_vector, similar_uploads
from inference.errors import DropsightError

READ, CONTRIBUTE, OPERATE, ACT = "read", "contribute", "operate", "operate_actions"


@dataclass(frozen=True)
class UploadState:
    """Where an upload stands. state: as NoResult has it; `result_deleted` for one that is done, whether its result is
    there or not. etag: of the upload that is there now, "" without one. job: of a long video, share: of its work that
    is done, as far as they are known."""

    state: str
    message: str
    etag: str = ""
    job: str = ""
    share: float | None = None


def session_of(request: func.HttpRequest) -> Session:
    """The session of a request, by its cookie."""
    return session.session_of(request)


def check_origin(request: func.HttpRequest) -> None:
    """Raises Forbidden for a change that another site's page asks for."""
    session.check_origin(request)


def media_address(kind: signing.Kind, path: str, **options: Any) -> str:
    """The signed address of a picture or video, relative to the app's root."""
    return signing.media_address(kind, path, **options)


def thumbnail_address(entry: Entry) -> str:
    """The signed address of an upload's small picture, relative to the app's root; "" where there can be none."""
    return shown.thumbnail_address(entry) or ""


def index() -> Index:
    """The index of uploads."""
    return default_index()


def call_api(request: func.HttpRequest, method: str, path: str, rights: frozenset[str]) -> func.HttpResponse:
    """The API's answer to a caller with these rights."""
    return answer_api(request, method, path, rights)


def similar_to(name: str) -> SimilarUploads | None:
    """The uploads most like one; None where that has no vector to compare."""
    own = read_vector(storage(), name)
    return similar_uploads(storage(), index(), own, name) if own else None


def storage() -> Storage:
    """The storage account of this process."""
    return default_storage()


def largest_upload() -> int:
    """How many bytes an upload by HTTP may have."""
    return current().max_request_bytes


def licence_of(model: str) -> str:
    """The licence of a model that is here; "" of others."""
    from cloud.instance import default_worker

    try:
        manifest = default_worker().registry.entry(model).manifest
    except (DropsightError, BadSettings):  # it was taken away since, or the app cannot be used: results stay
        return ""
    return manifest.licence if manifest else ""


def labels_of(model: str) -> tuple[str, ...]:
    """The labels of a model that is here, in order; none of others."""
    from cloud.instance import default_worker

    try:
        manifest = default_worker().registry.entry(model).manifest
    except (DropsightError, BadSettings):
        return ()
    return tuple(manifest.labels) if manifest else ()


def hides(route: str) -> bool:
    """Whether a route makes something unrecognisable in all that is published; True where nobody knows the route: then
    what it has published is safe to show, and the original may not be."""
    from cloud.instance import default_worker

    try:
        found = next((each for each in default_worker().planner.routes.routes if each.name == route), None)
    except (DropsightError, BadSettings):
        return True
    return found is None or bool(found.draw.blur)


def state_of(name: str) -> UploadState:
    """Where an upload stands; two calls."""
    from cloud.instance import default_worker

    worker = default_worker()
    upload, stored = worker.storage.head(UPLOADS, name), worker.ledger.read(name)
    found = why_none(upload, stored, name, paused=is_paused(worker.settings))
    job = stored.receipt.job if stored and stored.receipt.state == "job" else None
    share = stored.receipt.share if stored and found.state == "working" else None
    return UploadState(found.state, text_without_paths(found.message), upload.etag if upload else "", job or "", share)
