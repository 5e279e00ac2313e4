"""Files of the containers `results` and `errors` over HTTP."""

from __future__ import annotations

import azure.functions as func

from cloud.instance import default_worker
from cloud.settings import ERRORS, RESULTS
from cloud.uploads.intake import is_paused
from cloud.uploads.publish import RESULT, error_path, result_path
from cloud.web.blob_answers import blob_answer
from cloud.web.no_result import no_result
from cloud.web.operations import Call, File, Header, NoQuery, operation
from cloud.web.problems import NotFound
from cloud.web.upload_names import upload_name
from inference.errors import LimitExceeded
from inference.results.document import ErrorDoc, ResultDoc

_HEADERS = {
    "Range": "A single range of bytes; at most 4 MiB of it are answered.",
    "If-Range": "The ETag or the date of the version of which the range is meant.",
    "If-None-Match": "The ETag of the version that the caller has.",
}
_VERSION = {
    "ETag": Header("Of this version, a strong one."),
    "Last-Modified": Header("When it was written."),
    "Accept-Ranges": Header("`bytes`, or `none` for what is stored packed."),
}
_PART = {"Content-Range": Header("Which bytes these are, of how many (`bytes 0-4194303/9437184`).")}
_GIVES = {200: _VERSION, 206: _VERSION | _PART, 304: _VERSION}
# Which it is says the name; generators of clients know the first as a file.
_ANY = File(("application/octet-stream", "*/*"))


@operation(
    "GET",
    "v1/results/{name}",
    {200: (ResultDoc, File(("*/*",))), 206: _ANY, 304: None},
    headers=_HEADERS,
    gives=_GIVES,
    also_head=True,
)
def read_result(call: Call[NoQuery]) -> func.HttpResponse:
    """A file of the container `results`; for an upload's name, its result document."""
    name, worker = upload_name(call.name), default_worker()
    for place in dict.fromkeys([*_as_given(call.name, name), f"{name}/{RESULT}", *_document(name)]):
        if found := _blob(call.request, RESULTS, place):
            return found
    raise no_result(worker.storage, worker.ledger, name, paused=is_paused(worker.settings)).error()


@operation(
    "GET",
    "v1/errors/{name}",
    {200: (ErrorDoc, File(("*/*",))), 206: _ANY, 304: None},
    headers=_HEADERS,
    gives=_GIVES,
    also_head=True,
)
def read_error(call: Call[NoQuery]) -> func.HttpResponse:
    """The error record of an upload, by the upload's name or by its path in the container `errors`."""
    name = upload_name(call.name)
    for place in dict.fromkeys([*_as_given(call.name, name), error_path(name)]):
        if found := _blob(call.request, ERRORS, place):
            return found
    raise NotFound(f"there is no error record {name[:100]!r}; GET v1/uploads/{{name}} says the state of an upload")


def _as_given(given: str, name: str) -> list[str]:
    """The blobs that are asked for by their own paths: with slashes for %2F, and as given, since our paths escape odd
    slashes so."""
    return [name, given] if given != name else [name]


def _document(name: str) -> list[str]:
    try:
        return [result_path(name)]
    except LimitExceeded:  # a name for whose results there is no room
        return []


def _blob(request: func.HttpRequest, container: str, name: str) -> func.HttpResponse | None:
    worker = default_worker()
    return blob_answer(request, worker.storage, container, name, most_bytes=worker.settings.max_request_bytes)


OPERATIONS = (read_result, read_error)
