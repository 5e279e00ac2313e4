"""routes.toml: which steps run on which uploads."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.errors import BadRoute
from inference.tables import build, nearest

if TYPE_CHECKING:
    from inference.registry import Registry


# `<name>.route.toml` beside a file says another route for it.
SIDECAR = ".route.toml"


@dataclass(frozen=True)
class Step:
    """One model run.

    name: how the result calls it (default: the model's name). on: run on the crops that an earlier step labelled so.
    threshold: overrides the model's score threshold. tile, overlap: run on tiles of that many pixels.
    """

    model: str
    name: str = ""
    on: str = ""
    threshold: float | None = None
    tile: int = 0
    overlap: float = 0.2

    @property
    def title(self) -> str:
        return self.name or self.model


@dataclass(frozen=True)
class Draw:
    """What the annotated picture shows.

    labels, scores, boxes: whether they are drawn. masks: their opacity, 0..1. blur: labels whose objects are made
    unrecognisable ("face"); only in the annotated picture, so give a detector of them in the same route.
    compare: where a route only makes new pictures, the annotated picture is before and after side by side.
    """

    labels: bool = True
    scores: bool = True
    boxes: bool = True
    masks: float = 0.45
    blur: tuple[str, ...] = ()
    compare: bool = False


@dataclass(frozen=True)
class Route:
    """match: a glob on the blob's name (`**` any depth, `*` within one folder, `?` one character).

    when: an NCRONTAB schedule; the media of this route wait for its next slot.
    draw: the annotated picture. video: options of video analysis.
    """

    name: str
    steps: tuple[Step, ...]
    match: str = "**"
    when: str | None = None
    draw: Draw = field(default_factory=Draw)
    video: Mapping[str, Any] = field(default_factory=dict)

    def digest(self, registry: Registry) -> str:
        """Hex sha256 over everything of this route that decides its results: steps, options and models.

        Raises BadModel where a model cannot be used.
        """
        facts = {k: v for k, v in asdict(self).items() if k not in ("match", "when")}
        facts["models"] = [registry.digest(step.model) for step in self.steps]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class _File:
    route: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Routes:
    """The routes of one file, first match wins."""

    routes: tuple[Route, ...]

    def match(self, name: str, override: str | None = None) -> Route | None:
        """The route for a blob's name, or the one called `override`; None where nothing matches.

        Raises BadRoute when no route is called `override`.
        """
        if override:
            return self.named(override)
        return next((r for r in self.routes if _glob(r.match).fullmatch(name)), None)

    def named(self, name: str) -> Route:
        """The route of that name. Raises BadRoute with the nearest one."""
        for route in self.routes:
            if route.name == name:
                return route
        raise BadRoute(f"no route is called {name!r}{nearest(name, [r.name for r in self.routes])}")

    def of_sidecar(self, text: str, name: str) -> Route:
        """The route that the sidecar of the file `name` asks for: one of these by its name (`route = "faces"`), or
        one of its own (`[[route]]`). Raises BadRoute."""
        where = f"{name}{SIDECAR}"
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadRoute(f"{where}: not valid TOML ({error}); correct it or make it empty") from error
        if isinstance(table.get("route"), str):
            return self.named(table["route"])
        own = parse_routes(text, where).routes
        if len(own) != 1:
            raise BadRoute(f'{where}: {len(own)} routes; expected route = "NAME" or one [[route]]')
        return own[0]


def sidecar_target(name: str) -> str | None:
    """The file that this sidecar speaks of, or None where the name is no sidecar's."""
    return name[: -len(SIDECAR)] if name.endswith(SIDECAR) and len(name) > len(SIDECAR) else None


def load_routes(path: Path | None, registry: Registry) -> Routes:
    """Read routes.toml; without a file, or a route in it, the default routes. Raises BadRoute.

    registry: what is installed decides what the default routes can do.
    """
    if path is None:
        from inference.defaults import default_routes  # lazily: it needs this module

        return default_routes(registry)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRoute(f"{path}: cannot be read ({error})") from error
    routes = parse_routes(text, str(path))
    return routes if routes.routes else load_routes(None, registry)


def parse_routes(text: str, where: str) -> Routes:
    """The routes of a TOML text; `where` begins each message. Raises BadRoute."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRoute(f"{where}: not valid TOML ({error})") from error
    routes = build(_File, table, where, BadRoute).route
    _check(routes, where)
    return Routes(routes)


def _check(routes: Sequence[Route], where: str) -> None:
    seen: set[str] = set()
    for route in routes:
        place = f"{where}: route {route.name!r}"
        if route.name in seen:
            raise BadRoute(f"{place}: two routes have this name; names must differ")
        seen.add(route.name)
        if not route.steps and not _follows_a_box(route):
            raise BadRoute(f'{place}: it has no steps; give at least one, such as {{ model = "classify" }}')
        if not 0 <= route.draw.masks <= 1:
            raise BadRoute(f"{place}: draw.masks is {route.draw.masks}, expected an opacity from 0 to 1")
        titles = [s.title for s in route.steps]
        for step in route.steps:
            if titles.count(step.title) > 1:
                raise BadRoute(f"{place}: two steps are called {step.title!r}; give one of them a name")
            if not 0 <= step.overlap < 1:
                raise BadRoute(f"{place}: overlap is {step.overlap}, expected a share from 0 to below 1")
        if route.steps and route.steps[0].on:
            raise BadRoute(f"{place}: the first step has nothing to run on; put a detecting step before it")


def _follows_a_box(route: Route) -> bool:
    """Whether it follows something in videos for which no model is needed."""
    follow = route.video.get("follow")
    return isinstance(follow, Mapping) and bool(follow.get("box"))


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(p, re.escape(p)) for p in parts), re.DOTALL)
