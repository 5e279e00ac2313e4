"""Formats that Pillow reads beside the common ones: OS/2 BMP, PNM, JPEG 2000, lossless JPEG; and their neighbours."""

from __future__ import annotations

import contextlib
import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.errors import CorruptMedia, LimitExceeded, Permanent, UnsupportedMedia
from inference.image.limits import Limits
from inference.image.media import decode
from tests.inference.properties import examples

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)
# The same from the lowest row up, blue first, rows filled up to four bytes (BMP).
BMP_ROWS = bytes([255, 0, 0, 30, 20, 10, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0])


def bmp(header: bytes, rows: bytes = BMP_ROWS) -> bytes:
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + rows


def os2(size: int) -> bytes:
    """OS/2's header of 24-bit colour: 12 bytes of version 1, or the first bytes of the 64 of version 2."""
    if size == 12:
        return struct.pack("<IHHHH", 12, 2, 2, 1, 24)
    return struct.pack("<IIIHH", size, 2, 2, 1, 24).ljust(64, b"\0")[:size]


@pytest.mark.parametrize("size", [12, 16, 20, 24, 36, 40, 48, 64])
def test_bmps_of_os2_have_their_colours(size: int) -> None:
    picture = decode(bmp(os2(size)))
    assert picture.media_type == "image/bmp"
    assert picture.pixels.tolist() == COLOURS.tolist()


def test_a_short_os2_header_keeps_its_palette() -> None:
    palette = bytes(v for i in range(256) for v in (i, 255 - i, 7, 0))  # blue, green, red, nothing
    data = bmp(struct.pack("<IIIHH", 16, 2, 1, 1, 8) + palette, bytes([5, 9, 0, 0]))
    assert decode(data).pixels.tolist() == [[[7, 250, 5], [7, 246, 9]]]


@pytest.mark.parametrize(
    ("bits", "compression", "words"),
    [
        (32, 3, "a BMP of 32 bits a pixel, compression 3 (bit fields, masks 3ff00000 000ffc00 000003ff)"),
        (64, 0, "a BMP of 64 bits a pixel, compression 0 (none)"),
        (2, 0, "a BMP of 2 bits a pixel"),
        (24, 4, "compression 4 (a JPEG inside, or OS/2's RLE of 24 bits)"),
        (24, 5, "compression 5 (a PNG inside)"),
    ],
)
def test_an_unusual_bmp_is_no_broken_one(bits: int, compression: int, words: str) -> None:
    header = struct.pack("<IIIHHIIIIII", 40, 2, 2, 1, bits, compression, 0, 0, 0, 0, 0)
    with pytest.raises(UnsupportedMedia) as caught:
        decode(bmp(header + struct.pack("<3I", 0x3FF00000, 0xFFC00, 0x3FF)))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"P6\n2 1\n255\n" + bytes([1, 2, 3, 4, 5, 6]), [[[1, 2, 3], [4, 5, 6]]]),
        (b"P6 # a comment\n2 1 # 3\n#\n15\n" + bytes([15, 0, 3, 1, 5, 99]), [[[255, 0, 51], [17, 85, 255]]]),
        (b"P6 1 1 65535 " + bytes([255, 255, 0, 200, 128, 128]), [[[255, 1, 128]]]),
        (b"P6 1 1 1023 " + struct.pack(">3H", 1023, 512, 0), [[[255, 128, 0]]]),
        (b"P5 3 1 255\n" + bytes([0, 7, 255]), [[[0] * 3, [7] * 3, [255] * 3]]),
        (b"P5 3 1 100\n" + bytes([0, 20, 100]), [[[0] * 3, [51] * 3, [255] * 3]]),
        (b"P5 3 1 65535\n" + struct.pack(">3H", 0, 257, 65535), [[[0] * 3, [1] * 3, [255] * 3]]),
        (b"P2\n3 1\n255\n0 7\n255\n", [[[0] * 3, [7] * 3, [255] * 3]]),
        (b"P3 1 1 255 9 8 7", [[[9, 8, 7]]]),
        (b"P1 4 1\n1 0 11\n", [[[0] * 3, [255] * 3, [0] * 3, [0] * 3]]),
        (b"P4 4 1\n" + bytes([0b10110000]), [[[0] * 3, [255] * 3, [0] * 3, [0] * 3]]),
    ],
)
def test_portable_pixmaps_have_their_values(data: bytes, rows: list[list[list[int]]]) -> None:
    picture = decode(data)
    assert picture.media_type == "image/x-portable-anymap"
    assert picture.pixels.tolist() == rows


