"""Everyday photos from elsewhere with what is in them, and what a model's answers on them are worth.

COCO val 2017 (85 photos, boxes of 80 labels), COCO pictures with people's boxes (38), ImageNet samples (126) and photos
of faces (11), all in ../shared; no starter model was trained on any of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks import ROOT, SHARED
from inference.engine.model import Model
from inference.image.media import decode
from inference.predictions import Classes, Floats, Objects
from inference.routes import Step
from inference.steps import run_steps
from inference.tables import read_toml

MEDIA = SHARED / "media"
JUDGED = ROOT / "benchmarks/everyday.toml"
LOWEST = 0.05  # below this no threshold is looked for
UNJUDGED = 0.3  # up to here a name that nobody has judged counts as wrong
IOU = 0.5
COCO_IN_BLAZEPOSE = [0, 2, 5, 7, 8, *range(11, 17), *range(23, 29)]  # the 17 points among the 33
FACE_POINTS = 5  # nose, eyes and ears are the first of COCO's 17


@dataclass(frozen=True)
class Thing:
    """An annotated object. box: xyxy in pixels of the photo; crowd: a region of many; points: (17, 3) x, y, visible."""

    label: str
    box: tuple[float, float, float, float]
    crowd: bool = False
    points: Floats | None = None


@dataclass(frozen=True)
class Photo:
    """A photo with what is known of it.

    names: what it may be called; misnomers: what it may not, None where all other names are wrong. faces: how many,
    where only that is known.
    """

    path: Path
    things: tuple[Thing, ...] = ()
    names: frozenset[str] = field(default=frozenset())
    misnomers: frozenset[str] | None = None
    faces: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a model says of a photo, and whether it is so. present: there is such a thing, wherever the box lies."""

    photo: str
    score: float
    right: bool
    present: bool


Judge = Callable[[Model, Photo], Iterator[Answer]]


@cache
def coco() -> tuple[Photo, ...]:
    """The 85 photos by name, with all boxes; `names` holds the judged names of classifiers."""
    instances = json.loads((MEDIA / "coco/instances.json").read_text("utf-8"))
    points = json.loads((MEDIA / "coco/person_keypoints.json").read_text("utf-8"))["annotations"]
    points_of = {a["id"]: np.reshape(a["keypoints"], (17, 3)) for a in points}
    labels = {c["id"]: c["name"] for c in instances["categories"]}
    things: dict[int, list[Thing]] = {}
    for a in instances["annotations"]:
        box = _corners(*a["bbox"])
        thing = Thing(labels[a["category_id"]], box, bool(a["iscrowd"]), points_of.get(a["id"]))
        things.setdefault(a["image_id"], []).append(thing)
    names = read_toml(JUDGED)["photos"]

    def photo(path: Path) -> Photo:
        right, wrong = (frozenset(names[path.stem][word]) for word in ("right", "wrong"))
        return Photo(path, tuple(things.get(int(path.stem), ())), right, wrong)

    return tuple(photo(path) for path in sorted((MEDIA / "coco/val2017").iterdir()))


@cache
def people() -> tuple[Photo, ...]:
    """38 photos with people's boxes only; 20 of them show nobody."""
    folder = SHARED / "datasets/people"
    photos = []
    for item in json.loads((folder / "index.json").read_text("utf-8"))["items"]:
        things = [Thing("person", _corners(*p["box"]), p["crowd"], _points(p)) for p in item["persons"]]
        photos.append(Photo(folder / item["file"], tuple(things)))
    return tuple(sorted(photos, key=lambda photo: photo.path))


@cache
def imagenet() -> tuple[Photo, ...]:
    """126 photos of one thing each."""
    index = json.loads((MEDIA / "index.json").read_text("utf-8"))
    truth = {e["file"]: e["ground_truth"]["label"] for e in index if e["kind"] == "image-classification"}
    return tuple(Photo(MEDIA / file, names=frozenset(label.split(", "))) for file, label in sorted(truth.items()))


@cache
def faces() -> tuple[Photo, ...]:
    """11 photos of one to nineteen faces, of which only the number is known."""
    index = json.loads((MEDIA / "index.json").read_text("utf-8"))
    counts = {e["file"]: e["ground_truth"]["faces"] for e in index if e["file"].startswith("faces/")}
    return tuple(Photo(MEDIA / file, faces=count) for file, count in sorted(counts.items()))


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x, y, x + width, y + height


def _points(person: Mapping[str, object]) -> Floats | None:
    return np.reshape(person["keypoints"], (17, 3)) if person.get("keypoints") else None  # type: ignore[call-overload]


def answers(model: Model, photos: Sequence[Photo], judge: Judge) -> list[Answer]:
    """All that a model says of the photos, whatever its score."""
    return [answer for photo in photos for answer in judge(model, photo)]


def first_name(model: Model, photo: Photo) -> Iterator[Answer]:
    """A classifier's best name: right where it is one of the photo's names. Raises LookupError for a new one."""
    classes, _ = model.run(decode(photo.path.read_bytes()), threshold=0.0)
    assert isinstance(classes, Classes)
    name, score = classes.names[0], float(classes.scores[0])
    right = not photo.names.isdisjoint(name.split(", "))
    if not right and score > UNJUDGED and photo.misnomers is not None and name not in photo.misnomers:
        raise LookupError(f"{JUDGED}: {photo.path.stem}: nobody has judged {name!r} ({score:.2f}); look at the photo")
    yield Answer(photo.path.name, score, right, right)


