"""routes.toml and sidecars: read, and the route of a name."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from inference.errors import BadRoute, RouteUnavailable
from inference.meant_values import shown
from inference.misread_patterns import meanings, misread
from inference.route_patterns import covers, fits
from inference.routes import Route
from inference.tables import build, closest, nearest, read_toml

# `<name>.route.toml` beside a file says another route for it.
SIDECAR = ".route.toml"
MAX_SIDECAR_BYTES = 8 * 1024  # a name, or a route with some polygons
_KEYS = {f.name for f in fields(Route) if f.init}
_EXPECTED = {False: 'route = "NAME"', True: 'route = "NAME" or a single [[route]]'}


@dataclass(frozen=True)
class RefusedRoute:
    """A route that cannot be used as it is written: the names that it matches wait until it is mended.

    match: its pattern, or all that it may have meant.
    """

    name: str
    match: str | tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class _File:
    route: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Routes:
    """The routes of a file; the first match wins."""

    entries: tuple[Route | RefusedRoute, ...]

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes that can be used as they are written."""
        return tuple(entry for entry in self.entries if isinstance(entry, Route))

    def match(self, name: str, override: str | None = None) -> Route | None:
        """The route for a blob's name, or the route called `override`; None where nothing matches.

        Raises BadRoute when no route is called `override`, RouteUnavailable where that route is refused.
        """
        return self.named(override) if override else self.first(name)

    def first(self, *names: str) -> Route | None:
        """The first route that takes any of these names of a file; None where none does. Raises RouteUnavailable."""
        fitting = (entry for entry in self.entries if any(takes(entry, name) for name in names))
        return next(map(_usable, fitting), None)

    def named(self, name: str) -> Route:
        """The route of that name. Raises BadRoute with the nearest name, RouteUnavailable where it is refused."""
        for entry in self.entries:
            if entry.name == name:
                return _usable(entry)
        raise BadRoute(f"no route is called {shown(name)}{nearest(name, [entry.name for entry in self.entries])}")

    def of_sidecar(self, text: str, name: str, *, inline: bool = False) -> Route:
        """The route that the sidecar of the file `name` asks for by name (`route = "faces"`), or, where `inline` allows
        it, one of its own (`[[route]]`). Raises as `named`."""
        where = f"{name}{SIDECAR}"
        try:
            table = read_toml(text, where, BadRoute)
        except BadRoute as error:
            raise BadRoute(f"{error}; correct it or make it empty") from error
        if isinstance(table.get("route"), str):
            if other := next((key for key in table if key != "route"), None):
                raise BadRoute(f"{where}: {other!r} says nothing beside the name of a route; leave it out")
            return self.named(table["route"])
        if not inline and table:
            raise BadRoute(
                f'{where}: expected route = "NAME", which names one of routes.toml; routes of its own are taken only '
                "where the app setting INLINE_ROUTES is true, as who uploads would then say what is run and drawn"
            )
        own = parse_routes(text, where).routes
        if len(own) != 1:
            raise BadRoute(f"{where}: {len(own)} routes; expected {_EXPECTED[inline]}")
        return own[0]

    def each(self, change: Callable[[Route], Route]) -> Routes:
        """These routes, changed; those that are refused stay so, and keep the names that they match."""
        return Routes(tuple(change(entry) if isinstance(entry, Route) else entry for entry in self.entries))

    def unreachable(self) -> list[str]:
        """A sentence for each route that no name leads to, as a route before it takes all that it would."""
        return [
            f"route {route.name!r} is never reached by a name: {before.name!r} before it takes all of {route.match!r}"
            for i, route in enumerate(self.routes)
            if (before := next((b for b in self.routes[:i] if covers(b.match, route.match)), None))
        ]

    def sound(self) -> Routes:
        """These routes, for callers that need all of them. Raises BadRoute for the first that is refused."""
        for entry in self.entries:
            if isinstance(entry, RefusedRoute):
                raise BadRoute(entry.reason)
        return self


def takes(entry: Route | RefusedRoute, name: str) -> bool:
    """Whether the name of an upload belongs to this entry, if to none before it."""
    patterns = (entry.match,) if isinstance(entry.match, str) else entry.match
    return any(fits(pattern, name) for pattern in patterns)


