"""HTTP routes in ASP.NET's template language: literals, parameters with constraints and defaults, catch-all."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from localhost.errors import BindingError

_PART = re.compile(
    r"\{(\*{0,2})([A-Za-z_][A-Za-z0-9_-]*)((?::[^{}:?=()]+(?:\((?:[^()]|\([^()]*\))*\))?)*)(=[^{}?]*)?(\?)?\}"
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
Check = Callable[[str], bool]


@dataclass(frozen=True)
class Segment:
    """One path segment: a regex with a group per parameter, and how early it is tried (literals first)."""

    regex: re.Pattern[str]
    names: tuple[str, ...]
    checks: tuple[tuple[str, Check], ...]
    rank: int
    catch_all: bool = False
    optional: bool = False
    default: str | None = None


def _range(value: str, low: int, high: int) -> bool:
    return bool(re.fullmatch(r"-?\d+", value)) and low <= int(value) <= high


def _date(value: str) -> bool:
    for pattern in ("%Y-%m-%d", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"):
        try:
            datetime.strptime(value, pattern)
        except ValueError:
            continue
        return True
    return False


def _guid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def _constraint(name: str, argument: str, route: str) -> Check:
    """The check of one constraint; raises :class:`BindingError` for one that ASP.NET does not have."""
    simple: dict[str, Check] = {
        "int": lambda value: _range(value, -(2**31), 2**31 - 1),
        "long": lambda value: _range(value, -(2**63), 2**63 - 1),
        "bool": lambda value: value.lower() in ("true", "false"),
        "alpha": lambda value: bool(re.fullmatch(r"[A-Za-z]*", value)),
        "guid": _guid,
        "decimal": lambda value: bool(_NUMBER.fullmatch(value)),
        "double": lambda value: bool(_NUMBER.fullmatch(value)),
        "float": lambda value: bool(_NUMBER.fullmatch(value)),
        "datetime": _date,
        "required": lambda value: bool(value),
        "file": lambda value: "." in value.rsplit("/", 1)[-1],
        "nonfile": lambda value: "." not in value.rsplit("/", 1)[-1],
    }
    if name in simple and not argument:
        return simple[name]
    if name == "regex":
        # Braces are doubled in templates; ASP.NET compares ignoring case.
        compiled = re.compile(argument.replace("{{", "{").replace("}}", "}"), re.I)
        return lambda value: bool(compiled.search(value))
    numbers = [int(number) for number in argument.split(",")] if re.fullmatch(r"-?\d+(\s*,\s*-?\d+)?", argument) else []
    low, high = (numbers[0], numbers[-1]) if numbers else (0, 0)
    sized: dict[str, Check] = {
        "length": lambda value: low <= len(value) <= high,
        "minlength": lambda value: len(value) >= low,
        "maxlength": lambda value: len(value) <= low,
        "min": lambda value: _range(value, low, 2**63),
        "max": lambda value: _range(value, -(2**63), low),
        "range": lambda value: _range(value, low, high),
    }
    if name not in sized or not numbers:
        raise BindingError(
            f"The route '{route}' has an unknown constraint '{name}{f'({argument})' if argument else ''}'."
        )
    return sized[name]


class Route:
    """A compiled route template; :meth:`match` gives the parameters of a path."""

    def __init__(self, template: str) -> None:
        self.template = template.strip("/")
        parts = _split(self.template)
        self.segments = [self._segment(part) for part in parts]
        for segment in self.segments[:-1]:
            if segment.catch_all:
                raise BindingError(
                    f"The route '{template}': a catch-all parameter can only appear as the last segment."
                )

    @property
    def order(self) -> tuple[int, ...]:
        """Routes are tried by this: literal before constrained before plain before catch-all."""
        return tuple(segment.rank for segment in self.segments)

    def _segment(self, part: str) -> Segment:
        found = list(_PART.finditer(part))
        if not found:
            if "{" in part or "}" in part:
                raise BindingError(f"The route '{self.template}' is malformed at '{part}'.")
            return Segment(re.compile(re.escape(part), re.I), (), (), 0)
        expression, position, checks, names = "", 0, [], []
        for parameter in found:
            stars, name, constraints, default, optional = parameter.groups()
            expression += re.escape(part[position : parameter.start()]) + ("(.*)" if stars else "(.+?)")
            position = parameter.end()
            names.append(name)
            for constraint in re.findall(r":([^{}:?=()]+)(?:\(((?:[^()]|\([^()]*\))*)\))?", constraints):
                checks.append((name, _constraint(constraint[0].lower(), constraint[1], self.template)))
        expression += re.escape(part[position:])
        stars, _, _, default, optional = found[-1].groups()
        whole = len(found) == 1 and found[0].group() == part
        rank = (3 if checks else 4) if stars else (2 if whole and not checks else 1)
        return Segment(
            re.compile(expression, re.I | re.S), tuple(names), tuple(checks), rank, bool(stars),
            bool(optional) and whole, default[1:] if default else None,
        )  # fmt: skip

    def match(self, path: list[str]) -> dict[str, str] | None:
        """Parameters of a path (see :func:`path_segments`), or None when the route does not match."""
        values: dict[str, str] = {}
        for index, segment in enumerate(self.segments):
            if segment.catch_all:
                rest = "/".join(path[index:]) or segment.default or ""
                return values if self._take(segment, rest, values) else None
            if index >= len(path):
                if segment.default is not None:
                    values[segment.names[0]] = segment.default
                elif not segment.optional:
                    return None
                continue
            if not self._take(segment, path[index], values):
                return None
        return values if len(path) <= len(self.segments) else None

    @staticmethod
    def _take(segment: Segment, text: str, values: dict[str, str]) -> bool:
        found = segment.regex.fullmatch(text)
        if not found:
            return False
        values.update(zip(segment.names, found.groups(), strict=True))
        return all(check(values[name]) for name, check in segment.checks)


def _split(template: str) -> list[str]:
    """Segments of a template; a slash within a parameter's constraint does not separate."""
    parts, depth = [""], 0
    for char in template:
        depth += (char == "{") - (char == "}")
        if char == "/" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part]


def path_segments(raw_path: str) -> list[str]:
    """A percent-encoded path's segments as functions see them: decoded, then ``.`` and ``..`` resolved."""
    found: list[str] = []
    for segment in raw_path.strip("/").split("/"):
        decoded = _decode(segment)
        if decoded == "..":
            del found[-1:]
        elif decoded != ".":
            found.append(decoded)
    return found if found != [""] else []


def _decode(segment: str) -> str:
    """ASP.NET decodes a path's segments except encoded slashes."""
    return "%2F".join(unquote(piece) for piece in re.split("%2f", segment, flags=re.I))
