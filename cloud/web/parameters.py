"""The query parameters of the HTTP functions: a name that none of them has is an error, as a misspelt key in a file."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import parse_qsl

import azure.functions as func

from inference.errors import BadRequest
from inference.tables import nearest

# Of each function; those that are not here (the webhook of Event Grid) take any.
KNOWN: dict[str, tuple[str, ...]] = {
    "analyze": ("name", "route"),
    "results": (),
    "jobs": ("name",),
    "operate_replays": (),
    "operate_uploads": ("dry_run",),
    "health": ("deep",),
    "health_deep": (),
}
# Keys of the host, and of API Management before it, in small letters: they read them by themselves, in any.
_OF_THE_HOST = ("code", "clientid", "subscription-key")


def check_parameters(function: str, request: func.HttpRequest) -> None:
    """Raises BadRequest for a parameter that the function does not know, or that is given twice."""
    if function not in KNOWN:
        return
    known = KNOWN[function]
    # The host leaves out what has no value, and joins what is given twice by a comma, as if it were one value.
    given = [name for name, _ in parse_qsl(request.url.partition("?")[2], keep_blank_values=True)]
    for name in [*given, *request.params]:
        if name not in known and name.lower() not in _OF_THE_HOST:
            raise BadRequest(f"unknown parameter {name!r}{_hint(name, known)}")
    if odd := next((name for name, value in request.params.items() if not _is_text(value)), None):
        raise BadRequest(f"parameter {odd!r} is no text: it has half of a pair of UTF-16")
    if twice := next((name for name in known if given.count(name) > 1), None):
        raise BadRequest(f"parameter {twice!r} is given {given.count(twice)} times; give it once")


def _is_text(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _hint(name: str, known: tuple[str, ...]) -> str:
    if not known:
        return "; none are known here"
    meant, listed = nearest(name, known), f"known: {', '.join(known)}"
    return f"{meant} ({listed})" if meant.endswith("?") else f"; {listed}"


def refuse_deep(request: func.HttpRequest) -> NoReturn:
    """The answer to a question for health of which it is not plain whether it is deep. Raises BadRequest."""
    raise BadRequest(f"deep is {request.params.get('deep', '')!r}, expected 1 for the deep answer, or 0")
