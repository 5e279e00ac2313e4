"""The pictures most like one: a page of its own, and the part of the result's page that its script fetches."""

from __future__ import annotations

from dataclasses import dataclass

import azure.functions as func

from cloud.storage.paths import requested_path
from cloud.web.pages import services
from cloud.web.pages.render import Frame, in_path, page
from cloud.web.similar import Near


@dataclass(frozen=True)
class Neighbour:
    """A picture as it is shown. similarity: -1 to 1, 1 for the same."""

    name: str
    address: str
    picture: str
    similarity: str


def similar_page(request: func.HttpRequest, frame: Frame, asked: str) -> func.HttpResponse:
    """The pictures like that of the upload `asked`; 404 where it has no vector."""
    name = requested_path(asked)
    found = services.similar_to(name) if name else None
    if name is None or found is None:
        message = f"there is no result of {asked[:200]!r} with a vector to compare"
        return page("problem.html", frame, 404, title="Nothing to compare", message=message, retry="")
    return page(
        "similar.html", frame, name=name, back=frame.result(name), found=found,
        shown=[_neighbour(near, frame) for near in found.nearest],
        twin=f"{frame.home}v1/similar/{in_path(name)}",
    )  # fmt: skip


def _neighbour(near: Near, frame: Frame) -> Neighbour:
    picture = frame.media(services.thumbnail_address(near.entry))
    return Neighbour(near.entry.name, frame.result(near.entry.name), picture, f"{near.similarity:.2f}")
