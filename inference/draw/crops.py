"""Objects saved as pictures of their own, with what must be unrecognisable blurred there, too."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image as Pillow

from inference.draw.artifacts import jpeg
from inference.draw.privacy import Redaction
from inference.image.media import Picture, cropped
from inference.predictions import Objects, Predictions
from inference.results.file_names import file_name
from inference.results.prediction_docs import id_stem
from inference.results.result import StepResult
from inference.routes import Draw

Box = tuple[float, float, float, float]
FOLDER = "crops"
# A box ends where the object does; so much of its width and height is shown beyond it on each side.
MARGIN = 0.1
# More are not saved of a picture or clip, nor more pixels of a picture in all: an upload says how many there are.
MOST_CROPS, _MOST_PIXELS = 200, 100_000_000
_LONGEST = 2048  # where the route says nothing


@dataclass(frozen=True)
class CropFiles:
    """files: by relative name; names: of the files, by the prediction's id; notes: what was left out."""

    files: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sight:
    """An object to be saved: its prediction's id, its file's name, its box in pixels of the picture."""

    id: str
    file: str
    score: float
    box: Box


def crop_files(picture: Picture, steps: Sequence[StepResult], draw: Draw) -> CropFiles:
    """The objects whose labels are in `draw.crops`, on crops too, as JPEG files: those with the highest scores, where
    there are too many."""
    seen = [
        sight
        for step in steps
        if isinstance(step.predictions, Objects)
        for sight in _sights(step.predictions, step.name, draw.crops)
    ]
    seen.sort(key=lambda sight: -sight.score)
    # Without blur, the few pixels of a crop are converted, and not all of the picture.
    redaction = Redaction(_shown(steps), draw.blur, picture.size)
    canvas = redaction.picture(picture.full()) if seen and draw.blur else None
    longest, made, room = draw.longest_side or _LONGEST, CropFiles(), _MOST_PIXELS
    for sight in seen[:MOST_CROPS]:
        image = crop_of(canvas or picture, sight.box, longest)
        room -= image.width * image.height
        if room < 0:
            break
        made.names[sight.id] = f"{FOLDER}/{sight.file}.jpg"
        made.files[f"{FOLDER}/{sight.file}.jpg"] = jpeg(image, quality=draw.quality)
    if len(made.files) == len(seen):
        return made
    words = f"draw.crops: of {len(seen)} objects the {len(made.files)} with the highest scores are saved as pictures"
    return CropFiles(made.files, made.names, (words,))


def crop_of(picture: Picture | Pillow.Image, box: Box, longest: float) -> Pillow.Image:
    """What is in the box (xyxy, pixels of the picture) and MARGIN around it, as RGB; at least a pixel, and no longer
    than `longest`."""
    source = Picture(picture, picture.size) if isinstance(picture, Pillow.Image) else picture
    part = cropped(source, area_of(source.size, box)).image
    if max(part.size) > longest:
        part.thumbnail((int(longest), int(longest)), Pillow.Resampling.LANCZOS, reducing_gap=2.0)
    return part


def area_of(size: tuple[int, int], box: Box) -> Box:
    """What `crop_of` shows of a picture of this (width, height), as xyxy in its pixels."""
    dx, dy = MARGIN * (box[2] - box[0]), MARGIN * (box[3] - box[1])
    x1, y1 = (min(max(math.floor(v), 0), side - 1) for v, side in zip((box[0] - dx, box[1] - dy), size, strict=True))
    x2, y2 = min(math.ceil(box[2] + dx), size[0]), min(math.ceil(box[3] + dy), size[1])
    return (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))


def _shown(steps: Sequence[StepResult]) -> list[tuple[str, Predictions]]:
    return [(step.name, step.predictions) for step in steps]


def _sights(
    objects: Objects, step: str, labels: Collection[str], parent: str = "", folder: str = "", within: Sequence[str] = ()
) -> Iterator[_Sight]:
    """The objects with these labels, then those on their crops, whose files lie in a folder that is called like theirs.

    On the crop of an object, one of the same label (the pose of a person is a person) is that object again, and left
    out. parent: the id of the object on whose crop they are; within: its label and those of its parents.
    """
    stem, boxes = id_stem(step, parent), objects.boxes.tolist()
    for i, label in enumerate(objects.names):
        file = f"{folder}{file_name(step)}-{i}"
        if label in labels and label not in within:
            yield _Sight(f"{stem}{i}", file, float(objects.scores[i]), tuple(boxes[i]))
        for name, answer in objects.attributes[i].items() if objects.attributes else ():
            if isinstance(answer, Objects):
                yield from _sights(answer, name, labels, f"{stem}{i}", f"{file}/", (*within, label))
