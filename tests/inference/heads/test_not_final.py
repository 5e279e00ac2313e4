"""Answers that are not yet what a head takes them for: rows before NMS, logits, boxes that are pixels already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inference.errors import BadManifest, BadModel
from inference.heads import find_head
from inference.heads.embedding import unit_length
from inference.predictions import Objects
from tests.inference.heads.decoding import fit, manifest


def grid_rows() -> dict[str, Any]:
    """8400 rows of a 640 x 640 input, as Qualcomm AI Hub's YOLOv8 gives them: two things, one of them five times."""
    boxes, scores, labels = np.zeros((1, 8400, 4), np.float32), np.zeros((1, 8400), np.float32), np.zeros((1, 8400))
    for i in range(5):
        boxes[0, 100 + i], scores[0, 100 + i], labels[0, 100 + i] = (100 + i, 200, 300, 400), 0.9 - i / 100, 1
    boxes[0, 500], scores[0, 500] = (400, 300, 500, 400), 0.7
    return {"boxes": boxes, "scores": scores, "class_idx": labels.astype(np.uint8)}


def found(head: str, outputs: dict[str, Any], **post: Any) -> list[tuple[int, float, list[float]]]:
    predicted = find_head(head).decode(outputs, fit(640, 640), manifest(head, labels=2, **post))
    assert isinstance(predicted, Objects)
    rows = zip(predicted.label_ids.tolist(), predicted.scores.tolist(), predicted.boxes.tolist(), strict=True)
    return [(i, round(s, 3), b) for i, s, b in rows]


def test_the_rows_of_a_grid_are_suppressed_and_those_after_nms_are_not() -> None:
    outputs = grid_rows()
    assert found("boxes", outputs) == [(1, 0.9, [100, 200, 300, 400]), (0, 0.7, [400, 300, 500, 400])]
    assert len(found("boxes", outputs, nms_execute=False)) == 6
    assert len(found("boxes", {name: value[:, 100:600] for name, value in outputs.items()})) == 6


@pytest.mark.parametrize(("count", "rows"), [(1.0, 1), (-1.0, 0), (float("nan"), 0), (float("inf"), 0)])
def test_a_count_that_is_none_leaves_no_row(count: float, rows: int) -> None:
    outputs = {name: value[:, 100:102] for name, value in grid_rows().items()}
    assert len(found("boxes", {**outputs, "num_dets": np.asarray([[count]], np.float32)})) == rows


def logits() -> Any:
    """[1, 6, 8400]: one box has the logit 0.6, which is no score of 0.6; the others have -6."""
    output = np.full((1, 6, 8400), -6, np.float32)
    output[0, :4] = np.asarray([320, 320, 100, 50])[:, None]
    output[0, 5, 5] = 0.6
    return output


@pytest.mark.parametrize(
    ("head", "outputs"),
    [
        ("yolo", {"o": logits()}),
        ("yolo", {"o": np.insert(logits(), 4, -6, axis=1).transpose(0, 2, 1)}),  # v5
        ("boxes", {"b": np.abs(logits()[:, :4]).transpose(0, 2, 1), "s": logits()[:, 4:]}),
        ("yolox", {"o": np.insert(logits() * 0.01, 4, -6, axis=1).transpose(0, 2, 1)}),
    ],
)
@pytest.mark.parametrize("multilabel", [False, True])
def test_logits_are_no_scores(head: str, outputs: dict[str, Any], multilabel: bool) -> None:
    with pytest.raises(BadManifest, match=r"scores such as -6, expected 0\.\.1: they are logits"):
        found(head, outputs, multilabel=multilabel)


def test_scores_that_quantisation_moved_below_zero_are_scores() -> None:
    output = logits()
    output[0, 4:] = np.where(output[0, 4:] < 0, -0.004, output[0, 4:])
    output[0, 4:, 9] = -65504  # a row that half precision spoilt
    assert found("yolo", {"o": output}) == [(1, 0.6, [270, 295, 370, 345])]


def test_boxes_of_yolox_that_are_decoded_already() -> None:
    rows = np.zeros((1, 8400, 7), np.float32)
    rows[0, 3] = 320, 320, 100, 50, 0.9, 0.1, 1  # cx, cy, w, h in pixels, objectness, two classes
    with pytest.raises(BadModel, match=r"sizes up to 100 .*decoded = true"):
        found("yolox", {"o": rows})
    assert found("yolox", {"o": rows}, params={"decoded": True}) == [(1, 0.9, [270, 295, 370, 345])]


def test_a_vector_whose_squares_overflow_has_a_direction() -> None:
    np.testing.assert_allclose(unit_length(np.asarray([3e38, 0, 0, 4e37], np.float32))[0], 0.99123, atol=1e-4)


