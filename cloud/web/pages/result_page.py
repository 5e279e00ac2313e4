"""The page of one upload: its picture or video and what is in it, why it failed, or what it waits for."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import azure.functions as func

from cloud.index.entry import Query
from cloud.settings import ERRORS, RESULTS
from cloud.storage.paths import output_path, requested_path
from cloud.uploads.publish import error_path, result_path
from cloud.web.pages import services
from cloud.web.pages.filters import address_of, query_of
from cloud.web.pages.lanes import ZONE_WORDS
from cloud.web.pages.media_view import media_view
from cloud.web.pages.neighbours import Place, place_of
from cloud.web.pages.panel import File, LabelRow, facts, label_rows, step_rows
from cloud.web.pages.readable import readable
from cloud.web.pages.render import Frame, in_path, page
from cloud.web.pages.shapes import Shape, shapes_of
from cloud.web.similar import vector_step
from inference.errors import CorruptMedia, DropsightError, LimitExceeded
from inference.results.check import checked_result
from inference.results.hidden import is_hidden as says_hidden

Row = Mapping[str, Any]
_MOST_BYTES = 64 * 1024 * 1024
EXPORTS = {"csv": "CSV", "coco": "COCO", "jsonl": "JSON lines"}
# What a reader of a page is told of an upload that has neither a result nor an error record.
TITLES = {
    "waiting": "Waiting", "working": "At work", "cancelled": "Cancelled", "deleted": "Deleted",
    "result_deleted": "Its result was deleted", "failed": "Failed", "ignored": "Not analysed", "unknown": "Not here",
}  # fmt: skip


def result_page(request: func.HttpRequest, frame: Frame, asked: str) -> func.HttpResponse:
    """The page of the upload `asked`; 404 where there is none of that name."""
    name = requested_path(asked)
    query, cursor = query_of(request.params), request.params.get("cursor") or None
    if name is None:
        return page(
            "problem.html", frame, 404, title="Not here", message=f"{asked[:200]!r} is no upload's name", retry=""
        )
    frame = Frame(frame.path, frame.session, address_of(query, cursor=cursor or ""))
    common, place = _common(frame, name), _place(query, cursor, name, frame)
    state, document = services.state_of(name), read_result(name)
    if document and state.etag not in ("", document["source"]["etag"]):
        document = None  # it is about what was there before
    if state.state == "failed" and (record := _read_record(name)):
        return page("failed.html", frame, **common, **failed_view(record, place, frame, name), place=place)
    if document:
        return page("result.html", frame, **common, **view(document, place, frame, name, state), place=place)
    status = 404 if state.state in ("unknown", "deleted") else 200
    return page(
        "pending.html", frame, status, **common, place=place, state=state.state, title=TITLES[state.state],
        message=_at_work(state) or state.message, live=state.state in ("waiting", "working"), share=state.share,
        job=f"{frame.home}v1/jobs/{state.job}" if state.state == "working" and state.job else "",
    )  # fmt: skip


def _at_work(state: services.UploadState) -> str:
    """What is being done with an upload, for people: the API's message says how programs ask for more."""
    if state.state != "working":
        return ""
    what = "It is a long video, which is worked on in parts" if state.job else "It is being worked on"
    return what if state.share is None else f"{what}: {state.share:.0%} done"


def _common(frame: Frame, name: str) -> dict[str, Any]:
    end = in_path(name)
    return {
        "name": name,
        "list": frame.home + frame.query,
        "delete": f"{frame.home}delete/{end}" if frame.may(services.OPERATE) else "",
        "replay": f"{frame.home}replay/{end}{frame.query}" if frame.may(services.ACT) else "",
        "twin": f"{frame.home}v1/uploads/{end}",
    }


def read_result(name: str) -> Row | None:
    """The result document of an upload. Raises CorruptMedia for what is none."""
    try:
        place = result_path(name)
    except LimitExceeded:  # a name for whose results there is no room
        return None
    stored = services.storage().read(RESULTS, place, _MOST_BYTES)
    if stored is None:
        return None
    try:
        return checked_result(json.loads(stored[0]))
    except (ValueError, RecursionError) as error:
        raise CorruptMedia(f"the result of {name!r} cannot be read: {error}; have it analysed again") from error


def _read_record(name: str) -> Row | None:
    stored = services.storage().read(ERRORS, error_path(name), _MOST_BYTES)
    try:
        record = json.loads(stored[0]) if stored else None
    except (ValueError, RecursionError):
        record = {}
    return record if isinstance(record, dict) else None


