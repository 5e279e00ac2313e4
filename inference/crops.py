"""A step over tiles of a picture, or over the crops of the objects of earlier steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from inference.engine.model import Model
from inference.errors import BadRoute
from inference.image.align import aligned
from inference.image.media import Picture
from inference.image.preprocess import Box
from inference.image.tile import merged, tiles
from inference.manifest import Preprocess
from inference.predictions import Floats, Objects, OutputImage, Predictions
from inference.results.result import StepResult
from inference.routes import Step
from inference.timing import NO_TIME, Timing

# A picture that would need more tiles than this is refused: it would take minutes, not seconds.
MAX_TILES = 400


def run_tiled(picture: Picture, step: Step, model: Model, threshold: float | None) -> tuple[Predictions, Timing]:
    """A step over the whole picture and over its tiles, boxes in picture pixels. Raises BadRoute."""
    predictions, timing = model.run(picture, threshold=threshold)
    width, height = picture.size
    if max(width, height) <= step.tile:
        return predictions, timing
    if not isinstance(predictions, Objects):
        raise BadRoute(
            f"step {step.title!r}: tile is for models that detect objects, {step.model!r} does {model.manifest.task}"
        )
    overlap = round(step.tile * step.overlap)
    places = list(tiles(picture.size, (step.tile, step.tile), (overlap, overlap)))
    if len(places) > MAX_TILES:
        raise BadRoute(
            f"step {step.title!r}: {width} x {height} pixels make {len(places)} tiles of {step.tile}, allowed are "
            f"{MAX_TILES}; make tile larger"
        )
    views: list[Objects] = [predictions]
    seen: list[Box] = [(0.0, 0.0, float(width), float(height))]
    for x, y in places:
        box = (float(x), float(y), float(min(x + step.tile, width)), float(min(y + step.tile, height)))
        part, time = model.run(picture, box, threshold)
        assert isinstance(part, Objects)
        views.append(part)
        seen.append(box)
        timing = timing + time
    return merged(views, seen, picture.size, model.manifest.postprocess.max_detections), timing


@dataclass(frozen=True)
class Target:
    """An object whose crop a step runs on: box (xyxy) and points (K, 3), in picture pixels, and its attributes."""

    box: Box
    points: Floats | None
    attributes: dict[str, Any]


def run_on_crops(
    picture: Picture, step: Step, model: Model, threshold: float | None, results: list[StepResult]
) -> Timing:
    """Run on the objects labelled `step.on` of earlier steps, on crops of crops too, and add the predictions to them
    as attributes. Changes `results`. Raises BadRoute."""
    total, detectors = NO_TIME, 0
    for i, earlier in enumerate(results):
        if not isinstance(earlier.predictions, Objects):
            continue
        detectors += 1
        objects = _open(earlier.predictions)
        for target in _targets(objects, step.on, model.manifest.preprocess, picture.size):
            predictions, timing = _run_on(picture, target, step, model, threshold)
            # An output image of a crop is kept nowhere.
            target.attributes[step.title] = Objects.empty() if isinstance(predictions, OutputImage) else predictions
            total = total + timing
        results[i] = replace(earlier, predictions=objects)
    if not detectors:
        raise BadRoute(f"step {step.title!r} runs on {step.on!r}, but no earlier step detects objects; add a detector")
    return total


def _open(objects: Objects) -> Objects:
    """A copy with attributes of its own, at every depth, that may be added to."""
    attributes = objects.attributes or ({},) * len(objects)
    return replace(objects, attributes=tuple(
        {name: _open(answer) if isinstance(answer, Objects) else answer for name, answer in answers.items()}
        for answers in attributes
    ))  # fmt: skip


def _targets(objects: Objects, label: str, wanted: Preprocess, size: tuple[int, int]) -> Iterator[Target]:
    """The objects of that label that the model wants to run on.

    On the crop of such an object, an object of the same label (the pose of a person is a person) is that object again,
    and left out. size: (width, height) of the picture.
    """
    for k, name in enumerate(objects.names):
        attributes = objects.attributes[k]
        box: Box = tuple(objects.boxes[k].tolist())
        if name != label:
            for answer in attributes.values():
                if isinstance(answer, Objects):
                    yield from _targets(answer, label, wanted, size)
        elif objects.scores[k] >= wanted.min_score and _fits(box, wanted, size):
            yield Target(box, None if objects.keypoints is None else objects.keypoints[k], attributes)


def _fits(box: Box, wanted: Preprocess, size: tuple[int, int]) -> bool:
    """Whether a box has at least a pixel of extent, the size that the model asks for, and the share that it allows."""
    width, height = box[2] - box[0], box[3] - box[1]
    large = min(width, height) >= max(wanted.min_size, 1)
    return large and width * height <= wanted.max_share * size[0] * size[1]


def _run_on(
    picture: Picture, target: Target, step: Step, model: Model, threshold: float | None
) -> tuple[Predictions, Timing]:
    if not model.manifest.preprocess.align:
        return model.run(picture, target.box, threshold)
    if target.points is None or len(target.points) != 5:
        raise BadRoute(
            f"step {step.title!r}: {model.manifest.name} wants faces turned upright by five landmarks, which what it "
            "runs on does not have; put a face detector with landmarks before it, such as yunet"
        )
    return model.run(aligned(picture, target.points), threshold=threshold)
