"""A line of YOLO's labels for an object: its class, then numbers of 0 to 1, shares of the picture's width and height.

What is in a line depends on the kind of the data set: a box (class, centre, size), a polygon, a box with keypoints, or
the four corners of an oriented box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from inference.results.polygons import outline
from inference.results.rle import decode
from inference.results.skeletons import VISIBLE, skeleton_of

Document = Mapping[str, Any]
Kind = Literal["detect", "segment", "pose", "obb"]
# What is said of objects, with {count} for how many.
Say = Callable[[str], None]
# The content of a mask's file as (mask, x, y), as `decode` gives them.
ReadMask = Callable[[str], tuple[Any, int, int]]

KINDS: dict[Kind, str] = {"detect": "boxes", "segment": "polygons", "pose": "keypoints", "obb": "oriented boxes"}


@dataclass(frozen=True)
class Labels:
    """kind: what the lines hold; points: names of the keypoints, for poses."""

    kind: Kind = "detect"
    points: tuple[str, ...] = field(default=())


def labels_of(step: Document, prediction: Document) -> Labels:
    """The richest labels that an object can have: of a step for poses its keypoints, before its mask."""
    if len(prediction.get("corners") or ()) == 4:
        return Labels("obb")
    points, masked = prediction.get("keypoints"), bool(prediction.get("mask_rle") or prediction.get("mask"))
    if points and (step["task"] == "keypoint-detection" or not masked):
        return Labels("pose", tuple(skeleton_of(step, prediction)["points"]))
    return Labels("segment") if masked else Labels()


def line_of(number: int, prediction: Document, labels: Labels, size: tuple[int, int], mask: ReadMask, say: Say) -> str:
    """The line of an object of the class `number`; empty where there can be none. size: the picture's (width, height).

    say: is called with what is left out or moved, and why.
    """
    values = {"detect": _box, "segment": _polygon, "pose": _pose, "obb": _corners}[labels.kind]
    numbers = values(prediction, labels, size, mask, say)
    return f"{number} {' '.join(numbers)}\n" if numbers else ""


def _box(prediction: Document, _labels: Labels, size: tuple[int, int], _mask: ReadMask, say: Say) -> list[str]:
    x1, y1, x2, y2 = prediction["box"]
    (x1, x2), (y1, y2) = (
        [min(max(v, 0.0), side) for v in pair] for pair, side in zip(((x1, x2), (y1, y2)), size, strict=True)
    )
    values = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
    numbers = _shares(zip(values[::2], values[1::2], strict=True), size)
    if float(numbers[2]) <= 0 or float(numbers[3]) <= 0:
        say("left out: {count} objects whose boxes have no area inside the picture")
        return []
    return numbers


def _corners(prediction: Document, _labels: Labels, size: tuple[int, int], _mask: ReadMask, say: Say) -> list[str]:
    corners = prediction.get("corners") or ()
    if len(corners) != 4:
        say("left out: {count} objects without an oriented box")
        return []
    numbers = _shares(corners, size)
    if len(set(zip(numbers[::2], numbers[1::2], strict=True))) < 3 or _is_flat(numbers):
        say("left out: {count} oriented boxes that have no area inside the picture")
        return []
    if any(not 0 <= v <= side for corner in corners for v, side in zip(corner, size, strict=True)):
        say("{count} oriented boxes reach beyond the picture: corners outside are moved to its edge")
    return numbers


def _is_flat(numbers: Sequence[str]) -> bool:
    return len(set(numbers[::2])) < 2 or len(set(numbers[1::2])) < 2


def _polygon(prediction: Document, _labels: Labels, size: tuple[int, int], mask: ReadMask, say: Say) -> list[str]:
    try:
        if rle := prediction.get("mask_rle"):
            bits, x, y = decode(rle, (size[1], size[0]))
        elif prediction.get("mask"):
            bits, x, y = mask(prediction["mask"])
        else:
            say("left out: {count} objects without a mask, beside others that have one")
            return []
    except ValueError:
        say("left out: {count} objects whose mask is missing or not one of the picture's size; analyse it again")
        return []
    found = outline(bits, x, y)
    numbers = _shares(found.points.tolist(), size)
    if len(set(zip(numbers[::2], numbers[1::2], strict=True))) < 3:
        say("left out: {count} objects whose mask is empty")
        return []
    if found.parts > 1:
        say("{count} masks of several parts are one polygon each, whose parts are joined by lines, as YOLO's are")
    if found.specks:
        say("{count} masks are without specks and pinholes that a polygon cannot hold well; --format coco has them")
    return numbers


def _pose(prediction: Document, labels: Labels, size: tuple[int, int], mask: ReadMask, say: Say) -> list[str]:
    numbers = _box(prediction, labels, size, mask, say)
    if not numbers:
        return []
    points = list(prediction.get("keypoints") or ())
    if len(points) != len(labels.points):
        say("{count} objects have no keypoints, or not as many as others: none of theirs are visible")
        points = [(0, 0, 0)] * len(labels.points)
    for x, y, *_, score in points:
        if score >= VISIBLE and 0 <= x <= size[0] and 0 <= y <= size[1]:
            numbers += [*_shares([(x, y)], size), "2"]
        else:
            numbers += ["0", "0", "0"]
    return numbers


def _shares(points: Iterable[Sequence[float]], size: tuple[int, int]) -> list[str]:
    """x, y and so on as shares of the picture, at most all of it."""
    return [f"{min(max(v / side, 0.0), 1.0):.6f}" for point in points for v, side in zip(point, size, strict=True)]


def flip_idx(points: Sequence[str]) -> list[int] | None:
    """For each keypoint the one that it becomes in a mirrored picture; None where their names do not tell."""
    if any(name.startswith(("point_", "face_")) for name in points) or len(set(points)) < len(points):
        return None
    mirrored = {"left": "right", "right": "left"}
    places = {name: k for k, name in enumerate(points)}
    others = ["_".join(mirrored.get(word, word) for word in name.split("_")) for name in points]
    return [places[name] for name in others] if all(name in places for name in others) else None
