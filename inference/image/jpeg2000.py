"""JPEG 2000 (ISO/IEC 15444-1): its limits, its colour profile, and more than 8 bits a component."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image.limits import Limits, check_memory, check_size
from inference.image.sniff import EXPECTED

_TILE_PART = b"\xff\x90"  # SOT
# FFmpeg's names of what such files have without a conversion of colours; sYCC has others.
_FORMATS = ("rgb48le", "rgba64le", "ya16le")


def check_jpeg2000(data: bytes, limits: Limits) -> None:
    """Holds a JPEG 2000 file to the limits by its codestream, since the box around it may say less.

    Raises CorruptMedia without a codestream, or where tiles are missing; LimitExceeded.
    """
    start = _codestream(data)
    if data[start : start + 4] != b"\xff\x4f\xff\x51" or len(data) < start + 42:
        raise CorruptMedia("the JPEG 2000 file has no codestream, or a cut one; export or upload the file again")
    # ISO/IEC 15444-1, A.5.1: image area, its offset, tile size, its offset, components.
    right, low, left, top, tile_w, tile_h, tile_x, tile_y, components = struct.unpack_from(">8IH", data, start + 8)
    width, height = right - left, low - top
    check_size(width, height, limits)
    if not tile_w or not tile_h or tile_x > left or tile_y > top:
        raise CorruptMedia("the JPEG 2000 file has tiles without pixels; export or upload the file again")
    tiles = -(-(right - tile_x) // tile_w) * -(-(low - tile_y) // tile_h)
    # OpenJPEG keeps 4 bytes a sample, twice while it transforms, and the parameters of every tile: 6 KB, and a
    # kilobyte for each component.
    memory = width * height * (10 + 6 * components) + tiles * (6_000 + 1_100 * components)
    check_memory(width, height, memory, limits)
    there = _tiles_there(data, start)
    if there is not None and there < tiles:
        raise CorruptMedia(
            f"the JPEG 2000 file has {there:,} of the {tiles:,} tiles of its picture; export or upload the file again"
        )


def _tiles_there(data: bytes, start: int) -> int | None:
    """How many tiles the codestream has parts of (A.4.2); None where its header cannot be walked. OpenJPEG leaves those
    grey that are missing."""
    at = start + 2
    while data[at : at + 2] != _TILE_PART:
        if at + 4 > len(data) or data[at] != 0xFF:
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    found = set[int]()
    while data[at : at + 2] == _TILE_PART and at + 12 <= len(data):
        tile, length = struct.unpack_from(">HI", data, at + 4)
        found.add(tile)
        at += length or len(data)  # 0: all that is left
        if 0 < length < 14:
            return None
    return len(found)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, where its content begins, where it ends) of the boxes one after another (Annex I.4)."""
    while at + 8 <= end:
        size, header = struct.unpack_from(">I", data, at)[0], 8
        if size == 1 and at + 16 <= end:
            size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        stop = min(at + size, end) if size else end
        if size and size < header:
            return
        yield data[at + 4 : at + 8], at + header, stop
        at = stop


def _codestream(data: bytes) -> int:
    """Where the codestream begins, by its box; the end of the file where there is none."""
    if not data.startswith(b"\0\0\0\x0cjP  "):
        return 0
    return next((start for kind, start, _ in _boxes(data, 0, len(data)) if kind == b"jp2c"), len(data))


def icc_profile(data: bytes) -> bytes | None:
    """The ICC profile of a colr box (I.5.3.3; method 2, or JPX's 3), which Pillow does not read."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, at, stop in _boxes(data, start, end):
                if inner == b"colr" and data[at : at + 1] in (b"\2", b"\3"):
                    return data[at + 3 : stop]
    return None


def is_deep(data: bytes) -> bool:
    """Whether any component has more than 8 bits (Ssiz of ISO/IEC 15444-1, A.5.1)."""
    start = _codestream(data)
    count = int.from_bytes(data[start + 40 : start + 42], "big")
    return any((bits & 0x7F) >= 8 for bits in data[start + 42 : start + 42 + 3 * count : 3])


def sixteen_bits(data: bytes, size: tuple[int, int]) -> NDArray[np.uint16]:
    """(H, W, 4) R, G, B, alpha in 16 bits, fewer bits scaled to 16, by FFmpeg. size: (width, height).

    Pillow (13.0, Jpeg2KDecode.c) adds half a step before it takes the high bits, so that what lies above the last
    step overflows to 0. Raises UnsupportedMedia where FFmpeg reads other colours, or nothing.
    """
    import av  # lazily: few pictures need it

    codec = av.CodecContext.create("jpeg2000", "r")
    try:
        frames = [*codec.decode(av.Packet(data)), *codec.decode(None)]
        kind = frames[0].format.name if frames else "nothing"
        if kind in _FORMATS and (frames[0].width, frames[0].height) == size:
            return np.asarray(frames[0].to_ndarray(format="rgba64le"), np.uint16)
    except av.FFmpegError as error:
        kind = f"an error: {error}"[:80]
    raise UnsupportedMedia(
        f"this is a JPEG 2000 picture of more than 8 bits a sample whose colours are not read (FFmpeg gives {kind}): "
        f"convert it to 8-bit RGB (JPEG, PNG or TIFF); {EXPECTED}"
    )
