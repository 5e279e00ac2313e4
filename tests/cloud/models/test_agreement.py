"""How far two answers agree, by numbers that were worked out by hand."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from cloud.models.agreement import Agreement, compared, together
from inference.predictions import Classes, Embedding, LabelMap, Masks, Objects, OutputImage, Predictions

FIND, SEGMENT, POSE = "object-detection", "image-segmentation", "keypoint-detection"


def share(task: str, new: Predictions, old: Predictions) -> float:
    result = compared(task, new, old)
    assert result.share is not None and (result.samples, result.why) == (1, "")
    assert (back := compared(task, old, new)).share is not None
    assert back.share == pytest.approx(result.share)  # neither version is nearer to the truth
    return result.share


def boxes(*rows: tuple[str, float, float, float, float], **columns: Any) -> Objects:
    places = np.asarray([row[1:] for row in rows], np.float32).reshape(-1, 4)
    ids = np.arange(len(rows))
    return Objects(places, np.full(len(rows), 0.9, np.float32), ids, tuple(row[0] for row in rows), **columns)


def mask(*windows: tuple[int, int, int, int], labels: str = "aaaa") -> Objects:
    """Filled rectangles in a picture of 400 x 400 pixels."""
    bits = tuple(np.ones((y2 - y1, x2 - x1), bool) for x1, y1, x2, y2 in windows)
    rows = [(label, *window) for label, window in zip(labels, windows, strict=False)]
    return boxes(*rows, masks=Masks((400, 400), np.asarray(windows).reshape(-1, 4), bits))


def pose(
    *moved: tuple[int, float, float], count: int = 17, skeleton: str | None = "coco17", z: bool = False
) -> Objects:
    """A person of 100 x 100 pixels with all keypoints in the middle, some of them moved by x and y (or z)."""
    points = np.full((1, count, 4 if z else 3), 50, np.float32)
    points[..., -1] = 0.9
    for i, x, other in moved:
        points[0, i, 0] += x
        points[0, i, 2 if z else 1] += other
    return boxes(("person", 0, 0, 100, 100), keypoints=points, skeleton=skeleton)


def picture(*rows: Any) -> OutputImage:
    """An 8 x 8 picture per number or RGB triple, side by side."""
    return OutputImage(np.concatenate([np.full((8, 8, 3), row, np.uint8) for row in rows], axis=1))


def classes(*names: str) -> Classes:
    return Classes(np.arange(len(names)), np.linspace(0.4, 0.1, len(names)), names)


def turned(degrees: float) -> Objects:
    a = math.radians(degrees)
    turn = np.asarray([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]])
    corners = np.asarray([[-40, -5], [40, -5], [40, 5], [-40, 5]]) @ turn + 50
    return boxes(("ship", 0, 0, 100, 100), corners=corners[None])


def test_classified_pictures_agree_where_the_best_label_is_the_same() -> None:
    assert share("image-classification", classes("cat", "dog"), classes("cat", "fox", "dog")) == 1
    assert share("image-classification", classes("cat", "dog"), classes("dog", "cat")) == 0


def test_boxes_are_pairs_by_label_and_overlap_whatever_their_numbers_and_order() -> None:
    old = boxes(("car", 0, 0, 10, 10), ("bus", 20, 0, 30, 10))
    assert share(FIND, boxes(("bus", 20, 0, 30, 10), ("car", 0, 0, 10, 10)), old) == 1
    assert share(FIND, boxes(("car", 0, 0, 10, 6)), old) == pytest.approx(2 / 3)  # 1 pair of 1 and 2 boxes
    assert share(FIND, boxes(("car", 0, 0, 10, 4), ("bus", 20, 0, 30, 10)), old) == 0.5  # an IoU of 0.4 is no pair
    assert share(FIND, boxes(("bus", 0, 0, 10, 10), ("car", 20, 0, 30, 10)), old) == 0
    assert share(FIND, boxes(), old) == 0


def test_a_box_that_could_be_one_of_two_is_given_so_that_most_find_a_pair() -> None:
    old = boxes(("car", 0, 0, 10, 10), ("car", 3, 0, 13, 10))
    assert share(FIND, boxes(("car", 1, 0, 11, 10), ("car", -2, 0, 8, 10)), old) == 1


def test_turned_boxes_are_not_compared_by_what_encloses_them() -> None:
    assert share(FIND, turned(30), turned(32)) == 1
    assert share(FIND, turned(30), turned(120)) == 0


def test_masks_count_by_their_iou() -> None:
    assert share(SEGMENT, mask((0, 0, 10, 10)), mask((2, 0, 12, 10))) == pytest.approx(80 / 120)
    assert share(SEGMENT, mask((0, 0, 10, 10)), mask((0, 0, 300, 300))) == 0  # 100 of 90,000 pixels
    assert share(SEGMENT, mask((0, 0, 10, 10)), mask((0, 0, 10, 10), labels="b")) == 0
    two = mask((2, 0, 12, 10), (100, 100, 110, 110))
    assert share(SEGMENT, mask((0, 0, 10, 10)), two) == pytest.approx(2 * 80 / 120 / 3)
    frame = np.ones((10, 10), bool)
    frame[2:8, 2:8] = False  # 64 of the 100 pixels in the same box
    ring = Objects(**{**vars(mask((0, 0, 10, 10))), "masks": Masks((400, 400), np.asarray([[0, 0, 10, 10]]), (frame,))})
    assert share(SEGMENT, mask((0, 0, 10, 10)), ring) == pytest.approx(0.64)


def test_the_labels_of_pixels_are_compared_by_name_and_without_the_background() -> None:
    ids = np.zeros((10, 10), np.uint8)
    ids[:, 5:] = 1
    road = LabelMap(ids, ("road", "sky"))
    assert share(SEGMENT, road, LabelMap(1 - ids, ("sky", "road"))) == 1  # the list in another order
    assert share(SEGMENT, road, LabelMap(1 - ids, ("road", "sky"))) == 0
    moved = np.zeros((10, 10), np.uint8)
    moved[:, 6:] = 1  # road: 50 of 60, sky: 40 of 50
    assert share(SEGMENT, road, LabelMap(moved, ("road", "sky"))) == pytest.approx((50 / 60 + 40 / 50) / 2)
    assert share(SEGMENT, LabelMap(ids, ("none", "cat"), 0), LabelMap(moved, ("none", "cat"), 0)) == pytest.approx(0.8)
    assert share(SEGMENT, LabelMap(ids, ("none", "cat"), 0), LabelMap(moved, ("none", "cat"))) == pytest.approx(0.8)
    assert share(SEGMENT, LabelMap(ids.astype(np.int32) * 300, ("road",)), LabelMap(ids, ("road", "300"))) == 1


def test_poses_are_compared_by_where_their_keypoints_are() -> None:
    assert share(POSE, pose(), pose()) == 1
    # The left wrist (COCO's sigma 0.062) of a person of 0.53 x 100 x 100 square pixels, moved by 3 and 4 pixels.
    apart = math.exp(-25 / (2 * 5300 * (2 * 0.062) ** 2))
    assert share(POSE, pose((9, 3, 4)), pose()) == pytest.approx((16 + apart) / 17)
    assert share(POSE, pose((0, 3, 4)), pose()) < share(POSE, pose((11, 3, 4)), pose())  # a nose is smaller than a hip
    others = math.exp(-25 / (2 * 5300 * (2 * 0.07) ** 2))
    hand = pose(count=21, skeleton="hand21")
    assert share(POSE, pose((4, 3, 4), count=21, skeleton="hand21"), hand) == pytest.approx((20 + others) / 21)
    everywhere = [(i, 40.0, -40.0) for i in range(17)]
    assert share(POSE, pose(*everywhere), pose()) == 0  # in the same box


def test_depth_counts_for_keypoints_in_three_dimensions() -> None:
    solid: dict[str, Any] = {"count": 33, "skeleton": "blazepose33", "z": True}
    away = math.exp(-25 / (2 * 5300 * (2 * 0.07) ** 2))
    assert share(POSE, pose((9, 0, 5), **solid), pose(**solid)) == pytest.approx((32 + away) / 33)


def test_only_keypoints_that_one_of_both_sees_count() -> None:
    def unsure(moved: Objects, *unseen: int) -> Objects:
        assert moved.keypoints is not None
        moved.keypoints[0, list(unseen), 2] = 0.1
        return moved

    assert share(POSE, unsure(pose((9, 40, 40)), 9), unsure(pose(), 9)) == 1
    assert share(POSE, unsure(pose((9, 80, 80)), 9), pose()) == pytest.approx(16 / 17)
    assert share(POSE, unsure(pose(), *range(17)), unsure(pose(), *range(17))) == 1


def test_the_landmarks_of_a_detector_count_beside_its_boxes() -> None:
    face = pose(count=5, skeleton="face5")
    assert share(FIND, pose((0, 3, 4), count=5, skeleton="face5"), face) < 1
    elsewhere = Objects(**{**vars(face), "boxes": face.boxes + 300})
    assert share(FIND, elsewhere, face) == 0


def test_vectors_are_compared_by_their_angle() -> None:
    def at(degrees: float, length: float = 1) -> Embedding:
        angle = math.radians(degrees)
        return Embedding(np.asarray([math.cos(angle), math.sin(angle)], np.float32) * np.float32(length))

    task = "image-feature-extraction"
    assert share(task, at(60, 7), at(0)) == pytest.approx(0.5)
    assert share(task, at(180), at(0)) == 0
    assert share(task, at(60, 0), at(0)) == 0
    assert "NaN" in compared(task, at(0, math.nan), at(0)).why


def test_pictures_are_compared_by_their_structure_and_colours() -> None:
    task, c1 = "image-to-image", (0.01 * 255) ** 2
    assert share(task, picture(7, 200), picture(7, 200)) == pytest.approx(1)
    flat = (2 * 50 * 150 + c1) / (50**2 + 150**2 + c1)  # of two flat windows SSIM leaves their means
    assert share(task, picture(50), picture(150)) == pytest.approx(flat)
    assert share(task, picture(50, 50), picture(150, 50)) == pytest.approx((flat + 1) / 2)
    assert share(task, picture((9, 9, 150)), picture((9, 9, 50))) == pytest.approx(flat)  # blue agrees least
    stripes = np.zeros((600, 20, 3), np.uint8)  # higher than a strip, and no multiple of a window
    stripes[:, ::2] = 255
    assert share(task, OutputImage(stripes), OutputImage(stripes)) == pytest.approx(1)
    assert share(task, OutputImage(stripes), OutputImage(255 - stripes)) == 0


def test_cut_outs_are_compared_by_what_they_cut_out_alone() -> None:
    def cut(width: int, alpha: int) -> OutputImage:
        pixels = np.full((10, 10, 4), 99, np.uint8)
        pixels[..., 3] = 0
        pixels[:, :width, 3] = alpha
        return OutputImage(pixels)

    assert share("image-to-image", cut(5, 255), cut(10, 255)) == 0.5
    assert share("image-to-image", cut(10, 51), cut(10, 255)) == pytest.approx(0.2)
    assert compared("image-to-image", cut(0, 0), cut(0, 0)) == Agreement(None)


def test_depth_is_compared_up_to_scale_and_offset() -> None:
    task = "depth-estimation"
    assert share(task, picture(0, 100, 200), picture(50, 75, 100)) == pytest.approx(1)
    assert share(task, picture(0, 100, 200), picture(200, 100, 0)) == 0
    assert share(task, picture(0, 100, 100), picture(0, 100, 0)) == pytest.approx(0.5)
    assert compared(task, picture(3, 3), picture(5, 5)) == Agreement(None)


@pytest.mark.parametrize(
    "answer",
    [
        boxes(), classes(), Embedding(np.zeros(3, np.float32)),
        LabelMap(np.zeros((4, 4), np.uint8), ("none", "cat"), 0),
    ],
)  # fmt: skip
def test_a_sample_on_which_nothing_is_found_says_nothing(answer: Predictions) -> None:
    assert compared("any", answer, answer) == Agreement(None)
    half = compared("image-classification", classes("a"), classes("a"))
    assert together([Agreement(None), half, Agreement(None)]) == half
    assert together([Agreement(None), Agreement(None)]) == together([]) == Agreement(None)


def test_samples_count_the_same() -> None:
    parts = [Agreement(1.0, "m", 1), Agreement(None), Agreement(0.5, "m", 1)]
    assert together(parts) == Agreement(0.75, "m", 2)
    assert together([*parts, Agreement(None, why="other kinds")]) == Agreement(None, why="other kinds")


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        (Embedding(np.ones(3)), Embedding(np.ones(4)), "a vector of 3 numbers, the serving one a vector of 4 numbers"),
        (mask((0, 0, 9, 9)), boxes(("a", 0, 0, 9, 9)), "masks, the serving one boxes"),
        (turned(3), boxes(("a", 0, 0, 9, 9)), "turned boxes, the serving one boxes"),
        (boxes(), classes("a"), "boxes, the serving one labels of the picture"),
        (pose(), pose(skeleton="other"), r"17 keypoints \(coco17\) .* 17 keypoints \(other\)"),
        (pose(z=True), pose(), "in 3 coordinates, .* in 2 coordinates"),
        (pose(count=21), boxes(("person", 0, 0, 9, 9)), "boxes with 21 keypoints .*, the serving one boxes"),
        (picture(1), picture(1, 2), "a picture of 8 x 8 pixels, the serving one a picture of 16 x 8 pixels"),
        (OutputImage(np.ones((8, 8, 4), np.uint8)), picture(1), "a cut-out of .*, the serving one a picture"),
        (LabelMap(np.ones((2, 3), np.uint8), ()), mask((0, 0, 9, 9)), "labels of 3 x 2 pixels, the serving one masks"),
    ],
)  # fmt: skip
def test_answers_of_different_kinds_cannot_be_compared(new: Predictions, old: Predictions, words: str) -> None:
    result = compared(POSE, new, old)
    assert result.share is None
    assert re.search(f"the new version answers .*{words}", result.why)
