"""What keeps a route from being used with the models that are here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from inference.engine.registry import Registry
from inference.errors import BadModel, BadRoute, DropsightError, ModelUnavailable
from inference.filter_problems import filter_problem, kept_labels, makes_maps, seen_labels
from inference.manifest import Manifest
from inference.routes import REID, Route, Step
from inference.routes_file import RefusedRoute, Routes
from inference.tables import closest, nearest

# Tasks whose models may detect objects, which later steps run on.
DETECTING = ("object-detection", "keypoint-detection", "image-segmentation")
# Those whose objects are tracked in videos.
TRACKED = ("object-detection", "keypoint-detection")

# The labels that a step can give its objects; None for any number, as of a model without a list of labels.
Labels = frozenset[str] | None


def problem_of(route: Route, registry: Registry, expected: Collection[str] = ()) -> DropsightError | None:
    """Why these models cannot do it, or None: ModelUnavailable for a model that may still arrive, BadRoute for the
    rest. expected: names of models that are still to be delivered."""
    for place, name in route.models():
        try:
            registry.entry(name)
        except ModelUnavailable as error:
            return ModelUnavailable(f"{route.place}: {place}: {error}", f"model:{name}")
        except BadModel as error:
            known = [entry.name for entry in registry.list()]
            arrives = name not in known and (name in expected or not closest(name, known))
            return (ModelUnavailable if arrives else BadRoute)(f"{route.place}: {place}: {error}")
    for place, name in route.models():
        entry = registry.entry(name)
        if entry.manifest and (words := _misplaced(route, place, entry.manifest.task)):
            return BadRoute(f"{route.place}: {place}: {name!r} does {entry.manifest.task}, {words}")
    if words := filter_problem(route, registry):
        return BadRoute(f"{route.place}: {words}")
    left_out = route.video.without if route.video else ()
    for steps in (route.steps, [step for step in route.steps if step.title not in left_out]):
        found = [(step, registry.entry(step.model).manifest) for step in steps]
        where = ", in videos" if len(steps) < len(route.steps) else ""
        if words := _on_problem(route, found, where) or _drawn_problem(route, found, "blur", where):
            return BadRoute(f"{route.place}: {words}")
    words = _drawn_problem(route, [(step, registry.entry(step.model).manifest) for step in route.steps], "crops", "")
    if words:
        return BadRoute(f"{route.place}: {words}")
    words = _video_problem(route, found)  # of the steps that videos have
    return BadRoute(f"{route.place}: video: {words}") if words else None


def labels_of_step(step: Step, manifest: Manifest | None, *, kept: bool = True) -> Labels:
    """The labels of the objects that a step can find, as its result names them; empty where it finds none.

    kept: without those that the step leaves out; these are still seen, and blurred.
    """
    if manifest is None or not finds_objects(manifest):
        return frozenset()
    if not manifest.labels:
        return None
    own = replace(manifest, labels=manifest.labels[max(manifest.label_offset, 0) :])
    return frozenset((kept_labels if kept else seen_labels)(step, own)) - {""}


def finds_objects(manifest: Manifest) -> bool:
    """Whether the model finds objects; else it names or colours the picture, without boxes."""
    return manifest.task in DETECTING and not makes_maps(manifest)


def findable(route: Route, registry: Registry, steps: Sequence[Step], *, kept: bool) -> set[str] | None:
    """The labels of the objects that these steps of the route can find, as it names them; None where nobody knows.

    kept: as of `labels_of_step`. Raises BadModel.
    """
    labels = [labels_of_step(step, registry.entry(step.model).manifest, kept=kept) for step in steps]
    if None in labels:
        return None
    return {name for each in (*labels, _followed(route)) for name in each or ()}


def _misplaced(route: Route, place: str, task: str) -> str | None:
    """What was expected of a model at this place, where its task is another."""
    if place == REID:
        return None if task == "image-feature-extraction" else "expected embeddings (image-feature-extraction)"
    tiled = any(step.tile and place == f"steps[{i}]" for i, step in enumerate(route.steps))
    return "but tile is for models that detect objects" if tiled and task not in DETECTING else None


_Found = Sequence[tuple[Step, Manifest | None]]


def _on_problem(route: Route, found: _Found, where: str) -> str:
    """A step that runs on a label that no step before it can give."""
    for i, (step, _) in enumerate(found):
        labels = [labels_of_step(*before) for before in found[:i]]
        if step.on and not _can_give(step.on, labels):
            hint = _hint(step.on, labels, found) or "; put a detecting step before it"
            place = f"steps[{route.steps.index(step)}]{where}"
            return f"{place}: on = {step.on!r}, which no step before it finds{hint}"
    return ""


def _drawn_problem(route: Route, found: _Found, option: Literal["blur", "crops"], where: str) -> str:
    """A label of `draw` that none of these steps can give: pictures would show what they must not, or be missed."""
    # What is left out of the result is blurred all the same, but has no crop.
    labels = [*(labels_of_step(*each, kept=option == "crops") for each in found), _followed(route)]
    for label in getattr(route.draw, option):
        if not _can_give(label, labels):
            hint = _hint(label, labels, found) or "; add a step that detects it"
            return f"draw: {option}{where}: {label!r}, which no step finds{hint}"
    return ""


def _video_problem(route: Route, found: _Found) -> str:
    """Something to follow, or to count in zones, that is never tracked."""
    if not route.video:
        return ""
    tracked = [labels_of_step(step, manifest) for step, manifest in found
               if manifest and not step.on and manifest.task in TRACKED][:1]  # fmt: skip
    follow, zones = route.video.follow, route.video.zones
    if follow and not follow.box:
        if not tracked:
            what = f"label is {follow.label!r}, but " if follow.label else ""
            return f"follow: {what}no step of it detects things in videos; add one, or give follow a box"
        if follow.label and not _can_give(follow.label, tracked):
            return f"follow: label is {follow.label!r}, which no step finds{_hint(follow.label, tracked, found)}"
    if zones and not tracked and not follow:
        return "zones: no step of it detects things in videos, so that nothing is counted; add one"
    labels = [*tracked, _followed(route)]
    for zone in zones:
        for label in zone.labels:
            if not _can_give(label, labels):
                hint = _hint(label, labels, found)
                return f"zones: {zone.name!r}: labels has {label!r}, which nothing that is tracked is called{hint}"
    return ""


def _followed(route: Route) -> Labels:
    """The label of what is followed from a box; from a detection, it has the label of that."""
    follow = route.video.follow if route.video else None
    return frozenset([follow.label or "followed"]) if follow and follow.box else frozenset()


def _can_give(label: str, steps: Sequence[Labels]) -> bool:
    return any(label.isdecimal() if labels is None else label in labels for labels in steps)


def _hint(label: str, steps: Sequence[Labels], found: _Found) -> str:
    """The nearest label that these steps can give; empty where there is none at all. found: all steps of the route."""
    renamed = next((step.rename[label] for step, _ in found if label in step.rename), "")
    if renamed and _can_give(renamed, steps):
        return f"; it is called {renamed!r} here"
    if known := {name for labels in steps for name in labels or ()}:
        return nearest(label, known)
    if None in steps:
        return "; the model has no list of labels, so that it says 0, 1 ...: give it one in its model.toml"
    return ""


def problems_of(routes: Routes, registry: Registry, expected: Collection[str] = ()) -> list[DropsightError]:
    """What keeps routes from being used: see RefusedRoute and `problem_of`."""
    each = (
        BadRoute(e.reason) if isinstance(e, RefusedRoute) else problem_of(e, registry, expected) for e in routes.entries
    )
    return [problem for problem in each if problem]
