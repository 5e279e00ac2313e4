"""Where a Fit says that a picture lies in the network's input, there its pixels are; and the way back is inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.heads.image import planes
from inference.heads.semantic import argmax_labels, fit_size, on_picture
from inference.image.media import Picture
from inference.image.preprocess import Box, InputSpec, prepare
from inference.manifest import Manifest, Preprocess
from tests.inference.properties import SIDES, examples

FLOAT = np.dtype(np.float32)
# A pixel's value is STEP times its column (red) or row (green). Pillow rounds or cuts off to bytes: 1 / STEP pixels.
STEP = 6


@st.composite
def hows(draw: st.DrawFn) -> tuple[Preprocess, InputSpec]:
    """Every way of resizing, with fixed, free and square inputs."""
    height, width = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    edge = draw(st.integers(1, 64))
    kind = draw(st.sampled_from(["fixed", "free", "own", "centre", "shortest", "centre fixed", "one side"]))
    size: dict[str, int] = {}
    crop: dict[str, int] = {}
    centred = ["stretch", "letterbox", "shortest_edge"]
    mode: Any = draw(st.sampled_from(centred if kind.startswith("centre") else [*centred, "letterbox_top_left"]))
    if kind == "free":  # the size is the manifest's
        size = {"width": width, "height": height}
    elif kind == "shortest":
        size = {"shortest_edge": edge} | draw(st.sampled_from([{}, {"longest_edge": edge + 20}]))
    elif kind.startswith("centre"):
        size = {"shortest_edge": edge} if kind == "centre" else {"width": edge, "height": height}
        crop = {"width": draw(st.integers(1, 64)), "height": draw(st.integers(1, 64))}
    fixed = kind == "fixed" or (
        kind != "free" and draw(st.booleans())
    )  # also where the picture's own size is asked for
    shape: tuple[int | None, int | None] = (None, None)
    if fixed:
        shape = (crop.get("height", height), crop.get("width", width))
    if kind == "one side":
        shape = draw(st.sampled_from([(height, None), (None, width)]))
    how = Preprocess(
        do_resize=kind != "own" or draw(st.booleans()),
        size=size, resize_mode=mode, do_center_crop=bool(crop), crop_size=crop, do_rescale=False,
        antialias=draw(st.booleans()), size_divisor=draw(st.sampled_from([1, 1, 8, 32])),
        crop_scale=draw(st.sampled_from([1.0, 1.0, 1.25, 2.0])), pad_value=(114.0,),
    )  # fmt: skip
    return how, InputSpec("x", FLOAT, draw(st.sampled_from(["nchw", "nhwc"])), *shape)


@st.composite
def views(draw: st.DrawFn) -> tuple[Picture, Box | None]:
    """A picture, decoded in its own size or smaller, and a crop of it that may reach over its edges."""
    width, height = draw(SIDES), draw(SIDES)
    shrunk = draw(st.sampled_from([1, 1, 2, 4]))
    columns, rows = -(-width // shrunk), -(-height // shrunk)
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    image = Picture.of(np.stack([x, y, 0 * x], axis=2).astype(np.uint8) * STEP).image
    box = None
    if draw(st.booleans()):
        (x1, x2), (y1, y2) = _around(draw, width), _around(draw, height)
        box = (x1, y1, x2, y2)
    return Picture(image, (width, height)), box


def _around(draw: st.DrawFn, length: int) -> tuple[float, float]:
    """The middle lies in the picture, as that of every object does."""
    middle, half = draw(st.floats(0.1, length - 0.1)), draw(st.floats(0.25, 30))
    return middle - half, middle + half


@pytest.mark.slow
@given(views(), hows())
@examples(200)
def test_every_pixel_of_the_input_is_from_where_the_fit_says(
    view: tuple[Picture, Box | None], model: tuple[Preprocess, InputSpec]
) -> None:
    picture, box = view
    how, spec = model
    tensor, fit = prepare(picture, how, spec, box)
    pixels = tensor[0].transpose(1, 2, 0) if spec.layout == "nchw" else tensor[0]
    assert pixels.shape == (fit.network[1], fit.network[0], 3)
    slack = uneven(how)
    for axis in (0, 1):
        decoded = picture.image.size[axis] / picture.size[axis]
        scale, reach = fit.scale[axis], max(fit.scale[axis], 1 / decoded)
        centres = np.arange(fit.network[axis]) + 0.5
        said = fit.points(np.stack([centres, centres], axis=1))[:, axis]
        low, high = fit.crop[axis] + 2 * reach, fit.crop[axis + 2] - 2 * reach
        sure = (said > low) & (said < high)
        line = valid_line(fit.valid(), fit.network, 1 - axis)
        if line is None:
            continue
        values = pixels[line, :, 0] if axis == 0 else pixels[:, line, 1]
        real = (values / STEP + 0.5) / decoded
        assert np.abs(real - said)[sure].max(initial=0) < 1.2 / STEP / decoded + 0.02 + slack * scale


@pytest.mark.slow
@given(views(), hows())
@examples(200)
def test_nothing_of_the_picture_is_cut_off_unless_a_crop_is_asked_for(
    view: tuple[Picture, Box | None], model: tuple[Preprocess, InputSpec]
) -> None:
    """Where the asked-for size is larger than the input, too: all of the crop lies in what is not padding."""
    picture, box = view
    how, spec = model
    tensor, fit = prepare(picture, how, spec, box)
    assert tensor.shape[2 if spec.layout == "nchw" else 1] == fit.network[1] == (spec.height or fit.network[1])
    if how.do_center_crop:
        return
    left, top, right, bottom = fit.valid()
    seen = fit.points(np.asarray([[left, top], [right, bottom]])).ravel()
    slack = np.asarray(fit.scale * 2) * uneven(how) + 0.01
    assert (np.abs(seen - np.asarray(fit.crop)) <= slack).all()


def uneven(how: Preprocess) -> float:
    """By how many pixels of the input the far edge may be off: a letterbox has one scale, and sides of whole pixels."""
    return 1.0 if how.resize_mode.startswith("letterbox") and how.do_resize else 0.0


def valid_line(valid: Box, network: tuple[int, int], axis: int) -> int | None:
    """A row (axis 1) or column that shows the picture, the middle one; None where padding is all there may be."""
    low, high = valid[axis], valid[axis + 2]
    middle = int((low + high) / 2)
    return middle if high - low >= 3 and 0 <= middle < network[axis] else None


@pytest.mark.slow
@given(views(), hows(), st.lists(st.tuples(*[st.floats(-20, 90)] * 4), min_size=1, max_size=4))
@examples(200)
def test_boxes_come_back_to_where_they_were(
    view: tuple[Picture, Box | None], model: tuple[Preprocess, InputSpec], rows: list[tuple[float, ...]]
) -> None:
    picture, box = view
    _, fit = prepare(picture, *model, box)
    x1, y1, x2, y2 = fit.crop
    assert 0 <= x1 < x2 <= picture.size[0] and 0 <= y1 < y2 <= picture.size[1]
    boxes = np.asarray([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows])
    there = (boxes - np.asarray(fit.offset * 2)) / np.asarray(fit.scale * 2)
    back = fit.boxes(there.astype(np.float32))
    assert np.abs(back - boxes.clip([x1, y1] * 2, [x2, y2] * 2)).max() < 0.01
    assert (back[:, :2] <= back[:, 2:]).all()
    assert np.abs(fit.points(there.reshape(-1, 2)) - boxes.reshape(-1, 2)).max() < 0.01
    left, top, right, bottom = fit.valid()
    assert 0 <= left < right <= fit.network[0] and 0 <= top < bottom <= fit.network[1]
    shown = fit.points(np.asarray([[left, top], [right, bottom]])).ravel()
    assert (shown[:2] > np.asarray([x1, y1]) - 0.01).all() and (shown[2:] < np.asarray([x2, y2]) + 0.01).all()


@pytest.mark.slow
@given(views(), hows(), st.sampled_from([1, 2, 4]))
@examples(120)
def test_maps_and_images_of_the_input_s_size_cover_the_crop_and_nothing_else(
    view: tuple[Picture, Box | None], model: tuple[Preprocess, InputSpec], stride: int
) -> None:
    """A strip whose short side is less than a pixel of the input is there, too."""
    picture, box = view
    _, fit = prepare(picture, *model, box)
    width, height = fit.network
    shape = (-(-height // stride), -(-width // stride))
    scores = np.stack([np.zeros(shape, np.float32), np.ones(shape, np.float32)])
    whole = on_picture(argmax_labels(scores, fit, fit_size(fit)), fit)
    x1, y1, x2, y2 = (round(v) for v in fit.crop)
    expected = np.zeros((picture.size[1], picture.size[0]), np.uint8)
    expected[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] = 1
    assert np.array_equal(whole, expected)
    manifest = Manifest(name="m", task="image-to-image", head="image")
    made = planes({"image": np.ones((1, 3, height * stride, width * stride), np.float32)}, fit, manifest)
    assert min(made.shape[:2]) >= 1
