"""The routes of an app whose routes.toml has none: what is in the picture, and the starter models by folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from inference.engine.registry import Registry
from inference.routes import Route, Routes, Step, read_routes
from inference.video.options import VideoOptions

log = logging.getLogger(__name__)

# Our classifier knows 200 classes and gives every picture a label: below this score it would only be guessing.
CLASSIFY_THRESHOLD = 0.2

# Purpose in the catalog -> our own step for it, or None where only a public model does it.
DEFAULT_STEPS: dict[str, Step | None] = {
    "image-classification": Step("classify", threshold=CLASSIFY_THRESHOLD),
    "object-detection": None,
    "face-detection": Step("faces"),
    "face-expression": Step("expression", on="face"),
}
SKETCH = Step("sketch")

# Frames of a video that are analysed a second: see docs/video.md for what tracks lose by it.
VIDEO_FPS = 4.0

# Uploads in a folder of this name take the model of this name: what a newcomer can try by dropping files.
BY_FOLDER = ("street", "cells", "colors", "cartoon", "colorize", "style-mosaic", "style-brush")


def load_routes(path: Path | None, registry: Registry) -> Routes:
    """Read routes.toml; without a file, or a route in it, the default routes. Raises BadRoute as `read_routes`.

    registry: what is installed decides what the default routes can do.
    """
    routes = read_routes(path) if path else Routes(())
    return routes if routes.entries else default_routes(registry)


def default_routes(registry: Registry) -> Routes:
    """One route per starter model with a folder of its own, then `default` for everything else.

    Only models that can be used are named, so that leaving out research models leaves a route that works.
    Recommended public models are preferred where they are installed.
    """
    usable = {entry.name for entry in registry.list() if not entry.reason}
    folders = [Route(name, (Step(name),), match=f"{name}/**") for name in BY_FOLDER if name in usable]
    steps = (*_steps(registry, usable), SKETCH)
    return Routes((*folders, Route("default", steps, video=_video(registry, steps))))


def _video(registry: Registry, steps: tuple[Step, ...]) -> VideoOptions:
    """Videos are sampled: things are tracked, and the picture as a whole is named. What makes pictures or looks at
    details of things takes too long for every frame."""
    tasks = {step.title: manifest.task for step in steps if (manifest := registry.entry(step.model).manifest)}
    tracked = next((title for title, task in tasks.items() if task == "object-detection"), None)
    kept = [step.title for step in steps if step.title == tracked or tasks.get(step.title) == "image-classification"]
    without = tuple(step.title for step in steps if step.on or step.title not in kept)
    return VideoOptions(fps=VIDEO_FPS, without=without)


def _steps(registry: Registry, usable: set[str]) -> Iterator[Step]:
    picks = _picks(registry, usable)
    finds_faces = False
    for purpose, ours in DEFAULT_STEPS.items():
        model = picks.get(purpose) or (ours.model if ours and ours.model in usable else None)
        if model is None or (ours and ours.on and not finds_faces):
            continue
        finds_faces |= purpose == "face-detection"
        if ours is None:
            yield Step(model)
        elif model == ours.model:
            yield ours
        else:
            yield replace(ours, model=model, threshold=None)  # our threshold speaks of our model


def _picks(registry: Registry, usable: set[str]) -> dict[str, str]:
    """The recommended public models that are installed, by purpose."""
    from inference.engine.catalog import best_installed, load_catalog, mentions  # lazily: mostly there is none

    if not mentions(usable):
        return {}
    catalog = load_catalog()
    picks = {purpose: best_installed(registry, purpose, catalog) for purpose in DEFAULT_STEPS}
    for purpose, pick in picks.items():
        if pick and not pick.verified:
            log.warning("default route: %s by %s, whose file was not run by us", purpose, pick.name)
    return {purpose: pick.name for purpose, pick in picks.items() if pick}