@pytest.mark.parametrize(
    "data",
    [b"P6 9 9 255\n1234", b"P6 9 9 100\n1234", b"P5 9 9 65535\n1234", b"P2 9 9 255\n1 2 3", b"P6 1 1 0\n123"],
)
def test_a_portable_pixmap_that_ends_early_is_broken(data: bytes) -> None:
    with pytest.raises(CorruptMedia):
        decode(data)


@pytest.mark.parametrize(
    "data", [b"P6 90000 90000 100\n1", b"P6 99999999999999999999 1 100\n1", b"P2 90000 90000 9\n1"]
)
def test_a_huge_portable_pixmap_is_over_the_limits(data: bytes) -> None:
    with pytest.raises((LimitExceeded, CorruptMedia)):
        decode(data)


@pytest.mark.parametrize("most", [65535, 16383])
def test_deep_colours_of_a_ppm_that_use_little_of_their_range_are_stretched_and_said(most: int) -> None:
    values = np.array([[[0, 0, 0], [1000, 2000, 500]], [[500, 1000, 2000], [2000, 2000, 2000]]], ">u2")
    picture = decode(b"P6 2 2 %d\n" % most + values.tobytes())
    assert picture.pixels[0, 1].tolist() == [128, 255, 64] and picture.pixels[1, 1].tolist() == [255] * 3
    assert picture.notes == ("values from 0 to 2000 use little of their range: stretched to 8 bits",)


def test_a_ppm_whose_header_has_the_line_ends_of_windows_keeps_its_colours() -> None:
    assert decode(b"P6\r\n1 1\r\n255\r\n\x01\x02\x03").pixels[0, 0].tolist() == [1, 2, 3]
    assert decode(b"P5\r\n1 1\r\n4095\r\n\x0f\xff").pixels[0, 0].tolist() == [255] * 3
    assert decode(b"P6\r\n1 1\r\n255\r\n\x02\x03").pixels[0, 0].tolist() == [10, 2, 3]  # as the format has it


def jpeg2000(values: NDArray[np.uint8 | np.uint16], codestream: bool = False) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(values).save(file, "JPEG2000", no_jp2=codestream, irreversible=False)
    return file.getvalue()


@pytest.mark.parametrize("codestream", [False, True], ids=["JP2", "codestream"])
def test_jpeg_2000_keeps_its_values(codestream: bool) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    picture = decode(jpeg2000(noise, codestream))
    assert (picture.media_type, picture.size) == ("image/jp2", (40, 30))
    assert (picture.pixels == noise).all()


def test_jpeg_2000_of_16_bits_and_with_alpha() -> None:
    grey = np.array([[0, 257, 32896, 65535]] * 4, np.uint16)
    assert decode(jpeg2000(grey)).pixels[0, :, 0].tolist() == [0, 1, 128, 255]
    clear = np.array([[[9, 9, 9, 0], [9, 8, 7, 255]] * 2] * 4, np.uint8)
    assert decode(jpeg2000(clear)).pixels[0, :2].tolist() == [[255, 255, 255], [9, 8, 7]]