def _usable(entry: Route | RefusedRoute) -> Route:
    if isinstance(entry, RefusedRoute):
        raise RouteUnavailable(entry.reason, f"route:{entry.name}")
    return entry


def sidecar_target(name: str) -> str | None:
    """The file that this sidecar belongs to, or None where the name is not a sidecar's."""
    return name[: -len(SIDECAR)] if name.endswith(SIDECAR) and len(name) > len(SIDECAR) else None


def read_routes(source: Path | str, where: str = "") -> Routes:
    """The routes of a TOML file or text; wrong entries are kept as RefusedRoute, so that they stop only themselves.

    where: begins the messages (default: the file). Raises BadRoute where the entries cannot be told apart.
    """
    where = where or str(source)
    folder = source.parent if isinstance(source, Path) else None
    entries: list[Route | RefusedRoute] = []
    tables = read_toml(source, where, BadRoute)
    if stray := next((key for key in tables if key in _KEYS), None):
        raise BadRoute(f"{where}: {stray!r} stands outside of every route; {_below(stray, tables[stray])}")
    for number, table in enumerate(build(_File, tables, where, BadRoute).route):
        entries.append(_entry(table, f"{where}: route", number, {entry.name for entry in entries}, folder))
    return Routes(tuple(entries))


def _below(key: str, value: Any) -> str:
    """How to write a key of a route below the line [[route]]."""
    if isinstance(value, Mapping):
        return f"write [route.{key}] below its [[route]]"
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return f"write [[route.{key}]] below its [[route]]"
    return "write a line [[route]] before it"


def parse_routes(text: str, where: str) -> Routes:
    """The routes of a TOML text; `where` begins the messages. Raises BadRoute for any that is wrong."""
    return read_routes(text, where).sound()


def _entry(table: Any, where: str, number: int, taken: Container[str], folder: Path | None) -> Route | RefusedRoute:
    """folder: that of the file; None for a text."""
    name = table.get("name") if isinstance(table, Mapping) else None
    name = name if isinstance(name, str) else ""
    place = f"{where} {name!r}" if name else f"{where}[{number}]"
    try:
        if name and name in taken:
            raise BadRoute(f"{place}: two routes have this name; names must differ")
        route = build(Route, _located(table, place, folder), place, BadRoute)
        if slip := misread(route.match)[0]:
            raise BadRoute(f"{place}: match is {route.match!r}: {slip}")
    except BadRoute as error:
        several = isinstance(table, Mapping) and isinstance(table.get("match"), list)
        advice = "; a match is one pattern: give each a route of its own" if several else ""
        return RefusedRoute(name, _claimed(table), f"{error}{advice}")
    object.__setattr__(route, "place", place)
    object.__setattr__(route, "written", table.get("video", {}))
    return route


def _located(table: Any, place: str, folder: Path | None) -> Any:
    """The table with the path of its mask as from here. Raises BadRoute where there is no folder that it is in, and for
    polygons that are written otherwise than as lists."""
    for name in ("regions", "ignore"):
        if isinstance(table, Mapping) and name in table:
            from inference.regions import check_written  # lazily: few routes have polygons

            try:
                check_written(name, table[name])
            except ValueError as error:
                raise BadRoute(f"{place}: {error}") from None
    if not isinstance(table, Mapping) or not isinstance(mask := table.get("mask"), str) or not mask:
        return table
    if folder is None:
        raise BadRoute(f"{place}: mask: only a routes.toml can name a file; give polygons (regions, ignore) here")
    return {**table, "mask": str(folder / mask)}


def _claimed(table: Any) -> tuple[str, ...]:
    """What a wrong entry may mean to match, `match` misspelt included; every name where it does not tell."""
    key = closest("match", table) if isinstance(table, Mapping) else None
    written: Any = table[key] if key else "**"
    patterns: list[Any] = written if isinstance(written, list) and written else [written]
    if not all(isinstance(pattern, str) for pattern in patterns):
        return ("**",)
    return tuple(dict.fromkeys(each for pattern in patterns for each in meanings(pattern)))
