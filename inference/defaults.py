"""The routes of an app whose routes.toml has none: what is in the picture, and the starter models by folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from inference.engine.registry import Registry
from inference.errors import DropsightError
from inference.routes import Route, Step
from inference.routes_file import Routes, read_routes
from inference.video.options import VideoOptions

log = logging.getLogger(__name__)

# The pack: the recommended model of the catalog for each purpose of the default route, in the order of its steps.
# Written here too, as reading the catalog takes a tenth of a second; a test compares the two.
PACK = {
    "image-classification": "mobilenetv2-int8",
    "object-detection": "picodet-s-416",
    "face-detection": "yunet-2023mar",
    "pose-estimation": "mp-pose-2023mar",
}
# The starter model that does the same where the pack's is missing.
STARTERS = {"image-classification": "classify", "face-detection": "faces"}
# From which score on a classifier's best name is given at all; below its own threshold it is a guess. At these scores
# every other guess about an everyday photo is right (python -m benchmarks everyday).
GUESSES = {"mobilenetv2-int8": 0.4, "classify": 0.7}
PERSON = "person"

# Frames of a video that are analysed a second: see docs/video.md for what tracks lose by it.
VIDEO_FPS = 4.0
# In how many of them in a row something must be seen to be a track: two let passing mistakes become tracks.
VIDEO_HITS = 3

# Uploads in a folder of this name take the model of this name: what a newcomer can try by dropping files.
BY_FOLDER = ("street", "cells", "colors", "cartoon", "sketch", "style-brush", "expression")


def load_routes(path: Path | None, registry: Registry) -> Routes:
    """Read routes.toml; without a file, or a route in it, the default routes. Raises BadRoute as `read_routes`.

    registry: what is installed decides what the default routes can do.
    """
    routes = read_routes(path) if path else Routes(())
    return routes if routes.entries else default_routes(registry)


def default_routes(registry: Registry) -> Routes:
    """One route per starter model with a folder of its own, then `default` for everything else.

    Only models that can be used are named, so that leaving out research models leaves a route that works.
    Models of the pack are preferred where they are installed; one that cannot be loaded is left out with a warning.
    """
    usable = {entry.name for entry in registry.list() if not entry.reason}
    picks = _picks(registry, usable)
    folders = [
        Route(name, steps, match=f"{name}/**")
        for name in BY_FOLDER
        if name in usable and (steps := _folder_steps(name, picks))
    ]
    # Where neither the pack nor research models may be used, a sketch is all that is left.
    steps = tuple(_steps(picks)) or (Step("sketch"),)
    return Routes((*folders, Route("default", steps, video=_video(registry, steps))))


def _video(registry: Registry, steps: tuple[Step, ...]) -> VideoOptions:
    """Videos are sampled: things are tracked, and the picture as a whole is named. What looks at details of things
    takes too long for every frame."""
    tasks = {step.title: manifest.task for step in steps if (manifest := registry.entry(step.model).manifest)}
    tracked = next((title for title, task in tasks.items() if task == "object-detection"), None)
    kept = [step.title for step in steps if step.title == tracked or tasks.get(step.title) == "image-classification"]
    without = tuple(step.title for step in steps if step.on or step.title not in kept)
    return VideoOptions(fps=VIDEO_FPS, confirm_hits=VIDEO_HITS, without=without)


def _folder_steps(name: str, picks: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps of a folder: its model, and for expressions the face detector before it; none without a detector."""
    if name != "expression":
        return (Step(name),)
    faces = picks.get("face-detection")
    return (Step(faces), Step(name, on="face")) if faces else ()


def _steps(picks: Mapping[str, str]) -> Iterator[Step]:
    for purpose, model in picks.items():
        if purpose != "pose-estimation":
            yield Step(model, threshold=GUESSES.get(model))
        elif "object-detection" in picks:
            yield Step(model, on=PERSON)


def _picks(registry: Registry, usable: set[str]) -> dict[str, str]:
    """The model for each purpose: the pack's where it is installed and can be loaded, else ours, else none."""
    picks = {}
    for purpose, name in PACK.items():
        if _loads(registry, name):
            picks[purpose] = name
        elif STARTERS.get(purpose) in usable:
            picks[purpose] = STARTERS[purpose]
    return picks


def _loads(registry: Registry, name: str) -> bool:
    """Whether the model is there and can be loaded; it then stays loaded for the route, which asks for it at once."""
    if all(entry.name != name for entry in registry.list()):
        return False
    try:
        registry.model(name)
    except DropsightError as error:
        log.warning("default route: left out %s: %s", name, error)
        return False
    return True
