"""Binding expressions: ``%SETTING%`` at start, ``{name}`` at run time, and blob path patterns."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from localhost.errors import ExpressionError

_DEFAULT_DATETIME = "yyyy-MM-ddTHH-mm-ssK"
_TOKEN = re.compile(
    r"'[^']*'|\"[^\"]*\"|\\.|y{1,5}|M{1,4}|d{1,4}|H{1,2}|h{1,2}|m{1,2}|s{1,2}|f{1,7}|t{1,2}|K|z{1,3}|.", re.S
)
_GUID: dict[str, Callable[[uuid.UUID], str]] = {
    "": str,
    "d": str,
    "n": lambda guid: guid.hex,
    "b": lambda guid: f"{{{guid}}}",
    "p": lambda guid: f"({guid})",
}


def resolve_settings(text: str, lookup: Callable[[str], str | None]) -> str:
    """Replaces each ``%NAME%`` by its app setting; raises :class:`ExpressionError` when one is missing or unclosed."""
    parts = text.split("%")
    if len(parts) % 2 == 0:
        raise ExpressionError(f"The '%' at position {text.rindex('%')} does not have a closing '%' in '{text}'.")
    for index in range(1, len(parts), 2):
        value = lookup(parts[index])
        if value is None:
            raise ExpressionError(f"'%{parts[index]}%' does not resolve to a value.")
        parts[index] = value
    return "".join(parts)


def format_datetime(moment: datetime, pattern: str) -> str:
    """``moment`` (aware) in a .NET custom date format: the tokens that file names use."""
    offset = moment.strftime("%z")
    colon = f"{offset[:3]}:{offset[3:5]}"
    hour12 = moment.hour % 12 or 12
    table = {
        "y": str(moment.year % 100), "yy": f"{moment.year % 100:02}", "yyy": f"{moment.year:03}",
        "yyyy": f"{moment.year:04}", "yyyyy": f"{moment.year:05}",
        "M": str(moment.month), "MM": f"{moment.month:02}", "MMM": moment.strftime("%b"), "MMMM":
        moment.strftime("%B"), "d": str(moment.day), "dd": f"{moment.day:02}", "ddd": moment.strftime("%a"),
        "dddd": moment.strftime("%A"), "H": str(moment.hour), "HH": f"{moment.hour:02}", "h": str(hour12),
        "hh": f"{hour12:02}", "m": str(moment.minute), "mm": f"{moment.minute:02}", "s": str(moment.second),
        "ss": f"{moment.second:02}", "t": "AP"[moment.hour > 11], "tt": ("AM", "PM")[moment.hour > 11], "K":
        "Z" if moment.tzinfo is UTC else colon, "z": str(int(offset[:3])), "zz": offset[:3], "zzz": colon,
    }  # fmt: skip
    fraction = f"{moment.microsecond:06}0"

    def replace(found: re.Match[str]) -> str:
        token = found.group()
        if token[0] == "f":
            return fraction[: len(token)]
        if token[0] in "'\"" and len(token) > 1:
            return token[1:-1]
        return token[1] if token[0] == "\\" and len(token) == 2 else table.get(token, token)

    return _TOKEN.sub(replace, pattern)


class Template:
    """A string with ``{...}`` expressions; ``{{`` and ``}}`` are literal braces.

    Raises :class:`ExpressionError` for unbalanced braces.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = _parse(text)

    @property
    def names(self) -> list[str]:
        return [part for is_name, part in self.parts if is_name]

    def bind(self, data: Mapping[str, Any], function: str = "") -> str:
        """The text with every expression replaced by its value from ``data`` (names compared case-insensitively)."""
        return "".join(_value(part, data, function) if is_name else part for is_name, part in self.parts)


def _parse(text: str) -> list[tuple[bool, str]]:
    parts: list[tuple[bool, str]] = []
    literal, index = "", 0
    while index < len(text):
        char = text[index]
        if text[index : index + 2] in ("{{", "}}"):
            literal, index = literal + char, index + 2
            continue
        if char == "}":
            raise ExpressionError(f"Missing opening '{{' in '{text}'.")
        if char == "{":
            end = text.find("}", index)
            name = text[index + 1 : end]
            if end < 0 or not name or "{" in name:
                raise ExpressionError(f"Missing closing '}}' or empty expression in '{text}'.")
            parts += [(False, literal), (True, name)]
            literal, index = "", end + 1
            continue
        literal, index = literal + char, index + 1
    return [*parts, (False, literal)]


def _find(data: Mapping[str, Any], dotted: str) -> Any:
    """A member by dotted path, case-insensitively; KeyError when there is none."""
    here: Any = data
    for name in dotted.split("."):
        if isinstance(here, str) and here[:1] == "{":
            here = json.loads(here)
        if not isinstance(here, Mapping):
            raise KeyError(dotted)
        here = here[name] if name in here else here[next(key for key in here if str(key).lower() == name.lower())]
    return here


def _value(expression: str, data: Mapping[str, Any], function: str) -> str:
    try:
        found = _find(data, expression)
    except (KeyError, StopIteration, ValueError):
        return _system_value(expression, function)
    if found is None:
        return ""
    if isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else json.dumps(found, default=str)


def _system_value(expression: str, function: str) -> str:
    name, _, pattern = expression.partition(":")
    lowered = name.strip().lower()
    if lowered in ("rand-guid", "sys.randguid") and pattern.lower() in _GUID:
        return _GUID[pattern.lower()](uuid.uuid4())
    if lowered == "datetime":
        return format_datetime(datetime.now(UTC), pattern or _DEFAULT_DATETIME)
    if lowered == "sys.utcnow":
        return format_datetime(datetime.now(UTC), pattern or "yyyy-MM-ddTHH:mm:ss.fffffffK")
    if lowered == "sys.methodname":
        return function
    raise ExpressionError(f"No value for named parameter '{expression}'.")


class BlobPattern:
    """A blob trigger's path: ``container/name`` where each ``{x}`` matches greedily, slashes and nothing included."""

    def __init__(self, path: str) -> None:
        self.container, _, blob = path.partition("/")
        self.names: list[str] = []
        if "{" in self.container or not self.container:
            raise ExpressionError(
                f"Invalid blob trigger path '{path}': the container must be named. Write 'container/{{name}}'."
            )
        expression = "".join(self._group(part) if is_name else re.escape(part) for is_name, part in _parse(blob))
        self._regex = re.compile(expression if blob else ".*", re.S)
        parts = _parse(blob)
        self.prefix = parts[0][1]
        self.suffix = parts[-1][1] if len(parts) > 1 else ""

    def _group(self, name: str) -> str:
        if name in self.names:
            raise ExpressionError(f"The name '{name}' occurs twice in a blob trigger path.")
        self.names.append(name)
        return "(.*)"

    def match(self, container: str, blob: str) -> dict[str, str] | None:
        """The values of the names, or None when the blob does not match."""
        found = self._regex.fullmatch(blob) if container.lower() == self.container.lower() else None
        return dict(zip(self.names, found.groups(), strict=False)) if found else None
