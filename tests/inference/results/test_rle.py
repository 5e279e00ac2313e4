"""Masks as COCO's tools read and write them, and their windows beside the whole picture as an array."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from pycocotools import mask as coco

from inference.draw.artifacts import image_artifacts
from inference.draw.masks import paint_masks, rim, rim_width
from inference.draw.scaling import sized
from inference.heads._masks import masks_in_boxes
from inference.image.media import Picture
from inference.image.preprocess import Fit
from inference.predictions import LabelMap, Masks, Objects, joined
from inference.results.result import ModelFacts, StepResult
from inference.results.rle import encode
from inference.routes import Draw
from tests.inference.properties import SIDES, examples, masks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2

FACTS = ModelFacts("m", "1", "", "")
# 8 pixels, the last of them in the picture's bottom row, left of columns without any
AT_THE_BOTTOM = Masks((10, 20), np.asarray([[3, 8, 7, 10]]), (np.ones((2, 4), bool),))


def dense(masks: Masks, i: int) -> NDArray[np.bool_]:
    """Pixel by pixel, without a slice."""
    x1, y1, x2, y2 = masks.windows[i].tolist()
    rows, columns = np.indices(masks.size)
    whole = np.zeros(masks.size, bool)
    for y, x in zip(rows.ravel(), columns.ravel(), strict=True):
        whole[y, x] = x1 <= x < x2 and y1 <= y < y2 and masks.bits[i][y - y1, x - x1]
    return whole


def in_boxes(masks: Masks) -> Objects:
    count = len(masks)
    boxes = masks.windows.astype(np.float32)
    return Objects(boxes, np.linspace(1, 0.5, count), np.zeros(count, int), ("a",) * count, masks=masks)


@pytest.mark.slow
@given(masks())
@example(AT_THE_BOTTOM)
@examples(150)
def test_pycocotools_reads_and_writes_the_same(masks: Masks) -> None:
    for i in range(len(masks)):
        whole = dense(masks, i)
        ours = encode(masks, i)
        theirs = coco.encode(np.asfortranarray(whole.astype(np.uint8)))
        assert ours == {"size": theirs["size"], "counts": theirs["counts"].decode()}
        assert np.array_equal(coco.decode(ours), whole)
        assert masks.area(i) == coco.area(ours) == whole.sum()


@pytest.mark.parametrize("size", [(0, 0), (0, 4), (4, 0)])
def test_a_picture_without_pixels_has_runs_of_none(size: tuple[int, int]) -> None:
    empty = Masks(size, np.zeros((1, 4), np.int64), (np.zeros((0, 0), bool),))
    assert encode(empty, 0) == {"size": list(size), "counts": "0"}


def test_a_large_picture_has_runs_of_more_than_a_character() -> None:
    large = Masks((3000, 4000), np.asarray([[100, 2000, 3000, 3000]]), (np.ones((1000, 2900), bool),))
    theirs = coco.encode(np.asfortranarray(large.full(0).astype(np.uint8)))
    assert encode(large, 0)["counts"] == theirs["counts"].decode()


@pytest.mark.slow
@given(masks(), st.data())
@examples(40)
def test_windows_put_into_the_picture_taken_and_joined_stay_where_they_are(masks: Masks, data: st.DataObject) -> None:
    order = data.draw(st.lists(st.integers(0, len(masks) - 1), max_size=4))
    taken = in_boxes(masks).take(order)
    both = joined([in_boxes(masks), taken]).masks
    assert both is not None and len(both) == len(masks) + len(order)
    for place, i in enumerate([*range(len(masks)), *order]):
        assert np.array_equal(both.full(place), dense(masks, i))


@pytest.mark.slow
@given(masks())
@example(AT_THE_BOTTOM)
@examples(30)
def test_painted_pixels_are_the_pixels_of_the_mask(masks: Masks) -> None:
    height, width = masks.size
    canvas = Pillow.new("RGB", (width, height))
    for i in range(len(masks)):
        blank = canvas.copy()
        paint_masks(blank, masks, [(255, 255, 255)] * len(masks), [i], 0.5)
        painted = np.asarray(blank)[:, :, 0]
        assert np.array_equal(painted > 0, dense(masks, i))
        window = masks.windows[i].tolist()
        inside = painted[window[1] : window[3], window[0] : window[2]]
        assert np.array_equal(inside == 255, rim(masks.bits[i], rim_width(canvas.size)))


@given(masks(), st.integers(1, 3))
@examples(30)
def test_a_rim_is_what_lies_near_the_outside(masks: Masks, width: int) -> None:
    for bits in masks.bits:
        padded = np.pad(bits, width)
        rows, columns = bits.shape
        expected = np.zeros(bits.shape, bool)
        for y, x in np.argwhere(bits):
            column, row = padded[y : y + 2 * width + 1, x + width], padded[y + width, x : x + 2 * width + 1]
            expected[y, x] = not (column[[0, -1]].all() and row[[0, -1]].all())
        assert np.array_equal(rim(bits, width), expected)


@given(masks())
@example(AT_THE_BOTTOM)
@examples(20)
def test_files_of_masks_and_enlarged_masks_show_the_same_pixels(masks: Masks) -> None:
    height, width = masks.size
    picture = Pillow.new("RGB", (width, height))
    files, names = image_artifacts(Picture(picture, (width, height)), [step(in_boxes(masks))], Draw())
    factor = -(-240 // max(width, height))
    _, [(_, larger)] = sized(picture, [("s", in_boxes(masks))])
    assert isinstance(larger, Objects) and larger.masks is not None
    for i in range(len(masks)):
        file = np.asarray(Pillow.open(io.BytesIO(files[names["s", i]])))
        assert np.array_equal(file, dense(masks, i))
        assert np.array_equal(larger.masks.full(i), np.kron(dense(masks, i), np.ones((factor, factor), bool)))


@given(SIDES, SIDES, st.sampled_from([4, 256, 847]), st.integers(0, 2**32 - 1))
@example(40, 40, 847, 0)
@examples(15)
def test_the_file_of_a_map_has_the_label_of_every_pixel(height: int, width: int, count: int, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, count, (height, width)).astype(np.int32)
    labels = LabelMap(ids, tuple(map(str, range(count))), 0)
    picture = Picture(Pillow.new("RGB", (width, height)), (width, height))
    files, names = image_artifacts(picture, [step(labels)], Draw())
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(files[names["s", -1]]))), ids)
    assert dict(labels.areas()) == {i: int((ids == i).sum()) for i in range(count) if (ids == i).any()}


@given(SIDES, SIDES, st.lists(st.floats(-5, 45, width=32), min_size=4, max_size=4))
@examples(60)
def test_a_window_holds_every_pixel_that_its_box_touches(height: int, width: int, values: list[float]) -> None:
    """A score map that is above the threshold everywhere fills the window."""
    x1, x2 = sorted(values[:2])
    y1, y2 = sorted(values[2:])
    shown = (0.0, 0.0, float(width), float(height))
    fit = Fit((width, height), (32, 32), (width / 32, height / 32), (0.0, 0.0), shown)
    # boxes are clipped to the picture before masks are sampled, as by every head
    boxes = np.clip(np.asarray([[x1, y1, x2, y2]], np.float32), 0, [width, height] * 2)
    masks = masks_in_boxes(np.ones((1, 4, 4), np.float32), boxes, boxes, fit, 0.5)
    rows, columns = np.indices((height, width))
    bx1, by1, bx2, by2 = boxes[0].tolist()
    touched = (columns < bx2) & (columns + 1 > bx1) & (rows < by2) & (rows + 1 > by1)
    if bx1 < bx2 and by1 < by2:
        assert np.array_equal(masks.full(0), touched)
    assert coco.area(encode(masks, 0)) == masks.area(0)


def step(predictions: Objects | LabelMap) -> StepResult:
    return StepResult("s", "image-segmentation", FACTS, predictions)
