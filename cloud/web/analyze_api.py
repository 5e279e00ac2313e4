"""POST v1/analyze: a picture in, its result document or its annotated picture out; nothing is stored."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Literal

import azure.functions as func

from cloud.instance import default_worker
from cloud.places import NoPlace
from cloud.storage.containers import guess_type
from cloud.web.answers import ImageAskedDoc
from cloud.web.envelopes import unwrapped
from cloud.web.operations import Call, File, Takes, operation
from cloud.web.parameters import parameter
from cloud.web.router import SAFE, json_answer
from inference.errors import BadRequest, LimitExceeded, ServiceBusy, UnsupportedMedia
from inference.image.sniff import sniff
from inference.results.document import ResultDoc
from inference.results.result import Source, new_trace
from inference.steps import Analysis


@dataclass(frozen=True)
class AnalyzeQuery:
    """The parameters of POST v1/analyze."""

    name: str = parameter("", "A name for the picture, by which its route is found: `street/a.jpg`.")
    route: str = parameter("", "The route by which it is analysed, whatever its name is.")
    artifacts: Literal["none", "annotated"] = parameter(
        "none",
        "`annotated`: the annotated picture, too. It is the answer itself where `Accept` asks for `image/*`, else it "
        "stands in the document's `artifacts.annotated` as a data: URL.",
    )


_TAKES = Takes(
    {
        "application/octet-stream": None,
        "application/json": ImageAskedDoc,
        "multipart/form-data": None,
    }
)


@operation(
    "POST",
    "v1/analyze",
    {200: (ResultDoc, File(("image/jpeg", "image/png")))},
    query=AnalyzeQuery,
    takes=_TAKES,
    stores_nothing=True,
)
def analyze(call: Call[AnalyzeQuery]) -> func.HttpResponse:
    """Analyses a picture and stores nothing. The body: the picture itself, the one file of a form, base64, a data: URL,
    or JSON with any of these; what it is decides its content, so that any Content-Type does."""
    worker = default_worker()
    worker.refresh_models()
    body, limit = call.request.get_body(), worker.settings.max_request_bytes
    if len(body) > limit:
        raise LimitExceeded(
            f"the body has {len(body):,} bytes, at most {limit:,} are taken here; put larger files into the "
            "container uploads"
        )
    envelope = unwrapped(body, call.request.headers.get("Content-Type", ""))
    if not sniff(envelope.content).startswith("image/"):
        raise UnsupportedMedia("this is a video, expected a picture: put videos into the container uploads")
    source = Source(name=call.query.name or envelope.name, bytes=len(envelope.content))
    wants = call.query.artifacts == "annotated"
    try:
        with worker.places.take("picture"):
            route = worker.planner.route(source.name or "request", call.query.route or None)
            analysis = worker.analyze(envelope.content, route, source, new_trace(), artifacts=wants)
    except NoPlace as error:
        raise ServiceBusy(str(error)) from error  # the class that callers know
    if not wants:
        return json_answer(analysis.result.to_json())
    return _with_picture(analysis, "image/" in call.request.headers.get("Accept", ""))


def _with_picture(analysis: Analysis, as_picture: bool) -> func.HttpResponse:
    """The annotated picture, or the document with it. Raises BadRequest where the route makes none."""
    pictures = {name: data for name, data in analysis.artifacts.items() if isinstance(data, bytes) and "/" not in name}
    name = next((n for n in ("annotated.jpg", *pictures) if n in pictures and n.endswith((".jpg", ".png"))), "")
    if not name:
        raise BadRequest(f"the route {analysis.result.route!r} makes no annotated picture; leave artifacts out")
    media_type, content = guess_type(name), pictures[name]
    if as_picture:
        return func.HttpResponse(content, mimetype=media_type, headers=SAFE)
    address = f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
    # What else was drawn is not sent, and so has no name.
    result = replace(analysis.result, artifacts={"annotated": address}, files={}, crops={})
    return json_answer(result.to_json())


OPERATIONS = (analyze,)
