"""What several crops show is there once, and belongs to the right object."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from inference.analysis import analyze
from inference.crops import run_on_crops
from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.image.media import Picture
from inference.image.preprocess import Box, InputSpec
from inference.manifest import Manifest, Postprocess, Preprocess, Task
from inference.predictions import Classes, Masks, Objects, Predictions
from inference.results.result import ModelFacts, StepResult
from inference.routes import Route, Step
from inference.timing import NO_TIME, Timing
from tests.inference.properties import examples

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 1000, 600
PICTURE = Picture(Pillow.new("RGB", (WIDTH, HEIGHT)), (WIDTH, HEIGHT))

Row = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def registry(shared: Path) -> Registry:
    return Registry([ROOT / "tests/models"], weights=Weights([shared / "models"]))


class Eye:
    """A model whose answer on a crop is worked out by the test."""

    def __init__(self, answer: Callable[[Box], Predictions], task: Task = "object-detection", **how: Any) -> None:
        self.manifest = Manifest(name="eye", head="yolo", task=task, preprocess=Preprocess(**how), postprocess=POST)
        self.spec = InputSpec("x", np.dtype(np.float32), "nchw", 64, 64)
        self.answer, self.crops = answer, list[Box]()

    def run(self, picture: Picture, box: Box, threshold: float | None) -> tuple[Predictions, Timing]:
        self.crops.append(box)
        return self.answer(box), NO_TIME


POST = Postprocess(iou_threshold=0.7)


def objects(boxes: Sequence[Row], scores: Sequence[float] = (), label: str = "face", **columns: Any) -> Objects:
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    values = np.asarray(scores if len(scores) else [0.9] * len(array), np.float32)
    return Objects(array, values, np.zeros(len(array), np.int64), (label,) * len(array), **columns)


def clipped(things: Objects, box: Box) -> Objects:
    """Those of which the crop shows at least a third, as far as it shows them, best first."""
    low, high = np.asarray(box[:2]), np.asarray(box[2:])
    boxes = things.boxes.copy()
    boxes[:, :2], boxes[:, 2:] = np.maximum(boxes[:, :2], low), np.minimum(boxes[:, 2:], high)
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)
    whole = (things.boxes[:, 2:] - things.boxes[:, :2]).prod(axis=1)
    seen = Objects(boxes, things.scores * np.sqrt(sides / whole), things.label_ids, things.names).take(
        sides * 3 > whole
    )
    return seen.take(np.argsort(-seen.scores))


def faces_by_person(
    people: Sequence[Row], model: Eye, step: Step | None = None, earlier: Sequence[StepResult] = ()
) -> list[Any]:
    """What hangs on each of the people, one after the other, and on those of `earlier` steps before them."""
    results = [*earlier, step_of(objects(people, label="person"))]
    step = step or Step("eye", "faces", on="person")
    run_on_crops(PICTURE, step, cast(Model, model), None, results)
    return [row[step.title] for r in results if isinstance(r.predictions, Objects) for row in r.predictions.attributes]


def step_of(predictions: Objects, name: str = "objects") -> StepResult:
    return StepResult(name, "object-detection", ModelFacts("m", "1", "", ""), predictions)


def boxes(answers: Sequence[Objects]) -> list[list[list[float]]]:
    return [answer.boxes.tolist() for answer in answers]


def test_a_face_in_two_crops_is_the_one_persons_whose_face_it_is() -> None:
    """Two people side by side: the crop of the left shows a piece of the right one's face, and the other way round."""
    people = [(100, 100, 320, 590), (280, 100, 500, 590)]
    faces = objects([(180, 120, 240, 200), (250, 120, 330, 200), (370, 120, 430, 200)])
    answers = faces_by_person(people, Eye(lambda box: clipped(faces, box)))
    # The middle one is cut off at the right edge of the first crop (70 of 80 pixels) and left of the second (50).
    assert boxes(answers) == [[[180, 120, 240, 200], [250, 120, 320, 200]], [[370, 120, 430, 200]]]


def test_the_front_row_keeps_its_faces_although_the_back_row_frames_them_closer() -> None:
    back = [(100, 50, 260, 330), (300, 50, 460, 330)]
    front = [(60, 250, 300, 590), (260, 250, 500, 590)]
    own = [(155, 60, 205, 120), (355, 60, 405, 120), (155, 260, 205, 320), (355, 260, 405, 320)]
    faces = objects(own, [0.6, 0.7, 0.8, 0.9])
    model = Eye(lambda box: clipped(faces, box))
    answers = faces_by_person([*back, *front], model)
    assert boxes(answers) == [[list(box)] for box in own]
    assert [answer.scores.tolist() for answer in answers] == [pytest.approx([s]) for s in (0.6, 0.7, 0.8, 0.9)]
    assert len(model.crops) == 4


def test_with_a_single_face_the_person_whose_middle_it_is_in_has_it() -> None:
    people = [(100, 100, 300, 500), (220, 100, 420, 500)]
    faces = objects([(225, 120, 285, 200)])  # its middle is 55 right of the first person's, 65 left of the second's
    answers = faces_by_person(people, Eye(lambda box: clipped(faces, box)))
    assert boxes(answers) == [[[225, 120, 285, 200]], []]


