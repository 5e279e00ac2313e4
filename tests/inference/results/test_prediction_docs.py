"""Predictions in a document can be pointed at by their ids, and their keypoints by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from inference.predictions import Classes, LabelMap, Objects, Predictions
from inference.results.prediction_docs import prediction_docs
from inference.results.result import Cost, ModelFacts, Result, Source, StepResult
from inference.results.schema import schema
from inference.results.skeletons import SKELETONS, skeleton_doc
from inference.routes import Route, Step
from inference.video.aggregate import Aggregate, Detections
from inference.video.frames import ReadReport
from inference.video.options import VideoOptions
from inference.video.summary import RouteFacts, StepFacts, Summary, Work

FACTS = ModelFacts("m", "1", "0" * 64, "CPUExecutionProvider", threshold=0.5)


def boxes(count: int, label: str, **more: Any) -> Objects:
    places = np.tile(np.array([[1, 2, 30, 40]], np.float32), (count, 1))
    return Objects(places, np.full(count, 0.8, np.float32), np.zeros(count, np.int64), (label,) * count, **more)


def nested(step: str = "faces", inner: str = "expression") -> Objects:
    feelings = Classes(np.arange(2), np.array([0.7, 0.3], np.float32), ("joy", "fear"))
    faces = boxes(2, "face", attributes=({inner: feelings}, {inner: feelings}))
    return boxes(2, "person", attributes=({step: faces, "look": feelings}, {step: faces}))


def document(*steps: tuple[str, Predictions]) -> dict[str, Any]:
    results = tuple(StepResult(name, "object-detection", FACTS, predictions) for name, predictions in steps)
    return Result(Source(name="a.jpg"), "r", results, {}, Cost(0, 0, 0)).to_json()


def ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["id"]] if "id" in value else [])
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from ids(item)


def test_an_id_says_the_step_and_the_place_at_every_depth() -> None:
    found = document(("people", nested()), ("map", LabelMap(np.array([[0, 1, 2]]), ("", "road", "car"), 0)))
    assert list(ids(found["steps"]))[:6] == [
        "people/0", "people/0/faces/0", "people/0/faces/0/expression/0", "people/0/faces/0/expression/1",
        "people/0/faces/1", "people/0/faces/1/expression/0",
    ]  # fmt: skip
    assert "people/0/look/1" in ids(found["steps"]) and "map/1" in ids(found["steps"])
    assert list(ids(found["steps"])) == list(ids(document(("people", nested()))["steps"])) + ["map/0", "map/1"]


@pytest.mark.parametrize("names", [("a", "a/0/b", "b"), ("a", "a%2F0%2Fb", "a/0/b"), ("a/0", "a", "0/b")])
def test_no_two_predictions_share_an_id_whatever_the_steps_are_called(names: tuple[str, str, str]) -> None:
    first, second, inner = names
    found = list(ids(document((first, nested(inner, inner)), (second, nested(inner, second)))["steps"]))
    assert len(found) == len(set(found)) > 20


def test_numbers_are_rounded_and_are_python_s_own() -> None:
    points = np.full((1, 2, 4), 1 / 3, np.float32)
    corners = np.full((1, 4, 2), 2 / 3, np.float64)
    objects = boxes(1, "a", keypoints=points, corners=corners, tracks=np.array([7]))
    (found,) = json.loads(json.dumps(prediction_docs(objects, "s")))
    assert found["keypoints"] == [[0.33, 0.33, 0.33, 0.3333]] * 2 and found["corners"] == [[0.67, 0.67]] * 4
    assert found["track"] == 7 and found["score"] == 0.8 and found["box"] == [1.0, 2.0, 30.0, 40.0]


def test_what_a_head_adds_to_an_object_stands_as_it_is() -> None:
    (found,) = prediction_docs(boxes(1, "person", attributes=({"world": [[0.1, -0.2, 0.3]]},)), "pose")
    assert found["attributes"] == {"world": [[0.1, -0.2, 0.3]]}
    steps = (("pose", boxes(1, "person", attributes=({"world": [[0.1, -0.2, 0.3]]},))),)
    jsonschema.Draft202012Validator(schema()).validate(json.loads(json.dumps(document(*steps))))


def test_a_step_names_its_keypoints_where_it_runs_on_crops_too() -> None:
    faces = boxes(1, "face", keypoints=np.ones((1, 5, 3), np.float32), skeleton="face5")
    people = boxes(2, "person", attributes=({}, {"faces": faces}))
    steps = document(("people", people), ("faces", Objects.empty()))["steps"]
    assert "skeleton" not in steps[0] and "skeleton" not in json.dumps(steps[0])
    points = ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"]
    assert steps[1]["skeleton"] == {"name": "face5", "points": points, "edges": []}


def test_unknown_keypoints_are_numbered() -> None:
    numbered = {"points": ["point_0", "point_1"], "edges": []}
    assert dict(skeleton_doc(None, 2)) == numbered
    assert dict(skeleton_doc("rat2", 2)) == {"name": "rat2", **numbered}
    # Another number of points than the skeleton has: its names would be wrong.
    assert skeleton_doc("coco17", 2)["points"] == ["point_0", "point_1"]


@pytest.mark.parametrize("name", SKELETONS)
def test_known_skeletons_join_points_that_they_have(name: str) -> None:
    found = skeleton_doc(name, len(SKELETONS[name].names))
    assert len(set(found["points"])) == len(found["points"])
    assert all(0 <= k < len(found["points"]) for edge in found["edges"] for k in edge)


def test_a_clip_says_what_the_keypoints_of_its_frames_are(tmp_path: Path) -> None:
    """They stand in frames.jsonl; the document's step says their names, after a job has stored it, too."""
    pose = boxes(2, "person", keypoints=np.ones((2, 17, 3), np.float32), skeleton="coco17")
    facts = RouteFacts((StepFacts("pose", "keypoint-detection", FACTS),), "pose", 0.5)
    with Aggregate(VideoOptions(), facts, tmp_path) as aggregate:
        aggregate.update(Detections(0, 0.0, {"pose": pose}), (100, 80))
        summary = aggregate.finish(ReadReport(1, 0.1, width=100, height=80), Work(), Source())
    again = Summary.from_line(summary.to_line())
    (step,) = again.analysis({}, Route("r", (Step("m"),)), "", Cost(0, 0, 0), None).result.to_json()["steps"]
    assert step["skeleton"]["points"][0] == "nose" and step["threshold"] == 0.5
    (line,) = map(json.loads, (tmp_path / "frames.jsonl").read_text("utf-8").splitlines())
    assert list(ids(line)) == ["pose/0", "pose/1"] and "skeleton" not in json.dumps(line)
