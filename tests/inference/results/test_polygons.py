"""Masks as polygons: drawn again as trainers draw them, they are the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from inference.predictions import Masks
from inference.results.polygons import INSET, outline
from inference.results.rle import decode, encode
from tests.inference.properties import examples

PYCOCOTOOLS = "ignore:__array__ implementation:DeprecationWarning"  # it lags behind numpy 2


def drawn(points: Any, size: tuple[int, int]) -> Any:
    """As OpenCV and Pillow draw: every pixel that the line or the inside touches."""
    image = Image.new("1", size)
    ImageDraw.Draw(image).polygon([(int(x), int(y)) for x, y in points], fill=1, outline=1)
    return np.asarray(image)


def by_centres(points: Any, size: tuple[int, int]) -> Any:
    """As pycocotools draws: the pixels whose centre is inside."""
    return coco.decode(coco.merge(coco.frPyObjects([points.ravel().tolist()], size[1], size[0]))).astype(bool)


def iou(a: Any, b: Any) -> float:
    return float((a & b).sum() / (a | b).sum())


def disk(size: int, x: float, y: float, radius: float) -> Any:
    ys, xs = np.mgrid[:size, :size]
    return (xs - x) ** 2 + (ys - y) ** 2 <= radius**2


def test_a_rectangle_is_its_pixels_edges() -> None:
    found = outline(np.ones((2, 3), bool), 10, 20)
    low, high = INSET, -INSET
    expected = {(10 + low, 20 + low), (13 + high, 20 + low), (13 + high, 22 + high), (10 + low, 22 + high)}
    assert {(x, y) for x, y in found.points.round(6).tolist()} == {(round(x, 6), round(y, 6)) for x, y in expected}
    assert (found.parts, found.specks) == (1, 0)


def test_an_empty_mask_has_no_polygon() -> None:
    assert outline(np.zeros((4, 4), bool)).points.shape == (0, 2)


@pytest.mark.filterwarnings(PYCOCOTOOLS)
@pytest.mark.parametrize(
    "mask",
    [
        disk(12, 6, 6, 3),
        disk(200, 90, 110, 60),
        disk(700, 350, 350, 300),
        disk(200, 90, 110, 60) & ~disk(200, 80, 100, 30),  # a hole
        np.tri(80, dtype=bool),
        np.tri(400, dtype=bool),
        np.eye(9, dtype=bool),  # pixels that touch at corners alone
    ],
    ids=["small", "disk", "large", "hole", "triangle", "large triangle", "diagonal"],
)
def test_a_mask_drawn_from_its_polygon_is_the_mask(mask: Any) -> None:
    size = mask.shape[1] + 10, mask.shape[0] + 10
    whole = np.zeros(size[::-1], bool)
    whole[7 : 7 + mask.shape[0], 4 : 4 + mask.shape[1]] = mask
    points = outline(mask, 4, 7).points
    shares = np.asarray([[float(f"{v / side:.6f}") for v, side in zip(p, size, strict=True)] for p in points])
    points = (shares * size).astype(np.float32)
    assert iou(drawn(points, size), whole) > 0.97
    if mask.shape != (9, 9):  # its lines have no width for a tool that goes by centres
        assert iou(by_centres(points, size), whole) > 0.97


@pytest.mark.filterwarnings(PYCOCOTOOLS)
def test_parts_are_joined_by_lines_without_width() -> None:
    mask = np.zeros((60, 90), bool)
    mask[5:25, 5:25] = mask[30:55, 60:85] = True
    mask[0, 89] = True  # a speck: one of 1,026 pixels
    found = outline(mask)
    assert (found.parts, found.specks) == (2, 1)
    mask[0, 89] = False
    assert np.array_equal(by_centres(found.points, (90, 60)), mask)


def test_noise_ends_in_time_and_in_one_polygon() -> None:
    noise = np.random.default_rng(0).random((90, 90)) > 0.4
    found = outline(noise)
    assert found.specks > 100 and 3 < len(found.points) < 10_000


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
@examples(60)
def test_every_pixel_of_a_small_mask_is_drawn_again(mask: Any) -> None:
    found = outline(mask)
    if mask.any() and found.parts == 1:
        assert np.array_equal(drawn(found.points, (mask.shape[1] + 1, mask.shape[0] + 1))[:-1, :-1], mask)


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
@examples(60)
def test_run_lengths_are_read_back(mask: Any) -> None:
    height, width = mask.shape
    rle = encode(Masks((height, width), np.asarray([[0, 0, width, height]]), (mask,)), 0)
    bits, x, y = decode(rle, (height, width))
    whole = np.zeros_like(mask)
    whole[y : y + bits.shape[0], x : x + bits.shape[1]] = bits
    assert np.array_equal(whole, mask)


@pytest.mark.parametrize(
    "rle",
    [{}, {"size": [2, 2], "counts": "4"}, {"size": [3, 2], "counts": "~"}, {"size": [3, 2], "counts": [3, 4]},
     {"size": [3, 2], "counts": [-1, 7]}, {"size": [3, 2], "counts": "o" * 99}, {"size": [3, 2], "counts": [[6]]}],
)  # fmt: skip
def test_what_is_no_mask_of_the_picture_is_refused(rle: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mask"):
        decode(rle, (3, 2))
