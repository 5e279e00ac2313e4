"""A step over tiles of a picture, or over the crops of the objects of earlier steps.

Crops overlap where people stand close, and the model sees the same face in several of them. Such a face is kept once,
as the crop shows it best, and belongs to the person in whose box it lies as faces usually do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.model import Model
from inference.errors import BadRoute
from inference.image.align import aligned
from inference.image.media import Picture
from inference.image.preprocess import Box, widened
from inference.image.tile import tiles
from inference.image.views import SAME_IOU, merged, same_as, sighted
from inference.manifest import Preprocess
from inference.predictions import Floats, Ints, Objects, OutputImage, Predictions, joined
from inference.results.result import StepResult
from inference.routes import Step
from inference.timing import NO_TIME, Timing

if TYPE_CHECKING:
    from inference.keep import Sieve

Flags = NDArray[np.bool_]
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
    found = merged(views, seen, picture.size, sum(map(len, views)))
    count = min(len(found), model.manifest.postprocess.max_detections)
    hidden = [view.hidden for view in views if view.hidden is not None]
    rest = [found.take(range(count, len(found)))] if model.hides_from is not None else []
    shown = replace(found.take(range(count)), hidden=None)
    unseen = joined([*hidden, *(replace(each, hidden=None, masks=None, corners=None) for each in rest)])
    return replace(shown, hidden=unseen) if len(unseen) else shown, timing


@dataclass(frozen=True)
class Target:
    """An object whose crop a step runs on: box (xyxy) and points (K, 3), in picture pixels, and its attributes.

    sure: False for one that counts only where a tracker takes it up.
    """

    box: Box
    points: Floats | None
    attributes: dict[str, Any]
    sure: bool = True


def run_on_crops(
    picture: Picture,
    step: Step,
    model: Model,
    threshold: float | None,
    results: list[StepResult],
    sieve: Sieve | None = None,
    sure: Mapping[str, Flags] | None = None,
) -> Timing:
    """Run on the objects labelled `step.on` of earlier steps, on crops of crops too, and add the predictions to them
    as attributes, an object that several crops show once. Changes `results`. Raises BadRoute.

    sieve: what is kept of the predictions. Where they may be what is to be blurred, hidden objects get them, too.
    sure: by step, which of its objects (N,) count by themselves; all, where a step is not in it.
    """
    opened = {i: _open(r.predictions) for i, r in enumerate(results) if isinstance(r.predictions, Objects)}
    if not opened:
        raise BadRoute(f"step {step.title!r} runs on {step.on!r}, but no earlier step detects objects; add a detector")
    wanted = model.manifest.preprocess
    targets = [
        target
        for i, objects in opened.items()
        for target in _targets(objects, step.on, wanted, picture.size, (sure or {}).get(results[i].name))
    ]
    hiding = opened.values() if sieve is not None and sieve.gives_held else ()
    unseen = [target for objects in hiding for target in _hidden_targets(objects, step.on, wanted, picture.size)]
    total = _answer(picture, targets, step, model, threshold, sieve)
    if sieve is not None and unseen:
        total = total + _answer(picture, unseen, step, model, threshold, replace(sieve, left_out=Counter()))
    for i, objects in opened.items():
        results[i] = replace(results[i], predictions=objects)
    return total


def _answer(
    picture: Picture, targets: Sequence[Target], step: Step, model: Model, threshold: float | None, sieve: Sieve | None
) -> Timing:
    """Runs on the crops of the targets, which get the predictions."""
    answers: list[Predictions] = []
    hidden: list[Objects | None] = []
    total = NO_TIME
    for target in targets:
        predictions, timing = _run_on(picture, target, step, model, threshold)
        # An output image of a crop is kept nowhere.
        predictions = Objects.empty() if isinstance(predictions, OutputImage) else predictions
        hidden.append(predictions.hidden if isinstance(predictions, Objects) else None)
        answers.append(replace(predictions, hidden=None) if isinstance(predictions, Objects) else predictions)
        total = total + timing
    once = _each_once(answers, targets, model, picture.size)
    for target, answer, unseen in zip(targets, once, hidden, strict=True):
        answer = replace(answer, hidden=unseen) if isinstance(answer, Objects) else answer
        target.attributes[step.title] = answer if sieve is None else sieve(answer)
    return total


def _each_once(
    answers: list[Predictions], targets: Sequence[Target], model: Model, size: tuple[int, int]
) -> list[Predictions]:
    """The predictions on the crops of the targets, where an object that several crops show is with one target only.

    Kept is the best sight of it (see `sighted`), and all that belongs to that. Labels, maps and
    vectors are of their crop, and stay with it. size: (width, height) of the picture.
    """
    manifest = model.manifest
    places = [k for k, answer in enumerate(answers) if isinstance(answer, Objects) and len(answer)]
    if len(places) < 2 or manifest.preprocess.align:  # on a face turned upright, boxes are not the picture's
        return answers
    views = [answer for k in places if isinstance(answer := answers[k], Objects)]
    seen = [widened(targets[k].box, manifest.preprocess, model.spec) for k in places]
    poses = manifest.task == "keypoint-detection"
    every, view, cut = sighted(views, seen, size, poses)
    # What the model's own suppression takes for the same; a detector without any, or with a high one, sees a crop and
    # the next in different scales.
    iou = min(SAME_IOU, manifest.postprocess.iou_threshold)
    first = same_as(every, view, cut, iou, poses)
    kept = np.unique(first)
    if len(kept) == len(every):
        return answers
    parents = np.asarray([targets[k].box for k in places])
    owner = _owners(every, view, first, parents, np.asarray([targets[k].sure for k in places]))
    once = list(answers)
    for number, k in enumerate(places):
        mine = kept[owner == number]
        once[k] = every.take(mine[np.argsort(-every.scores[mine], kind="stable")])
    return once


def _owners(every: Objects, view: Ints, first: Ints, parents: Floats, sure: Flags) -> Ints:
    """For each object that is kept, in the order of `np.unique(first)`, the number of the parent (M, 4) that it belongs
    to, of those in whose crops it was detected: of one that is not sure (M,) only where no other shows it.

    That is the parent in which it lies nearest to where the objects of this step lie in their parents. IoU or the
    centre's distance would not do: a face in the front row is in the middle of the person behind. In the beginning
    that place is the usual height, in the middle from left to right; then the median over the choice so far.
    """
    centre, middle = (every.boxes[:, :2] + every.boxes[:, 2:]) / 2, (parents[:, :2] + parents[:, 2:]) / 2
    extent = np.maximum(parents[:, 2:] - parents[:, :2], 1)
    place = (centre[first] - middle[view]) / extent[view]  # in each parent that it was detected in
    every_sight = [np.flatnonzero(first == i) for i in np.unique(first)]
    sights = [those[mine] if (mine := sure[view[those]]).any() else those for those in every_sight]
    usual = np.asarray([0.0, np.median(place[:, 1])])
    for _ in range(3):
        away = np.linalg.norm(place - usual, axis=1).round(4)
        chosen = np.asarray([those[away[those].argmin()] for those in sights])
        usual = np.median(place[chosen], axis=0)
    owners: Ints = view[chosen]
    return owners


def _open(objects: Objects) -> Objects:
    """A copy with attributes of its own, at every depth, that may be added to."""
    attributes = objects.attributes or ({},) * len(objects)
    return replace(objects, hidden=None if objects.hidden is None else _open(objects.hidden), attributes=tuple(
        {name: _open(answer) if isinstance(answer, Objects) else answer for name, answer in answers.items()}
        for answers in attributes
    ))  # fmt: skip


def _targets(
    objects: Objects, label: str, wanted: Preprocess, size: tuple[int, int], sure: Flags | None = None
) -> Iterator[Target]:
    """The objects of that label that the model wants to run on.

    On the crop of such an object, an object of the same label (the pose of a person is a person) is that object again,
    and left out. size: (width, height) of the picture. sure: which objects (N,) count by themselves; None for all.
    """
    for k, name in enumerate(objects.names):
        attributes = objects.attributes[k]
        box: Box = tuple(objects.boxes[k].tolist())
        counts = sure is None or bool(sure[k])
        if name != label:
            for answer in attributes.values():
                if isinstance(answer, Objects):
                    yield from _targets(answer, label, wanted, size, np.full(len(answer), counts))
        elif objects.scores[k] >= wanted.min_score and _fits(box, wanted, size):
            yield Target(box, None if objects.keypoints is None else objects.keypoints[k], attributes, counts)


def _hidden_targets(objects: Objects, label: str, wanted: Preprocess, size: tuple[int, int]) -> Iterator[Target]:
    """As `_targets`, of what the route's options left out, at every depth."""
    if objects.hidden is not None:
        yield from _targets(objects.hidden, label, wanted, size)
        yield from _hidden_targets(objects.hidden, label, wanted, size)
    for attributes in objects.attributes:
        for answer in attributes.values():
            if isinstance(answer, Objects):
                yield from _hidden_targets(answer, label, wanted, size)


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
