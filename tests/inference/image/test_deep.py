"""Numbers of more than 8 bits: exposure is kept, unless they use little of their range."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.image.media import decode
from tests.inference.image.tiffs import tiff


def png(values: NDArray[Any], **chunks: bytes) -> bytes:
    """A PNG of 8 or 16 bits with 1 to 4 channels, which Pillow does not write at that depth."""
    height, width, channels = values.shape
    body = values.astype(values.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in body)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 8 * values.itemsize, kind, 0, 0, 0)
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, 2)
    for name, data in (("IHDR", head), *chunks.items(), ("IDAT", zlib.compress(rows)), ("IEND", b"")):
        out.write(struct.pack(">I", len(data)) + name.encode() + data)
        out.write(struct.pack(">I", zlib.crc32(name.encode() + data)))
    return out.getvalue()


def ramp(low: int, high: int, dtype: type[Any] = np.uint16) -> NDArray[Any]:
    """(16, 16, 1) numbers that rise evenly from low to high."""
    return np.linspace(low, high, 256).round().astype(dtype).reshape(16, 16, 1)


def ends(data: bytes) -> tuple[int, int, tuple[str, ...]]:
    """(first, last grey value, notes) of a picture."""
    picture = decode(data)
    return int(picture.pixels[0, 0, 0]), int(picture.pixels[-1, -1, 0]), picture.notes


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1023), (0, 4095), (0, 16383), (28000, 30040), (60000, 62000), (5, 60)],
    ids=["10 bits", "12 bits", "14 bits", "thermal", "bright", "few"],
)  # fmt: skip
@pytest.mark.parametrize("write", [png, tiff])
def test_what_uses_little_of_16_bits_is_stretched_and_said(write: Any, low: int, high: int) -> None:
    first, last, notes = ends(write(ramp(low, high)))
    assert (first, last) == (0, 255)
    assert [f"{low} to {high}" in note and "stretched" in note for note in notes] == [True]


@pytest.mark.parametrize(
    ("low", "high", "shown"), [(0, 65535, (0, 255)), (0, 32896, (0, 128)), (16448, 49344, (64, 192))]
)
def test_what_uses_a_good_part_keeps_its_exposure(low: int, high: int, shown: tuple[int, int]) -> None:
    assert ends(png(ramp(low, high))) == (*shown, ())


def test_eight_bits_in_16_are_not_black() -> None:
    first, last, notes = ends(png(ramp(0, 200)))
    assert (first, last, len(notes)) == (0, 200, 1)


def test_hot_pixels_do_not_count() -> None:
    values = np.tile(ramp(0, 4000), (4, 4, 1))
    values[5, 5] = values[40, 3] = 65535  # 2 of 4,096
    first, last, _ = ends(png(values))
    assert (first, last) == (0, 255)


def test_a_lamp_in_the_night_is_not_blown_up() -> None:
    values = ramp(0, 3000)
    values[4:6, 4:6] = 60000  # 4 of 256: a part of the picture, not a fault of the camera
    assert ends(png(values)) == (0, round(3000 * 255 / 65535), ())


@given(st.lists(st.integers(0, 65535), min_size=2, max_size=300))
def test_brighter_stays_brighter(numbers: list[int]) -> None:
    shown = decode(png(np.array(numbers, np.uint16).reshape(1, -1, 1))).pixels[0, :, 0]
    order = np.argsort(numbers, kind="stable")
    assert (np.diff(shown[order].astype(int)) >= 0).all()


@pytest.mark.parametrize(
    "layout",
    [None, {}, {"order": ">"}, {"compression": 8, "order": ">", "predictor": 2}, {"planar": 2}, {"rows": 3},
     {"tile": (16, 16)}, {"planar": 2, "order": ">", "tile": (16, 16)},
     {"planar": 2, "compression": 8, "predictor": 2, "rows": 3}],
    ids=str,
)  # fmt: skip
def test_colours_of_12_bits_keep_their_hue(layout: dict[str, Any] | None) -> None:
    values = np.zeros((8, 8, 3), np.uint16)
    values[:, :4] = 4095, 2048, 0
    values[:, 4:] = 1024, 0, 4095
    picture = decode(png(values) if layout is None else tiff(values, photometric=2, **layout))
    assert picture.pixels[0, 0].tolist() == [255, 128, 0]
    assert picture.pixels[7, 7].tolist() == [64, 0, 255]
    assert any("stretched" in note for note in picture.notes)


def test_colours_of_12_bits_without_black_keep_their_hue() -> None:
    values = np.zeros((8, 8, 3), np.uint16)
    values[:] = 4000, 2000, 1000
    assert decode(png(values)).pixels[0, 0].tolist() == [255, 128, 64]


@pytest.mark.parametrize("planar", [1, 2])
def test_colours_of_12_bits_are_turned_upright_once(planar: int) -> None:
    values = np.zeros((2, 3, 3), np.uint16)
    values[0, 0] = 4095, 2048, 0  # upper left, which orientation 6 turns to the upper right
    values[1, 2] = 0, 0, 1024
    picture = decode(tiff(values, photometric=2, planar=planar, tags={274: 6}))
    assert picture.size == (2, 3)
    assert picture.pixels[[0, 2], [1, 0]].tolist() == [[255, 128, 0], [0, 0, 64]]


def test_alpha_stays_with_colours_of_12_bits() -> None:
    values = np.zeros((8, 8, 4), np.uint16)
    values[:, :4] = 4095, 2048, 0, 65535
    assert decode(png(values)).pixels[0, ::7].tolist() == [[255, 128, 0], [255, 255, 255]]


def test_infrared_of_12_bits_is_no_transparency() -> None:
    values = np.zeros((8, 8, 4), np.uint16)
    values[:, :4] = 4095, 2048, 0, 3000
    assert decode(png(values)).pixels[0, ::7].tolist() == [[255, 128, 0], [0, 0, 0]]


def test_grey_of_12_bits_with_alpha() -> None:
    values = np.zeros((8, 8, 2), np.uint16)
    values[:, :4], values[:, 4:6] = (1024, 65535), (4095, 65535)
    picture = decode(png(values))
    assert picture.pixels[0, ::2, 0].tolist() == [64, 64, 255, 255]
    assert any("stretched" in note for note in picture.notes)


def test_colours_of_16_bits_are_as_they_were() -> None:
    values = np.zeros((8, 8, 3), np.uint16)
    values[:, :4] = 65535, 32768, 0
    picture = decode(png(values))
    assert picture.pixels[0, ::7].tolist() == [[255, 128, 0], [0, 0, 0]]
    assert picture.notes == ()


def test_the_files_own_range_counts() -> None:
    data = tiff(ramp(1000, 2000), tags={280: 0, 281: 4000})
    first, last, notes = ends(data)
    assert (first, last) == (64, 128)  # 1000 and 2000 of 4000
    assert ["own range" in note for note in notes] == [True]


def test_significant_bits_count_where_the_values_fit_them() -> None:
    assert ends(png(ramp(1024, 2048), sBIT=bytes([12]))) == (64, 128, ())  # of 4095
    assert ends(png(ramp(0, 65535), sBIT=bytes([12]))) == (0, 255, ())


@pytest.mark.parametrize("order", "<>")
def test_white_is_zero_in_deep_pictures(order: str) -> None:
    assert ends(tiff(ramp(0, 65535), photometric=0, order=order)) == (255, 0, ())
    first, last, notes = ends(tiff(ramp(0, 4000), photometric=0, order=order))
    assert (first, last, len(notes)) == (255, 0, 1)


def test_nodata_is_black_and_does_not_count() -> None:
    values = np.linspace(100, 300, 256).astype(np.float32).reshape(16, 16, 1)
    values[0, :4] = -9999
    picture = decode(tiff(values, tags={42113: "-9999"}))
    assert (picture.pixels[0, :4] == 0).all()
    assert picture.pixels[-1, -1, 0] == 255
    assert picture.pixels[8, 0, 0] == pytest.approx((128 - 4) / (255 - 4) * 255, abs=2)  # the rest from 0 to 255
    assert any("1.6% of the pixels" in note for note in picture.notes)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -3.4028234663852886e38])
def test_what_is_no_number_is_black_and_never_a_refusal(odd: float) -> None:
    values = np.linspace(0, 1, 256).astype(np.float32).reshape(16, 16, 1)
    values[0, 3] = odd
    picture = decode(tiff(values))
    assert picture.pixels[0, 3, 0] == 0
    assert picture.pixels[-1, :, 0].tolist() == (np.linspace(0, 1, 256)[-16:] * 255).round().astype(int).tolist()
    assert len(picture.notes) == 1


@pytest.mark.parametrize(("missing", "dtype"), [(-9999, np.float32), (-32768, np.int16), (0, np.uint16)])
def test_a_value_far_below_all_others_is_no_measurement(missing: int, dtype: type[Any]) -> None:
    values = ramp(28000, 30040, dtype)
    values[:2] = missing
    picture = decode(tiff(values))
    assert (picture.pixels[:2] == 0).all()
    assert picture.pixels[-1, -1, 0] == 255
    assert picture.pixels[9, 0, 0] == pytest.approx((144 - 32) / (255 - 32) * 255, abs=1)
    assert any("12.5% of the pixels" in note for note in picture.notes)


def test_a_black_background_is_no_gap() -> None:
    values = ramp(16448, 49344)
    values[:4] = 0
    assert ends(tiff(values)) == (0, 192, ())


def test_nothing_but_nodata_is_black() -> None:
    assert (decode(tiff(np.full((4, 4), np.nan, np.float32))).pixels == 0).all()


def test_nodata_of_colours() -> None:
    values = np.full((8, 8, 3), 65535, np.uint16)
    values[2:, :4] = 4095, 2048, 0
    values[2:, 4:] = 1024, 0, 4095
    picture = decode(tiff(values, photometric=2, tags={42113: "65535"}))
    assert picture.pixels[[0, 2, 2], [0, 0, 7]].tolist() == [[0, 0, 0], [255, 128, 0], [64, 0, 255]]


def test_a_few_floats_above_one_do_not_make_it_black() -> None:
    values = np.linspace(0, 1, 4096).astype(np.float32).reshape(64, 64, 1)
    values[3, 3] = 1.5
    first, last, notes = ends(tiff(values))
    assert (first, last, notes) == (0, 255, ())


def test_a_transparent_colour_of_16_bits_is_that_colour_alone() -> None:
    values = np.array([[[4096, 8192, 12288], [4097, 8192, 12288], [65535, 32768, 0]]] * 2, np.uint16)
    picture = decode(png(values, tRNS=struct.pack(">3H", 4096, 8192, 12288)))
    assert picture.pixels[0].tolist() == [[255, 255, 255], [16, 32, 48], [255, 128, 0]]
    dim = decode(png(values // 16, tRNS=struct.pack(">3H", 256, 512, 768)))
    assert dim.pixels[0, 0].tolist() == [255, 255, 255] and dim.pixels[0, 2].tolist() == [255, 128, 0]