def _place(query: Any, cursor: str | None, name: str, frame: Frame) -> Place:
    """A list that cannot be had costs the arrows to the neighbours, and not the page."""
    try:
        return place_of(services.index(), query, cursor, name, frame)
    except DropsightError:
        return Place()


def view(document: Row, place: Place, frame: Frame, name: str, state: services.UploadState) -> dict[str, Any]:
    """What the template is given for a result."""
    document = readable(document)
    hidden = is_hidden(document, place) or not state.etag
    shapes = shapes_of(document)
    rows = label_rows(document, shapes)
    return {
        "media": media_view(document, shapes, frame, name, hidden),
        "rows": rows,
        "objects": shapes,
        "steps": step_rows(document, services.licence_of),
        "facts": facts(document),
        "notes": [*document["notes"], *([str(document["sound"])] if document.get("sound") else ())],
        "files": files_of(document, frame, name, hidden),
        "exports": [File(title, f"{frame.home}export/{form}/{in_path(name)}") for form, title in EXPORTS.items()],
        "others": [File(row.label, frame.home + address_of(Query(label=row.label))) for row in rows if _is_sure(row)],
        "similar": f"{frame.home}similar/{in_path(name)}" if vector_step(document) else "",
        "state": _in_words(state),
        "partial": document.get("status") == "partial",
        "broken": document["broken"],
        "zones": document["zones"],
        "zone_words": defaultdict(str, ZONE_WORDS),
        "counts": any(row.count is not None for row in rows),
        "json": frame.media(services.media_address("results", result_path(name))),
        "start": start_of(document),
        "floor": floor_of(document, shapes),
        "only_numbers": bool(document["steps"]) and all("embedding" in step for step in document["steps"]),
    }  # fmt: skip


def _is_sure(row: LabelRow) -> bool:
    """Whether lists can be searched for a label: not for guesses, nor for what a picture is covered by."""
    return row.kind == "scene" or (row.kind == "object" and bool(row.count))


def _in_words(state: services.UploadState) -> str:
    """What is to be said of an upload beside its result; "" of one that is simply done."""
    if state.state in ("waiting", "working"):
        return f"It is to be analysed again: {state.message}."
    return f"{state.message}." if state.state in ("cancelled", "deleted") else ""


def is_hidden(document: Row, place: Place) -> bool:
    """Whether the original is not shown: the document, the list or else the route says so."""
    if says_hidden(document):
        return True
    return place.entry.blurred if place.entry else services.hides(str(document.get("route") or ""))


def files_of(document: Row, frame: Frame, name: str, hidden: bool) -> list[File]:
    """The artifacts by their names, and the original where nothing of it is hidden."""
    own = [] if hidden else [File("original", frame.media(services.media_address("uploads", name)))]
    return own + [
        File(kind, frame.media(services.media_address("results", f"{output_path(name)}/{path}")))
        for kind, path in document["artifacts"].items()
    ]


def start_of(document: Row) -> int:
    """Where the threshold's slider stands at first, in hundredths: at the lowest threshold of a step with scores."""
    limits = [float(step.get("threshold") or 0) for step in document["steps"] if step.get("threshold")]
    return round(100 * min(limits, default=0))


def floor_of(document: Row, shapes: Sequence[Shape]) -> int:
    """The least that the slider asks for, in hundredths: of a picture nothing below is kept. Of a video no one knows
    before all of its frames are read."""
    if "tracks" in document:
        return 0
    return min([start_of(document), *(int(100 * shape.score) for shape in shapes)])


def failed_view(record: Row, place: Place, frame: Frame, name: str) -> dict[str, Any]:
    """What the template is given for an error record."""
    error = record.get("error")
    error = error if isinstance(error, Mapping) else {}
    message = str(error.get("message") or "the record gives no reason").removeprefix(f"{name}: ")
    parts = [part.strip() for part in message.split("; ") if part.strip()]
    source = record.get("source") if isinstance(record.get("source"), Mapping) else {}
    hidden = place.entry is None or place.entry.blurred  # a record does not say by which route
    told: Row = {
        "source": source,
        "steps": [],
        **{key: record.get(key) for key in ("cost", "versions", "trace", "created")},
    }
    return {
        "parts": parts,
        "error_class": str(error.get("class") or ""),
        "permanent": bool(error.get("permanent")),
        "facts": facts(told),
        "original": "" if hidden else frame.media(services.media_address("uploads", name)),
        "json": f"{frame.home}v1/errors/{in_path(name)}",
    }