@pytest.mark.parametrize("alpha", [False, True])
def test_whites_of_deep_jpeg_2000_are_white(alpha: bool) -> None:
    steps = np.array([0, 257, 32896, 65278, 65407, 65408, 65535], np.uint16).repeat(8)  # 65408: half a step below 256
    values = np.tile(steps[None, :, None], (64, 1, 3))
    values[:, :, 0] = 65535 - values[:, :, 0]
    if alpha:
        values = np.dstack([values, np.full(values.shape[:2], 65535, np.uint16)])
    encoded = cv2.imencode(".jp2", values, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
    picture = decode(encoded)
    assert picture.pixels[9, ::8, 1].tolist() == [0, 1, 128, 254, 255, 255, 255]
    assert picture.pixels[9, ::8, 2].tolist() == [255, 254, 127, 1, 0, 0, 0]  # OpenCV has blue first
    assert picture.notes == ()


def test_deep_jpeg_2000_that_uses_little_of_its_range_is_stretched_and_said() -> None:
    values = np.tile(np.linspace(0, 4095, 64).astype(np.uint16)[None, :, None], (64, 1, 3))
    picture = decode(cv2.imencode(".jp2", values, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes())
    assert picture.pixels[0, [0, 63]].tolist() == [[0] * 3, [255] * 3]
    assert picture.notes == ("values from 0 to 4095 use little of their range: stretched to 8 bits",)


def with_size(data: bytes, right: int, low: int, tile: int) -> bytes:
    """With other sizes in the codestream's header: what a hostile file says."""
    at = data.index(b"\xff\x4f\xff\x51")
    return data[: at + 8] + struct.pack(">6I", right, low, 0, 0, tile, tile) + data[at + 32 :]


def test_jpeg_2000_is_held_to_the_limits_by_its_codestream() -> None:
    file = jpeg2000(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(LimitExceeded, match="30000 x 30000"):
        decode(with_size(file, 30_000, 30_000, 30_000))
    with pytest.raises(LimitExceeded, match="MiB"):  # 250,000 tiles, each with its own parameters
        decode(with_size(file, 500, 500, 1), Limits(memory=500 * 2**20))
    with pytest.raises(LimitExceeded, match="MiB"):  # 28 bytes a pixel of three components
        decode(file, Limits(memory=16 * 16 * 28 - 1))
    for broken in (with_size(file, 0, 16, 16), with_size(file, 16, 16, 0), file[:40], file[:90], file[:-20]):
        with pytest.raises(CorruptMedia):
            decode(broken)


def lossless_jpeg(values: NDArray[np.uint8]) -> bytes:
    """A lossless JPEG of an (H, W) grey picture (ITU-T T.81, annex H): predictor 1, nine codes of four bits each."""
    height, width = values.shape
    bits = ""
    for y in range(height):
        for x in range(width):
            before = int(values[y, x - 1]) if x else int(values[y - 1, 0]) if y else 128
            difference = int(values[y, x]) - before
            size = abs(difference).bit_length()
            extra = difference if difference >= 0 else difference + (1 << size) - 1
            bits += f"{size:04b}" + (f"{extra:0{size}b}" if size else "")
    bits += "1" * (-len(bits) % 8)
    scan = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    frame = b"\xff\xc3" + struct.pack(">HBHHB3B", 11, 8, height, width, 1, 1, 0x11, 0)
    table = b"\xff\xc4" + struct.pack(">HB", 28, 0) + bytes([0, 0, 0, 9, *[0] * 12]) + bytes(range(9))
    return b"\xff\xd8" + frame + table + b"\xff\xda\0\x08\x01\x01\0\x01\0\0" + scan + b"\xff\xd9"


@pytest.mark.parametrize("at_least", [None, 8])
def test_a_lossless_jpeg_is_read_also_where_a_smaller_scale_would_do(at_least: int | None) -> None:
    values = np.add.outer(np.arange(64) * 2, np.arange(80)).astype(np.uint8)
    picture = decode(lossless_jpeg(values), at_least=at_least)
    assert picture.image.size == (80, 64)
    assert (picture.pixels[:, :, 0] == values).all()


def common_jpeg() -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (16, 16), (200, 30, 40)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("marker", "bits", "words"),
    [
        (0xC1, 12, "a JPEG of 12 bits a sample"),
        (0xC3, 16, "a lossless JPEG of 16 bits a sample"),
        (0xF7, 8, "a JPEG-LS picture"),
        (0xC5, 8, "a hierarchical JPEG"),
        (0xCB, 8, "a lossless JPEG of arithmetic coding"),
    ],
)
def test_a_jpeg_of_another_kind_is_described(marker: int, bits: int, words: str) -> None:
    data = common_jpeg()
    at = data.index(b"\xff\xc0")
    with pytest.raises(UnsupportedMedia, match=words):
        decode(data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :])


@pytest.mark.parametrize("kept", [4, 14, 41])
def test_jpeg_2000_cut_in_its_header_is_called_broken_in_words(kept: int) -> None:
    data = jpeg2000(np.zeros((16, 16, 3), np.uint8), codestream=True)
    with pytest.raises(CorruptMedia, match="no codestream"):
        decode(data[:kept])


def test_a_jpeg_cut_in_its_header_is_a_broken_one() -> None:
    data = common_jpeg()
    for cut in (3, 10, 200, data.index(b"\xff\xc0") + 6):
        with pytest.raises(CorruptMedia):
            decode(data[:cut])


def test_a_png_of_apple_s_own_form_is_described() -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (4, 4)).save(file, "PNG")
    data = file.getvalue()
    with pytest.raises(UnsupportedMedia, match="CgBI"):
        decode(data[:8] + b"\0\0\0\x04CgBI\x50\0\x20\x02\x2b\xd5\xb3\x7f" + data[8:])


