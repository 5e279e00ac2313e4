"""TOML tables to frozen dataclasses, every key and type checked, with the nearest right word in the message."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from inference.errors import BadManifest, Permanent

T = TypeVar("T")


class _Misfit(Exception):
    """A value that its annotation does not allow; turned into the caller's error at the surface."""


def build(cls: type[T], values: Any, where: str, error: type[Permanent] = BadManifest) -> T:
    """Fill a dataclass from a table. `where` begins each message. Raises `error`."""
    try:
        return _build(cls, values, where)
    except _Misfit as misfit:
        raise error(str(misfit)) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message about an unknown word: the nearest known one, else all of them."""
    import difflib  # lazily: only mistakes need it

    close = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def _build(cls: type[T], values: Any, where: str) -> T:
    if not isinstance(values, Mapping):
        raise _Misfit(f"{where}: found {values!r}, expected a table of keys and values")
    types = _types(cls)  # type: ignore[arg-type]
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise _Misfit(f"{where}: unknown key {key!r}{nearest(key, known)}")
    missing = [name for name, f in known.items() if _required(f) and name not in values]
    if missing:
        raise _Misfit(f"{where}: {', '.join(repr(m) for m in missing)} must be given")
    return cls(**{key: _fit(types[key], value, f"{where}: {key}") for key, value in values.items()})


@cache
def _types(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _required(f: Any) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _fit(kind: Any, value: Any, where: str) -> Any:
    """One value checked against its annotation; lists become tuples, single values tuples of one."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if value not in args:
            raise _Misfit(f"{where}: found {value!r}{nearest(str(value), [str(a) for a in args])}")
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_fit(args[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _Misfit(f"{where}: found {value!r}, expected a table")
        return {str(k): _fit(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if args:
        return _fit_union(args, value, where)
    if isinstance(kind, type) and is_dataclass(kind) and not isinstance(value, kind):
        return _build(kind, value, where)
    if isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool)):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    raise _Misfit(f"{where}: found {value!r}, expected {_words(kind)}")


def _fit_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    reasons: list[_Misfit] = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return _fit(kind, value, where)
            except _Misfit as misfit:
                reasons.append(misfit)
    raise reasons[-1]


def _words(kind: type) -> str:
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}.get(kind, kind.__name__)


def to_toml(table: Mapping[str, Any], path: str = "") -> str:
    """A table as TOML text: plain values first, then the sections [preprocess] and [postprocess]; other
    tables stay on their line. path: the section that the text stands in."""
    sections = {k: v for k, v in table.items() if isinstance(v, Mapping) and k in ("preprocess", "postprocess")}
    lines = [f"{k} = {_toml_value(v)}" for k, v in table.items() if k not in sections]
    text = "\n".join(lines) + "\n"
    for key, value in sections.items():
        name = f"{path}.{key}" if path else key
        text += f"\n[{name}]\n{to_toml(value, name)}"
    return text


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return repr(value)
