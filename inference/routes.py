"""routes.toml: which steps run on which uploads."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.errors import BadModel, BadRoute, DropsightError, ModelUnavailable, RouteUnavailable
from inference.tables import build, closest, nearest, read_toml

if TYPE_CHECKING:
    from inference.engine.registry import Registry
    from inference.video.options import VideoOptions


# `<name>.route.toml` beside a file says another route for it.
SIDECAR = ".route.toml"
REID = "video: reid"  # where a route names the model
# Tasks whose models may detect objects, which later steps run on.
DETECTING = ("object-detection", "keypoint-detection", "image-segmentation")


@dataclass(frozen=True)
class Step:
    """A run of a model.

    name: in the result (default: the model's name). on: run on the crops of earlier steps' objects with this label.
    threshold: 0..1, in place of the model's own score threshold. tile: run on tiles of that many pixels, too; overlap:
    the share of a tile that its neighbour also covers.
    """

    model: str
    name: str = ""
    on: str = ""
    threshold: float | None = None
    tile: int = 0
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is {self.overlap}, expected a share from 0 to below 1")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold:g}, expected a score from 0 to 1")
        if self.tile < 0:
            raise ValueError(f"tile is {self.tile}, expected pixels, or 0 for none")

    @property
    def title(self) -> str:
        return self.name or self.model


@dataclass(frozen=True)
class Draw:
    """What the annotated picture shows.

    labels, scores, boxes: whether they are drawn. masks: their opacity, 0..1. blur: labels whose objects are made
    unrecognisable ("face"); only in the annotated picture, so give a detector of them in the same route.
    compare: in a route of image-to-image steps only, the annotated picture is before and after side by side.
    """

    labels: bool = True
    scores: bool = True
    boxes: bool = True
    masks: float = 0.45
    blur: tuple[str, ...] = ()
    compare: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.masks <= 1:
            raise ValueError(f"masks is {self.masks}, expected an opacity from 0 to 1")


@dataclass(frozen=True)
class Route:
    """match: a glob on the blob's name (`**` any depth, `*` within one folder, `?` a character).

    when: an NCRONTAB schedule; the media of this route wait for its next slot.
    draw: the annotated picture. video: the table [route.video]; None, the usual options, costs pictures no import.
    """

    name: str
    steps: tuple[Step, ...]
    match: str = "**"
    when: str | None = None
    draw: Draw = field(default_factory=Draw)
    video: VideoOptions | None = None
    place: str = field(default="", init=False, repr=False, compare=False)  # where it was read
    written: Mapping[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # `video` as read

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", f"route {self.name!r}")
        follow = self.video.follow if self.video else None
        if not self.steps and not (follow and follow.box):
            raise ValueError('it has no steps; give a step, such as { model = "classify" }')
        titles = [step.title for step in self.steps]
        if twice := next((title for title in titles if titles.count(title) > 1), None):
            raise ValueError(f"two steps are called {twice!r}; give them different names")
        if self.steps and self.steps[0].on:
            raise ValueError("the first step has nothing to run on; put a detecting step before it")
        if self.video:
            _check_video(self.video, titles)

    @cached_property
    def video_options(self) -> VideoOptions:
        """What holds for videos: `video`, or the usual options."""
        from inference.video.options import VideoOptions  # lazily: pictures need none of it

        return self.video or VideoOptions()

    @staticmethod
    def late_types() -> dict[str, Any]:
        """The types of fields that are imported only where a table is read."""
        from inference.video.options import VideoOptions

        return {"VideoOptions": VideoOptions}

    def digest(self, registry: Registry) -> str:
        """Hex sha256 over everything of this route that decides its results: steps, options and models.

        The options of videos count as they are written, so that the same text has the same digest in every version.
        Raises BadModel where a model cannot be used.
        """
        facts = {
            "name": self.name,
            "steps": [asdict(step) for step in self.steps],
            "draw": asdict(self.draw),
            "video": self.written or _unusual(self.video),
            "models": [registry.digest(step.model) for step in self.steps],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def problem(self, registry: Registry, expected: Collection[str] = ()) -> DropsightError | None:
        """Why these models cannot do it, or None: ModelUnavailable for a model that may still arrive, BadRoute for the
        rest. expected: names of models that are still to be delivered."""
        for place, name in self.models():
            try:
                registry.entry(name)
            except BadModel as error:
                known = [entry.name for entry in registry.list()]
                arrives = name not in known and (name in expected or not closest(name, known))
                return (ModelUnavailable if arrives else BadRoute)(f"{self.place}: {place}: {error}")
        for place, name in self.models():
            entry = registry.entry(name)
            if entry.manifest and (words := self._misplaced(place, entry.manifest.task)):
                return BadRoute(f"{self.place}: {place}: {name!r} does {entry.manifest.task}, {words}")
        left_out = self.video.without if self.video else ()
        in_videos = [step for step in self.steps if step.title not in left_out]
        return (
            self._label_problem(registry, self.steps)
            or self._label_problem(registry, in_videos)
            or self._blur_problem(registry, self.steps)
            or self._blur_problem(registry, in_videos)
        )

    def _misplaced(self, place: str, task: str) -> str | None:
        """What was expected of a model at this place, where its task is another."""
        if place == REID:
            return None if task == "image-feature-extraction" else "expected embeddings (image-feature-extraction)"
        tiled = any(step.tile and place == f"steps[{i}]" for i, step in enumerate(self.steps))
        return "but tile is for models that detect objects" if tiled and task not in DETECTING else None

    def models(self) -> Iterator[tuple[str, str]]:
        """The models that it needs: (where in the route, name)."""
        yield from ((f"steps[{i}]", step.model) for i, step in enumerate(self.steps))
        if self.video and self.video.reid:
            yield REID, self.video.reid

    def _label_problem(self, registry: Registry, steps: Sequence[Step]) -> BadRoute | None:
        """A step that runs on a label that no step before it can give."""
        manifests = [manifest for step in steps if (manifest := registry.entry(step.model).manifest)]
        for i, step in enumerate(steps):
            detecting = [manifest for manifest in manifests[:i] if manifest.task in DETECTING]
            labels = {label for manifest in detecting for label in manifest.labels}
            if step.on and all(manifest.labels for manifest in detecting) and step.on not in labels:
                hint = nearest(step.on, labels) if labels else "; put a detecting step before it"
                place = f"steps[{self.steps.index(step)}]" + (", in videos" if len(steps) < len(self.steps) else "")
                return BadRoute(f"{self.place}: {place}: on = {step.on!r}, which no step before it finds{hint}")
        return None

    def _blur_problem(self, registry: Registry, steps: Sequence[Step]) -> BadRoute | None:
        """A label to blur that none of these steps can give: pictures would show what they must not."""
        manifests = [registry.entry(step.model).manifest for step in steps]
        detecting = [manifest for manifest in manifests if manifest is None or manifest.task in DETECTING]
        if not all(manifest and manifest.labels for manifest in detecting):
            return None  # who knows what they are called
        labels = {label for manifest in detecting if manifest for label in manifest.labels}
        if self.video and self.video.follow:
            labels.add(self.video.follow.label or "followed")
        unseen = next((label for label in self.draw.blur if label not in labels), None)
        if unseen is None:
            return None
        place = "draw: blur" + (", in videos" if len(steps) < len(self.steps) else "")
        hint = nearest(unseen, labels) if labels else "; add a step that detects it"
        return BadRoute(f"{self.place}: {place}: {unseen!r}, which no step finds{hint}")


def _check_video(video: VideoOptions, titles: Sequence[str]) -> None:
    """Raises ValueError for options that do not fit the steps of these titles."""
    from inference.video.options import FOLLOW

    if unknown := next((name for name in video.without if name not in titles), None):
        raise ValueError(f"video: without: no step is called {unknown!r}{nearest(unknown, titles)}")
    if video.follow and FOLLOW in titles:
        raise ValueError(f"a step is called {FOLLOW!r}, as is what video.follow gives; give it another name")


def _unusual(video: VideoOptions | None) -> dict[str, Any]:
    """The options that differ from the usual ones."""
    if video is None:
        return {}
    usual = type(video)()
    return {name: value for name, value in asdict(video).items() if value != getattr(usual, name)}


@dataclass(frozen=True)
class RefusedRoute:
    """A route that cannot be used as it is written: the names that it matches wait until it is mended."""

    name: str
    match: str
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
        if override:
            return self.named(override)
        return next((_usable(entry) for entry in self.entries if _glob(entry.match).fullmatch(name)), None)

    def named(self, name: str) -> Route:
        """The route of that name. Raises BadRoute with the nearest name, RouteUnavailable where it is refused."""
        for entry in self.entries:
            if entry.name == name:
                return _usable(entry)
        raise BadRoute(f"no route is called {name!r}{nearest(name, [entry.name for entry in self.entries])}")

    def of_sidecar(self, text: str, name: str) -> Route:
        """The route that the sidecar of the file `name` asks for: by name (`route = "faces"`), or its own
        (`[[route]]`). Raises as `named`."""
        where = f"{name}{SIDECAR}"
        try:
            table = read_toml(text, where, BadRoute)
        except BadRoute as error:
            raise BadRoute(f"{error}; correct it or make it empty") from error
        if isinstance(table.get("route"), str):
            return self.named(table["route"])
        own = parse_routes(text, where).routes
        if len(own) != 1:
            raise BadRoute(f'{where}: {len(own)} routes; expected route = "NAME" or a single [[route]]')
        return own[0]

    def sound(self) -> Routes:
        """These routes, for callers that need all of them. Raises BadRoute for the first that is refused."""
        for entry in self.entries:
            if isinstance(entry, RefusedRoute):
                raise BadRoute(entry.reason)
        return self

    def problems(self, registry: Registry, expected: Collection[str] = ()) -> list[DropsightError]:
        """What keeps routes from being used: see RefusedRoute and Route.problem."""
        each = (
            BadRoute(e.reason) if isinstance(e, RefusedRoute) else e.problem(registry, expected) for e in self.entries
        )
        return [problem for problem in each if problem]


def _usable(entry: Route | RefusedRoute) -> Route:
    if isinstance(entry, RefusedRoute):
        raise RouteUnavailable(entry.reason)
    return entry


def sidecar_target(name: str) -> str | None:
    """The file that this sidecar belongs to, or None where the name is not a sidecar's."""
    return name[: -len(SIDECAR)] if name.endswith(SIDECAR) and len(name) > len(SIDECAR) else None


def read_routes(source: Path | str, where: str = "") -> Routes:
    """The routes of a TOML file or text; wrong entries are kept as RefusedRoute, so that they stop only themselves.

    where: begins the messages (default: the file). Raises BadRoute where the entries cannot be told apart.
    """
    where = where or str(source)
    entries: list[Route | RefusedRoute] = []
    for number, table in enumerate(build(_File, read_toml(source, where, BadRoute), where, BadRoute).route):
        entries.append(_entry(table, f"{where}: route", number, {entry.name for entry in entries}))
    return Routes(tuple(entries))


def parse_routes(text: str, where: str) -> Routes:
    """The routes of a TOML text; `where` begins the messages. Raises BadRoute for any that is wrong."""
    return read_routes(text, where).sound()


def _entry(table: Any, where: str, number: int, taken: Container[str]) -> Route | RefusedRoute:
    name = table.get("name") if isinstance(table, Mapping) else None
    name = name if isinstance(name, str) else ""
    place = f"{where} {name!r}" if name else f"{where}[{number}]"
    try:
        if name and name in taken:
            raise BadRoute(f"{place}: two routes have this name; names must differ")
        route = build(Route, table, place, BadRoute)
    except BadRoute as error:
        return RefusedRoute(name, _claimed(table), str(error))
    object.__setattr__(route, "place", place)
    object.__setattr__(route, "written", table.get("video", {}))
    return route


def _claimed(table: Any) -> str:
    """What a wrong entry means to match, `match` misspelt included; every name where it does not tell."""
    key = closest("match", table) if isinstance(table, Mapping) else None
    return table[key] if key and isinstance(table[key], str) else "**"


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(p, re.escape(p)) for p in parts), re.DOTALL)
