"""What analyze keeps, and what it calls it: options of the command line over those of the routes."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.filter_problems import finds_places, makes_maps, may_find, meant, names_things, seen_labels
from inference.meant_values import meant_share
from inference.regions import Polygon
from inference.routes import Route, Step
from inference.routes_file import Routes

# The options by the words that routes have for them.
_OPTIONS = {
    "thresholds:": "--label-threshold:",
    "rename:": "--rename:",
    "min_size": "--min-size",
    "max_size": "--max-size",
    "regions[": "--region [",
    "ignore[": "--ignore [",
    "mask:": "--mask:",
}


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


def filtered(routes: Routes, options: argparse.Namespace, registry: Registry, *, check: bool = True) -> Routes:
    """The routes with the options on every step that they can do something for. Raises BadRoute for options that
    cannot be meant and, with check, for those that do nothing for any of the routes."""
    asked = _read(options, {label for route in routes.routes for label in _labels(route, registry)})
    if asked == Filters():
        return routes
    if check:
        _check(asked, routes, registry)
    return routes.each(lambda route: _changed(route, asked, registry))


def _check(asked: Filters, routes: Routes, registry: Registry) -> None:
    """Raises BadRoute for what does nothing for any of the routes."""
    _check_labels(asked, routes, registry)
    places = any(_has_places(step, registry) for route in routes.routes for step in route.steps)
    if not places and (asked.regions or asked.ignore or asked.mask or asked.min_size or asked.max_size):
        raise BadRoute(
            "--region, --ignore, --mask, --min-size and --max-size are for models that find objects or areas, of which "
            "the routes have none"
        )


def _check_labels(asked: Filters, routes: Routes, registry: Registry) -> None:
    """Raises BadRoute for labels that none of the routes' models finds."""
    manifests = [registry.entry(step.model).manifest for route in routes.routes for step in route.steps]
    unlisted = any(m is None or (names_things(m.task) and not m.labels) for m in manifests)
    maps = {m.name for m in manifests if m and makes_maps(m)}

    def found(without: Collection[str] = ()) -> set[str]:
        return {label for route in routes.routes for label in _labels(route, registry, without)}

    known = found()
    renamed, scored = ({asked.rename.get(n, n) for n in names} for names in (known, found(without=maps)))
    rows = [("--rename", asked.rename, known), ("--labels", asked.labels, renamed),
            ("--label-threshold", asked.thresholds, scored)]  # fmt: skip
    for option, labels, there in rows:
        for label in labels:
            if label in there or (unlisted and may_find(label, ())):
                continue
            if label in renamed:
                raise BadRoute(f"{option}: {label!r} is found in maps alone, which have no scores")
            new = asked.rename.get(label)
            hint = f"; it is called {new!r} now" if new and there is not known else meant(label, there)
            raise BadRoute(f"{option}: no model of the routes finds {label!r}{hint}")


def _read(options: argparse.Namespace, known: set[str]) -> Filters:
    labels = [label for text in options.labels for label in _listed(text, known)]
    if options.labels and not labels:
        raise BadRoute("--labels: no label in it, as in --labels person,car")
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
        words = str(error)
        for name, option in _OPTIONS.items():
            words = words.replace(name, option)
        raise BadRoute(words) from error
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
        raise BadRoute(
            f"{option}: found {text!r}, expected a number from 0 to 1{meant_share(text) or ', as in 0.5'}"
        ) from error


def _polygon(option: str, text: str) -> Polygon:
    try:
        points = tuple((float(x), float(y)) for x, y in (point.split(",") for point in text.split()))
    except ValueError as error:
        raise BadRoute(f"{option} {text!r}: expected points x,y with a space between them, as in "
                       "'0,0.5 1,0.5 1,1 0,1'") from error  # fmt: skip
    return points


def _labels(route: Route, registry: Registry, without: Collection[str] = ()) -> Iterator[str]:
    """What the steps of a route can find, as it names it; without those models."""
    for step in route.steps:
        if (manifest := registry.entry(step.model).manifest) and manifest.name not in without:
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
        draw=replace(route.draw, blur=new(route.draw.blur), crops=new(route.draw.crops)),
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
    own_scores = () if makes_maps(manifest) else asked.thresholds.items()
    thresholds = {label: score for label, score in own_scores if not there or label in there}
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
