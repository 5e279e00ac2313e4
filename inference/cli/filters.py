"""What analyze keeps, and what it calls it: options of the command line over those of the routes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.filter_problems import finds_places, names_things, seen_labels
from inference.regions import Polygon
from inference.routes import Route, Step
from inference.routes_file import Routes
from inference.tables import nearest


@dataclass(frozen=True)
class Filters:
    """What the options ask for, as the fields of Step and Route are; None: not asked for."""

    labels: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    min_size: float | None = None
    max_size: float | None = None
    regions: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    mask: str = ""


def filtered(routes: Routes, options: argparse.Namespace, registry: Registry) -> Routes:
    """The routes with the options on every step that they can do something for. Raises BadRoute for options that
    cannot be meant, or do nothing for any of the routes."""
    known = {label for route in routes.routes for label in _labels(route, registry)}
    asked = _read(options, known)
    if asked == Filters():
        return routes
    steps = [step for route in routes.routes for step in route.steps]
    sure = all((m := registry.entry(s.model).manifest) and (m.labels or not names_things(m.task)) for s in steps)
    renamed = {asked.rename.get(label, label) for label in known}
    rows = [("--rename", asked.rename, known), ("--labels", asked.labels, renamed),
            ("--label-threshold", asked.thresholds, renamed)]  # fmt: skip
    for option, labels, there in rows:
        if sure and (unknown := next((label for label in labels if label not in there), None)):
            hint = f"; it is {asked.rename[unknown]!r} now" if unknown in asked.rename else nearest(unknown, there)
            raise BadRoute(f"{option}: no model of the routes finds {unknown!r}{hint}")
    places = any(_has_places(step, registry) for step in steps)
    if not places and (asked.regions or asked.ignore or asked.mask or asked.min_size or asked.max_size):
        raise BadRoute(
            "--region, --ignore, --mask, --min-size and --max-size are for models that find objects or areas"
        )
    return Routes(tuple(_changed(route, asked, registry) for route in routes.routes))


def filtered_own(route: Route, options: argparse.Namespace, registry: Registry) -> Route:
    """A file's own route with the options on it. Raises BadRoute."""
    asked = _read(options, {*_labels(route, registry)})
    return route if asked == Filters() else _changed(route, asked, registry)


def _read(options: argparse.Namespace, known: set[str]) -> Filters:
    labels = [label for text in options.labels for label in _listed(text, known)]
    thresholds = {label: _number("--label-threshold", x) for label, x in _pairs("--label-threshold", options)}
    asked = Filters(
        tuple(dict.fromkeys(labels)),
        thresholds,
        dict(_pairs("--rename", options)),
        None if options.min_size is None else _number("--min-size", options.min_size),
        None if options.max_size is None else _number("--max-size", options.max_size),
        tuple(_polygon("--region", text) for text in options.region),
        tuple(_polygon("--ignore", text) for text in options.ignore),
        options.mask,
    )
    try:  # before any file is opened, and whichever of the routes they go to
        _step(Step("any"), asked, asked.thresholds)
        Route("any", (Step("any"),), regions=asked.regions, ignore=asked.ignore, mask=asked.mask)
    except ValueError as error:
        raise BadRoute(f"--{str(error).replace('min_size', 'min-size').replace('max_size', 'max-size')}") from error
    return asked


def _listed(text: str, known: set[str]) -> Iterator[str]:
    """The labels of a list; some have commas in their names."""
    if text.strip() in known:
        yield text.strip()
        return
    yield from (label for part in text.split(",") if (label := part.strip()))


def _pairs(option: str, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for text in getattr(options, option[2:].replace("-", "_")):
        label, equals, value = (part.strip() for part in text.rpartition("="))
        if not (label and equals and value):
            raise BadRoute(f"{option} {text!r}: expected {option} LABEL={'NAME' if option == '--rename' else '0.6'}")
        yield label, value


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadRoute(f"{option}: found {text!r}, expected a number from 0 to 1, as in 0.5") from error


def _polygon(option: str, text: str) -> Polygon:
    try:
        points = tuple((float(x), float(y)) for x, y in (point.split(",") for point in text.split()))
    except ValueError as error:
        raise BadRoute(f"{option} {text!r}: expected points x,y with a space between them, as in "
                       "'0,0.5 1,0.5 1,1 0,1'") from error  # fmt: skip
    return points


def _labels(route: Route, registry: Registry) -> Iterator[str]:
    """What the steps of a route can find, as it names it."""
    for step in route.steps:
        if manifest := registry.entry(step.model).manifest:
            yield from seen_labels(step, manifest)


def _has_places(step: Step, registry: Registry) -> bool:
    manifest = registry.entry(step.model).manifest
    return manifest is None or finds_places(manifest.task)


def _changed(route: Route, asked: Filters, registry: Registry) -> Route:
    """All names in the route follow the new ones."""

    def new(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(asked.rename.get(name, name) for name in names)

    places = any(_has_places(step, registry) and not step.on for step in route.steps)
    video = route.video
    if video and asked.rename:
        zones = tuple(replace(zone, labels=new(zone.labels)) for zone in video.zones)
        follow = video.follow and replace(video.follow, label=new([video.follow.label])[0])
        video = replace(video, zones=zones, follow=follow)
    return route.changed(
        steps=tuple(_changed_step(step, asked, registry) for step in route.steps),
        draw=replace(route.draw, blur=new(route.draw.blur)),
        video=video,
        regions=asked.regions if asked.regions and places else route.regions,
        ignore=asked.ignore if asked.ignore and places else route.ignore,
        mask=asked.mask if asked.mask and places else route.mask,
    )


def _changed_step(step: Step, asked: Filters, registry: Registry) -> Step:
    manifest = registry.entry(step.model).manifest
    step = replace(step, on=asked.rename.get(step.on, step.on))
    if manifest is None or not names_things(manifest.task):
        return step
    own = {label: asked.rename[name] for label in manifest.labels
           if (name := step.rename.get(label, label)) in asked.rename}  # fmt: skip
    step = replace(
        step,
        rename={**step.rename, **(own if manifest.labels else asked.rename)},
        labels=tuple(asked.rename.get(label, label) for label in step.labels),
        thresholds={asked.rename.get(label, label): score for label, score in step.thresholds.items()},
    )
    there = seen_labels(step, manifest)
    thresholds = {label: score for label, score in asked.thresholds.items() if not there or label in there}
    if not finds_places(manifest.task):
        asked = replace(asked, min_size=None, max_size=None)
    try:
        return _step(step, asked, thresholds)
    except ValueError as error:
        raise BadRoute(f"step {step.title!r}, with the options given: {error}") from error


def _step(step: Step, asked: Filters, thresholds: Mapping[str, float]) -> Step:
    return replace(
        step,
        labels=asked.labels or step.labels,
        thresholds={**step.thresholds, **thresholds},
        min_size=step.min_size if asked.min_size is None else asked.min_size,
        max_size=step.max_size if asked.max_size is None else asked.max_size,
    )