def test_a_jpeg_with_a_film_behind_it_is_read() -> None:
    """Motion photos of phones."""
    picture = decode(common_jpeg() + b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(500))
    assert (picture.media_type, picture.size) == ("image/jpeg", (16, 16))


def test_the_first_of_two_pictures_in_a_jpeg_is_read() -> None:
    file = io.BytesIO()
    first, second = Pillow.new("RGB", (16, 8), (200, 30, 40)), Pillow.new("RGB", (16, 8), (0, 0, 0))
    first.save(file, "MPO", save_all=True, append_images=[second])
    picture = decode(file.getvalue())
    assert (picture.size, picture.frames) == ((16, 8), 2)
    assert abs(int(picture.pixels[0, 0, 0]) - 200) < 4


def test_a_heif_picture_of_a_coding_that_is_not_read_is_no_broken_one() -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (16, 8), (200, 30, 40)).save(file, "AVIF")  # AV1, which this libheif does not decode
    length = int.from_bytes(file.getvalue()[:4], "big")
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + file.getvalue()[length:]
    with pytest.raises(UnsupportedMedia, match="a HEIF picture whose coding is not read"):
        decode(data)


@pytest.mark.parametrize("brand", [b"MA1B", b"MA1A", b"mif3", b"abcd"])
def test_an_avif_is_one_by_any_of_its_brands(brand: bytes) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (16, 8), (200, 30, 40)).save(file, "AVIF")
    data = file.getvalue()
    picture = decode(data[:8] + brand + data[12:])
    assert (picture.media_type, picture.size) == ("image/avif", (16, 8))


SAMPLES = [
    jpeg2000(np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)),
    jpeg2000(np.full((16, 16, 3), 77, np.uint8), codestream=True),
    b"P6 9 9 100\n" + bytes(243),
    b"P3 3 1 255 " + b"1 2 3 " * 3,
    bmp(os2(16)),
    bmp(os2(64)),
    lossless_jpeg(np.full((16, 16), 99, np.uint8)),
]


@pytest.mark.slow
@examples(300)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(2, 5000), st.binary(min_size=1, max_size=6)), max_size=5),
    st.integers(1, 5000),
)
def test_broken_files_of_these_kinds_are_errors_of_the_file(
    data: bytes, changes: list[tuple[int, bytes]], cut: int
) -> None:
    broken = bytearray(data)
    for at, content in changes:
        broken[at % len(data) : at % len(data) + len(content)] = content
    for candidate in (bytes(broken), data[: cut % len(data)]):
        with contextlib.suppress(Permanent):
            decode(candidate, Limits(pixels=1_000_000, memory=200 * 2**20))
