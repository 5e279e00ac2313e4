"""TIFFs in every layout show the picture that was written: the same numbers, whatever planes, order and packing."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.image.media import decode
from tests.inference.image.tiffs import tiff

_HEIGHT, _WIDTH = 20, 40
_COMPRESSIONS = ((1, 1), (8, 1), (8, 2), (5, 1), (32773, 1))  # and the predictor


def gradient(samples: int) -> NDArray[np.float64]:
    """(20, 40, samples) in 0..1: rising to the right, downwards, both, to the left; no two channels are alike."""
    down, right = np.mgrid[0:_HEIGHT, 0:_WIDTH] / np.array([_HEIGHT - 1, _WIDTH - 1])[:, None, None]
    return np.stack([right, down, (right + down) / 2, 1 - right], axis=-1)[:, :, :samples]


def differing(values: NDArray[Any], shown: NDArray[np.float64], photometric: int, bits: int, **more: Any) -> list[str]:
    """The layouts in which the picture is not what was written. shown: (H, W, 3) in 0..1."""
    wrong = []
    for planar, (compression, predictor), order, tile, rows, fill in product(
        (1, 2), _COMPRESSIONS, "<>", (None, (16, 16)), (None, 7), (1, 2)
    ):
        if (predictor == 2 and bits < 8) or (tile and rows):
            continue
        data = tiff(
            values, photometric=photometric, order=order, bits=bits, planar=planar, compression=compression,
            predictor=predictor, tile=tile, rows=rows, fill_order=fill, **more,
        )  # fmt: skip
        off = np.abs(decode(data).pixels - 255 * shown).max()
        if off > 1.01:
            wrong.append(f"planes {planar}, {compression=}, {predictor=}, {order} {tile} {rows} {fill=}: off by {off}")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_grey(bits: int, photometric: int) -> None:
    most = 2**bits - 1
    values = np.rint(gradient(1) * most).astype(np.uint16 if bits == 16 else np.uint8)
    shown = values / most if photometric else 1 - values / most
    assert differing(values, np.repeat(shown, 3, axis=2), photometric, bits) == []


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", [None, (0,), (2,)], ids=["rgb", "rgb and unspecified", "rgba"])
def test_colours(bits: int, extra: tuple[int, ...] | None) -> None:
    most = 2**bits - 1
    channels = gradient(4 if extra else 3)
    if extra == (2,):
        channels[:, :, 3] = np.arange(_WIDTH) > 9  # the left quarter is transparent, and so white
    values = np.rint(channels * most).astype(f"u{bits // 8}")
    shown = values[:, :, :3] / most
    if extra == (2,):
        shown[:, :10] = 1
    assert differing(values, shown, 2, bits, extra=extra or ()) == []


@pytest.mark.parametrize("bits", [8, 16])
def test_inks(bits: int) -> None:
    most = 2**bits - 1
    channels = gradient(4)
    channels[:, :, 3] = 0  # no black: what is left is 1 - ink
    values = np.rint(channels * most).astype(f"u{bits // 8}")
    assert differing(values, 1 - values[:, :, :3] / most, 5, bits) == []


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("compression", "predictor"), [(1, 1), (8, 1), (8, 3)])
@pytest.mark.parametrize("planar", [1, 2])
def test_floats(photometric: int, order: str, compression: int, predictor: int, planar: int) -> None:
    values = gradient(1).astype(np.float32)
    data = tiff(values, photometric=photometric, order=order, compression=compression, predictor=predictor,
                planar=planar)  # fmt: skip
    shown = values if photometric else 1 - values
    assert np.abs(decode(data).pixels - 255 * shown).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_signed_numbers_run_from_black_to_white(order: str, compression: int, dtype: type[Any]) -> None:
    ends = np.iinfo(dtype)
    values = np.linspace(ends.min, ends.max, 256).astype(dtype).reshape(8, 32)
    picture = decode(tiff(values, order=order, compression=compression))
    assert np.abs(picture.pixels[:, :, 0].ravel().astype(int) - np.arange(256)).max() <= 1
    assert any("stretched" in note for note in picture.notes)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_signed_numbers_without_negative_ones_end_at_their_own_white(dtype: type[Any]) -> None:
    white = np.iinfo(dtype).max
    picture = decode(tiff(np.array([[0, white // 2 + 1, white]], dtype)))
    assert picture.pixels[0, :, 0].tolist() == [0, 129 if dtype == np.int8 else 128, 255]
    assert picture.notes == ()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
def test_unsigned_numbers_of_32_bits_are_not_negative(order: str, compression: int) -> None:
    values = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    assert decode(tiff(values, order=order, compression=compression)).pixels[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_floats_of_64_bits(order: str, compression: int, tile: tuple[int, int] | None) -> None:
    values = gradient(1)
    picture = decode(tiff(values, order=order, compression=compression, tile=tile))
    assert np.abs(picture.pixels - 255 * values).max() <= 1


@pytest.mark.parametrize("compression", [1, 8])
def test_twelve_bits_reach_white(compression: int) -> None:
    values = np.array([[0, 1024, 2048, 4095]], np.uint16)
    picture = decode(tiff(values, bits=12, compression=compression))
    assert picture.pixels[0, :, 0].tolist() == [0, 64, 128, 255]
    assert picture.notes == ()


def test_an_alpha_plane_that_cannot_be_read_is_left_out_and_said() -> None:
    values = np.array([[[10, 255], [200, 0]]], np.uint8)
    picture = decode(tiff(values, planar=2, extra=(2,), compression=8))
    assert picture.pixels[0, :, 0].tolist() == [10, 200]
    assert any("transparency" in note for note in picture.notes)


def test_what_follows_alpha_in_planes_of_their_own_is_left_out() -> None:
    values = np.array([[[10, 20, 30, 255, 77], [1, 2, 3, 0, 77]]], np.uint8)
    picture = decode(tiff(values, photometric=2, planar=2, extra=(2, 0), compression=8))
    assert picture.pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_grey_without_a_photometric_interpretation_is_not_inverted() -> None:
    picture = decode(tiff(np.array([[10, 200]], np.uint8), without=(262,)))
    assert picture.pixels[0, :, 0].tolist() == [10, 200]
    assert any("does not say" in note for note in picture.notes)
