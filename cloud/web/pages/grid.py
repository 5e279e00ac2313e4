"""The grid: everything that was uploaded, the newest first, under its days."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import azure.functions as func

from cloud.index.entry import STATES, EntryPage, Query
from cloud.web.pages import services
from cloud.web.pages.filters import address_of, chips, query_of, searched, values_of
from cloud.web.pages.render import Frame, page, redirect
from cloud.web.pages.tiles import by_day, tile_of
from inference.results.strict_json import json_text

PAGE = 60
_STATIC = ("app.css", "grid.js")


def grid(request: func.HttpRequest, frame: Frame) -> func.HttpResponse:
    """A page of the grid; 304 where nothing of it has changed since the caller saw it."""
    query, cursor = query_of(request.params), request.params.get("cursor") or None
    if "q" in request.params:
        return redirect(f"{frame.home}{address_of(searched(request.params['q'], query))}")
    found = services.index().page(query, cursor, PAGE)
    etag = version_of(found, query, frame)
    asked = request.headers.get("If-None-Match", "")
    if etag in asked:
        return func.HttpResponse(status_code=304, headers={"ETag": etag, "Cache-Control": "private, no-cache"})
    # Only scripts get an ETag to ask with: what a browser has kept has addresses of pictures that may have run out.
    headers = {"ETag": etag} if asked else {}
    return page("grid.html", frame, headers=headers, version=etag, **view(found, query, cursor, frame))


def view(found: EntryPage, query: Query, cursor: str | None, frame: Frame) -> dict[str, Any]:
    """What the template is given."""
    # Links of tiles lead to pages whose neighbours are those of this very page.
    linked = Frame(frame.path, frame.session, address_of(query, cursor=cursor or ""))
    rows = [(entry.created, tile_of(entry, linked)) for entry in found.entries]
    return {
        "days": by_day(rows, datetime.now(UTC).date()),
        "chips": chips(query),
        "values": values_of(query),
        "states": STATES,
        "older": f"{frame.home}{address_of(query, cursor=found.next)}" if found.next else "",
        "newest": f"{frame.home}{address_of(query)}" if cursor else "",
        "unfiltered": [name.replace("_", " ") for name in found.unfiltered],
        "may_upload": frame.may(services.CONTRIBUTE),
        "limit": services.largest_upload(),
        "twin": f"{frame.home}v1/uploads{address_of(query, cursor=cursor or '')}",
    }


def version_of(found: EntryPage, query: Query, frame: Frame) -> str:
    """An ETag of what a page shows. Addresses of pictures run out, and do not count."""
    shown = [
        [entry.name, entry.etag, entry.state, entry.receipt, entry.share, entry.message] for entry in found.entries
    ]
    facts = [
        shown,
        address_of(query),
        found.next,
        sorted(frame.session.rights),
        [frame.static(file) for file in _STATIC],
    ]
    return f'"{hashlib.sha256(json_text(facts).encode("utf-8", "surrogatepass")).hexdigest()[:24]}"'
