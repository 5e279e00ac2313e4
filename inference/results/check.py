"""Whether a JSON document is a result of this program, before anything counts on its members.

A document may come from an older or a later release, from another tool, or be damaged. What readers (exports, the lake,
drift) take from it has to have its type; a member that is missing counts as unknown, but for those that make a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Document = Mapping[str, Any]
# Raises ValueError that begins with the place; `null` is for the caller to decide.
_Check = Callable[[Any, str], None]

# Beyond this the columns of the lake end, and nothing that a picture has.
_MOST_WHOLE = 2**31 - 1
_MOST_BYTES = 2**53
_MOST_NUMBER = 1e30


def checked_result(document: Any) -> Document:
    """The document, which has what readers count on. Raises ValueError: which member is wrong, found, expected.

    `schema` may be missing; where it is there, it is one of ours.
    """
    _RESULT(document, "")
    return document  # type: ignore[no-any-return]


def _wrong(value: Any, place: str, expected: str) -> ValueError:
    found = repr(value)
    return ValueError(f"{place or 'the document'}: found {found[:60]}{'...' * (len(found) > 60)}, expected {expected}")


def _text(value: Any, place: str) -> None:
    try:
        # A file's name that is no UTF-8 has halves of surrogate pairs from this range; others are no text at all.
        value.encode("utf-8", "surrogateescape")
    except (AttributeError, UnicodeEncodeError) as error:
        raise _wrong(value, place, "text") from error


def _schema(value: Any, place: str) -> None:
    if not isinstance(value, str) or not value.startswith("dropsight/"):
        raise _wrong(value, place, "'dropsight/1'")


def _whole(most: int) -> _Check:
    def check(value: Any, place: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > most:
            raise _wrong(value, place, f"a whole number of at most {most}")

    return check


def _number(value: Any, place: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or abs(value) > _MOST_NUMBER:
        raise _wrong(value, place, "a number")


def _list(item: _Check, least: int = 0, most: float = math.inf) -> _Check:
    def check(value: Any, place: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            length = f" of {least}" if least == most else f" of {least} or more" if least else ""
            raise _wrong(value, place, f"a list{length}")
        for number, each in enumerate(value):
            item(each, f"{place}[{number}]")

    return check


def _table(must: dict[str, _Check], may: dict[str, _Check], strict: dict[str, _Check] | None = None) -> _Check:
    """must: members that are there; may: that are missing, null or fit; strict: that are missing or fit."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(value, place, "a table of keys and values")
        for name, member in ((strict or {}) | must | may).items():
            if name in must and name not in value:
                raise ValueError(f"{place or 'the document'}: {name!r} is missing")
            if name in value and not (name in may and value[name] is None):
                member(value[name], f"{place}.{name}" if place else name)

    return check


def _values(item: _Check) -> _Check:
    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(value, place, "a table of keys and values")
        for name, each in value.items():
            item(each, f"{place}.{name}")

    return check


def _count_or_counts(value: Any, place: str) -> None:
    """Before release 0.2.0 a summary was a flat table of counts."""
    if value is not None:
        (_values(_number) if isinstance(value, dict) else _number)(value, place)


def _answers(value: Any, place: str) -> None:
    """What later steps say of an object: predictions in a list; other forms are no predictions."""
    for number, each in enumerate(value if isinstance(value, list) else ()):
        if isinstance(each, dict):
            _prediction(each, f"{place}[{number}]")


def _prediction(value: Any, place: str) -> None:
    _PREDICTION(value, place)
    if "box" in value and "label" not in value:
        raise ValueError(f"{place}: it has a box and no label")


_PREDICTION = _table(
    {},
    {"id": _text, "score": _number, "label_id": _whole(_MOST_WHOLE), "track": _whole(_MOST_BYTES), "area": _number,
     "skeleton": _text},
    {"label": _text, "box": _list(_number, 4, 4), "corners": _list(_list(_number, 2, 2)),
     "keypoints": _list(_list(_number, 3)), "mask_rle": _table({}, {}), "attributes": _values(_answers)},
)  # fmt: skip
_STEP = _table(
    {"name": _text, "task": _text, "model": _table({"name": _text, "version": _text}, {}),
     "predictions": _list(_prediction)},
    {"threshold": _number, "embedding": _table({}, {"artifact": _text}),
     "skeleton": _table({"points": _list(_text), "edges": _list(_list(_whole(_MOST_WHOLE), 2, 2))}, {})},
)  # fmt: skip
_SOURCE = _table(
    {"name": _text, "etag": _text},
    {"media_type": _text, "bytes": _whole(_MOST_BYTES), "width": _whole(_MOST_WHOLE), "height": _whole(_MOST_WHOLE),
     "duration_s": _number},
)  # fmt: skip
_RESULT = _table(
    {"source": _SOURCE, "route": _text, "trace": _text, "steps": _list(_STEP)},
    {"status": _text, "summary": _values(_count_or_counts), "cost": _table({}, {"wall_ms": _number})},
    {"schema": _schema},
)
