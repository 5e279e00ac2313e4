"""A list's filters: from an address to a query of the index, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from cloud.index.entry import STATES, Query
from inference.errors import BadRequest

NAMES = tuple(item.name for item in fields(Query))
_EMPTY = Query()
# How a chip says what it keeps.
_WORDS = {
    "folder": "in {}",
    "state": "{}",
    "route": "route {}",
    "task": "{}",
    "label": "{}",
    "min_score": "score from {}",
    "model": "model {}",
    "since": "since {}",
    "until": "before {}",
}


@dataclass(frozen=True)
class Chip:
    """A filter that is on. without: the address of the list without it."""

    name: str
    words: str
    without: str


def query_of(params: Mapping[str, str]) -> Query:
    """The query that an address asks for; what it says beyond filters is left alone. Raises BadRequest."""
    given = {name: text.strip() for name in NAMES if (text := params.get(name, "")).strip()}
    state = given.pop("state", None)
    if state is not None and state not in STATES:
        raise BadRequest(f"state is {state[:50]!r}, expected one of {', '.join(STATES)}")
    values: dict[str, Any] = {**given, "state": state}
    for name in ("since", "until"):
        if name in given:
            values[name] = _moment(name, given[name])
    if "min_score" in given:
        values["min_score"] = _score(given["min_score"])
    return Query(**values)


def searched(text: str, query: Query) -> Query:
    """The query with what is written into the search field: a folder if it ends with a slash, else a label."""
    text = text.strip()
    if text.endswith("/"):
        return replace(query, folder=text)
    return replace(query, label=text)


def address_of(query: Query, **more: str) -> str:
    """The end of an address that asks for this, with its "?"; "" where it asks for nothing."""
    pairs = {name: _text(value) for name, value in _on(query)} | {name: value for name, value in more.items() if value}
    return f"?{urlencode(pairs, errors='surrogatepass')}" if pairs else ""


def chips(query: Query) -> list[Chip]:
    """The filters that are on, each with the way to do without it."""
    return [
        Chip(name, _WORDS[name].format(_text(value)), address_of(replace(query, **{name: getattr(_EMPTY, name)})))
        for name, value in _on(query)
    ]


def values_of(query: Query) -> dict[str, str]:
    """Every filter as a form's field has it, "" where it is off."""
    return dict.fromkeys(NAMES, "") | {name: _text(value) for name, value in _on(query)}


def _on(query: Query) -> list[tuple[str, Any]]:
    return [(name, value) for name in NAMES if (value := getattr(query, name)) not in ("", None)]


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat() if (value.hour, value.minute, value.second) == (0, 0, 0) else value.isoformat()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name} is {text[:50]!r}, expected a date such as 2026-05-31 (UTC)") from None


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise BadRequest(f"min_score is {text[:50]!r}, expected a number from 0 to 1")
    return score
