"""What a result says in short: objects, scenes and guesses apart, and read alike from old and new documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloud.drift.drift_rows import outputs
from cloud.uploads.publish import tags
from inference.predictions import Classes, Objects
from inference.results.result import Cost, ModelFacts, Result, Source, StepResult
from inference.results.summary import Labels, labels_of

FACTS = ModelFacts("m", "1", "0" * 64, "CPUExecutionProvider", threshold=0.5)


def classes(threshold: float = 0.5, **scores: float) -> StepResult:
    names = tuple(scores)
    predicted = Classes(np.arange(len(names)), np.array([scores[n] for n in names], np.float32), names)
    return StepResult(f"classify{threshold}", "image-classification", replace(FACTS, threshold=threshold), predicted)


def objects(name: str, *labels: str) -> StepResult:
    count = len(labels)
    boxes = np.tile(np.array([[1, 2, 30, 40]], np.float32), (count, 1))
    predicted = Objects(boxes, np.full(count, 0.86, np.float32), np.zeros(count, np.int64), labels)
    return StepResult(name, "object-detection", FACTS, predicted)


def document(*steps: StepResult) -> dict[str, Any]:
    return Result(Source(name="a.jpg"), "r", steps, {}, Cost(0, 0, 0)).to_json()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), Labels({}, {}, {})),
        ((classes(sea=0.83, sand=0.1),), Labels({}, {"sea": 0.83}, {})),
        ((classes(sandbar=0.31, sea=0.3),), Labels({}, {}, {"sandbar": 0.31})),
        ((classes(0.2, sea=0.41, sand=0.3, sky=0.1),), Labels({}, {"sea": 0.41, "sand": 0.3}, {})),
        ((classes(0.5, sea=0.4), classes(0.3, sea=0.35)), Labels({}, {"sea": 0.35}, {})),
        ((objects("a", "dog", "person", "person"),), Labels({"person": 2, "dog": 1}, {}, {})),
        # Two detectors of the same people do not make more of them.
        ((objects("a", "person", "person"), objects("b", "person", "cat")), Labels({"person": 2, "cat": 1}, {}, {})),
    ],
)
def test_what_is_sure_stands_apart_from_guesses(steps: tuple[StepResult, ...], expected: Labels) -> None:
    found = document(*steps)
    assert set(found["summary"]) == {"objects", "scene", "guesses"}
    labels = labels_of(found)
    assert labels == expected
    assert list(labels.objects) == list(expected.objects) and list(labels.scene) == list(expected.scene)
    assert [step["threshold"] for step in found["steps"]] == [step.model.threshold for step in steps]
    assert all("threshold" not in step["model"] for step in found["steps"])


def test_actions_of_a_clip_are_no_scene() -> None:
    assert document(replace(classes(biking=0.9), task="video-classification"))["summary"]["scene"] == {}


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"espresso": 1, "face": 3}, Labels({"face": 3, "espresso": 1}, {}, {})),
        ({"objects": 2}, Labels({"objects": 2}, {}, {})),
        ({}, Labels({}, {}, {})),
        (None, Labels({}, {}, {})),
        ("person", Labels({}, {}, {})),
        ({"objects": {"cup": 1, "dog": "2"}, "later": []}, Labels({"cup": 1}, {}, {})),
        ({"scene": {"a": 0.6, "b": 0.7}, "guesses": None}, Labels({}, {"b": 0.7, "a": 0.6}, {})),
    ],
)
def test_documents_of_every_release_are_read(summary: Any, expected: Labels) -> None:
    labels = labels_of({"summary": summary})
    assert labels == expected and list(labels.scene) == list(expected.scene)
    assert list(labels.objects) == list(expected.objects)
    assert labels_of({"status": "error"}) == Labels({}, {}, {})


GUESS = classes(sandbar=0.32)
CASES = {
    "a guess never outranks a detection": ((GUESS, objects("d", "dog")), "dog", "", "1", "dog"),
    "a guess is no tag": ((GUESS,), None, "", "0", "sandbar"),
    "a scene without objects": ((classes(sea=0.9),), "sea", "sea", "0", "sea"),
    "the commonest object first": ((classes(sea=0.9), objects("d", "a", "b", "b")), "b", "sea", "3", "b"),
    "nothing": ((objects("d"),), None, "", "0", "none"),
}


@pytest.mark.parametrize("case", CASES)
def test_index_tags_and_drift_rows(case: str) -> None:
    steps, top, scene, count, drift = CASES[case]
    found = tags(document(*steps))
    assert (found.get("top"), found.get("scene", ""), found["objects"]) == (top, scene, count)
    assert len(found) <= 10 and all(found.values())
    # Drift compares distributions of labels: what a classifier leans to counts there, sure or not.
    assert outputs(document(*steps))["label"] == drift
