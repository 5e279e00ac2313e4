"""Ranges of zeros in coded pixels (a sync that failed, a full disk), which decoders of WebP, HEIC, AVIF and TIFF take
for picture.

Coded pixels look like chance, so that a run of HOLE zeros (64 bytes) is the sign. What proves it differs:

- HEVC and AVC never have three zero bytes in a row in a unit's payload (emulation prevention, H.265 7.4.2).
- AV1 is arithmetic-coded: zeros are the likeliest symbols over and over, and 8 zero bytes stand for thousands of them.
  The longest run in pictures made to provoke it (flat, dots on black, to 20 megapixels) had 21 bytes.
- WebP has legitimate runs in large flat pictures. Behind a hole, however, its decoder loses step, and is done with the
  picture before it is at the end of the data: a file that can do without its last bytes is damaged.
- Deflate ends with a checksum, which libtiff does not reach when it has its rows.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image as Pillow

from inference.errors import CorruptMedia
from inference.image import jpeg_damage, line_ends
from inference.image.jpeg_damage import HOLE

_UNITS = {"hevc", "h264", "vvc"}
_IN_UNITS = bytes(8)  # a unit's length, four bytes, may begin with three zeros
_LAST = bytes(2)  # zeros that may end the last symbol
_TAIL = 16  # bytes; a whole WebP cannot be read without its last 16, however its decoder reads ahead
_DEFLATE, _JPEG = (8, 32946), 7
_CODED = {"image/heic": _IN_UNITS, "image/avif": HOLE, "image/webp": HOLE, "image/tiff": HOLE}


def check(data: bytes, media_type: str, image: Pillow.Image) -> None:
    """Raise CorruptMedia where coded pixels are zeroed, or their line ends changed. image: as decoded."""
    if media_type == "image/tiff" and getattr(image, "tag_v2", {}).get(259) not in (*_DEFLATE, _JPEG):
        return
    if media_type not in _CODED:
        return
    if line_ends.are_alike(data):
        line_ends.check(data, media_type)
    if data.find(_CODED[media_type]) < 0:
        return
    if media_type in ("image/heic", "image/avif"):
        found = any(_is_hole(codec, packet) or _ends_early(packet, data, image) for codec, packet in _packets(data))
    elif media_type == "image/webp":
        found = _webp_has_hole(data, image)
    else:
        found = _tiff_has_hole(data, image)
    if found:
        raise CorruptMedia(f"the {media_type} file's pixel data have holes of zeros; export or upload the file again")


def _packets(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(codec, coded bytes) of each picture in a HEIC or AVIF file, tiles and transparency as well."""
    import av  # lazily: only a file with zeros needs it

    try:
        with av.open(io.BytesIO(data), "r", format="mov", metadata_errors="replace") as container:
            for packet in container.demux():
                if packet.size:
                    yield packet.stream.codec_context.name, bytes(packet)
    except (av.FFmpegError, AttributeError, ValueError):  # a kind of item that FFmpeg does not know, which says nothing
        return


def _is_hole(codec: str, coded: bytes) -> bool:
    if codec in _UNITS:
        return _IN_UNITS in coded
    return "av1" in codec and HOLE in coded.rstrip(b"\0")  # at the end they may be filling


