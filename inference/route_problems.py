"""What keeps a route from being used with the models that are here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from inference.engine.registry import Registry
from inference.errors import BadModel, BadRoute, DropsightError, ModelUnavailable
from inference.filter_problems import filter_problem, kept_labels, seen_labels
from inference.routes import REID, Route, Step
from inference.routes_file import RefusedRoute, Routes
from inference.tables import closest, nearest

# Tasks whose models may detect objects, which later steps run on.
DETECTING = ("object-detection", "keypoint-detection", "image-segmentation")


def problem_of(route: Route, registry: Registry, expected: Collection[str] = ()) -> DropsightError | None:
    """Why these models cannot do it, or None: ModelUnavailable for a model that may still arrive, BadRoute for the
    rest. expected: names of models that are still to be delivered."""
    for place, name in route.models():
        try:
            registry.entry(name)
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
    in_videos = [step for step in route.steps if step.title not in left_out]
    return (
        _label_problem(route, registry, route.steps)
        or _label_problem(route, registry, in_videos)
        or _drawn_problem(route, registry, route.steps, "blur")
        or _drawn_problem(route, registry, in_videos, "blur")
        or _drawn_problem(route, registry, route.steps, "crops")
    )


def _misplaced(route: Route, place: str, task: str) -> str | None:
    """What was expected of a model at this place, where its task is another."""
    if place == REID:
        return None if task == "image-feature-extraction" else "expected embeddings (image-feature-extraction)"
    tiled = any(step.tile and place == f"steps[{i}]" for i, step in enumerate(route.steps))
    return "but tile is for models that detect objects" if tiled and task not in DETECTING else None


def _label_problem(route: Route, registry: Registry, steps: Sequence[Step]) -> BadRoute | None:
    """A step that runs on a label that no step before it can give."""
    found = [(step, manifest) for step in steps if (manifest := registry.entry(step.model).manifest)]
    for i, step in enumerate(steps):
        detecting = [(one, manifest) for one, manifest in found[:i] if manifest.task in DETECTING]
        labels = {label for one, manifest in detecting for label in kept_labels(one, manifest)}
        if step.on and all(manifest.labels for _, manifest in detecting) and step.on not in labels:
            hint = nearest(step.on, labels) if labels else "; put a detecting step before it"
            place = f"steps[{route.steps.index(step)}]" + (", in videos" if len(steps) < len(route.steps) else "")
            return BadRoute(f"{route.place}: {place}: on = {step.on!r}, which no step before it finds{hint}")
    return None


def _drawn_problem(
    route: Route, registry: Registry, steps: Sequence[Step], option: Literal["blur", "crops"]
) -> BadRoute | None:
    """A label of `draw` that none of these steps can give: pictures would show what they must not, or be missed."""
    # What is left out of the result is blurred all the same, but has no crop.
    labels = findable(route, registry, steps, kept=option == "crops")
    unseen = None if labels is None else next((w for w in getattr(route.draw, option) if w not in labels), None)
    if labels is None or unseen is None:
        return None
    place = f"draw: {option}" + (", in videos" if len(steps) < len(route.steps) else "")
    hint = nearest(unseen, labels) if labels else "; add a step that detects it"
    return BadRoute(f"{route.place}: {place}: {unseen!r}, which no step finds{hint}")


def findable(route: Route, registry: Registry, steps: Sequence[Step], *, kept: bool) -> set[str] | None:
    """The labels of the objects that these steps of the route can find, as it names them; None where nobody knows.

    kept: without those that the steps leave out. Raises BadModel.
    """
    found = [(step, registry.entry(step.model).manifest) for step in steps]
    detecting = [(step, manifest) for step, manifest in found if manifest is None or manifest.task in DETECTING]
    if not all(manifest and manifest.labels for _, manifest in detecting):
        return None
    labels_of = kept_labels if kept else seen_labels
    labels = {label for step, manifest in detecting if manifest for label in labels_of(step, manifest)}
    if route.video and route.video.follow:
        labels.add(route.video.follow.label or "followed")
    return labels


def problems_of(routes: Routes, registry: Registry, expected: Collection[str] = ()) -> list[DropsightError]:
    """What keeps routes from being used: see RefusedRoute and `problem_of`."""
    each = (
        BadRoute(e.reason) if isinstance(e, RefusedRoute) else problem_of(e, registry, expected) for e in routes.entries
    )
    return [problem for problem in each if problem]
