"""Query parameters, read by the frozen dataclass that declares them: a name that it lacks is an error, as a misspelt
key in a file, and so is a value of another type."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Sequence
from dataclasses import field, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import azure.functions as func

from cloud.settings import FALSE, TRUE
from inference.errors import BadRequest
from inference.tables import nearest

# Keys of the host, and of API Management before it, in small letters: they read them by themselves, in any.
_OF_THE_HOST = ("code", "clientid", "subscription-key")
_BLANK_ZONE = re.compile(r" (?=[0-9]{2}:?[0-9]{2}\Z)")
_NO_NUMBER = re.compile(r"[^!-~]|_")

Q = TypeVar("Q")


def parameter(default: Any, says: str, *, low: float | None = None, high: float | None = None) -> Any:
    """A field of a dataclass of parameters: its default, its meaning in a sentence, its bounds."""
    return field(default=default, metadata={"says": says, "low": low, "high": high})


@cache
def kinds_of(cls: type[Any]) -> dict[str, Any]:
    """The types of a dataclass of parameters, by name, without the None of optional ones."""
    return {name: _without_none(kind) for name, kind in get_type_hints(cls).items()}


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    (rest,) = (each for each in get_args(kind) if each is not type(None))
    return rest


def read_parameters(request: func.HttpRequest, cls: type[Q]) -> Q:
    """The parameters of a request. Raises BadRequest for one that is unknown, is given twice, or has no such value."""
    kinds = kinds_of(cls)  # type: ignore[arg-type]
    check_names(request, tuple(kinds))
    values = {}
    for item in fields(cls):  # type: ignore[arg-type]
        text = request.params.get(item.name)
        if text is not None:  # the host leaves out what has no value
            values[item.name] = _value(item.name, text, kinds[item.name], item.metadata)
    return cls(**values)


def check_names(request: func.HttpRequest, known: Sequence[str]) -> None:
    """Raises BadRequest for a parameter that is none of the known, or is given twice."""
    # The host leaves out what has no value, and joins what is given twice by a comma, as if it were one value.
    given = [name for name, _ in parse_qsl(request.url.partition("?")[2], keep_blank_values=True)]
    for name in [*given, *request.params]:
        if name not in known and name.lower() not in _OF_THE_HOST:
            raise BadRequest(f"unknown parameter {name[:100]!r}{_hint(name[:100], known)}")
    if odd := next((name for name, value in request.params.items() if not _is_text(value)), None):
        raise BadRequest(f"parameter {odd!r} is no text: it has half of a pair of UTF-16")
    if twice := next((name for name in known if given.count(name) > 1), None):
        raise BadRequest(f"parameter {twice!r} is given {given.count(twice)} times; give it once")


def _is_text(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _hint(name: str, known: Sequence[str]) -> str:
    if not known:
        return "; none are known here"
    meant, listed = nearest(name, known), f"known: {', '.join(known)}"
    return f"{meant} ({listed})" if meant.endswith("?") else f"; {listed}"


def _value(name: str, text: str, kind: Any, meta: Any) -> Any:
    """The value of a parameter's text. Raises BadRequest."""
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise BadRequest(f"{name} is {text[:100]!r}{_hint(text[:100], get_args(kind))}")
        return text
    if kind is bool:
        if text.lower() not in (*TRUE, *FALSE):
            raise BadRequest(f"{name} is {text[:100]!r}, expected true or false")
        return text.lower() in TRUE
    if kind is datetime:
        return _moment(name, text)
    return text if kind is str else _number(name, text, kind, meta)


def _number(name: str, text: str, kind: type, meta: Any) -> int | float:
    low, high = meta.get("low"), meta.get("high")
    what = "a whole number" if kind is int else "a number"
    bounds = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
    try:
        if _NO_NUMBER.search(text):  # which Python takes: 1_0, blanks, and the digits of every script
            raise ValueError(text)
        value: int | float = kind(text)
    except ValueError:
        raise BadRequest(f"{name} is {text[:100]!r}, expected {what}{bounds}") from None
    if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        raise BadRequest(f"{name} is {text[:100]}, expected {what}{bounds}")
    return value


def _moment(name: str, text: str) -> datetime:
    try:
        # A + in an address is a blank, unless it is escaped, which is easily forgotten.
        moment = datetime.fromisoformat(_BLANK_ZONE.sub("+", text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter of the first and the last day that there are
        expected = "a date or a time such as 2026-05-31 or 2026-05-31T18:00 (UTC)"
        raise BadRequest(f"{name} is {text[:100]!r}, expected {expected}") from None


def refuse_deep(request: func.HttpRequest) -> NoReturn:
    """The answer to a question for health of which it is not plain whether it is deep. Raises BadRequest."""
    check_names(request, ("deep",))
    raise BadRequest(f"deep is {request.params.get('deep', '')!r}, expected 1 for the deep answer, or 0")
