"""What starters and pack say of everyday photos, at which threshold, and on how many of 50 they are useful.

python -m benchmarks.everyday [--sweep | --write] [MODEL ...]: the table, the figures at other thresholds, or the
manifests' `everyday` line written anew. Thresholds are chosen on every other photo so that at least 0.8 of what a model
says is right, and reported on the photos between. Useful is a model on a photo of which it says more that is right than
that is wrong, and at least one thing that is right; the 50 photos are the first of COCO val 2017 by name that ../shared
has, whatever they show: a model of faces can be useful only where there are faces.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks import ROOT, SHARED, Row, reference_models
from benchmarks._judged import (
    Answer,
    Judge,
    Photo,
    answers,
    boxes,
    coco,
    face_boxes,
    faces,
    first_name,
    imagenet,
    people,
    poses_on,
    somebody,
)
from inference.engine.catalog import CATALOG, load_catalog
from inference.engine.model import Model
from inference.engine.registry import BUILT_IN, Registry
from inference.engine.session import Session
from inference.engine.weights import Weights
from inference.heads import threshold as default_threshold
from inference.manifest import MANIFEST_FILE

WANTED = 0.8  # the share of what a model says that must be right
PHOTOS = 50
SWEEP = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
# The pack's pose model as another conversion of the same network, whose file is in ../shared.
STAND_INS = {"mp-pose-2023mar": "pose-blazepose-lite-fp16"}


@cache
def measured(name: str) -> Model:
    """A starter, or a model of the catalog with the weights of ../shared."""
    registry = Registry([BUILT_IN])
    if name in {entry.name for entry in registry.list() if not entry.reason}:
        return registry.model(name)
    entry = load_catalog().named(name)
    folder = SHARED / "models" / STAND_INS.get(name, "")
    sha256 = entry.sha256 if name not in STAND_INS else ""
    weights = Weights([folder]).find(sha256) if sha256 else folder / "model.onnx"
    assert weights, f"../shared has no file of {name}"
    return Model(entry.full_manifest(), Session(weights), sha256)


@dataclass(frozen=True)
class Subject:
    """A model, the photos on which its threshold was chosen, and how its answers on them are judged."""

    name: str
    sets: tuple[Callable[[], Sequence[Photo]], ...]
    judge: Callable[[], Judge]

    def photos(self) -> list[Photo]:
        return [photo for photos in self.sets for photo in photos()]

    def answers(self) -> list[Answer]:
        return answers(measured(self.name), self.photos(), self.judge())


SUBJECTS = (
    Subject("classify", (coco, imagenet), lambda: first_name),
    Subject("faces", (coco, people, faces), lambda: face_boxes),
    Subject("mobilenetv2-int8", (coco,), lambda: first_name),
    Subject("picodet-s-416", (coco, people), lambda: boxes),
    Subject("yunet-2023mar", (coco, people, faces), lambda: face_boxes),
    Subject("mp-pose-2023mar", (coco, people), lambda: poses_on(measured("picodet-s-416"))),
)


def limit_of(model: Model) -> float:
    return default_threshold(model.manifest, model.head)


@dataclass(frozen=True)
class Figures:
    """Of answers at a threshold. precision: None where nothing is said."""

    said: int
    right: int
    photos_right: int
    photos_wrong: int

    @property
    def precision(self) -> float | None:
        return self.right / self.said if self.said else None

    def __str__(self) -> str:
        return f"{self.right} of {self.said}" + (f" ({self.precision:.2f})" if self.precision is not None else "")


def figures(given: Sequence[Answer], limit: float) -> Figures:
    above = [a for a in given if a.score >= limit]
    right = [a for a in above if a.right]
    return Figures(len(above), len(right), len({a.photo for a in right}), len({a.photo for a in above if not a.right}))


def useful(given: Sequence[Answer], limit: float) -> str:
    """On how many of the 50 photos more is right than wrong, as the manifest says it."""
    balance: dict[str, int] = {}
    for answer in given:
        if answer.score >= limit:
            balance[answer.photo] = balance.get(answer.photo, 0) + (1 if answer.right else -1)
    count = sum(balance.get(photo.path.name, 0) > 0 for photo in coco()[:PHOTOS])
    return f"{count} of {PHOTOS}"


def run(names: Sequence[str] = ()) -> list[Row]:
    """A row per model, and rows for what has no bar."""
    chosen = [s for s in SUBJECTS if not names or s.name in names]
    rows = [_row(subject) for subject in chosen]
    if not names:
        rows += [_single_things(), _nobody()]
    return rows


def _row(subject: Subject) -> Row:
    limit, given, photos = limit_of(measured(subject.name)), subject.answers(), subject.photos()
    halves = [figures([a for a in given if a.photo in half], limit) for half in _halves(subject)]
    every, met = figures(given, limit), all(h.precision is None or h.precision >= WANTED for h in halves)
    note = (
        f"right on {every.photos_right} and wrong on {every.photos_wrong} of {len(photos)} photos; useful on "
        f"{useful(given, limit)}{_of_faces(subject, given, limit)}"
    )
    return Row(f"{subject.name} from {limit:g}", " and ".join(map(str, halves)), f">= {WANTED} right", met, note)


def _of_faces(subject: Subject, given: Sequence[Answer], limit: float) -> str:
    """How many of the faces on the photos of faces are there."""
    if faces not in subject.sets:
        return ""
    names = {photo.path.name for photo in faces()}
    seen = figures([answer for answer in given if answer.photo in names], limit).right
    return f"; {seen} of the {sum(photo.faces or 0 for photo in faces())} faces on {len(names)} photos of faces"


def _halves(subject: Subject) -> tuple[set[str], set[str]]:
    """The names of the photos on which the threshold was chosen, and of those between: every other one of each set."""
    first, second = ({photo.path.name for photos in subject.sets for photo in photos()[start::2]} for start in (0, 1))
    return first, second


def _single_things() -> Row:
    model = measured("mobilenetv2-int8")
    counts = figures(answers(model, imagenet(), first_name), limit_of(model))
    return Row(
        f"mobilenetv2-int8 from {limit_of(model):g}, photos of one thing", str(counts), note="126 ImageNet photos"
    )


def _nobody() -> Row:
    """MoveNet without a detector: how often it says that somebody is there, where nobody is."""
    model = reference_models().model("pose-movenet-lightning")
    photos = [*coco(), *people()]
    counts = figures(answers(model, photos, somebody), limit_of(model))
    without = sum(all(thing.label != "person" for thing in photo.things) for photo in photos)
    what, note = f"MoveNet from {limit_of(model):g}, no detector", f"wrong on {counts.photos_wrong} of {without} photos"
    return Row(what, str(counts), f">= {WANTED} right", (counts.precision or 0) >= WANTED, f"{note} of nobody")


def sweep(subject: Subject) -> None:
    given, photos = subject.answers(), subject.photos()
    print(f"\n{subject.name}: right of what it says (chosen on, reported on); photos with something right, wrong")
    for limit in sorted({*SWEEP, limit_of(measured(subject.name))}):
        parts = [figures([a for a in given if a.photo in half], limit) for half in _halves(subject)]
        every = figures(given, limit)
        present = sum(a.present for a in given if a.score >= limit)
        print(f"  {limit:.2f}  {parts[0]}, {parts[1]}; {every.photos_right}, {every.photos_wrong} of {len(photos)}; "
              f"there at all {present} of {every.said}; useful on {useful(given, limit)}")  # fmt: skip


def write(subject: Subject) -> None:
    """The `everyday` line of the model's manifest, or of its entry in the catalog."""
    figure = useful(subject.answers(), limit_of(measured(subject.name)))
    own = BUILT_IN / subject.name / MANIFEST_FILE
    path = own if own.is_file() else CATALOG
    text = path.read_text("utf-8")
    start = 0 if path == own else text.index(f'name = "{subject.name}"')
    place = re.compile(r"^(description = .*\n(?:accuracy = .*\n)?)(?:everyday = .*\n)?", re.MULTILINE).search(
        text, start
    )
    assert place, f"{path}: {subject.name} has no description"
    path.write_text(f'{text[: place.start()]}{place[1]}everyday = "{figure}"\n{text[place.end() :]}', "utf-8")
    print(f"{subject.name}: {figure}, written into {path.relative_to(ROOT)}")


def main() -> int:
    """Exit status 1 when less is right than is wanted."""
    from benchmarks.__main__ import print_table

    parser = argparse.ArgumentParser(prog="python -m benchmarks.everyday", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", choices=[[], *(s.name for s in SUBJECTS)])
    parser.add_argument("--sweep", action="store_true", help="the figures at other thresholds")
    parser.add_argument("--write", action="store_true", help="the manifests' `everyday` lines")
    options = parser.parse_args()
    if options.sweep or options.write:
        for subject in SUBJECTS:
            if not options.names or subject.name in options.names:
                (sweep if options.sweep else write)(subject)
        return 0
    rows = run(options.names)
    print_table(rows)
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