def test_the_whole_sight_counts_with_all_that_belongs_to_it() -> None:
    """The first crop cuts a wheel off and is surer of it; it is the first car's nevertheless."""
    half, whole = (300.0, 400.0, 340.0, 480.0), (300.0, 400.0, 380.0, 480.0)
    marks = {
        340.0: objects([half], [0.95], masks=mask(half), attributes=({"seen": "half"},)),
        700.0: objects([whole], [0.6], masks=mask(whole), attributes=({"seen": "whole"},)),
    }
    answers = faces_by_person([(40, 200, 340, 500), (290, 200, 700, 500)], Eye(lambda box: marks[box[2]]))
    (kept,) = [answer for answer in answers if len(answer)]
    assert kept.attributes == ({"seen": "whole"},) and kept.boxes.tolist() == [list(whole)]
    assert kept.masks is not None and kept.masks.area(0) == 80 * 80


def mask(box: Row) -> Masks:
    window = np.asarray([box], np.int64)
    return Masks((HEIGHT, WIDTH), window, (np.ones((window[0, 3] - window[0, 1], window[0, 2] - window[0, 0]), bool),))


def test_neighbours_in_a_crop_and_other_labels_stay() -> None:
    """Only what another crop shows can be the same: in its own crop the model has suppressed what it wanted to."""
    left, right = (100.0, 100.0, 400.0, 400.0), (150.0, 100.0, 500.0, 400.0)
    near = [(200.0, 150.0, 260.0, 210.0), (210.0, 150.0, 270.0, 210.0)]
    answers = faces_by_person([left, right], Eye(lambda box: objects(near if box == left else [])))
    assert [len(answer) for answer in answers] == [2, 0]
    other = Objects(np.asarray(near[:1], np.float32), np.ones(1), np.ones(1, np.int64), ("hat",))
    answers = faces_by_person([left, right], Eye(lambda box: objects(near[:1]) if box == left else other))
    assert [answer.names for answer in answers] == [("face",), ("hat",)]


def test_the_crop_that_is_shown_counts_not_the_box() -> None:
    """With a crop_scale of 2 the crop reaches 100 pixels further: the face at the box's edge is whole."""
    sure, less = objects([(290, 120, 350, 200)], [0.9]), objects([(291, 120, 350, 200)], [0.5])
    people = [(100.0, 100.0, 300.0, 300.0), (250.0, 100.0, 450.0, 300.0)]
    for scale, best in ((1.0, 0.5), (2.0, 0.9)):
        model = Eye(lambda box: sure if box == people[0] else less, crop_scale=scale)
        (kept,) = [answer for answer in faces_by_person(people, model) if len(answer)]
        assert kept.scores.tolist() == pytest.approx([best])


def test_later_steps_run_once_on_each_and_what_has_no_place_stays_with_its_crop() -> None:
    people = [(100, 100, 320, 590), (200, 100, 420, 590)]
    faces = objects([(220, 120, 290, 200)])
    results = [step_of(objects(people, label="person"))]
    run_on_crops(
        PICTURE, Step("eye", "faces", on="person"), cast(Model, Eye(lambda b: clipped(faces, b))), None, results
    )
    mood = Eye(lambda box: Classes(np.zeros(1, np.int64), np.ones(1), ("glad",)), task="image-classification")
    run_on_crops(PICTURE, Step("eye", "mood", on="face"), cast(Model, mood), None, results)
    run_on_crops(PICTURE, Step("eye", "dress", on="person"), cast(Model, mood), None, results)
    assert mood.crops == [(220, 120, 290, 200), *people]
    found = results[0].predictions
    assert isinstance(found, Objects) and [row["dress"].names for row in found.attributes] == [("glad",)] * 2
    assert sum(len(row["faces"]) for row in found.attributes) == 1


def test_the_same_person_of_two_detectors_has_a_face_once() -> None:
    faces = objects([(180, 120, 240, 200)])
    earlier = [step_of(objects([(102, 98, 318, 590)], label="person"), "others")]
    answers = faces_by_person([(100, 100, 320, 590)], Eye(lambda box: clipped(faces, box)), earlier=earlier)
    assert sorted(len(answer) for answer in answers) == [0, 1]


def pose(x: float, y: float, size: float, visible: float = 0.9) -> Objects:
    """A person as 17 keypoints on a grid; the last ten are seen as well as `visible` says."""
    points = np.zeros((1, 17, 3), np.float32)
    points[0, :, 0], points[0, :, 1] = x + np.arange(17) % 4 * size / 3, y + np.arange(17) // 4 * size / 2
    points[0, :, 2] = [0.9] * 7 + [visible] * 10
    shown = points[0, points[0, :, 2] > 0.2, :2]
    box = (*shown.min(axis=0), *shown.max(axis=0))
    return objects([cast(Row, box)], [0.9], "person", keypoints=points, skeleton="coco17")


