"""What keeps the options of a route that leave something out, or rename it, from meaning anything with its models."""

from __future__ import annotations

from collections.abc import Iterator

from inference.engine.registry import Registry
from inference.keep import shown_names
from inference.manifest import Manifest
from inference.routes import FILTERS, Route, Step
from inference.tables import nearest

# What each task's answers have that options can go by. Answers of other tasks have nothing of it.
_NAMES = ("image-classification", "video-classification")
_PLACES = ("object-detection", "keypoint-detection", "image-segmentation")


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
        if name == "thresholds" and _makes_maps(manifest):
            yield f"thresholds: {step.model!r} gives every pixel a label, without scores; leave them out"
    own, shown = set(manifest.labels), set(seen_labels(step, manifest))
    for label in step.rename:
        if not _known(label, own):
            yield f"rename: {label!r} is no label of {step.model!r}{nearest(label, own)}"
    for name in ("labels", "thresholds"):
        for label in getattr(step, name):
            if not _known(label, shown):
                new = step.rename.get(label)
                hint = f"; it is called {new!r} here" if new and label in own else nearest(label, shown)
                yield f"{name}: {label!r} is no label of {step.model!r}{hint}"
    if unkept := next((label for label in step.thresholds if step.labels and label not in step.labels), None):
        yield f"thresholds: {unkept!r} is none of the labels that are kept; add it to labels, or leave it out"


def _known(label: str, labels: set[str]) -> bool:
    """Without a list, labels are numbers."""
    return label in labels if labels else True


def _makes_maps(manifest: Manifest) -> bool:
    if manifest.head == "maskformer":
        return manifest.postprocess.params.get("mode") != "instance"
    return manifest.task == "image-segmentation" and manifest.head in ("semantic", "colors")
