"""The bodies of the HTTP functions by which a running app is operated: replays, uploads that are forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from http import HTTPStatus
from itertools import islice
from typing import Any

import azure.functions as func

from cloud.index.default import default_index
from cloud.instance import default_replays, default_worker
from cloud.settings import FALSE, TRUE, app_identity, current
from cloud.storage.paths import name_problem, requested_path
from cloud.uploads.forget import Forgetter, report_of
from cloud.uploads.intake import refuse_if_paused
from cloud.uploads.names import forms_of
from cloud.uploads.replay import Filters
from cloud.uploads.replays import MOST_NAMES
from cloud.web.router import json_answer
from inference.errors import BadRequest
from inference.tables import build, nearest

_MOST_BYTES = 2 * 1024 * 1024
_LISTED = 50
_OTHERS = ("names", "dry_run")


def replays(request: func.HttpRequest) -> func.HttpResponse:
    """POST /api/operate/replays: has uploads analysed again. GET /api/operate/replays[/ID]: how far that is. DELETE
    /api/operate/replays/ID: ends it."""
    kept, replay_id = default_replays(), request.route_params.get("id") or ""
    if request.method == "POST":
        if replay_id:
            raise BadRequest("POST begins a replay, which has no id yet; leave it out")
        return json_answer(_begun(request), HTTPStatus.ACCEPTED)
    if request.method == "DELETE":
        if not replay_id:
            raise BadRequest("DELETE ends a single replay; name its id: /api/operate/replays/ID")
        ended = kept.cancel(replay_id)
        return json_answer(ended.described()) if ended else _unknown(replay_id)
    if replay_id:
        stored = kept.read(replay_id)
        return json_answer(stored.replay.described()) if stored else _unknown(replay_id)
    newest = islice(sorted(kept.listed(), reverse=True), _LISTED)
    return json_answer({"replays": [{"id": found, "state": state} for found, state, _ in newest]})


def _begun(request: func.HttpRequest) -> dict[str, Any]:
    asked = _body(request)
    names, dry_run = asked.pop("names", []), asked.pop("dry_run", False)
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise BadRequest('names is no list of names; expected such as ["street/", "**/*.jpg"]')
    if problem := next(filter(None, map(name_problem, names)), ""):
        raise BadRequest(problem)
    if len(names) > MOST_NAMES:
        raise BadRequest(f"{len(names):,} names are given, at most {MOST_NAMES:,} are taken; give a pattern of them")
    if not isinstance(dry_run, bool):
        raise BadRequest("dry_run is neither true nor false")
    if not dry_run:
        refuse_if_paused(current())
    filters = build(Filters, asked, "replay", BadRequest)
    return default_replays().begin(filters, tuple(names), dry_run=dry_run, deployment=app_identity()).described()


def _body(request: func.HttpRequest) -> dict[str, Any]:
    """What is asked for: a JSON object, or nothing."""
    content = request.get_body()
    if len(content) > _MOST_BYTES:
        raise BadRequest(f"the body has {len(content):,} bytes, at most {_MOST_BYTES:,} are read")
    try:
        asked = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON ({str(error)[:100]}); expected an object, such as {{}}") from error
    if not isinstance(asked, Mapping):
        raise BadRequest('the body is no JSON object; expected such as {"changed": true, "names": ["street/"]}')
    known = [*_OTHERS, *(f.name.replace("everything", "all") for f in fields(Filters))]
    for name in asked:
        if name not in known:
            raise BadRequest(f"unknown member {name[:100]!r}{nearest(name, known)}")
    return {"everything" if name == "all" else name: value for name, value in asked.items()}


def uploads(request: func.HttpRequest) -> func.HttpResponse:
    """DELETE /api/operate/uploads/{*path}[?dry_run=1]: forgets an upload and all that came of it, and says what that
    was; `python -m cloud forget` takes many."""
    requested = request.route_params.get("path") or ""
    name, dry_run = requested_path(requested), request.params.get("dry_run", "0").lower()
    if name is None or name != requested.replace("\\", "/"):  # a folder's name without its slash is another upload's
        how = "the command forgets folders, and what has such a name: python -m cloud forget"
        raise BadRequest(f"{requested[:100]!r} is not the plain name of an upload; {how}")
    if dry_run not in (*TRUE, *FALSE):
        raise BadRequest(f"dry_run is {dry_run[:100]!r}, expected 1 or 0")
    forgetter = Forgetter(default_worker().storage, dry_run=dry_run in TRUE, index=default_index())
    found = list(forgetter.run(forms_of(name)))
    if not found:
        return _not_found(f"there is no upload {name[:100]!r}, and nothing that came of it")
    return json_answer(report_of(found, forgetter))


def _unknown(replay_id: str) -> func.HttpResponse:
    return _not_found(f"there is no replay {replay_id[:100]!r}; GET /api/operate/replays lists them")


def _not_found(message: str) -> func.HttpResponse:
    return json_answer(
        {"status": "error", "error": {"class": HTTPStatus.NOT_FOUND.name, "message": message}}, HTTPStatus.NOT_FOUND
    )