@pytest.mark.parametrize(
    ("left", "right", "counts"),
    [
        (
            pose(300, 150, 120, 0.8),
            pose(304, 152, 121),
            [0, 1],
        ),  # the crop on the left shows mostly the person on the right
        (pose(300, 150, 120, 0.1), pose(302, 150, 120), [0, 1]),  # and less of that person
        (pose(270, 150, 120), pose(320, 150, 120), [1, 1]),  # two who stand close: IoU would be 0.4
        (pose(290, 150, 120), pose(320, 150, 120), [1, 1]),  # and 0.6
        (pose(300, 150, 20), pose(290, 140, 300), [1, 1]),  # a small person far behind a large one
    ],
)
def test_poses_are_compared_by_their_keypoints(left: Objects, right: Objects, counts: list[int]) -> None:
    people = [(150.0, 100.0, 440.0, 500.0), (280.0, 100.0, 440.0, 500.0)]
    model = Eye(lambda box: left if box == people[0] else right, task="keypoint-detection")
    answers = faces_by_person(people, model)
    assert [len(answer) for answer in answers] == counts
    for answer in answers:
        assert not len(answer) or (answer.keypoints is not None and answer.skeleton == "coco17")
    if counts == [0, 1]:
        assert np.array_equal(answers[1].boxes, right.boxes)


PEOPLE = st.lists(
    st.tuples(st.integers(0, 800), st.integers(0, 400), st.integers(40, 200), st.integers(40, 200)).map(
        lambda r: (float(r[0]), float(r[1]), float(r[0] + r[2]), float(r[1] + r[3]))
    ),
    min_size=1,
    max_size=8,
)


@given(PEOPLE, st.sets(st.tuples(st.integers(0, 19), st.integers(0, 11)), max_size=12))
@examples(60)
def test_whatever_overlaps_each_face_is_there_once(people: list[Row], cells: set[tuple[int, int]]) -> None:
    """Faces of 30 pixels in a grid of 50, so that no two touch."""
    faces = objects([(50.0 * x + 10, 50.0 * y + 10, 50.0 * x + 40, 50.0 * y + 40) for x, y in sorted(cells)])
    alone = [clipped(faces, person) for person in people]
    answers = faces_by_person(people, Eye(lambda box: clipped(faces, box)))

    def cells_of(answer: Objects) -> list[tuple[int, int]]:
        middle = (answer.boxes[:, :2] + answer.boxes[:, 2:]) / 2 // 50
        return [(int(x), int(y)) for x, y in middle]

    every = [cell for answer in answers for cell in cells_of(answer)]
    seen = {cell for answer in alone for cell in cells_of(answer)}
    assert set(every) == seen
    whole = {cell for answer in alone for cell, box in zip(cells_of(answer), answer.boxes, strict=True)
             if (box[2:] - box[:2] == 30).all()}  # fmt: skip
    assert all(every.count(cell) == 1 for cell in whole)
    for answer, before in zip(answers, alone, strict=True):
        assert set(cells_of(answer)) <= set(cells_of(before))
        assert answer.scores.tolist() == sorted(answer.scores.tolist(), reverse=True)


@pytest.mark.needs_shared
@pytest.mark.parametrize(("file", "count"), [("group_09_Linzaer_16.jpg", 9), ("group_19_onnx_1.jpg", 19)])
def test_people_in_rows_have_a_face_each(shared: Path, registry: Registry, file: str, count: int) -> None:
    """Every face of the photo is with the person whose head it is in: high up in the box, and in the middle."""
    steps = (Step("det-picodet-s-416", "objects"), Step("face-yunet-2023mar", "faces", on="person"))
    data = (shared / "media/faces" / file).read_bytes()
    document = json.loads(json.dumps(analyze(data, Route("r", steps), registry).result.to_json()))
    people = [p for p in document["steps"][0]["predictions"] if p["label"] == "person"]
    faces = [p["attributes"]["faces"] for p in people]
    assert sum(map(len, faces)) == count and max(map(len, faces)) == 1
    for person, found in zip(people, faces, strict=True):
        for face in found:
            (x1, y1, x2, y2), (left, top, right, bottom) = person["box"], face["box"]
            assert (top + bottom) / 2 < y1 + 0.45 * (y2 - y1)
            assert abs((left + right) / 2 - (x1 + x2) / 2) < 0.3 * (x2 - x1)


def test_who_counts_only_for_a_tracker_has_no_face_that_another_shows() -> None:
    """Two boxes of one person: the second, of a low score, fits better, and may be gone before anything is drawn."""
    people = objects([(100, 100, 300, 500), (140, 100, 340, 500)], [0.9, 0.2], label="person")
    faces = objects([(215, 120, 265, 200), (310, 120, 340, 150)])
    results = [step_of(people, "people")]
    model = cast(Model, Eye(lambda box: clipped(faces, box)))
    run_on_crops(
        PICTURE, Step("eye", "faces", on="person"), model, None, results, sure={"people": np.array([1, 0], bool)}
    )
    (found,) = (r.predictions for r in results)
    assert isinstance(found, Objects)
    assert boxes([row["faces"] for row in found.attributes]) == [[[215, 120, 265, 200]], [[310, 120, 340, 150]]]
