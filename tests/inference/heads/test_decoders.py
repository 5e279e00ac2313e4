"""Every decoder against a loop that does what the paper says, on the same tensor: boxes 0.01 px, scores 1e-4."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.heads import find_head
from inference.image.media import decode
from inference.image.nms import gaussian_overlap, gaussians, iou, nms
from inference.image.preprocess import Fit
from inference.predictions import Objects
from tests.inference.heads import reference_decoders as reference
from tests.inference.heads.decoding import TESTS, bilinear, fit, manifest, noise, same


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


@pytest.mark.slow
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


@pytest.mark.slow
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
            expected[y - y1, x - x1] = bilinear(logits, (x + 0.5) / 4 - 0.5, (y + 0.5) / 4 - 0.5) > 0
    assert (expected != found.masks.bits[0]).mean() < 1e-3  # a logit of exactly 0 may fall on either side


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
