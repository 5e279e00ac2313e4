"""A result document with what pages show of it: members that are not what they should be are left out, each by itself.

`checked_result` holds what exports count on; videos have more, and a document may come from another release or tool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
_MOST = 1e15
_SPAN = {"start_s": float, "end_s": float}
_TRACK = {"id": int, "label": str, "score": float, **_SPAN}


def readable(document: Row) -> dict[str, Any]:
    """A checked document whose other members can be counted on: those that are there have their types."""
    found = {
        **document,
        "source": {**document["source"], "fps": _number(document["source"].get("fps"))},
        "steps": [_step(step) for step in document["steps"]],
        "artifacts": _texts(document.get("artifacts")),
        "versions": _texts(document.get("versions")),
        "cost": _numbers(document.get("cost")),
        "notes": [text for text in _list(document.get("notes")) if isinstance(text, str)],
        "thumbnails": [path for path in _list(document.get("thumbnails")) if isinstance(path, str)],
        "timeline": _rows(document.get("timeline"), {"kind": str, **_SPAN}, ("t_s", "score")),
        "zones": {name: {"total": _numbers(said.get("total"))} for name, said in _tables(document.get("zones"))},
        "broken": _broken(document.get("broken")),
    }
    if "tracks" in document:
        found["tracks"] = _rows(document["tracks"], _TRACK)
    return found


def _step(step: Row) -> dict[str, Any]:
    predictions = [_without(item, ("score", "area")) for item in step["predictions"]]
    known = {"predictions": predictions, "ms": _numbers(step.get("ms")), "left_out": _numbers(step.get("left_out"))}
    made = {**step, **known}
    if not isinstance(step.get("map"), str):
        made.pop("map", None)
    return made


def _rows(value: Any, must: Mapping[str, type], may: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The rows of a list that have what they must; of numbers that they may have, those that are some."""
    rows = (row for row in _list(value) if isinstance(row, Mapping))
    return [_without(row, may) for row in rows if all(_is(row.get(name), kind) for name, kind in must.items())]


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return _number(value) is not None
    return isinstance(value, kind) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return value if fits and math.isfinite(value) and abs(value) < _MOST else None


def _without(row: Row, numbers: tuple[str, ...]) -> dict[str, Any]:
    """A row without those of these members that are no numbers."""
    return {name: value for name, value in row.items() if name not in numbers or _number(value) is not None}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _tables(value: Any) -> list[tuple[str, Row]]:
    rows = value.items() if isinstance(value, Mapping) else ()
    return [(name, row) for name, row in rows if isinstance(row, Mapping)]


def _texts(value: Any) -> dict[str, str]:
    rows = value.items() if isinstance(value, Mapping) else ()
    return {name: text for name, text in rows if isinstance(text, str)}


def _numbers(value: Any) -> dict[str, float]:
    rows = value.items() if isinstance(value, Mapping) else ()
    return {name: number for name, each in rows if (number := _number(each)) is not None}


def _broken(value: Any) -> Row | None:
    return value if isinstance(value, Mapping) and _number(value.get("at_s")) is not None else None
