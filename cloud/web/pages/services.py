"""What the pages use of the rest of the app, each looked up when a request needs it."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

import azure.functions as func

from cloud.index.entry import Entry, Index
from cloud.settings import BadSettings, current
from cloud.storage.containers import Storage, default_storage
from inference.errors import DropsightError

READ, CONTRIBUTE, OPERATE, ACT = "read", "contribute", "operate", "operate_actions"


class Session(Protocol):
    """Who asks. rights: names of the functions whose right they have. asks_key: False where nobody is asked."""

    @property
    def rights(self) -> frozenset[str]: ...
    @property
    def signed_in(self) -> bool: ...
    @property
    def asks_key(self) -> bool: ...


def session_of(request: func.HttpRequest) -> Session:
    """The session of a request, by its cookie."""
    session: Session = _of("cloud.web.session", "session_of")(request)
    return session


def check_origin(request: func.HttpRequest) -> None:
    """Raises Forbidden for a change that another site's page asks for."""
    _of("cloud.web.session", "check_origin")(request)


def media_address(kind: str, path: str, **options: Any) -> str:
    """The signed address of a picture or video, relative to the app's root."""
    return str(_of("cloud.web.signing", "media_address")(kind, path, **options))


def thumbnail_address(entry: Entry) -> str:
    """The signed address of an upload's small picture; another one for another picture."""
    version = _of("cloud.web.shown", "thumbnail_version")(
        entry.etag, entry.folder, blurred=entry.blurred, media_type=entry.media_type
    )
    return media_address("thumbnails", entry.name, version=version)


def index() -> Index:
    """The index of uploads."""
    found: Index = _of("cloud.index.default", "default_index")()
    return found


def call_api(request: func.HttpRequest, method: str, path: str, rights: frozenset[str]) -> func.HttpResponse:
    """The API's answer to a caller with these rights."""
    answer: func.HttpResponse = _of("cloud.web.api_router", "answer_api")(request, method, path, rights)
    return answer


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


def why_none(name: str) -> tuple[str, str]:
    """The state of an upload without a result or error record, and a sentence about it."""
    from cloud.instance import default_worker
    from cloud.uploads.intake import is_paused
    from cloud.web.no_result import no_result

    worker = default_worker()
    found = no_result(worker.storage, worker.ledger, name, paused=is_paused(worker.settings))
    return found.state, found.message


def _of(module: str, name: str) -> Any:
    return getattr(import_module(module), name)
