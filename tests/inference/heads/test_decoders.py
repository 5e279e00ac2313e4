"""Every decoder against a loop that does what the paper says, on the same tensor: boxes 0.01 px, scores 1e-4."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import BadManifest
from inference.heads import find_head
from inference.image.media import decode
from inference.image.nms import gaussian_overlap, gaussians, iou, nms
from inference.image.preprocess import Fit
from inference.manifest import manifest_from
from inference.predictions import LabelMap, Objects
from tests.inference.heads import reference_decoders as reference

TESTS = Path(__file__).parents[2]


def fit(width: int, height: int) -> Fit:
    """The network's pixels are the picture's."""
    return Fit((width, height), (width, height), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0, float(width), float(height)))


def manifest(head: str, task: str = "object-detection", labels: int = 0, **post: Any) -> Any:
    table = {"name": "m", "head": head, "task": task, "labels": [f"label {i}" for i in range(labels)]}
    return manifest_from({**table, "postprocess": post}, "test")


def clipped(rows: list[reference.Row], width: float, height: float) -> list[reference.Row]:
    return [([min(max(b[0], 0), width), min(max(b[1], 0), height), min(max(b[2], 0), width), min(max(b[3], 0), height)],
             score, c) for b, score, c in rows]  # fmt: skip


def same(found: Objects, rows: list[reference.Row], width: float, height: float) -> None:
    assert len(rows) > 3, "the test says nothing about an empty answer"
    assert len(found) == len(rows)
    rows = clipped(rows, width, height)
    np.testing.assert_allclose(found.boxes, [r[0] for r in rows], atol=0.01)
    np.testing.assert_allclose(found.scores, [r[1] for r in rows], atol=1e-4)
    assert found.label_ids.tolist() == [r[2] for r in rows]


@pytest.fixture(scope="module")
def models(shared: Path) -> Registry:
    return Registry([TESTS / "models"], weights=Weights([shared / "models"]))


def raw_outputs(models: Registry, shared: Path, name: str, picture: str) -> tuple[Any, dict[str, Any], Fit]:
    """(model, its raw outputs on a photo, a fit that leaves network pixels as they are)."""
    from inference.image.preprocess import prepare

    model = models.model(name)
    tensor, real = prepare(decode((shared / "media" / picture).read_bytes()), model.manifest.preprocess, model.spec)
    return model, model.session.run(model.feeds(tensor, real)), fit(*real.network)


@pytest.fixture(scope="module")
def street(shared: Path) -> str:
    photos = sorted((shared / "media/coco/val2017").iterdir())
    return str(photos[5].relative_to(shared / "media"))


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["det-yolox-nano", "det-person-192"])
def test_yolox(models: Registry, shared: Path, street: str, name: str) -> None:
    model, outputs, real = raw_outputs(models, shared, name, "faces/group_05_Linzaer_12.jpg")
    rows = reference.yolox(outputs["output"][0], real.network[0], 0.01)
    found = model.decode(outputs, real, 0.01)
    same(found, reference.suppress(rows, 0.6, 100), *real.network)


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "strides"), [("det-nanodet-m-320", (8, 16, 32)), ("det-picodet-s-416", (8, 16, 32, 64))]
)
def test_gfl(models: Registry, shared: Path, street: str, name: str, strides: tuple[int, ...]) -> None:
    model, outputs, real = raw_outputs(models, shared, name, street)
    values = [v[0] for v in outputs.values()]
    half = len(values) // 2
    rows = reference.gfl(values[:half], values[half:], real.network[0], strides, 0.05)
    same(model.decode(outputs, real, 0.05), reference.suppress(rows, 0.6, 100), *real.network)


@pytest.mark.needs_shared
def test_ultralytics_grid_and_masks(models: Registry, shared: Path, street: str) -> None:
    model, outputs, real = raw_outputs(models, shared, "ultra-yolov8n-seg-320", street)
    raw, prototypes = outputs["output0"][0], outputs["output1"][0]
    rows = reference.yolo_raw(raw, 80, 0.05)
    found = model.decode(outputs, real, 0.05)
    same(found, reference.suppress(rows, 0.7, 100), *real.network)
    assert found.masks is not None
    # the mask of the surest: every pixel of its box by hand, bilinear between the prototypes' cells
    best = int(raw[4:84].max(axis=0).argmax())
    logits = np.einsum("k,khw->hw", raw[84:, best].astype(np.float64), prototypes)
    x1, y1, x2, y2 = (int(v) for v in found.masks.windows[0])
    expected = np.zeros((y2 - y1, x2 - x1), bool)
    for y in range(y1, y2):
        for x in range(x1, x2):
            expected[y - y1, x - x1] = _bilinear(logits, (x + 0.5) / 4 - 0.5, (y + 0.5) / 4 - 0.5) > 0
    assert (expected != found.masks.bits[0]).mean() < 1e-3  # a logit of exactly 0 may fall on either side


def _bilinear(values: Any, x: float, y: float) -> float:
    height, width = values.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    x0, y0 = math.floor(x), math.floor(y)
    x1, y1, fx, fy = min(x0 + 1, width - 1), min(y0 + 1, height - 1), x - x0, y - y0
    top = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
    return float(top * (1 - fy) + (values[y1, x0] * (1 - fx) + values[y1, x1] * fx) * fy)


@pytest.mark.needs_shared
def test_yunet_boxes_and_landmarks(models: Registry, shared: Path) -> None:
    model, outputs, real = raw_outputs(models, shared, "face-yunet-2023mar", "faces/group_05_Linzaer_12.jpg")
    rows = reference.yunet(outputs, real.network[0], 0.3)
    plain = reference.suppress([(b, s, 0) for b, s, _ in rows], 0.3, 100)
    found = model.decode(outputs, real, 0.3)
    same(found, plain, *real.network)
    assert found.keypoints is not None
    for i, (box, _, _) in enumerate(plain):
        points = next(p for b, _, p in rows if b == box)
        np.testing.assert_allclose(found.keypoints[i, :, :2], points, atol=0.01)


@pytest.mark.needs_shared
def test_ultraface(models: Registry, shared: Path) -> None:
    model, outputs, real = raw_outputs(models, shared, "face-ultraface-rfb320", "faces/group_05_Linzaer_12.jpg")
    rows = reference.ultraface(outputs["scores"][0], outputs["boxes"][0], real.network, 0.3)
    same(model.decode(outputs, real, 0.3), reference.suppress(rows, 0.5, 100), *real.network)


def noise(*shape: int, seed: int = 0, spread: float = 1.0) -> Any:
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(np.float32)


def test_yolov5_multiplies_objectness() -> None:
    raw = np.abs(noise(200, 8))
    raw[:, :2] *= 60
    raw[:, 2:4] = raw[:, 2:4] * 20 + 4
    raw[:, 4:] = raw[:, 4:].clip(0, 1)
    rows = reference.yolo_v5(raw, 3, 0.4)
    found = find_head("yolo").decode(
        {"output0": raw[None]}, fit(160, 160), manifest("yolo", labels=3, confidence_threshold=0.4, iou_threshold=0.5,
                                                        params={"layout": "v5"}))  # fmt: skip
    assert isinstance(found, Objects)
    same(found, reference.suppress(rows, 0.5, 100), 160, 160)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_detr(kind: str) -> None:
    logits, boxes = noise(60, 5, spread=2), np.abs(noise(60, 4, seed=1, spread=0.3)).clip(0.02, 0.9)
    rows = reference.detr(logits, boxes, (320, 240), 0.5, kind)[:100]
    found = find_head("detr").decode(
        {"logits": logits[None], "pred_boxes": boxes[None]}, fit(320, 240),
        manifest("detr", confidence_threshold=0.5, params={"activation": kind}))  # fmt: skip
    assert isinstance(found, Objects)
    same(found, rows, 320, 240)


def test_yolov2_grid_as_custom_vision_has_it() -> None:
    anchors = [[0.57273, 0.677385], [1.87446, 2.06253], [3.33843, 5.47434], [7.88282, 3.52778], [9.77052, 9.16828]]
    raw = noise(5 * 8, 13, 13, spread=0.8)
    rows = reference.suppress(reference.grid_v2(raw, anchors, 32, 0.4), 0.45, 64)
    found = find_head("yolo_grid").decode(
        {"model_outputs0": raw[None]}, fit(416, 416),
        manifest("yolo_grid", confidence_threshold=0.4, iou_threshold=0.45, max_detections=64,
                 params={"anchors": anchors}))  # fmt: skip
    assert isinstance(found, Objects)
    same(found, rows, 416, 416)


def xyxy(count: int, width: int, height: int) -> Any:
    low, size = np.random.default_rng(0).random((2, count, 2), np.float32)
    return np.concatenate([low * 0.7, low * 0.7 + size * 0.3], axis=1) * np.asarray([width, height] * 2, np.float32)


def joined(*columns: Any) -> Any:
    return np.column_stack(columns).astype(np.float32)


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


YOLOV4_ANCHORS = [[12, 16], [19, 36], [40, 28], [36, 75], [76, 55], [72, 146], [142, 110], [192, 243], [459, 401]]


def test_yolov4_of_the_model_zoo() -> None:
    raws = [np.abs(noise(s, s, 3, 7, seed=s, spread=0.4)).clip(0, 1) for s in (16, 8, 4)]
    rows = reference.grid_v4(raws, np.asarray(YOLOV4_ANCHORS).reshape(3, 3, 2), (1.2, 1.1, 1.05), 128, 0.6)
    params = {"anchors": YOLOV4_ANCHORS, "anchor_unit": "pixels", "classes": "none", "xy_scale": [1.2, 1.1, 1.05]}
    how = manifest("yolo_grid", confidence_threshold=0.6, iou_threshold=0.213, params=params)
    outputs = {f"Identity_{i}": r[None] for i, r in enumerate(raws)}
    found = find_head("yolo_grid").decode(outputs, fit(128, 128), how)
    assert isinstance(found, Objects)
    same(found, reference.suppress(rows, 0.213, 100), 128, 128)


def test_oriented_boxes_have_four_corners_and_their_own_overlap() -> None:
    """Two boxes cross at a right angle: axis-aligned they would cover each other, oriented they do not."""
    rows = np.asarray([[100, 100, 120, 20, 0.9, 0.0], [100, 100, 120, 20, 0.8, math.pi / 2],
                       [102, 100, 120, 20, 0.7, 0.02]], np.float32)  # fmt: skip
    found = find_head("yolo").decode(
        {"output0": rows.T[None]}, fit(200, 200),
        manifest("yolo", labels=1, iou_threshold=0.7, params={"obb": True, "layout": "raw"}))  # fmt: skip
    assert isinstance(found, Objects) and found.corners is not None
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    np.testing.assert_allclose(
        sorted(map(tuple, found.corners[0])), [(40, 90), (40, 110), (160, 90), (160, 110)], atol=0.01
    )
    np.testing.assert_allclose(
        sorted(map(tuple, found.corners[1])), [(90, 40), (90, 160), (110, 40), (110, 160)], atol=0.01
    )
    np.testing.assert_allclose(found.boxes[1], [90, 40, 110, 160], atol=0.01)


def test_probiou_is_one_for_the_same_box_and_falls_with_distance() -> None:
    boxes = np.asarray(
        [[50, 50, 40, 20, 0.3], [50, 50, 40, 20, 0.3 + math.pi], [60, 50, 40, 20, 0.3], [500, 50, 40, 20, 0]]
    )
    shares = gaussian_overlap(gaussians(boxes), gaussians(boxes))[0]
    assert shares[0] == pytest.approx(1, abs=1e-3) and shares[1] == pytest.approx(1, abs=1e-3)
    assert 0.3 < shares[2] < 0.9 and shares[3] < 1e-6


@pytest.mark.parametrize("count", [1, 40, 700])
def test_nms_keeps_what_a_loop_keeps(count: int) -> None:
    random = np.random.default_rng(count)
    corners = random.uniform(0, 200, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 80, (count, 2))], axis=1).astype(np.float32)
    scores, classes = random.random(count).astype(np.float32), random.integers(0, 3, count)
    rows = [(b.tolist(), float(s), int(c)) for b, s, c in zip(boxes, scores, classes, strict=True)]
    expected = [r[1] for r in reference.suppress(rows, 0.5, 100)]
    assert scores[nms(boxes, scores, classes, 0.5, 100)].tolist() == pytest.approx(expected)


def test_nms_of_many_classes_loses_no_pixel_fraction_far_from_the_origin() -> None:
    """Two boxes of class 79 whose IoU is just below the threshold: shifting them apart in float32 would join them."""
    boxes = np.asarray([[7000, 7000, 7010, 7010], [7003.34, 7000, 7013.34, 7010]], np.float32)
    share = float(iou(boxes[:1], boxes[1:])[0, 0])
    scores, classes = np.asarray([0.9, 0.8], np.float32), np.asarray([79, 79])
    assert len(nms(boxes, scores, classes, share + 1e-4, 10)) == 2
    assert len(nms(boxes, scores, classes, share - 1e-4, 10)) == 1


def test_simcc_and_heat_maps_peak_where_they_were_put() -> None:
    x, y = np.zeros((1, 17, 384), np.float32), np.zeros((1, 17, 512), np.float32)
    x[0, np.arange(17), np.arange(17) * 20 + 3] = 0.8
    y[0, np.arange(17), np.arange(17) * 25 + 5] = 0.6
    pose = find_head("simcc").decode(
        {"simcc_x": x, "simcc_y": y}, fit(192, 256), manifest("simcc", "keypoint-detection")
    )
    assert isinstance(pose, Objects) and pose.keypoints is not None and pose.skeleton == "coco17"
    np.testing.assert_allclose(pose.keypoints[0, :, 0], (np.arange(17) * 20 + 3) / 2, atol=0.01)
    np.testing.assert_allclose(pose.keypoints[0, :, 1], (np.arange(17) * 25 + 5) / 2, atol=0.01)
    np.testing.assert_allclose(pose.keypoints[0, :, 2], 0.7, atol=1e-4)

    maps = np.zeros((1, 17, 64, 48), np.float32)
    maps[0, :, 20, 10] = 0.9
    maps[0, :, 20, 11], maps[0, :, 19, 10] = 0.5, 0.4  # right and above are higher: a quarter cell that way
    pose = find_head("heatmaps").decode({"heatmaps": maps}, fit(192, 256), manifest("heatmaps", "keypoint-detection"))
    assert isinstance(pose, Objects) and pose.keypoints is not None
    np.testing.assert_allclose(pose.keypoints[0, 0], [10.25 * 4, 19.75 * 4, 0.9], atol=1e-4)


def test_mediapipe_pose_gives_metres_beside_pixels() -> None:
    landmarks = np.zeros((39, 5), np.float32)
    landmarks[:, 0], landmarks[:, 1], landmarks[:, 2] = np.arange(39) * 5, np.arange(39) * 4, -20
    landmarks[:, 3:] = 3.0
    world = noise(39, 3)
    outputs = {"a": landmarks.reshape(1, 195), "b": np.asarray([[0.97]], np.float32), "c": noise(1, 256, 256, 1),
               "d": noise(1, 64, 64, 39), "e": world.reshape(1, 117)}  # fmt: skip
    half = Fit((128, 128), (256, 256), (0.5, 0.5), (0.0, 0.0), (0.0, 0.0, 128.0, 128.0))
    person = find_head("mediapipe_pose").decode(outputs, half, manifest("mediapipe_pose", "keypoint-detection"))
    assert isinstance(person, Objects) and person.keypoints is not None and person.keypoints.shape == (1, 33, 4)
    np.testing.assert_allclose(person.keypoints[0, 10], [25, 20, -10, 1 / (1 + math.exp(-3))], atol=1e-4)
    np.testing.assert_allclose(person.attributes[0]["world"], world[:33], atol=1e-4)


def test_movenet_of_several_people() -> None:
    rows = np.zeros((1, 6, 56), np.float32)
    rows[0, 1, 0:51:3], rows[0, 1, 1:51:3], rows[0, 1, 2:51:3] = 0.25, 0.5, 0.9
    rows[0, 1, 51:] = 0.1, 0.2, 0.6, 0.7, 0.8
    people = find_head("movenet").decode({"output": rows}, fit(256, 256), manifest("movenet", "keypoint-detection"))
    assert isinstance(people, Objects) and people.keypoints is not None and len(people) == 1
    np.testing.assert_allclose(people.boxes[0], [51.2, 25.6, 179.2, 153.6], atol=0.01)
    np.testing.assert_allclose(people.keypoints[0, 7], [128, 64, 0.9], atol=1e-4)


def test_semantic_scores_are_stretched_before_the_best_is_taken() -> None:
    """At stride 4, against bilinear interpolation by hand: the border between labels is not a staircase of 4 pixels."""
    scores = noise(1, 3, 8, 10, spread=2)
    found = find_head("semantic").decode({"logits": scores}, fit(40, 32), manifest("semantic", "image-segmentation", 3))
    assert isinstance(found, LabelMap) and found.ids.shape == (32, 40)
    expected = [[max(range(3), key=lambda c: _bilinear(scores[0, c], (x + 0.5) / 4 - 0.5, (y + 0.5) / 4 - 0.5))
                 for x in range(40)] for y in range(32)]  # fmt: skip
    assert (found.ids != np.asarray(expected)).mean() < 0.003


def test_semantic_understands_every_arrangement() -> None:
    ids = np.random.default_rng(0).integers(0, 4, (16, 20))
    logits = np.eye(4, dtype=np.float32)[ids][None]
    head, how = find_head("semantic"), manifest("semantic", "image-segmentation", 4, background=0)
    for raw in (logits, logits.transpose(0, 3, 1, 2), ids[None], ids[None, None], ids[None].astype(np.uint8)):
        found = head.decode({"output": raw}, fit(20, 16), how)
        assert isinstance(found, LabelMap)
        assert found.ids.tolist() == ids.tolist() and found.background == 0
    binary = head.decode(
        {"output": (ids[None, None] > 1).astype(np.float32)}, fit(20, 16), manifest("semantic", "image-segmentation", 2)
    )
    assert isinstance(binary, LabelMap)
    assert binary.ids.tolist() == (ids > 1).astype(int).tolist()


def test_semantic_leaves_the_padding_out() -> None:
    ids = np.zeros((1, 64, 64), np.int64)
    ids[0, 16:48] = 1  # the picture lies in the middle, black above and below
    wide = Fit((128, 64), (64, 64), (2.0, 2.0), (0.0, -32.0), (0.0, 0.0, 128.0, 64.0))
    found = find_head("semantic").decode({"output": ids}, wide, manifest("semantic", "image-segmentation", 2))
    assert isinstance(found, LabelMap)
    assert found.ids.shape == (64, 128) and found.ids.min() == 1


def test_maskformer_as_map_and_as_objects() -> None:
    logits = np.full((1, 3, 4), -8, np.float32)
    logits[0, 0, 1], logits[0, 1, 2], logits[0, 2, 3] = 8, 8, 8  # the third query is "no object"
    masks = np.full((1, 3, 16, 16), -8, np.float32)
    masks[0, 0, :, :8], masks[0, 1, 4:12, 8:], masks[0, 2] = 8, 8, 8
    outputs = {"class_queries_logits": logits, "masks_queries_logits": masks}
    found = find_head("maskformer").decode(outputs, fit(64, 64), manifest("maskformer", "image-segmentation", 3))
    assert isinstance(found, LabelMap)
    assert found.ids[32, 10] == 1 and found.ids[32, 50] == 2
    things = find_head("maskformer").decode(
        outputs, fit(64, 64), manifest("maskformer", "image-segmentation", 3, params={"mode": "instance"}))  # fmt: skip
    assert isinstance(things, Objects) and things.masks is not None and sorted(things.names) == ["label 1", "label 2"]
    assert things.masks.area(things.names.index("label 1")) == pytest.approx(32 * 64, rel=0.02)


def test_a_label_map_of_a_huge_picture_stays_within_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.heads import semantic

    monkeypatch.setattr(semantic, "MAX_VALUES", 3 * 100 * 80)
    scores = noise(1, 3, 8, 10, spread=2)
    huge = Fit((400, 320), (40, 32), (10.0, 10.0), (0.0, 0.0), (0.0, 0.0, 400.0, 320.0))
    found = semantic.decode({"logits": scores}, huge, manifest("semantic", "image-segmentation", 3))
    assert found.ids.shape == (320, 400)
    assert (found.ids[::4, ::4] == found.ids[1::4, 1::4]).mean() > 0.97  # each stretched label is repeated


def test_mediapipe_detector_of_people() -> None:
    rows, logits = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -9, np.float32)
    row = 28 * 28 * 2 + 14 * 14 * 2 + (3 * 7 + 2) * 6 + 4  # stride 32, line 3, column 2: its fifth anchor
    rows[0, row], logits[0, row] = [4, -6, 50, 80, 1, 2, 3, 4, 5, 6, 7, 8], 2
    found = find_head("mediapipe_detector").decode(
        {"a": rows, "b": logits}, fit(224, 224), manifest("mediapipe_detector")
    )
    assert isinstance(found, Objects) and found.keypoints is not None and len(found) == 1
    np.testing.assert_allclose(found.boxes[0], [84 - 25, 106 - 40, 84 + 25, 106 + 40], atol=0.01)
    np.testing.assert_allclose(found.keypoints[0, 3], [80 + 7, 112 + 8, 1 / (1 + math.exp(-2))], atol=1e-4)


def test_licence_plates_have_four_corners() -> None:
    count = 30 * 40 * 3 + 15 * 20 * 2 + 7 * 10 * 2 + 3 * 5 * 3
    outputs = {"loc": np.zeros((count, 14), np.float32), "conf": np.zeros((count, 2), np.float32),
               "iou": np.zeros((count, 1), np.float32)}  # fmt: skip
    row = 30 * 40 * 3 + (4 * 20 + 6) * 2 + 1  # stride 16, line 4, column 6, 48 pixels wide: its centre at 104, 72
    outputs["conf"][row, 1], outputs["iou"][row] = 0.9, 0.9
    outputs["loc"][row, [4, 5, 6, 7, 10, 11, 12, 13]] = [-5, -2, 5, -2, 5, 2, -5, 2]
    found = find_head("lpd_yunet").decode(outputs, fit(320, 240), manifest("lpd_yunet"))
    assert isinstance(found, Objects) and found.corners is not None and len(found) == 1
    np.testing.assert_allclose(found.boxes[0], [104 - 24, 72 - 9.6, 104 + 24, 72 + 9.6], atol=0.01)
    np.testing.assert_allclose(found.corners[0, 0], [80, 62.4], atol=0.01)