def _ends_early(coded: bytes, data: bytes, image: Pillow.Image) -> bool:
    """Whether zeros at the end of an AVIF's coded bytes are in place of pixels: for filling, any other value does."""
    at, filling = data.find(coded), len(coded) - len(coded.rstrip(b"\0")) - len(_LAST)
    if image.format != "AVIF" or at < 0 or filling < len(HOLE):
        return False
    from PIL import AvifImagePlugin

    end = at + len(coded)
    try:
        other = AvifImagePlugin.AvifImageFile(io.BytesIO(data[: end - filling] + b"\x55" * filling + data[end:]))
        return other.tobytes() != image.tobytes()
    except (OSError, SyntaxError, ValueError, RuntimeError):
        return True


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of its data, end of its data) of each RIFF chunk in data[at:end]."""
    while at + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, min(at + 8 + size, end)
        at += 8 + size + size % 2


def _webp_has_hole(data: bytes, image: Pillow.Image) -> bool:
    """Of the first frame's pixels and transparency."""
    found = list(_chunks(data, 12, len(data)))
    frame = next(((start, end) for kind, start, end in found if kind == b"ANMF"), None)
    if frame:
        found = list(_chunks(data, frame[0] + 16, frame[1]))
    parts = {kind: data[start:end] for kind, start, end in found if kind in (b"VP8 ", b"VP8L", b"ALPH")}
    side = frame[0] + 6 if frame else next((start + 4 for kind, start, _ in found if kind == b"VP8X"), 0)
    for kind, coded in parts.items():
        if HOLE not in coded or (kind == b"ALPH" and not coded[0] & 3):  # transparency may be plain bytes
            continue

        def reads(instead: bytes, kind: bytes = kind) -> bool:
            return _reads(_still({**parts, kind: instead}, data[side : side + 6]))

        if coded.endswith(HOLE) and reads(without := coded.rstrip(b"\0") + _LAST):
            coded = without  # they only fill
        if reads(coded[:-_TAIL]):
            return True
        if kind == b"VP8L" and (run := _longest_run(coded)) and not _has_flat_run(image, run):
            return True
    return False


def _longest_run(coded: bytes) -> int:
    """The length of the longest run of zero bytes, of those that are at least as long as HOLE."""
    longest, at = 0, coded.find(HOLE)
    while at >= 0:
        run = len(coded) - at - len(coded[at:].lstrip(b"\0"))
        longest, at = max(longest, run), coded.find(HOLE, at + run)
    return longest


def _still(parts: dict[bytes, bytes], size: bytes) -> bytes:
    """A WebP file of these chunks. size: (width - 1, height - 1), three bytes each, which transparency needs."""
    head = {b"VP8X": b"\x10\0\0\0" + size} if b"ALPH" in parts else {}
    body = b"".join(
        kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for kind, part in {**head, **parts}.items()
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _reads(webp: bytes) -> bool:
    from PIL import WebPImagePlugin

    try:
        WebPImagePlugin.WebPImageFile(io.BytesIO(webp)).load()
    except (OSError, SyntaxError, ValueError, RuntimeError):
        return False
    return True


def _has_flat_run(image: Pillow.Image, zeros: int) -> bool:
    """Whether so many zero bytes of a lossless WebP can be flat picture: as many equal pixels in a row of reading, of
    at most 32 bits each. Where all codes are equally long, its decoder keeps step behind a hole."""
    pixels = np.asarray(image).reshape(image.width * image.height, -1)
    changes = np.flatnonzero((pixels[1:] != pixels[:-1]).any(axis=1))
    return bool(np.diff(changes, prepend=-1, append=len(pixels) - 1).max() >= zeros * 8 // 32)


def _tiff_has_hole(data: bytes, image: Pillow.Image) -> bool:
    """Of the first page's strips or tiles, where they are deflated or JPEG: whether one with zeros does not unpack."""
    tags = getattr(image, "tag_v2", {})
    starts, lengths = tags.get(273, tags.get(324, ())), tags.get(279, tags.get(325, ()))
    for start, length in zip(starts, lengths, strict=False):
        coded = data[start : start + length]
        if HOLE not in coded:
            continue
        if tags[259] == _JPEG:
            tables = bytes(tags.get(347, b""))  # an abbreviated stream: its end marker and the strip's start go
            if jpeg_damage.has_hole(tables[:-2] + coded[2:] if tables else coded):
                return True
        elif not _unpacks(coded):
            return True
    return False


def _unpacks(deflated: bytes) -> bool:
    try:
        zlib.decompress(deflated)
    except zlib.error:
        return False
    return True
