"""Small files that would cost a decoder minutes or gigabytes are refused by their headers."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from inference.errors import CorruptMedia, LimitExceeded
from inference.image import gif_blocks, jpeg_structure, png_chunks, tiff_pages
from inference.image.limits import Limits
from inference.image.media import decode
from inference.video import boxes
from inference.video.read import VideoReader, probe

SIDE = 64


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (SIDE, SIDE, 4), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def progressive(more_scans: int) -> bytes:
    """A progressive JPEG with scans behind its own that say "nothing here" with a run over all 64 blocks of a band.

    The table codes a single symbol, 0x60: end of band for 64 blocks and as many more as the six bits behind it say.
    """
    data = encoded("JPEG", progressive=True)
    table = b"\xff\xc4" + struct.pack(">HB16BB", 20, 0x10, 1, *[0] * 15, 0x60)
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0x00, 1, 63, 0x00) + b"\x01"
    return data[:-2] + table + scan * more_scans + b"\xff\xd9"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_progressive_photo_is_read_and_a_jpeg_of_endless_scans_is_not() -> None:
    own = progressive(0).count(b"\xff\xda")
    assert own == 10
    assert decode(progressive(jpeg_structure.MAX_SCANS - own)).size == (SIDE, SIDE)
    with pytest.raises(LimitExceeded, match="at least 101 scans; allowed are 100"):
        decode(progressive(jpeg_structure.MAX_SCANS - own + 1))


@pytest.mark.parametrize("segment", [b"\xff\xfe\0\2", b"\xff\xe1\0\2"])
def test_a_jpeg_of_endless_segments_is_refused(segment: bytes) -> None:
    data = encoded("JPEG")
    assert decode(data[:2] + segment * 1000 + data[2:]).size == (SIDE, SIDE)
    with pytest.raises(LimitExceeded, match="at least 5,001 segments; allowed are 5,000"):
        decode(data[:2] + segment * 6000 + data[2:])


def test_a_png_of_endless_chunks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data, header = encoded("PNG"), 8 + 25
    flooded = data[:header] + chunk(b"abCd", b"") * 1000 + data[header:]
    assert decode(flooded).size == (SIDE, SIDE)
    monkeypatch.setattr(png_chunks, "MAX_CHUNKS", 999)
    with pytest.raises(LimitExceeded, match="at least 1,000 chunks; allowed are 999"):
        decode(flooded)


def test_texts_of_a_gif_are_left_out_unread_and_endless_ones_are_refused() -> None:
    data, header = encoded("GIF", "P", transparency=0), 13 + 3 * 256
    picture = decode(data)

    def commented(comment: bytes, times: int) -> bytes:
        return data[:header] + b"!\xfe" + comment * times + b"\0" + data[header:]

    for few in (commented(b"\xff" + bytes(255), 4000), data[:header] + bytes(1000) + data[header:]):
        again = decode(few)
        assert np.array_equal(again.pixels, picture.pixels) and again.notes == picture.notes
    again = decode(commented(b"\xff" + bytes(255), 4200))  # 2 bytes before them, one behind
    assert np.array_equal(again.pixels, picture.pixels)
    assert f"{4200 * 256 + 3:,} bytes of texts before the GIF's picture" in again.notes[0]
    with pytest.raises(LimitExceeded, match="at least 200,001 parts of blocks before its first picture; allowed are 2"):
        decode(commented(b"\1a", gif_blocks.MAX_PARTS))


def striped(parts: int, height: int = SIDE) -> bytes:
    """A grey TIFF of 16 pixels across whose list of strips has `parts` entries, all the same place in the file."""
    count = 9
    places = 8 + 2 + 12 * count + 4
    pixels = places + 4 * parts
    entries = [
        (256, 1, 16), (257, 1, height), (258, 1, 8), (259, 1, 1), (262, 1, 1),
        (273, parts, places), (277, 1, 1), (278, 1, 1), (279, 1, 16),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, 4, many, value) for tag, many, value in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, count)
    return head + table + bytes(4) + struct.pack("<I", pixels) * parts + bytes(16)


def test_a_tiff_is_refused_before_its_strips_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode(striped(SIDE)).size == (16, SIDE)
    with pytest.raises(LimitExceeded, match="32,768 pixels a side"):
        decode(striped(10, height=20_000_000))
    monkeypatch.setattr(tiff_pages, "MAX_PARTS", SIDE - 1)
    with pytest.raises(LimitExceeded, match="at least 64 strips or tiles; allowed are 63"):
        decode(striped(SIDE))


def test_a_tiff_of_jpegs_may_have_no_endless_scans_either() -> None:
    plain = encoded("TIFF", compression="jpeg")
    assert decode(plain).size == (SIDE, SIDE)
    at = plain.index(b"\xff\xda")  # within the only strip, of which the length does not count
    with pytest.raises(LimitExceeded, match="scans in one picture; allowed are 100"):
        decode(plain[:at] + b"\xff\xda" * 101 + plain[at + 202 :])


@pytest.mark.parametrize(
    ("kind", "mode", "bytes_a_pixel"),
    [("JPEG", "RGB", 10), ("PNG", "RGBA", 13), ("WEBP", "RGB", 22), ("AVIF", "RGB", 17), ("TIFF", "F", 24)],
)
def test_memory_is_reckoned_by_what_the_kind_takes(kind: str, mode: str, bytes_a_pixel: int) -> None:
    data, needed = encoded(kind, mode), SIDE * SIDE * bytes_a_pixel
    assert decode(data, Limits(memory=needed)).size == (SIDE, SIDE)
    with pytest.raises(LimitExceeded, match="give it more memory"):
        decode(data, Limits(memory=needed - 1))


def test_pictures_of_a_motion_jpeg_are_bounded_too(tmp_path: Path) -> None:
    def clip(name: str, *pictures: bytes) -> Path:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mjpeg", rate=10)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuvj444p"
            for number, picture in enumerate(pictures):
                packet = av.Packet(picture)
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 10)
                container.mux(packet)
        return tmp_path / name

    reader = VideoReader(clip("one.avi", progressive(0), progressive(200), progressive(0)))
    assert len(list(reader)) == 2
    assert reader.report and reader.report.damaged_frames == 1
    with pytest.raises(CorruptMedia, match="allowed are 100"):
        list(VideoReader(clip("all.avi", progressive(200), progressive(200))))


def test_a_container_of_endless_boxes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((SIDE, SIDE, 3), np.uint8))))
        container.mux(stream.encode())
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole + struct.pack(">I4s", 8, b"free") * 100)
    assert len(list(VideoReader(tmp_path / "a.mp4"))) == 1
    monkeypatch.setattr(boxes, "MAX_BOXES", 100)
    for use in (probe, lambda path: list(VideoReader(path))):
        with pytest.raises(LimitExceeded, match="more than 100 boxes in a row"):
            use(tmp_path / "a.mp4")
