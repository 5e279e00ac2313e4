"""A picture's predictions as shapes of the overlay, in the picture's own pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.draw.colours import Colour, colour, ink
from inference.draw.keypoints import SHOWN, shade
from inference.results.skeletons import Skeleton

Row = Mapping[str, Any]
# A plate's width before a script has measured it, in its own pixels: a letter of 13 px system-ui is about so wide.
_LETTER, _PAD, _PLATE = 7.8, 10, 19
_WORDS = 60
_TURNS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# More than a picture can show, and a page can move.
MOST = 2000


@dataclass(frozen=True)
class Mark:
    """A keypoint, or (with x2, y2) a bone between two."""

    x: float
    y: float
    x2: float | None
    y2: float | None
    colour: str


@dataclass(frozen=True)
class Shape:
    """An object. box: x, y, width, height. points: of an oriented box, for SVG. words: on its plate; plate_width: of
    that. threshold: its step's. area: of its box in pixels. mask: whether the document has one."""

    id: str
    label: str
    step: str
    score: float
    threshold: float
    colour: str
    ink: str
    box: tuple[float, float, float, float]
    points: str
    words: str
    plate_width: int
    marks: tuple[Mark, ...]
    mask: bool

    @property
    def guess(self) -> bool:
        """Whether its step's threshold leaves it out until somebody asks for less."""
        return self.score < self.threshold


def hexadecimal(shade: Colour) -> str:
    """A colour as a style sheet writes it."""
    return "#{:02x}{:02x}{:02x}".format(*shade)


def shapes_of(document: Row) -> list[Shape]:
    """The objects of a picture, those on the crops of others included, the largest first: so the small ones, on top,
    can be pointed at."""
    skeletons = {step["name"]: step["skeleton"] for step in document["steps"] if step.get("skeleton")}
    thresholds = {step["name"]: float(step.get("threshold") or 0) for step in document["steps"]}
    found = [
        _shape(item, step["name"], thresholds, skeletons)
        for step in document["steps"]
        for item in step["predictions"]
        if item.get("box")
    ][:MOST]
    return sorted(found, key=lambda shape: -shape.box[2] * shape.box[3])


def _shape(item: Row, step: str, thresholds: Mapping[str, float], skeletons: Mapping[str, Row]) -> Shape:
    label, score = str(item.get("label") or step), float(item.get("score", 1.0))
    x1, y1, x2, y2 = item["box"]
    answers = item.get("attributes") or {}
    words = f"{in_line(label)} {score:.0%}" + "".join(f", {in_line(name)}" for name in best_names(answers))
    tint = colour(label)
    return Shape(
        id=str(item.get("id", "")),
        label=label,
        step=step,
        score=score,
        threshold=thresholds[step],
        colour=hexadecimal(tint),
        ink=hexadecimal(ink(tint)),
        box=(x1, y1, max(x2 - x1, 0), max(y2 - y1, 0)),
        points=" ".join(f"{x:g},{y:g}" for x, y in item.get("corners") or ()),
        words=words,
        plate_width=round(len(words) * _LETTER) + _PAD,
        marks=tuple(_marks(item, step, skeletons)),
        mask=bool(item.get("mask_rle")),
    )


def in_line(label: str) -> str:
    """A label among other words: marks that turn the direction of writing would turn those, too."""
    return _TURNS.sub("", label[:_WORDS])


def best_names(answers: Mapping[str, Any]) -> Iterator[str]:
    """The best label of each later step on an object's crop that gives no boxes."""
    for rows in answers.values():
        if (
            isinstance(rows, list)
            and rows
            and isinstance(rows[0], dict)
            and "box" not in rows[0]
            and rows[0].get("label")
        ):
            yield str(rows[0]["label"])


def _marks(item: Row, step: str, skeletons: Mapping[str, Row]) -> Iterator[Mark]:
    """Bones below points, of the object itself and of what was found on its crop."""
    if item.get("keypoints") and step in skeletons:
        yield from _skeleton(item["keypoints"], skeletons[step])
    for name, rows in (item.get("attributes") or {}).items():
        for inner in rows if isinstance(rows, list) else ():
            if isinstance(inner, dict):
                yield from _marks(inner, name, skeletons)


def _skeleton(points: Sequence[Sequence[float]], said: Row) -> Iterator[Mark]:
    skeleton, shown = Skeleton(tuple(said["points"]), ()), [row[-1] > SHOWN for row in points]
    for a, b in said["edges"]:
        if max(a, b) < len(points) and shown[a] and shown[b]:
            yield Mark(points[a][0], points[a][1], points[b][0], points[b][1], hexadecimal(shade(skeleton, b)))
    for place, row in enumerate(points):
        if shown[place]:
            yield Mark(row[0], row[1], None, None, hexadecimal(shade(skeleton, place)))


def plate_at(shape: Shape, scale: float) -> tuple[float, float]:
    """Where a plate stands: above its box, or inside at the top where there is no room. scale: pixels of the picture
    for one of the plate."""
    x, y, _, _ = shape.box
    above = y - _PLATE * scale
    return x, above if above >= 0 else y


def is_too_small(shape: Shape, scale: float) -> bool:
    """Whether the box is smaller than its name: then it is named when it is pointed at."""
    return shape.box[2] < shape.plate_width * scale * 0.75 or shape.box[3] < _PLATE * scale
