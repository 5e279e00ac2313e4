"""Heads of masks, maps and keypoints against loops that do what their papers say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from inference.heads import find_head
from inference.image.preprocess import Fit
from inference.predictions import LabelMap, Objects, OutputImage
from tests.inference.heads.decoding import bilinear, fit, manifest, noise


@dataclass(frozen=True)
class Declared:
    """An output as a graph states it: None for a free side."""

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any] = np.dtype(np.float32)


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
    np.testing.assert_allclose(person.scores, [0.97], atol=1e-6)  # the threshold's own kind of score
    for presence in (0.4, math.nan):
        outputs["b"][:] = presence
        nobody = find_head("mediapipe_pose").decode(outputs, half, manifest("mediapipe_pose", "keypoint-detection"))
        assert isinstance(nobody, Objects) and len(nobody) == 0


def test_movenet_says_nobody_where_only_some_points_are_sure() -> None:
    """On a photo without people a few points always pass for something; half a person has half of its points."""
    for sure, people in ((4, 0), (9, 1)):
        points = np.full((1, 1, 17, 3), 0.05, np.float32)
        points[0, 0, :sure, 2] = 0.6
        pose = find_head("movenet").decode({"o": points}, fit(192, 192), manifest("movenet", "keypoint-detection"))
        assert isinstance(pose, Objects) and len(pose) == people
        np.testing.assert_allclose(pose.scores, [0.6] * people, atol=1e-6)


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
    expected = [[max(range(3), key=lambda c: bilinear(scores[0, c], (x + 0.5) / 4 - 0.5, (y + 0.5) / 4 - 0.5))
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


@pytest.mark.parametrize(("width", "height"), [(1, 5), (5, 1), (1, 1), (2, 1), (1, 4), (3, 2)])
@pytest.mark.parametrize("arrange", ["hw", "1hw", "11hw", "1hw1"])
def test_maps_of_pictures_of_a_few_pixels_keep_their_sides(width: int, height: int, arrange: str) -> None:
    rising = np.arange(width * height).reshape(height, width)
    sides: dict[str, int | None] = {"1": 1, "h": None, "w": None}
    declared = Declared(tuple(sides[side] for side in arrange), np.dtype(np.int64))
    shaped = rising.reshape([{"1": 1, "h": height, "w": width}[side] for side in arrange])
    head, how = find_head("semantic"), manifest("semantic", "image-segmentation", 15)
    settled = head.settle({"output": declared}, how, lambda _: None)
    found = head.decode({"output": shaped}, fit(width, height), settled)
    assert isinstance(found, LabelMap)
    assert found.ids.tolist() == rising.tolist()
    depth = find_head("depth").decode(
        {"depth": shaped.astype(np.float32)}, fit(width, height), manifest("depth", "depth-estimation")
    )
    assert isinstance(depth, OutputImage)
    assert depth.pixels.shape == (height, width, 3)
    if rising.size > 1:
        assert depth.pixels[0, 0, 0] == 0 and depth.pixels[-1, -1, 0] == 255


def test_semantic_goes_by_the_graph_where_a_thin_picture_looks_like_channels_last() -> None:
    head, how = find_head("semantic"), manifest("semantic", "image-segmentation")
    settled = head.settle({"logits": Declared((1, 6, None, None))}, how, lambda _: None)
    scores = np.zeros((1, 6, 30, 2), np.float32)
    scores[0, 4] = 1  # six classes of a picture two pixels wide
    found = head.decode({"logits": scores}, fit(2, 30), settled)
    assert isinstance(found, LabelMap)
    assert found.ids.shape == (30, 2) and (found.ids == 4).all()


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
