"""The annotated picture: boxes, labels, masks, keypoints and captions that can be read at any picture size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw.before_after import before_after
from inference.draw.colours import DARK, Colour, colour, track_colour, unit
from inference.draw.keypoints import draw_skeleton
from inference.draw.labels import Tag, caption, draw_tags, named
from inference.draw.masks import paint_map, paint_masks
from inference.draw.privacy import Redaction
from inference.draw.trails import Trail, draw_trails
from inference.draw.zones import Layers, ZoneMark, draw_plates, draw_zones, plates
from inference.predictions import Classes, Floats, LabelMap, Objects, OutputImage, Predictions
from inference.results.skeletons import SKELETONS
from inference.routes import Draw

__all__ = ["Marks", "annotate", "colour"]


@dataclass(frozen=True)
class Marks:
    """What is drawn on a frame of a clip beside predictions. lines: of the caption. target: the step whose objects are
    marked as followed. crowded: the tags of what has a track are its number. layers: of the zones, between frames."""

    zones: Sequence[ZoneMark] = ()
    trails: Sequence[Trail] = ()
    lines: Sequence[str] = ()
    target: str = ""
    crowded: bool = False
    layers: Layers | None = None


_NO_MARKS = Marks()
TARGET: Colour = (255, 255, 255)  # no track has this colour


def annotate(
    picture: Pillow.Image, steps: Sequence[tuple[str, Predictions]], draw: Draw, marks: Marks = _NO_MARKS
) -> Pillow.Image:
    """A copy of the upright full-size RGB picture with every step's predictions on it, and with the marks.

    Where the steps give nothing but output images, these and the picture side by side.
    """
    images = [(name, p) for name, p in steps if isinstance(p, OutputImage)]
    if images and len(images) == len(steps):
        return before_after(picture, images, draw.labels, draw.longest_side)
    canvas = picture.copy()
    lines: list[tuple[str, Colour | None]] = []
    for _, predictions in steps:
        if isinstance(predictions, LabelMap):
            lines += paint_map(canvas, predictions, draw.masks)
        elif isinstance(predictions, Classes):
            rows = zip(_labels(predictions, 3), predictions.scores[:3], strict=True)
            lines += [(f"{name}  {score:.0%}" if draw.scores else name, None) for name, score in rows]
    if draw.blur:  # with its maps: one of the picture's own colours shows a face
        canvas = Redaction(steps, draw.blur, picture.size).picture(canvas)
    zones = marks.zones if draw.boxes or draw.labels else ()
    draw_zones(canvas, zones, marks.layers)
    if draw.boxes:
        draw_trails(canvas, marks.trails)
    detections = [p for name, p in steps if isinstance(p, Objects) and name != marks.target]
    targets = [p for name, p in steps if isinstance(p, Objects) and name == marks.target]
    for objects in detections:
        draw_objects(canvas, objects, draw)
    for objects in targets if draw.boxes else ():
        draw_target(canvas, objects)
    if draw.labels:
        placed = plates(canvas, zones)
        tags = _tags(detections, targets, draw, marks.crowded)
        draw_tags(ImageDraw.Draw(canvas), canvas.size, tags, [area for area, *_ in placed])
        draw_plates(canvas, placed)
        lines = [*((line, None) for line in marks.lines), *lines]
        if lines:
            caption(canvas, lines)
    return canvas


def _on_crops(attributes: Mapping[str, Any]) -> Iterator[tuple[Objects, int]]:
    """The objects on a crop, as (objects, index), followed by the objects on their own crops."""
    for answer in attributes.values():
        for k in range(len(answer)) if isinstance(answer, Objects) else ():
            yield answer, k
            if answer.attributes:
                yield from _on_crops(answer.attributes[k])


def draw_objects(canvas: Pillow.Image, objects: Objects, draw: Draw) -> None:
    """Draw masks, then boxes, then keypoints on `canvas`, the highest score on top, of tracks the oldest. Words come
    later, above them."""
    shades = [_shade(objects, i) for i in range(len(objects))]
    # By their numbers tracks keep their order from frame to frame, where scores flicker.
    order = np.argsort(objects.scores if objects.tracks is None else -objects.tracks, kind="stable")
    if objects.masks is not None:
        paint_masks(canvas, objects.masks, shades, order, draw.masks)
    pen = ImageDraw.Draw(canvas)
    step = unit(canvas.size)
    if draw.boxes:
        for i in map(int, order):
            corners = None if objects.corners is None else objects.corners[i]
            _box(pen, objects.boxes[i].tolist(), corners, shades[i], step)
    for i in map(int, order):
        if objects.keypoints is not None and _shows_points(objects, i, draw):
            _, y1, _, y2 = objects.boxes[i].tolist()
            draw_skeleton(pen, objects.keypoints[i], objects.skeleton, y2 - y1, step)
        for nested, k in _on_crops(objects.attributes[i]) if objects.attributes else ():
            if _shows_points(nested, k, draw):
                _nested(pen, nested, k, step)


def _shows_points(objects: Objects, i: int, draw: Draw) -> bool:
    """Whether its keypoints are drawn: not eyes and mouth on a blurred face, which would look like one again."""
    bones = SKELETONS[objects.skeleton].bones if objects.skeleton in SKELETONS else ()
    return objects.keypoints is None or bool(bones) or objects.names[i] not in draw.blur


def draw_target(canvas: Pillow.Image, objects: Objects) -> None:
    """Draw the corners of the boxes of what is followed, around where a detection's box would be."""
    pen, step = ImageDraw.Draw(canvas), unit(canvas.size)
    width, rim, gap = max(round(1.8 * step), 3), max(round(0.5 * step), 1), 2.0 * step
    low, high = np.full(2, width / 2 + rim), np.array(canvas.size) - 1 - width / 2 - rim
    for box in objects.boxes:
        x1, y1 = np.maximum(box[:2] - gap, low).tolist()  # whatever the picture cuts off has four corners, too
        x2, y2 = np.minimum(box[2:] + gap, high).tolist()
        arm = max(0.25 * min(x2 - x1, y2 - y1), 2.0)
        corners = [((x, y + dy * arm), (x, y), (x + dx * arm, y))
                   for x, dx in ((x1, 1), (x2, -1)) for y, dy in ((y1, 1), (y2, -1))]  # fmt: skip
        for shade, wide in ((DARK, width + 2 * rim), (TARGET, width)):
            for corner in corners:
                pen.line(corner, fill=shade, width=wide, joint="curve")


