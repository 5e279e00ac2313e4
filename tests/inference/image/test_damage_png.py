"""PNGs whose pixels are damaged are refused; PNGs whose metadata are, or are large, are read."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference import errors
from inference.image.media import decode

SIGNATURE = b"\x89PNG\r\n\x1a\n"
WIDTH, HEIGHT = 40, 30
PIXELS: NDArray[np.uint8] = np.random.default_rng(1).integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
ROWS = b"".join(b"\0" + row.tobytes() for row in PIXELS)
EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0"  # orientation 1


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    right = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", right if checksum is None else checksum)


HEADER = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
END = chunk(b"IEND", b"")


def png(packed: bytes, before: bytes = b"", after: bytes = END, header: bytes = HEADER) -> bytes:
    return SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", packed) + after


PACKED = zlib.compress(ROWS)
MIDDLE = len(PACKED) // 2
DAMAGED = {
    "zeros": bytes(len(PACKED)),
    "a hole": PACKED[:MIDDLE] + bytes(300) + PACKED[MIDDLE + 300 :],
    "one bit": PACKED[:MIDDLE] + bytes([PACKED[MIDDLE] ^ 1]) + PACKED[MIDDLE + 1 :],
    "wrong Adler-32": PACKED[:-4] + bytes(4),
    "cut in the stream": PACKED[:MIDDLE],
    "20 rows of 30": zlib.compress(ROWS[: 20 * (1 + 3 * WIDTH)]),
    "29 rows of 30": zlib.compress(ROWS[: 29 * (1 + 3 * WIDTH)]),
}


@pytest.mark.parametrize("before", [b"", chunk(b"eXIf", EXIF)], ids=["", "EXIF first"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_destroyed_pixels_are_refused(damage: str, before: bytes) -> None:
    with pytest.raises(errors.CorruptMedia):
        decode(png(DAMAGED[damage], before))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_missing_rows_are_missed_in_every_mode(mode: str) -> None:
    file = io.BytesIO()
    grey = Pillow.fromarray(PIXELS[:, :, 0])
    image = Pillow.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 200) if mode == "I;16" else grey.convert(mode)
    image.save(file, "PNG")
    data = file.getvalue()
    assert decode(data).size == (WIDTH, HEIGHT)
    at = data.index(b"IDAT")
    rows = zlib.decompress(data[at + 4 : at + 4 + struct.unpack_from(">I", data, at - 4)[0]])
    cut = data[: at - 4] + chunk(b"IDAT", zlib.compress(rows[: len(rows) * 2 // 3])) + END
    with pytest.raises(errors.CorruptMedia, match=r"the PNG's pixel data end after about 6\d% of the picture"):
        decode(cut)


@pytest.mark.parametrize("height", [1, 2, 3, 8, 9])
def test_the_passes_of_an_interlaced_png_are_counted(height: int) -> None:
    """Adam7 by hand: each pass is a picture of every 8th, 4th ... pixel, in rows with a filter byte."""
    pixels = PIXELS[:height, :9]
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    passes = [pixels[y::down, x::across] for x, y, across, down in steps]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", 9, height, 8, 2, 0, 0, 1)
    assert (decode(png(zlib.compress(rows), header=header)).pixels == pixels).all()
    last = max(number for number, part in enumerate(passes) if part.size)
    with pytest.raises(errors.CorruptMedia):
        decode(png(zlib.compress(rows[: -passes[last][0].size - 1]), header=header))


def test_a_black_picture_is_whole() -> None:
    black = zlib.compress(bytes(len(ROWS)))
    assert not decode(png(black)).pixels.any()
    split = (
        SIGNATURE + chunk(b"IHDR", HEADER) + b"".join(chunk(b"IDAT", black[i : i + 7]) for i in range(0, len(black), 7))
    )
    assert decode(split + END).notes == ()


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT", b"tRNS"])
def test_a_wrong_checksum_of_what_makes_pixels_is_refused(kind: bytes) -> None:
    palette = Pillow.fromarray(PIXELS).quantize(8)
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=3)
    data = bytearray(file.getvalue())
    at = data.index(kind)
    data[at + 4 + struct.unpack_from(">I", data, at - 4)[0]] ^= 1
    with pytest.raises(errors.CorruptMedia, match=f"chunk {kind.decode()} has a wrong checksum"):
        decode(bytes(data))


LARGE = zlib.compress(bytes(2_200_000))
LEFT_OUT = {
    "zTXt": (chunk(b"zTXt", b"workflow\0\0" + LARGE), "zTXt unpacks to more than 1 MB"),
    "iTXt": (chunk(b"iTXt", b"workflow\0\1\0en\0\0" + LARGE), "iTXt unpacks to more than 1 MB"),
    "iCCP": (chunk(b"iCCP", b"printer\0\0" + LARGE), "iCCP unpacks to more than 1 MB"),
    "method": (chunk(b"zTXt", b"workflow\0\7" + LARGE), "zTXt is compressed by an unknown method"),
    "text": (chunk(b"tEXt", b"Title\0cat", 1), "tEXt has a wrong checksum"),
    "profile": (chunk(b"iCCP", b"p\0\0" + zlib.compress(b"x"), 1), "iCCP has a wrong checksum"),
    "private": (chunk(b"prVt", b"whatever", 1), "prVt has a wrong checksum"),
    "EXIF": (chunk(b"eXIf", EXIF, 1), "eXIf has a wrong checksum"),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_metadata_never_cost_the_picture(what: str) -> None:
    extra, said = LEFT_OUT[what]
    for data in (png(PACKED, extra), png(PACKED, after=extra + END), png(PACKED, after=extra)):
        picture = decode(data)
        assert (picture.pixels == PIXELS).all()
        assert picture.notes == (f"the PNG's chunk {said}; it holds no pixels and was left out",)


def test_metadata_that_pillow_cannot_read_are_left_out() -> None:
    picture = decode(png(PACKED, chunk(b"pHYs", b"\0") + chunk(b"gAMA", b"")))
    assert (picture.pixels == PIXELS).all()
    assert picture.notes == ("metadata of the PNG cannot be read and were left out",)


def test_all_pixels_and_no_end_are_read() -> None:
    for tail in (b"", END[:5], chunk(b"IEND", b"", 1), b"\r\ntrailing", chunk(b"tEXt", b"Title\0cat")[:12]):
        assert (decode(png(PACKED, after=tail)).pixels == PIXELS).all()
    assert (decode(png(PACKED, after=b"")[:-2]).pixels == PIXELS).all()  # cut in the last checksum
    with pytest.raises(errors.CorruptMedia):
        decode(png(PACKED, after=b"")[:-400])


def test_apples_variant_is_refused_by_name() -> None:
    raw = zlib.compressobj(wbits=-15)
    data = SIGNATURE + chunk(b"CgBI", b"\x50\0\x20\2") + png(raw.compress(ROWS) + raw.flush())[8:]
    with pytest.raises(errors.UnsupportedMedia, match="CgBI.*pngcrush"):
        decode(data)


def test_the_case_of_a_sync_that_zeroed_a_photo() -> None:
    """Nextcloud's server issues 3056 and 20584: zeroed files; here in the middle of one, with right checksums."""
    photo = Pillow.open(Path(__file__).resolve().parents[3] / "samples/coffee.jpg")
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(photo))
    packed = zlib.compress(rows, 1)
    hole = packed[:100_000] + bytes(28_000) + packed[128_000:]
    with pytest.raises(errors.CorruptMedia, match="data stream"):
        decode(png(hole, header=struct.pack(">IIBBBBB", photo.width, photo.height, 8, 2, 0, 0, 0)))
