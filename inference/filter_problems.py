"""What keeps the options of a route that leave something out, or rename it, from meaning anything with its models."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from inference.engine.registry import Registry
from inference.label_lists import shown_names
from inference.manifest import Manifest
from inference.routes import FILTERS, Route, Step
from inference.tables import closest, nearest

# What each task's answers have that options can go by. Answers of other tasks have nothing of it.
_NAMES = ("image-classification", "video-classification")
_PLACES = ("object-detection", "keypoint-detection", "image-segmentation")
_SOME = 12


def filter_problem(route: Route, registry: Registry) -> str | None:
    """The first option that can do nothing, with its place in the route; None where all can."""
    manifests = [registry.entry(step.model).manifest for step in route.steps]
    for number, (step, manifest) in enumerate(zip(route.steps, manifests, strict=True)):
        if manifest and step.filters and (words := next(_step_problems(step, manifest), None)):
            return f"steps[{number}]: {words}"
    placed = [
        not step.on and (m is None or finds_places(m.task)) for step, m in zip(route.steps, manifests, strict=True)
    ]
    if route.look and not any(placed):
        name = next(name for name in ("regions", "ignore", "mask") if getattr(route, name))
        return (f"{name}: no step of it finds objects or areas, and what is said of the whole picture has no place in "
                "it; add a step that detects, or leave it out")  # fmt: skip
    return None


def names_things(task: str) -> bool:
    """Whether the answers of models of this task have labels."""
    return task in (*_NAMES, *_PLACES)


def finds_places(task: str) -> bool:
    """Whether the answers of models of this task have a place in the picture, and a size."""
    return task in _PLACES


def seen_labels(step: Step, manifest: Manifest) -> tuple[str, ...]:
    """What a step's model can find, as results name it, left out or not; empty where nobody knows."""
    return shown_names(manifest.labels, step.rename)


def kept_labels(step: Step, manifest: Manifest) -> tuple[str, ...]:
    """What a step's result can have, as it names it; empty where nobody knows."""
    return tuple(name for name in seen_labels(step, manifest) if not step.labels or name in step.labels)


def _step_problems(step: Step, manifest: Manifest) -> Iterator[str]:
    task, asked = manifest.task, [name for name in FILTERS if getattr(step, name) != getattr(Step(""), name)]
    if not names_things(task):
        yield f"{asked[0]}: {step.model!r} does {task}, whose answers have no labels; leave it out"
    for name in asked:
        if name.endswith("_size") and not finds_places(task):
            yield f"{name}: {step.model!r} names the whole picture, so that all its answers have one size; leave it out"
        if name == "thresholds" and makes_maps(manifest):
            yield f"thresholds: {step.model!r} gives every pixel a label, without scores; leave them out"
    own, shown = set(manifest.labels), set(seen_labels(step, manifest))
    for label in step.rename:
        if not may_find(label, own):
            yield f"rename: {label!r} is no label of {step.model!r}{meant(label, own)}"
    for name in ("labels", "thresholds"):
        for label in getattr(step, name):
            if not may_find(label, shown):
                new = step.rename.get(label)
                hint = f"; it is called {new!r} here" if new and label in own else meant(label, shown)
                yield f"{name}: {label!r} is no label of {step.model!r}{hint}"
    if unkept := next((label for label in step.thresholds if step.labels and label not in step.labels), None):
        yield f"thresholds: {unkept!r} is none of the labels that are kept; add it to labels, or leave it out"


def may_find(label: str, labels: Collection[str]) -> bool:
    """Whether a model of these labels may give this one. Without a list, labels are numbers, or colours as #808080."""
    return label in labels if labels else label.isdecimal() or label.startswith("#")


def meant(label: str, labels: Collection[str]) -> str:
    """What to append to a message about a label that is none of these: the nearest, or some of them."""
    if not labels:
        return "; it has no list of labels, so that they are called 0, 1 ...: give it one in its model.toml"
    if len(labels) <= _SOME or closest(label, labels):
        return nearest(label, labels)
    return f"; known are {len(labels)}, such as {', '.join(sorted(labels)[:3])}"


def makes_maps(manifest: Manifest) -> bool:
    """Whether a model gives every pixel a label, without scores."""
    if manifest.head == "maskformer":
        return manifest.postprocess.params.get("mode") != "instance"
    return manifest.task == "image-segmentation" and manifest.head in ("semantic", "colors")