def _tags(detections: Sequence[Objects], targets: Sequence[Objects], draw: Draw, crowded: bool) -> list[Tag]:
    """The labels of all objects; the first gets the best place: tracks by number, so that their tags keep their places
    from frame to frame, then others by score."""
    followed = {_track(o, i) for o in targets for i in range(len(o))} - {None}
    tags: list[tuple[tuple[float, ...], Tag]] = []
    for k, objects in enumerate(detections):
        for i in range(len(objects)):
            number = _track(objects, i)
            words = str(number) if crowded and number is not None else _words(objects, i, draw)
            if number in followed:
                words, followed = f"{words}, followed", followed - {number}
            rank = (1.0, -float(objects.scores[i]), -k, -i) if number is None else (0.0, number, k, i)
            tags.append((rank, Tag(words, tuple(objects.boxes[i].tolist()), _shade(objects, i))))
    for objects in targets:
        for i in range(len(objects)):
            number, name = _track(objects, i), objects.names[i]
            if number is None or number in followed:
                words = name if name == "followed" else f"{_named(objects, i)}, followed"
                tags.append(((-1.0,), Tag(words, tuple(objects.boxes[i].tolist()), _shade(objects, i))))
    return [tag for _, tag in sorted(tags, key=lambda item: item[0])]


def _box(pen: ImageDraw.ImageDraw, box: list[float], corners: Floats | None, shade: Colour, step: float) -> None:
    """An outline with a thin dark rim, which shows on any ground."""
    width = max(round(1.3 * step), 2)
    rim = max(round(0.25 * step), 1)
    if corners is not None:
        points = [tuple(p) for p in corners.tolist()]
        pen.polygon(points, outline=DARK, width=width + rim)
        pen.polygon(points, outline=shade, width=width)
        return
    x1, y1, x2, y2 = box
    pen.rectangle((x1 - rim, y1 - rim, max(x2, x1) + rim, max(y2, y1) + rim), outline=DARK, width=rim)
    pen.rectangle((x1, y1, max(x2, x1), max(y2, y1)), outline=shade, width=width)


def _nested(pen: ImageDraw.ImageDraw, objects: Objects, k: int, step: float) -> None:
    """An object on a crop: a thin box, or its keypoints."""
    _, y1, _, y2 = box = objects.boxes[k].tolist()
    if objects.keypoints is not None:
        draw_skeleton(pen, objects.keypoints[k], objects.skeleton, y2 - y1, step)
    else:
        _box(pen, box, None, colour(objects.names[k]), step * 0.6)


def _track(objects: Objects, i: int) -> int | None:
    """The number of its track; None where it has none."""
    number = -1 if objects.tracks is None else int(objects.tracks[i])
    return number if number >= 0 else None


def _shade(objects: Objects, i: int) -> Colour:
    """The track's colour, so that a person keeps it; without a track, the label's."""
    number = _track(objects, i)
    return colour(objects.names[i]) if number is None else track_colour(objects.names[i], number)


def _words(objects: Objects, i: int, draw: Draw) -> str:
    """The name, the track, the score, and the best labels of later steps on its crop."""
    text = _named(objects, i)
    if draw.scores:  # wider apart after a number: "person 4 53%" would be read as "person 453%"
        text += f"{'  ' if text[-1:].isdigit() else ' '}{objects.scores[i]:.0%}"
    for answer in objects.attributes[i].values() if objects.attributes else ():
        text += _best(answer)
    return text


def _named(objects: Objects, i: int) -> str:
    """The name and the track."""
    number, name = _track(objects, i), named(objects.names[i], int(objects.label_ids[i]))
    return name if number is None else f"{name} {number}"


def _labels(classes: Classes, most: int) -> list[str]:
    """The first names."""
    return [*map(named, classes.names[:most], classes.label_ids[:most].tolist())]


def _best(answer: Any) -> str:
    """The first label of predictions without boxes; with boxes, the labels on the crop of the first."""
    if isinstance(answer, Objects):
        return "".join(map(_best, answer.attributes[0].values())) if answer.attributes else ""
    if isinstance(answer, LabelMap):
        label = next((named(answer.names[i], i) for i, _ in answer.areas() if i != answer.background), "")
    else:
        label = next(iter(_labels(answer, 1)), "") if isinstance(answer, Classes) else ""
    return f", {label}" if label else ""
