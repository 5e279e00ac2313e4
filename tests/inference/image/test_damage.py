"""JPEGs of which parts are missing are refused; JPEGs of which all pixels are there are read."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFile

from inference import errors
from inference.image import jpeg_structure
from inference.image.media import Picture, decode

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PHOTO = Pillow.open(ROOT / "samples/cat.jpg").convert("RGB")
END = b"\xff\xd9"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline": ("RGB", {}),
    "4:4:4": ("RGB", {"quality": 95, "subsampling": 0}),
    "4:1:1": ("RGB", {"subsampling": "4:1:1"}),
    "optimised": ("RGB", {"optimize": True}),
    "progressive": ("RGB", {"progressive": True}),
    "restarts in rows": ("RGB", {"restart_marker_rows": 1}),
    "restarts in blocks": ("RGB", {"restart_marker_blocks": 4}),
    "grey": ("L", {}),
    "CMYK": ("CMYK", {}),
}


def jpeg(image: Pillow.Image = PHOTO, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def of_kind(kind: str) -> bytes:
    mode, options = KINDS[kind]
    return jpeg(PHOTO.convert(mode), **options)


def coded(data: bytes) -> tuple[int, int]:
    """Where the first scan's data begin and the last scan's end, in a JPEG that ends with its end marker."""
    structure = jpeg_structure.read(data)
    assert structure is not None
    return structure.scans[0].start, len(data) - 2


def refused(data: bytes, match: str | None = None, **options: Any) -> None:
    with pytest.raises(errors.CorruptMedia, match=match):
        decode(data, **options)


def same(picture: Picture, data: bytes) -> bool:
    return bool((picture.pixels == np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.95])
def test_a_jpeg_that_is_cut_is_refused_whatever_it_ends_with(kind: str, share: float) -> None:
    data = of_kind(kind)
    start, end = coded(data)
    cut = data[: start + int((end - start) * share)]
    rest = len(data) - len(cut)
    for ending in (b"", END, bytes(rest), bytes(rest) + END, b"\xff" * rest, END + jpeg(), jpeg()):
        refused(cut + ending)
        refused(cut + ending, at_least=30)  # at an eighth


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.45, 0.8])
@pytest.mark.parametrize("size", [512, 4096])
def test_a_hole_in_the_middle_is_refused(kind: str, share: float, size: int) -> None:
    data = of_kind(kind)
    start, end = coded(data)
    at = min(start + int((end - start) * share), end - size - 200)
    refused(data[:at] + bytes(size) + data[at + size :])
    refused(data[:at] + data[at + size :])


def test_a_restart_marker_that_is_overwritten_is_missed() -> None:
    data = of_kind("restarts in blocks")
    for number in (0xD1, 0xD5):
        at = data.index(bytes([0xFF, number]), len(data) // 2)
        refused(data[:at] + b"\x12\x34" + data[at + 2 :], match="restart markers")


def test_a_hole_whose_zeros_could_be_flat_picture_is_refused() -> None:
    """On a white page, the code of all zeros is "no change": behind the hole the decoder is done too early."""
    page = Pillow.new("L", (1000, 1000), "white")
    page.paste(PHOTO, (270, 350))
    data = jpeg(page, optimize=True)
    structure = jpeg_structure.read(data)
    assert structure is not None and structure.zeros_are_flat(data, structure.scans[0])
    decode(data)
    start, end = coded(data)
    middle = (start + end) // 2
    refused(data[:middle] + bytes(512) + data[middle + 512 :], match="hole|missing")


def test_the_message_says_where_the_picture_ends() -> None:
    stripes = (
        np.zeros((160, 160, 3), np.uint8) + np.arange(160, dtype=np.uint8)[:, None, None]
    )  # every block costs bits
    stripes[::2] += 60
    data = jpeg(Pillow.fromarray(stripes), subsampling=0)
    start, end = coded(data)
    refused(
        data[: start + (end - start) // 2] + END, match=r"the JPEG's pixel data end after about 5\d% of the picture"
    )


@pytest.mark.parametrize("change", [(b"\n", b"\r\n"), (b"\r", b"\n")])
def test_a_photo_that_was_sent_as_text_is_refused(change: tuple[bytes, bytes]) -> None:
    """As FTP's ASCII mode does; libjpeg shows a garbled picture and is content."""
    data = jpeg(PHOTO.resize((1200, 900)), quality=95)
    assert len(data) > 100_000 and decode(data)
    for sent in (data, jpeg(PHOTO.resize((600, 400)).convert("L"), quality=85)):
        refused(sent.replace(*change), match="line ends were changed on the way: send it as binary")


def test_a_header_that_says_twice_the_height_is_refused() -> None:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    struct.pack_into(">H", data, at, 2 * PHOTO.height)
    refused(bytes(data), match=r"end after about 5[0-4]% of the picture")


