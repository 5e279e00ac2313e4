"""The way into the network and the way back are inverse."""

from __future__ import annotations

import numpy as np
import pytest

from inference.errors import BadModel
from inference.image.media import Picture
from inference.image.preprocess import Box, InputSpec, input_spec, prepare
from inference.manifest import Preprocess

NCHW = np.dtype(np.float32)


def gradient(width: int, height: int) -> Picture:
    """A picture whose red is x and whose green is y, so that a pixel tells where it came from."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Picture.of(np.stack([x, y, 0 * x], axis=2).round().astype(np.uint8))


@pytest.mark.parametrize("mode", ["stretch", "letterbox", "letterbox_top_left"])
@pytest.mark.parametrize("size", [(640, 480), (333, 500), (1000, 40), (20, 30)])
@pytest.mark.parametrize("box", [None, (10.0, 5.0, 19.0, 25.0)])
def test_a_network_pixel_comes_from_where_the_fit_says(mode: str, size: tuple[int, int], box: Box | None) -> None:
    picture = gradient(*size)
    how = Preprocess(resize_mode=mode, do_rescale=False, pad_value=(114.0,))  # type: ignore[arg-type]
    tensor, fit = prepare(picture, how, InputSpec("x", NCHW, "nchw", 224, 320), box)
    assert tensor.shape == (1, 3, 224, 320)
    x1, y1, x2, y2 = fit.valid()
    for u, v in ((0.3, 0.4), (0.7, 0.6), (0.5, 0.5)):
        nx, ny = x1 + u * (x2 - x1), y1 + v * (y2 - y1)
        x, y = fit.points(np.asarray([nx, ny]))
        column, row = min(int(nx), 319), min(int(ny), 223)
        assert tensor[0, 0, row, column] == pytest.approx(x / size[0] * 255, abs=255 / min(320, size[0]) * 2 + 4)
        assert tensor[0, 1, row, column] == pytest.approx(y / size[1] * 255, abs=255 / min(224, size[1]) * 3 + 4)


def test_boxes_come_back_clipped_to_what_was_shown() -> None:
    _, fit = prepare(gradient(640, 480), Preprocess(resize_mode="letterbox"), InputSpec("x", NCHW, "nchw", 416, 416))
    back = fit.boxes(np.asarray([[-50.0, -50, 1000, 1000], [0, 52, 416, 364]], np.float32))
    assert back == pytest.approx(np.asarray([[0, 0, 640, 480], [0, 0, 640, 480]]), abs=0.5)


def test_a_centre_crop_shows_the_middle() -> None:
    how = Preprocess(
        size={"shortest_edge": 256}, do_center_crop=True, crop_size={"height": 224, "width": 224}, do_rescale=False
    )
    tensor, fit = prepare(gradient(1024, 512), how, InputSpec("x", NCHW, "nchw", 224, 224))
    assert tensor[0, 0, 112, 112] == pytest.approx(127.5, abs=2)
    assert fit.points(np.asarray([112.0, 112])) == pytest.approx([512, 256], abs=2)


def test_normalisation_is_rescale_then_mean_and_std() -> None:
    picture = Picture.of(np.full((8, 8, 3), (10, 100, 200), np.uint8))
    how = Preprocess(do_normalize=True, color_order="bgr", image_mean=(0.1, 0.2, 0.3), image_std=(0.5, 0.6, 0.7))
    tensor, _ = prepare(picture, how, InputSpec("x", NCHW, "nhwc", 8, 8))
    expected = (np.asarray([200, 100, 10]) / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    assert tensor[0, 4, 4] == pytest.approx(expected, abs=1e-6)


def test_integer_inputs_get_bytes() -> None:
    tensor, _ = prepare(gradient(8, 8), Preprocess(), InputSpec("x", np.dtype(np.uint8), "nhwc", 8, 8))
    assert tensor.dtype == np.uint8
    assert tensor[0, 0, -1, 0] == 255


def test_a_free_size_network_gets_the_picture_s_own_size_padded_to_a_multiple() -> None:
    how = Preprocess(size_divisor=32, do_rescale=False, pad_value=(7.0,))
    tensor, fit = prepare(gradient(100, 50), how, InputSpec("x", NCHW, "nchw", None, None))
    assert tensor.shape == (1, 3, 64, 128)
    assert fit.scale == (1, 1)
    assert tensor[0, 0, 60, 120] == 7


def test_a_crop_over_the_edge_is_padded() -> None:
    how = Preprocess(do_rescale=False, pad_value=(9.0,))
    tensor, fit = prepare(gradient(100, 100), how, InputSpec("x", NCHW, "nchw", 50, 50), (-50.0, 0.0, 50.0, 100.0))
    assert (tensor[0, 0, :, :24] == 9).all()
    assert fit.crop == (0, 0, 50, 100)


def test_a_shape_that_is_no_picture_is_refused_in_words() -> None:
    with pytest.raises(BadModel, match="expected a picture such as"):
        input_spec("tokens", NCHW, (1, 77), Preprocess())


@pytest.mark.parametrize(
    "size", [{}, {"shortest_edge": 50, "longest_edge": 100}], ids=["own size", "shortest edge, as PaddleDetection"]
)
def test_padding_to_a_multiple_does_not_change_a_letterbox_s_scale(size: dict[str, int]) -> None:
    """100 x 50 pixels in an input of 128 x 64: they were taken for 128 x 64 pixels."""
    how = Preprocess(size=size, resize_mode="letterbox_top_left", size_divisor=32)
    _, fit = prepare(gradient(100, 50), how, InputSpec("x", NCHW, "nchw", None, None))
    assert fit.network == (128, 64) and fit.scale == (1, 1) and fit.valid() == (0, 0, 100, 50)


@pytest.mark.parametrize(
    ("size", "how", "resized"),
    [
        # Hugging Face's DETR: 800 and at most 1333 pixels, which is 1333 x 667 and 667 x 1333; then as large as fits
        ((1200, 600), Preprocess(size={"shortest_edge": 800, "longest_edge": 1333}), (800, 400)),
        ((600, 1200), Preprocess(size={"shortest_edge": 800, "longest_edge": 1333}), (400, 800)),
        ((100, 100), Preprocess(size={"shortest_edge": 800, "longest_edge": 1333}), (800, 800)),
        ((100, 100), Preprocess(size={"shortest_edge": 400}), (400, 400)),  # not larger than asked for
        ((1000, 500), Preprocess(do_resize=False), (800, 400)),
        ((300, 200), Preprocess(do_resize=False), (300, 200)),
        ((1000, 500), Preprocess(resize_mode="shortest_edge"), (800, 400)),
        ((1000, 500), Preprocess(resize_mode="letterbox_top_left", size={"shortest_edge": 900}), (800, 400)),
    ],
)
def test_what_is_larger_than_a_fixed_input_is_shrunk_to_fit(
    size: tuple[int, int], how: Preprocess, resized: tuple[int, int]
) -> None:
    """The right and the lower end of the picture are seen, at the same scale in x and y."""
    tensor, fit = prepare(gradient(*size), how, InputSpec("x", NCHW, "nchw", 800, 800))
    assert tensor.shape == (1, 3, 800, 800)
    left, top, right, bottom = fit.valid()
    assert (right - left, bottom - top) == pytest.approx(resized, abs=1e-3)
    assert fit.scale == pytest.approx((size[0] / resized[0], size[1] / resized[1]))
    assert tensor[0, 0, int(bottom) - 1, int(right) - 1] == pytest.approx(1, abs=0.02)
    assert tensor[0, 1, int(bottom) - 1, int(right) - 1] == pytest.approx(1, abs=0.02)


def test_an_input_with_one_fixed_side_gets_pictures_of_that_side() -> None:
    for spec, network in ((InputSpec("x", NCHW, "nchw", None, 64), (64, 32)), (InputSpec("x", NCHW, "nchw", 64, None),
                                                                              (128, 64))):  # fmt: skip
        tensor, fit = prepare(gradient(100, 50), Preprocess(size_divisor=32), spec)
        assert fit.network == network and tensor.shape == (1, 3, *network[::-1]) and fit.valid() == (0, 0, *network)


@pytest.mark.parametrize(
    ("shape", "crop", "words"),
    [
        (
            (1, 3, 224, 224),
            {"height": 256, "width": 256},
            "fixed height of 224, but crop_size says 256; leave crop_size out",
        ),
        ((1, 3, None, None), {}, "has a free height, and do_center_crop no crop_size; say how large"),
    ],
)
def test_a_crop_that_the_input_cannot_take_is_refused_at_load(
    shape: tuple[int | None, ...], crop: dict[str, int], words: str
) -> None:
    how = Preprocess(size={"shortest_edge": 256}, do_center_crop=True, crop_size=crop)
    with pytest.raises(BadModel, match=words):
        input_spec("x", NCHW, shape, how)
