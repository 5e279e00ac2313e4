"""Documents that other versions, other programs or people may have written: read with a check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cloud.storage.containers import Storage
from inference.errors import BadPipeline, Permanent

_T = TypeVar("_T")


def read_parsed(
    storage: Storage,
    container: str,
    path: str,
    parse: Callable[[Any], _T],
    error: type[Permanent] = BadPipeline,
    remedy: str = "restore it, or delete it",
) -> tuple[_T, str] | None:
    """What `parse` makes of a JSON document, and its ETag; None where there is none. Raises `error`."""
    try:
        stored = storage.read_json(container, path)
        return (parse(stored[0]), stored[1].etag) if stored else None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as wrong:
        raise error(f"{container}/{path} cannot be read ({type(wrong).__name__}: {wrong}): {remedy}") from wrong


def unchanged(read: tuple[Any, str] | None) -> dict[str, Any]:
    """The condition of a write over what `read_parsed` gave: that nobody has written it meanwhile."""
    return {"if_match": read[1]} if read else {"if_absent": True}