@pytest.mark.parametrize("scans", range(1, 10))
def test_a_progressive_jpeg_without_its_last_scans_is_refused(scans: int) -> None:
    data = of_kind("progressive")
    structure = jpeg_structure.read(data)
    assert structure is not None and len(structure.scans) == 10
    refused(data[: structure.scans[scans - 1].end] + END, match="last scans are missing")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_no_pixel(kind: str) -> None:
    data = of_kind(kind)
    boundary = b"\r\n--boundary--\r\n"
    for whole in (data + bytes(500), data + boundary, data + data, data[:-2] + b"\xff" * 40 + END):
        assert decode(whole).notes == ()
        assert same(decode(whole), data)
    for unended in (data[:-1], data[:-2], data[:-2] + bytes(500), data[:-2] + boundary, data[:-2] + b"\xff" * 40):
        picture = decode(unended)
        assert same(picture, data)
        assert picture.notes == ("the JPEG lacks its end marker, and nothing else",)


@pytest.mark.parametrize("options", [{"optimize": True}, {"progressive": True}, {}])
def test_zeros_in_place_of_the_last_part_are_refused(options: dict[str, bool]) -> None:
    """As a disk leaves a file of which not all was written. With tables of its own, zeros may be flat picture."""
    for quality in (30, 50, 85):
        data = jpeg(PHOTO, quality=quality, **options)
        for share in (0.6, 0.8, 0.9):
            kept = int(len(data) * share)
            for zeroed in (data[:kept] + bytes(len(data) - kept), data[:kept] + bytes(4096) + END):
                refused(zeroed)


def test_flat_pictures_are_no_damage() -> None:
    """Libjpeg fills with grey, and zeros are the shortest codes of flat picture."""
    grey = PHOTO.copy()
    grey.paste((128, 128, 128), (0, 100, *PHOTO.size))
    for side in range(8, 160, 8):
        for image in (grey.crop((0, 60, side, 300)), Pillow.new("L", (5 * side, 5 * side), 128)):
            for options in ({}, {"optimize": True}, {"progressive": True}, {"restart_marker_rows": 1}):
                data = jpeg(image, **options)
                decode(data)
                decode(data[:-2])
    flat = jpeg(Pillow.new("L", (1600, 1600), "white"), optimize=True)
    assert bytes(64) in flat
    decode(flat)
    for filled in (bytes(100) + END, b"\xff" * 40 + END, b"\xff" * 40, b"\r\n--boundary--\r\n"):
        decode(flat[:-2] + filled)


def test_a_jpeg_whose_height_follows_the_picture_is_read() -> None:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    struct.pack_into(">H", data, at, 0)
    later = bytes(data[:-2]) + b"\xff\xdc\x00\x04" + struct.pack(">H", PHOTO.height) + END
    assert same(decode(later), jpeg())


def test_an_embedded_thumbnail_and_a_second_picture_count_as_little_as_they_should() -> None:
    exif = Pillow.Exif()
    exif[0x010E] = "text"
    thumbnail = jpeg(PHOTO.resize((60, 40)))
    data = jpeg(exif=b"Exif\0\0" + exif.tobytes()[6:] + thumbnail)
    start, end = coded(data)
    decode(data)
    refused(data[: start + (end - start) // 2])
    file = io.BytesIO()
    PHOTO.save(file, "MPO", save_all=True, append_images=[PHOTO.rotate(5)])
    assert decode(file.getvalue()).frames == 2
    second = file.getvalue().index(b"\xff\xd8\xff", 1000)
    refused(file.getvalue()[:9000] + file.getvalue()[second:])


@pytest.mark.parametrize(
    "segment",
    [(0xE0, b"JFIF\0\1"), (0xE1, b"Exif\0\0MM\0*\xff"), (0xE2, b"ICC_PROFILE\0"), (0xED, b"Photoshop 3.0\x008BIM\4"),
     (0xEE, b"Adobe\0d\0"), (0xE2, b"MPF\0MM\0*")],
    ids=["JFIF", "EXIF", "ICC", "Photoshop", "Adobe", "MPF"],
)  # fmt: skip
def test_broken_metadata_do_not_cost_the_picture(segment: tuple[int, bytes]) -> None:
    marker, content = segment
    data = jpeg()
    assert same(
        decode(data[:2] + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content + data[2:]), data
    )


def test_arithmetic_coded_jpegs_are_read_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """arithmetic.jpg: samples/cat.jpg at 120 x 80, transcoded by libjpeg-turbo with arith_code = TRUE."""
    data = (Path(__file__).parent / "arithmetic.jpg").read_bytes()
    picture = decode(data)
    assert np.abs(picture.pixels.astype(float) - np.asarray(PHOTO.resize((120, 80)))).mean() < 8
    assert picture.notes == ("the JPEG is arithmetic-coded: whether all of it is there cannot be told",)
    assert same(decode(data[:-2]), data)
    refused(data[:1500])
    refused(data[:1500] + bytes(200) + data[1700:], match="hole")
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1000)  # as if the file were larger than Pillow's 64 KiB
    decode(data)


@pytest.mark.needs_shared
def test_no_photo_is_called_damaged(shared: Path) -> None:
    photos = [p for folder in ("coco", "faces", "imagenet", "ocr") for p in (shared / "media" / folder).rglob("*.jp*g")]
    assert len(photos) > 50
    for photo in photos:
        assert decode(photo.read_bytes()).notes == ()
        decode(photo.read_bytes()[:-2], at_least=64)
