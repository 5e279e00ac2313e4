"""HTTP routes: templates with ``{x}``, ``{x?}`` and ``{*x}``, tried in the alphabetical order of function names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from localhost.app_functions import Function
from localhost.errors import BindingError

_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_][A-Za-z0-9_-]*)(?::([a-z]+))?(\?)?\}")
_CONSTRAINTS = {
    None: ".+",
    "int": "[+-]?[0-9]{1,10}",
    "long": "[+-]?[0-9]{1,19}",
    "bool": "true|false",
    "alpha": "[a-z]+",
    "guid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}


@dataclass(frozen=True)
class RouteSegment:
    """One segment of a template: a literal (``name`` None) or a parameter."""

    name: str | None
    regex: re.Pattern[str]
    text: str
    catch_all: bool = False
    optional: bool = False

    def meets(self, other: RouteSegment) -> bool:
        """Whether one text could be both; two parameters always meet."""
        if self.name is None:
            return bool(other.regex.fullmatch(self.text))
        return other.name is not None or bool(self.regex.fullmatch(other.text))


class RouteTemplate:
    """A compiled route template; :meth:`match` gives the parameters of a path.

    Raises :class:`BindingError` for a template that ASP.NET or this host does not take.
    """

    def __init__(self, template: str) -> None:
        self.template = template.strip("/")
        self.segments = [self._segment(part) for part in self.template.split("/") if part]
        for segment in self.segments[:-1]:
            if segment.catch_all or segment.optional:
                raise BindingError(f"The route '{template}': '{segment.text}' can only be the last segment.")

    def _segment(self, part: str) -> RouteSegment:
        parameter = _PARAMETER.fullmatch(part)
        if parameter is None:
            if "{" in part or "}" in part:
                raise BindingError(
                    f"The route '{self.template}' is malformed at '{part}', or says more than this local host serves: "
                    "whole segments {x}, {x?} and {*x}."
                )
            return RouteSegment(None, re.compile(re.escape(part), re.I), part)
        stars, name, constraint, optional = parameter.groups()
        if constraint not in _CONSTRAINTS:
            known = ", ".join(str(key) for key in _CONSTRAINTS if key)
            raise BindingError(
                f"The route '{self.template}' has the constraint '{constraint}'; this local host knows {known}."
            )
        expression = re.compile(_CONSTRAINTS[constraint], re.I | re.S)
        return RouteSegment(name, expression, part, bool(stars), bool(optional))

    def match(self, path: Sequence[str]) -> dict[str, str] | None:
        """Parameters of a path (see :func:`path_segments`), or None when the route does not match."""
        values: dict[str, str] = {}
        for index, segment in enumerate(self.segments):
            if segment.catch_all:
                return values | {str(segment.name): "/".join(path[index:])}
            if index >= len(path):
                return values if segment.optional else None
            if not segment.regex.fullmatch(path[index]):
                return None
            if segment.name:
                values[segment.name] = path[index]
        return values if len(path) <= len(self.segments) else None

    def overlaps(self, other: RouteTemplate) -> bool:
        """Whether some path matches both."""
        return _overlap(self.segments, other.segments)


def _overlap(left: Sequence[RouteSegment], right: Sequence[RouteSegment]) -> bool:
    if not left or not right:
        rest = [*left, *right]
        return not rest or rest[0].optional or rest[0].catch_all
    if left[0].catch_all or right[0].catch_all or (left[0].optional and right[0].optional):
        return True
    return left[0].meets(right[0]) and _overlap(left[1:], right[1:])


class HttpFunction:
    """An HTTP-triggered function with its route."""

    def __init__(self, function: Function, prefix: str) -> None:
        raw = function.trigger
        template = str(raw.get("route") or function.name).strip("/")
        if template.lower().startswith(("admin", "runtime")):
            raise BindingError(
                "The specified route conflicts with one or more built in routes: "
                f"'{template}' begins with 'admin' or 'runtime'."
            )
        self.function = function
        self.path = "/".join(part for part in (prefix, template) if part)
        self.route = RouteTemplate(self.path)
        self.methods = frozenset(str(method).upper() for method in raw.get("methods") or ())
        self.level = str(raw.get("authLevel") or "FUNCTION").upper()

    def takes(self, method: str) -> bool:
        return not self.methods or method in self.methods

    def meets(self, other: HttpFunction) -> bool:
        """Whether both take some method."""
        return not self.methods or not other.methods or bool(self.methods & other.methods)


def check_route(function: HttpFunction, others: Sequence[HttpFunction]) -> None:
    """Raises :class:`BindingError` for a route and method that one of ``others`` has already, as the real host does:
    it compares the templates' texts."""
    for other in others:
        if function.path.lower() == other.path.lower() and function.meets(other):
            raise BindingError(
                f"The route specified conflicts with the route defined by function '{other.function.name}'."
            )


def overlapping(function: HttpFunction, others: Sequence[HttpFunction]) -> list[str]:
    """Those of ``others``, which come earlier in the alphabet, that answer some of this function's paths."""
    return [
        f"its route '{function.path}' overlaps with '{other.path}' of '{other.function.name}', which answers first: "
        "the host tries functions in alphabetical order, not the most specific route."
        for other in others
        if function.meets(other) and function.route.overlaps(other.route)
    ]


def path_segments(raw_path: str) -> list[str]:
    """A percent-encoded path's segments as functions see them: decoded, then ``.`` and ``..`` resolved."""
    segments: list[str] = []
    for part in raw_path.strip("/").split("/"):
        # ASP.NET decodes a path's segments except encoded slashes.
        decoded = "%2F".join(unquote(piece) for piece in re.split("%2f", part, flags=re.I))
        if decoded == "..":
            del segments[-1:]
        elif decoded != ".":
            segments.append(decoded)
    return segments if segments != [""] else []
