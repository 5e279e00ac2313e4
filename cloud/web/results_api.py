"""Files of the containers `results` and `errors` over HTTP."""

from __future__ import annotations

import contextlib

import azure.functions as func

from cloud.instance import default_worker
from cloud.settings import ERRORS, RESULTS
from cloud.storage.paths import requested_path
from cloud.uploads.intake import is_paused
from cloud.uploads.publish import RESULT, error_path, result_path
from cloud.web.blob_answers import blob_answer
from cloud.web.no_result import no_result
from cloud.web.operations import Call, File, NoQuery, operation
from cloud.web.problems import NotFound
from cloud.web.upload_names import decoded
from inference.errors import BadRequest, LimitExceeded
from inference.results.document import ErrorDoc, ResultDoc

_HEADERS = {
    "Range": "A single range of bytes; at most 4 MiB of it are answered.",
    "If-Range": "The ETag or the date of the version of which the range is meant.",
    "If-None-Match": "The ETag of the version that the caller has.",
}
# Which it is says the name; generators of clients know the first as a file.
_ANY = File(("application/octet-stream", "*/*"))


@operation(
    "GET",
    "v1/results/{name}",
    {200: (ResultDoc, File(("*/*",))), 206: _ANY, 304: None},
    headers=_HEADERS,
    also_head=True,
)
def read_result(call: Call[NoQuery]) -> func.HttpResponse:
    """A file of the container `results`; for an upload's name, its result document."""
    path, worker = _path(call.name), default_worker()
    for name in _places(path):
        if found := _blob(call.request, RESULTS, name):
            return found
    raise no_result(worker.storage, worker.ledger, path, paused=is_paused(worker.settings)).error()


@operation(
    "GET",
    "v1/errors/{name}",
    {200: (ErrorDoc, File(("*/*",))), 206: _ANY, 304: None},
    headers=_HEADERS,
    also_head=True,
)
def read_error(call: Call[NoQuery]) -> func.HttpResponse:
    """The error record of an upload, by the upload's name or by its path in the container `errors`."""
    path = _path(call.name)
    for name in dict.fromkeys((path, error_path(path))):
        if found := _blob(call.request, ERRORS, name):
            return found
    raise NotFound(f"there is no error record {path[:100]!r}; GET v1/uploads/{{name}} says the state of an upload")


def _path(given: str) -> str:
    path = requested_path(decoded(given))
    if path is None:
        raise BadRequest(f"{given[:100]!r} is not the path of a file; expected such as street/photo.jpg/result.json")
    return path


def _blob(request: func.HttpRequest, container: str, name: str) -> func.HttpResponse | None:
    worker = default_worker()
    return blob_answer(request, worker.storage, container, name, most_bytes=worker.settings.max_request_bytes)


def _places(path: str) -> list[str]:
    """Where what is asked for may lie: as it was asked for, or as the result of the upload of that name."""
    places = [path, f"{path}/{RESULT}"]
    with contextlib.suppress(LimitExceeded):  # a name for whose results there is no room
        places += [result_path(path)] * (result_path(path) not in places)
    return places


OPERATIONS = (read_result, read_error)
