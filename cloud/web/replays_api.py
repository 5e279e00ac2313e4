"""Replays over HTTP: uploads that are analysed again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from http import HTTPStatus
from itertools import islice
from typing import Any

import azure.functions as func

from cloud.instance import default_replays
from cloud.settings import app_identity, current
from cloud.storage.paths import name_problem
from cloud.uploads.intake import refuse_if_paused
from cloud.uploads.names import LONGEST
from cloud.uploads.replay import Filters
from cloud.uploads.replays import MOST_NAMES
from cloud.web.answers import ReplayAskedDoc, ReplayDoc, ReplayListDoc
from cloud.web.operations import Call, NoQuery, Takes, operation
from cloud.web.problems import NotFound
from cloud.web.router import json_answer
from inference.errors import BadRequest
from inference.tables import build, nearest

_MOST_BYTES = 2 * 1024 * 1024
_LISTED = 50
_OTHERS = ("names", "dry_run")


@operation(
    "POST",
    "operate/replays",
    {202: ReplayDoc},
    takes=Takes({"application/json": ReplayAskedDoc}, optional=True),
)
def begin_replay(call: Call[NoQuery]) -> func.HttpResponse:
    """Has uploads analysed again: what failed or has no result, or what the body says."""
    asked = _body(call.request)
    names, dry_run = asked.pop("names", []), asked.pop("dry_run", False)
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise BadRequest('names is no list of names; expected such as ["street/", "**/*.jpg"]')
    if problem := next(filter(None, map(name_problem, names)), ""):
        raise BadRequest(problem)
    if len(names) > MOST_NAMES:
        raise BadRequest(f"{len(names):,} names are given, at most {MOST_NAMES:,} are taken; give a pattern of them")
    if long := next((name for name in names if len(name) > LONGEST), ""):
        raise BadRequest(f"a name has {len(long):,} characters, and none in storage has more than {LONGEST:,}")
    if not isinstance(dry_run, bool):
        raise BadRequest("dry_run is neither true nor false")
    if not dry_run:
        refuse_if_paused(current())
    filters = build(Filters, asked, "replay", BadRequest)
    begun = default_replays().begin(filters, tuple(names), dry_run=dry_run, deployment=app_identity())
    return json_answer(begun.described(), HTTPStatus.ACCEPTED)


@operation("GET", "v1/replays", {200: ReplayListDoc})
def list_replays(_: Call[NoQuery]) -> func.HttpResponse:
    """The newest replays."""
    newest = islice(sorted(default_replays().listed(), reverse=True), _LISTED)
    document: ReplayListDoc = {"replays": [{"id": found, "state": state} for found, state, _ in newest]}
    return json_answer(document)


@operation("GET", "v1/replays/{id}", {200: ReplayDoc})
def read_replay(call: Call[NoQuery]) -> func.HttpResponse:
    """What a replay takes, and how far it is."""
    stored = default_replays().read(call.name)
    if stored is None:
        raise _unknown(call.name)
    return json_answer(stored.replay.described())


@operation("DELETE", "v1/replays/{id}", {200: ReplayDoc})
def cancel_replay(call: Call[NoQuery]) -> func.HttpResponse:
    """Ends a replay; what was begun is finished."""
    ended = default_replays().cancel(call.name)
    if ended is None:
        raise _unknown(call.name)
    return json_answer(ended.described())


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
            raise BadRequest(f"unknown member {name[:100]!r}{nearest(name[:100], known)}")
    return {"everything" if name == "all" else name: value for name, value in asked.items()}


def _unknown(replay_id: str) -> NotFound:
    return NotFound(f"there is no replay {replay_id[:100]!r}; GET v1/replays lists them")


OPERATIONS = (begin_replay, list_replays, read_replay, cancel_replay)
