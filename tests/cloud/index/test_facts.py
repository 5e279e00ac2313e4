"""What the index takes from result documents."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.index.facts import facts_of
from tests.cloud.storage.result_documents import whole


def step(*rows: dict[str, Any], task: str = "object-detection", model: str = "m") -> dict[str, Any]:
    return {"name": "s", "task": task, "model": {"name": model, "version": "1"}, "predictions": list(rows)}


def test_a_label_has_the_best_score_of_all_that_names_it() -> None:
    document = whole(
        steps=[
            step({"label": "cat", "score": 0.4}, {"label": "cat", "score": 0.8}, {"label": "road", "area": 3}),
            step({"label": "street", "score": 0.6}, task="image-classification", model="n"),
        ],
        tracks=[{"id": 1, "label": "car", "score": 0.7}],
        timeline=[{"kind": "action", "label": "car", "score": 0.9}],
        summary={"objects": {"cat": 2, "car": 1, "mask": 1}, "scene": {"street": 0.6}, "guesses": {"beach": 0.3}},
    )
    facts = facts_of(document, folder="f", blurred=True)
    assert facts["scores"] == {"cat": 0.8, "car": 0.9, "mask": 0.0, "street": 0.6}  # a guess is no label
    assert (facts["objects"], facts["scene"]) == ({"cat": 2, "car": 1, "mask": 1}, {"street": 0.6})
    assert (facts["tasks"], facts["models"]) == (("object-detection", "image-classification"), ("m", "n"))
    assert (facts["state"], facts["folder"], facts["blurred"]) == ("done", "f", True)
    assert (facts["media_type"], facts["width"], facts["height"]) == ("image/jpeg", 10, 10)


def test_a_partial_result_says_so() -> None:
    assert facts_of(whole(status="partial"))["state"] == "partial"


@pytest.mark.parametrize("broken", [{}, {"source": 1, "steps": []}, {"source": {}, "steps": [1]}])
def test_what_is_no_result_raises(broken: dict[str, Any]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        facts_of(broken)
