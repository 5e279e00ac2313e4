"""The JSON Schema (draft 2020-12) of the result document, and of other documents, made from their types."""

from __future__ import annotations

import types
from datetime import datetime
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from inference.results.document import ErrorDoc, FrameDoc, ResultDoc

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schema() -> dict[str, Any]:
    """A schema that every result.json, every error record and every line of `analyze --json` satisfies.

    Members that it does not know are allowed everywhere: a later release adds some, and readers pass over them.
    """
    definitions: dict[str, Any] = {}
    choices = [schema_of(kind, definitions) for kind in (ResultDoc, ErrorDoc)]
    schema_of(FrameDoc, definitions)  # no document: for whoever reads frames.jsonl
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Dropsight result document, dropsight/1",
        "oneOf": choices,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_of(kind: Any, definitions: dict[str, Any], place: str = "#/$defs/") -> dict[str, Any]:
    """The schema of an annotation; typed dictionaries become definitions, which stand at `place` of the document."""
    origin, args = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if kind is Any:
        return {}
    if kind is datetime:
        return {"type": "string", "format": "date-time"}
    if is_typeddict(kind):
        return _reference(kind, definitions, place)
    if origin is Literal:
        return {"const": args[0]} if len(args) == 1 else {"enum": list(args)}
    if origin is list:
        return {"type": "array", "items": schema_of(args[0], definitions, place)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(args[1], definitions, place)}
    if origin in (Union, types.UnionType):
        if all(a in _PLAIN for a in args):
            return {"type": [_PLAIN[a] for a in args]}
        return {"anyOf": [schema_of(a, definitions, place) for a in args]}
    raise TypeError(f"the schema knows no {kind!r}")


def _reference(kind: Any, definitions: dict[str, Any], place: str) -> dict[str, Any]:
    name = kind.__name__.removesuffix("Doc").lower()
    if name not in definitions:
        definitions[name] = {}  # it may hold itself
        hints = get_type_hints(kind, include_extras=True)
        marked = {k for k, v in hints.items() if get_origin(v) is NotRequired}
        optional = marked if kind.__total__ else set(hints)
        properties = {k: schema_of(get_args(v)[0] if k in marked else v, definitions, place) for k, v in hints.items()}
        definitions[name] = {
            "type": "object",
            "properties": properties,
            "required": sorted(set(hints) - optional),
        }
        if kind.__doc__:
            definitions[name]["description"] = " ".join(kind.__doc__.split())
    return {"$ref": f"{place}{name}"}
