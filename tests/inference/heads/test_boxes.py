"""Boxes after NMS in the graph: every alias against a loop, and outputs that do not belong together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inference.errors import BadManifest
from inference.heads import find_head
from inference.manifest import manifest_from
from inference.predictions import Objects
from tests.inference.heads.decoding import fit, joined, manifest, noise, same, xyxy
from tests.inference.heads.reference_decoders import suppress

UNIT, YXYX = np.asarray([160, 120] * 2, np.float32), [1, 0, 3, 2]


# How each export family writes boxes (N, 4) xyxy in the pixels of 160 x 120, scores (N,) and labels (N,). The last
# rows are unused, where the family can say so.
FINAL_BOXES: dict[str, tuple[Callable[[Any, Any, Any], dict[str, Any]], float, int]] = {
    "rcnn": (lambda b, s, c: {"4": s, "5": c, "3": b}, 0.5, 0),
    "mmdeploy": (lambda b, s, c: {"dets": joined(b, s)[None], "labels": c[None]}, 0.3, 0),
    "paddle": (
        lambda b, s, c: {"a": joined(np.where(np.arange(60) == 58, -1, c), s, b), "b": np.asarray([59])}, 0.5, 2,
    ),
    "tf_detection": (
        lambda b, s, c: {
            "num_detections": np.asarray([57.0]), "detection_boxes": (b / UNIT)[None, :, YXYX],
            "detection_scores": s[None], "detection_classes": c[None].astype(np.float32),
        }, 0.3, 3,
    ),
    "yolov3": (
        lambda b, s, c: {
            "a": b[None, :, YXYX], "b": np.where(np.arange(4)[:, None] == c, s, 0)[None],
            "c": np.stack([0 * c, c, np.where(np.arange(60) < 55, np.arange(60), -1)], axis=1)[None],
        }, 0.3, 5,
    ),
    "custom_vision": (
        lambda b, s, c: {"detected_boxes": b / UNIT, "detected_classes": c, "detected_scores": s}, 0.3, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("head", FINAL_BOXES)
def test_boxes_after_nms_of_each_export_family(head: str) -> None:
    write, limit, unused = FINAL_BOXES[head]
    boxes, scores, labels = xyxy(60, 160, 120), noise(60, seed=1) % 1, np.random.default_rng(2).integers(0, 4, 60)
    used = range(60 - unused)
    rows = [(boxes[i].tolist(), float(scores[i]), int(labels[i])) for i in used if scores[i] > limit]
    found = find_head(head).decode(write(boxes, scores, labels), fit(160, 120), manifest(head, labels=4))
    assert isinstance(found, Objects)
    same(found, sorted(rows, key=lambda r: -r[1]), 160, 120)
    assert find_head(head).threshold == limit  # what videos take where neither the route nor the manifest has one


def test_an_export_without_an_alias_is_described_by_parameters() -> None:
    boxes, scores, labels = xyxy(60, 160, 120), noise(60, seed=1) % 1, np.random.default_rng(2).integers(0, 4, 60)
    rows = [(b.tolist(), float(s), int(c) + 1) for b, s, c in zip(boxes, scores, labels, strict=True) if s > 0.6]
    params = {"columns": ["boxes", "labels", "scores"], "order": "yxyx", "roles": ["count", "boxes"]}
    table = {"name": "m", "head": "boxes", "task": "object-detection", "label_offset": 1,
             "postprocess": {"confidence_threshold": 0.6, "params": params}}  # fmt: skip
    outputs = {"0": np.asarray([60]), "1": joined(boxes[:, YXYX], labels, scores)[None]}
    found = find_head("boxes").decode(outputs, fit(160, 120), manifest_from(table, "test"))
    assert isinstance(found, Objects)
    same(found, sorted(rows, key=lambda r: -r[1]), 160, 120)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", ["xyxy", "cxcywh"])
def test_scores_by_class_are_suppressed_as_a_loop_has_it(order: str, turned: bool) -> None:
    boxes, scores = xyxy(60, 160, 120), noise(60, 3, seed=1) % 1
    best = scores.max(axis=1)
    rows = [(boxes[i].tolist(), float(best[i]), int(scores[i].argmax())) for i in range(60) if best[i] > 0.5]
    written = boxes / UNIT
    if order == "cxcywh":
        written = np.concatenate([(written[:, :2] + written[:, 2:]) / 2, written[:, 2:] - written[:, :2]], axis=1)
    outputs = {"9": (scores.T if turned else scores)[None], "8": written[None].astype(np.float32)}
    how = manifest("boxes", labels=3, iou_threshold=0.3, params={"order": order, "normalized": True})
    found = find_head("boxes").decode(outputs, fit(160, 120), how)
    assert isinstance(found, Objects)
    expected = suppress(rows, 0.3, 100)
    assert len(expected) < len(rows)
    same(found, expected, 160, 120)
    shapes = {name: value.shape for name, value in outputs.items()}
    assert find_head("boxes").misfit(shapes, how) is None and find_head("boxes").classes(shapes, how) == 3


@pytest.mark.parametrize(("head", "width"), [("paddle", 60 - 40), ("rcnn", 80 * 12 // 32)])
def test_a_mask_spans_the_input_or_its_box(head: str, width: int) -> None:
    """12 of 32 columns of the map are set: 60 of the input's 160 pixels, or 30 of the box's 80."""
    mask = np.zeros((1, 24, 32), np.float32)
    mask[:, :, :12] = 1
    box = np.asarray([[40, 45, 120, 75]], np.float32)
    outputs: dict[str, Any] = {"boxes": box, "labels": np.zeros(1), "scores": np.ones(1), "masks": mask[:, None]}
    if head == "paddle":
        outputs = {"a": joined([0], [0.9], box), "b": np.asarray([1]), "c": mask}
    found = find_head(head).decode(outputs, fit(160, 120), manifest(head, "image-segmentation"))
    assert isinstance(found, Objects) and found.masks is not None
    assert found.masks.area(0) == width * 30


@pytest.mark.parametrize(
    ("outputs", "roles", "words"),
    [
        (
            {"b": (7, 4), "c": (7,), "s": (7,), "n": (1,)},
            ["boxes", "scores", "count", "labels"],
            "labels do not fit 7 boxes",
        ),
        ({"b": (7, 4), "s": (7, 3), "c": (7,)}, ["boxes", "scores", "labels"], "scores do not fit 7 boxes"),
        (
            {"b": (7, 4), "s": (7,), "c": (7,), "m": (6, 8, 8)},
            ["boxes", "scores", "labels", "masks"],
            "masks do not fit",
        ),
        ({"i": (7, 3), "b": (1, 20, 4), "s": (1, 5, 20)}, ["boxes", "scores", "indices"], "boxes do not fit 5 boxes"),
    ],
)
def test_outputs_in_roles_that_are_not_theirs_are_refused(
    outputs: dict[str, tuple[int, ...]], roles: list[str], words: str
) -> None:
    filled = {name: np.full(shape, 0.9, np.float32) for name, shape in outputs.items()}
    with pytest.raises(BadManifest, match=rf"{words}.*: found .* say in postprocess.outputs which output is boxes"):
        find_head("boxes").decode(filled, fit(160, 120), manifest("boxes", params={"roles": roles}))


def test_labels_in_the_place_of_scores_are_no_scores() -> None:
    """The outputs of a TensorFlow export without names: boxes, classes, scores, and a whole number, the count."""
    outputs = {"Identity": np.zeros((1, 1, 4), np.float32), "Identity_1": np.full((1, 1), 17, np.float32),
               "Identity_2": np.full((1, 1), 0.2, np.float32), "Identity_3": np.ones(1, np.int32)}  # fmt: skip
    with pytest.raises(BadManifest, match=r"scores up to 17, expected 0..1: found Identity \[1, 1, 4\], .*outputs"):
        find_head("tf_detection").decode(outputs, fit(160, 120), manifest("tf_detection", labels=20))


@pytest.mark.parametrize("wrong", [{"normalized": "false"}, {"mask_threshold": "half"}, {"columns": [["boxes"]]}])
def test_parameters_of_the_wrong_kind_do_not_fit(wrong: dict[str, Any]) -> None:
    shapes = {"boxes": (7, 4), "scores": (7,), "labels": (7,)}
    assert "expected" in str(find_head("boxes").misfit(shapes, manifest("boxes", params=wrong)))