@pytest.mark.parametrize("objectness", [False, True])
def test_a_grid_in_shares_of_the_input_is_scaled(objectness: bool) -> None:
    """As TensorFlow's exports have it; the centre at 1.02 lies outside, as some do."""
    output = np.zeros((1, 6, 8400), np.float32)
    output[0, :, 5], output[0, 0, 7] = (0.5, 0.5, 0.2, 0.1, 0, 0.8), 1.02
    if objectness:
        output = np.insert(output, 4, 1, axis=1).transpose(0, 2, 1)
    assert found("yolo", {"o": output}) == [(1, 0.8, [256, 288, 384, 352])]


def queries(last: float) -> dict[str, Any]:
    """Three class scores for each of ten queries: the first is of class 1, the others of the last, or of none."""
    logits, corners = np.full((1, 10, 3), -5, np.float32), np.full((1, 10, 4), 0.1, np.float32)
    logits[0, :, 2], logits[0, 0], corners[0, 0] = last, (-5, 5, -5), (0.5, 0.5, 0.2, 0.1)
    return {"logits": logits, "pred_boxes": corners}


def test_a_class_that_is_everywhere_is_the_one_for_no_object() -> None:
    """softmax of (-5, 5, -5): 1 / (1 + 2 exp(-10))."""
    with pytest.raises(BadManifest, match='most of its 10 boxes: say .*activation = "softmax"'):
        find_head("detr").decode(queries(5), fit(640, 640), manifest("detr"))
    box = (1, 1.0, [256, 288, 384, 352])
    assert found("detr", queries(5), params={"activation": "softmax"}) == [box]
    assert found("detr", queries(-4)) == [(1, 0.993, box[2])]
    shapes = {name: value.shape for name, value in queries(5).items()}
    said = find_head("detr").misfit(shapes, manifest("detr", labels=2))
    assert said and 'activation = "softmax"' in said
    assert find_head("detr").misfit(shapes, manifest("detr", labels=3)) is None


@pytest.mark.parametrize("rows", [100, 2000])
@pytest.mark.parametrize("order", ["xyxy", "cxcywh"])
def test_boxes_in_shares_of_the_input_are_scaled_unless_it_is_said_otherwise(rows: int, order: str) -> None:
    """No detector finds a thing of half a pixel in the corner of its input."""
    outputs: dict[str, Any] = {"boxes": np.zeros((rows, 4), np.float32), "scores": np.zeros(rows, np.float32)}
    outputs["labels"] = np.ones(rows)
    outputs["boxes"][3] = (0.5, 0.5, 0.2, 0.1) if order == "cxcywh" else (0.4, 0.45, 0.6, 0.55)
    outputs["scores"][3] = 0.8
    assert found("boxes", outputs, params={"order": order}) == [(1, 0.8, [256, 288, 384, 352])]
    ((_, _, box),) = found("boxes", outputs, params={"order": order, "normalized": False})
    np.testing.assert_allclose(box, [0.4, 0.45, 0.6, 0.55], atol=1e-6)
    outputs["boxes"][3] *= 640
    assert found("boxes", outputs, params={"order": order}) == [(1, 0.8, [256, 288, 384, 352])]


@pytest.mark.parametrize("labels", [0, 2, 3])
@pytest.mark.parametrize("layout", [{}, {"layout": "end2end"}])
def test_corners_in_shares_after_nms_are_no_centres_and_sizes(labels: int, layout: dict[str, str]) -> None:
    """As TensorFlow's exports with NMS have them: x1, y1, x2, y2, score, class; the rest is padding."""
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = 0.4, 0.45, 0.6, 0.55, 0.8, 1
    predicted = find_head("yolo").decode({"o": rows}, fit(640, 640), manifest("yolo", labels=labels, params=layout))
    assert isinstance(predicted, Objects) and predicted.label_ids.tolist() == [1]
    np.testing.assert_allclose(predicted.boxes, [[256, 288, 384, 352]], atol=1e-3)


def test_a_class_without_a_name_is_no_answer_and_the_output_stays_as_it_is() -> None:
    outputs = {"logits": np.asarray([[[0.9, 0.8]]], np.float32), "pred_boxes": np.full((1, 1, 4), 0.5, np.float32)}
    gap = replace(manifest("detr", params={"activation": "none"}), labels=("N/A", "cat"))
    predicted = find_head("detr").decode(outputs, fit(64, 64), gap)
    assert isinstance(predicted, Objects) and predicted.names[0] == "cat" and predicted.scores[0] == np.float32(0.8)
    assert outputs["logits"][0, 0, 0] == np.float32(0.9)
