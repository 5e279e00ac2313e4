"""A fourth channel that means nothing does not hide the picture; one that means transparency lays it over white."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.image.media import decode
from tests.inference.image.tiffs import tiff


def bmp(rgba: NDArray[np.uint8], header: int) -> bytes:
    """A 32-bit BMP with masks for all four channels; header: 56 (V3), 108 (V4) or 124 (V5) bytes."""
    height, width = rgba.shape[:2]
    rows = rgba[::-1, :, [2, 1, 0, 3]].tobytes()
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3, len(rows), 0, 0, 0, 0)
    info += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = info.ljust(header, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + header + len(rows), 0, 0, 14 + header) + info + rows


def rgba(alpha: Any) -> NDArray[np.uint8]:
    """(4, 8, 4): dark red on the left, blue on the right, with that alpha."""
    values = np.zeros((4, 8, 4), np.uint8)
    values[:, :4, :3], values[:, 4:, :3] = (90, 10, 20), (0, 0, 200)
    values[:, :, 3] = alpha
    return values


def saved(values: NDArray[np.uint8], kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(values).save(file, kind, **how)
    return file.getvalue()


@pytest.mark.parametrize("header", [56, 108, 124])
def test_a_bmp_whose_alpha_nobody_filled_is_opaque(header: int) -> None:
    picture = decode(bmp(rgba(0), header))
    assert picture.pixels[0, ::7].tolist() == [[90, 10, 20], [0, 0, 200]]
    assert len(picture.notes) == 1


def test_a_bmp_with_alpha_lies_over_white() -> None:
    alpha = np.full((4, 8), 255)
    alpha[:, 4:] = 0
    assert decode(bmp(rgba(alpha), 124)).pixels[0, ::7].tolist() == [[90, 10, 20], [255, 255, 255]]


@pytest.mark.parametrize(
    ("kind", "how"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})],
    ids=["png", "tiff", "webp"],
)
def test_what_is_transparent_everywhere_is_shown_and_said(kind: str, how: dict[str, Any]) -> None:
    picture = decode(saved(rgba(0), kind, **how))
    assert picture.pixels[0, ::7].tolist() == [[90, 10, 20], [0, 0, 200]]
    assert ["transparent everywhere" in note for note in picture.notes] == [True]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_alpha_of_0_and_1_is_a_mask_that_nobody_scaled(kind: str) -> None:
    alpha = np.zeros((4, 8))
    alpha[:, 4:] = 1
    picture = decode(bmp(rgba(alpha), 124) if kind == "BMP" else saved(rgba(alpha), kind))
    assert picture.pixels[0, ::7].tolist() == [[90, 10, 20], [0, 0, 200]]
    assert len(picture.notes) == 1


def test_what_is_transparent_everywhere_and_empty_is_white_and_said() -> None:
    picture = decode(saved(np.zeros((4, 8, 4), np.uint8), "PNG"))
    assert (picture.pixels == 255).all()
    assert ["white" in note for note in picture.notes] == [True]


def test_grey_and_palette_pictures_that_are_transparent_everywhere() -> None:
    grey = Pillow.merge("LA", (Pillow.linear_gradient("L"), Pillow.new("L", (256, 256), 0)))
    palette = Pillow.fromarray(rgba(255)[:, :, :3]).quantize(2)
    for image, how in ((grey, {}), (palette, {"transparency": b"\0\0"})):
        file = io.BytesIO()
        image.save(file, "PNG", **how)
        picture = decode(file.getvalue())
        assert picture.pixels.min() < 30
        assert len(picture.notes) == 1


@pytest.mark.parametrize("extra", [(), (1,), (2,)], ids=["unsaid", "premultiplied", "alpha"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_infrared_that_is_called_alpha_is_ignored(extra: tuple[int, ...], planar: int, dtype: type[Any]) -> None:
    values = np.zeros((16, 16, 4), np.uint8)
    values[:, :, :3] = 40, 90, 30  # a meadow: bright in infrared
    values[:, :, 3] = np.arange(256).reshape(16, 16) // 2 + 100
    picture = decode(tiff(values.astype(dtype) * (257 if dtype is np.uint16 else 1), photometric=2, extra=extra,
                          planar=planar))  # fmt: skip
    assert (picture.pixels == (40, 90, 30)).all()
    assert ["infrared" in note for note in picture.notes] == [True]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_unspecified_channel_is_no_transparency(dtype: type[Any]) -> None:
    values = rgba(0).astype(dtype) * (257 if dtype is np.uint16 else 1)
    picture = decode(tiff(values, photometric=2, extra=(0,)))
    assert picture.pixels[0, ::7].tolist() == [[90, 10, 20], [0, 0, 200]]


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("planar", [1, 2])
def test_premultiplied_alpha(planar: int, compression: int) -> None:
    values = np.zeros((2, 2, 4), np.uint8)
    values[0] = 100, 50, 0, 128  # of (200, 100, 0), half transparent: 100 + 127, 50 + 127, 0 + 127
    values[1] = 10, 20, 30, 255
    picture = decode(tiff(values, photometric=2, extra=(1,), planar=planar, compression=compression))
    assert np.abs(picture.pixels[0, 0].astype(int) - (227, 177, 127)).max() <= 1
    assert picture.pixels[1, 0].tolist() == [10, 20, 30]


def test_a_mask_with_soft_edges_stays_a_mask() -> None:
    alpha = np.clip((np.arange(64) - 20) * 20, 0, 255)  # 13 of 64 columns are in between
    values = np.zeros((8, 64, 4), np.uint8)
    values[:, :, 3] = alpha
    pixels = decode(tiff(values, photometric=2, extra=(2,))).pixels
    assert pixels[0, [0, 63], 0].tolist() == [255, 0]


def test_a_veil_stays_a_veil() -> None:
    picture = decode(tiff(rgba(51), photometric=2, extra=(2,)))  # a fifth of blue, 200, over white: 40 + 204
    assert np.abs(picture.pixels[0, 7].astype(int) - (204, 204, 244)).max() <= 1
    assert picture.notes == ()


def test_premultiplied_grey() -> None:
    values = np.array([[[100, 128], [10, 255]]], np.uint8)
    assert decode(tiff(values, extra=(1,))).pixels[0, :, 0].tolist() == [227, 10]


def test_colours_lighter_than_their_alpha_are_not_premultiplied() -> None:
    values = np.zeros((2, 2, 4), np.uint8)
    values[:] = 200, 100, 0, 128  # half of it over white: 228, 178, 127
    picture = decode(tiff(values, photometric=2, extra=(1,)))
    assert np.abs(picture.pixels[0, 0].astype(int) - (228, 178, 127)).max() <= 1