def boxes(model: Model, photo: Photo) -> Iterator[Answer]:
    """A detector's boxes, best first: right where a thing of that label that no better box has taken overlaps by IoU.

    Only labels that the photo's set has boxes for are judged; what lies in a region of a crowd isn't.
    """
    objects = _objects(model, photo)
    free = [thing for thing in photo.things if not thing.crowd]
    for box, score, name in zip(objects.boxes.tolist(), objects.scores.tolist(), objects.names, strict=True):
        if name != "person" and photo in people():
            continue
        same = [thing for thing in free if thing.label == name]
        best = max(same, key=lambda thing: overlap(box, thing.box), default=None)
        right = best is not None and overlap(box, best.box) >= IOU
        if right and best:
            free.remove(best)
        elif any(t.crowd and t.label == name and inside(box, t.box) > IOU for t in photo.things):
            continue
        yield Answer(photo.path.name, score, right, any(t.label == name for t in photo.things))


def face_boxes(model: Model, photo: Photo) -> Iterator[Answer]:
    """A face detector's boxes, best first: right where a person's nose, eye or ear lies in it.

    Of people without such points (small, or in a crowd) the whole box counts. Of the photos of faces only the number
    is known: as many boxes as there are faces are right.
    """
    objects = _objects(model, photo)
    for i, (box, score) in enumerate(zip(objects.boxes.tolist(), objects.scores.tolist(), strict=True)):
        if photo.faces is not None:
            right = i < photo.faces
        else:
            right = any(t.label == "person" and _is_face_of(box, t) for t in photo.things)
        yield Answer(photo.path.name, score, right, right)


def _is_face_of(box: Sequence[float], person: Thing) -> bool:
    x1, y1, x2, y2 = box
    if person.points is None or not (person.points[:FACE_POINTS, 2] > 0).any():
        left, top, right, bottom = person.box
        return left <= (x1 + x2) / 2 <= right and top <= (y1 + y2) / 2 <= bottom
    return any(x1 <= x <= x2 and y1 <= y <= y2 for x, y, seen in person.points[:FACE_POINTS].tolist() if seen)


def poses_on(detector: Model) -> Judge:
    """Judges a pose model on the people of a detector: right where most of the annotated points are where it says.

    A point may be off by a fifth of the person's longer side. Of people without annotated points the box decides.
    """

    def judge(model: Model, photo: Photo) -> Iterator[Answer]:
        picture = decode(photo.path.read_bytes())
        steps = (Step(detector.manifest.name), Step(model.manifest.name, "pose", on="person", threshold=LOWEST))
        objects = run_steps(picture, steps, (detector, model))[0].predictions
        assert isinstance(objects, Objects)
        people = objects.take([name == "person" for name in objects.names])
        free = [thing for thing in photo.things if thing.label == "person" and not thing.crowd]
        for box, attributes in zip(people.boxes.tolist(), people.attributes, strict=True):
            best = max(free, key=lambda thing: overlap(box, thing.box), default=None)
            poses = attributes.get("pose", ())
            if best is None or overlap(box, best.box) < IOU:
                yield from (Answer(photo.path.name, score, False, False) for score in _scores(poses))
                continue
            free.remove(best)
            right = len(poses) > 0 and _is_pose_of(poses.keypoints[0], best)
            yield from (Answer(photo.path.name, score, right, True) for score in _scores(poses))

    return judge


def _scores(poses: Objects | tuple[()]) -> list[float]:
    return poses.scores.tolist() if isinstance(poses, Objects) else []


def _is_pose_of(points: Floats, person: Thing) -> bool:
    """points: (33, >= 2) of BlazePose, in pixels of the photo."""
    if person.points is None or not (person.points[:, 2] > 0).any():
        return True
    seen = person.points[:, 2] > 0
    reach = max(person.box[2] - person.box[0], person.box[3] - person.box[1]) / 5
    away = np.linalg.norm(points[COCO_IN_BLAZEPOSE, :2] - person.points[:, :2], axis=1)[seen]
    return bool((away <= reach).mean() > 0.5)


def somebody(model: Model, photo: Photo) -> Iterator[Answer]:
    """A pose model's answer on the whole photo, without a detector: right where there is anybody."""
    there = any(thing.label == "person" for thing in photo.things)
    for score in _objects(model, photo).scores.tolist():
        yield Answer(photo.path.name, score, there, there)


def _objects(model: Model, photo: Photo) -> Objects:
    objects, _ = model.run(decode(photo.path.read_bytes()), threshold=LOWEST)
    assert isinstance(objects, Objects)
    return objects.take(np.argsort(-objects.scores, kind="stable"))


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes xyxy."""
    common = _common(a, b)
    return common / (_area(a) + _area(b) - common) if common else 0.0


def inside(a: Sequence[float], b: Sequence[float]) -> float:
    """The share of box a that lies in box b."""
    return _common(a, b) / max(_area(a), 1e-9)


def _common(a: Sequence[float], b: Sequence[float]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
