"""A PNG's chunks: what is damaged, and what does not matter (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image as Pillow

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image.limits import check_count

_AGAIN = "export or upload the file again"
_SIGNATURE = 8  # bytes
# tRNS is ancillary by its name, but pixels look different without it.
_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"tRNS"}
# The end says nothing, and what belongs to later frames of an animation is read with them.
_UNCHECKED = {b"IEND", b"fcTL", b"fdAT"}
# Pillow gives up a picture whose text or profile unpacks to more, or all of its texts to 64 times as much.
_MAX_UNPACKED = 2**20
_MAX_TEXTS = 63
# Each costs a microsecond here and more in Pillow. Encoders write pixel data in chunks of 8 KB and more.
MAX_CHUNKS = 100_000
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True)
class PngFile:
    """data: as it is decoded, without the chunks that `notes` names."""

    data: bytes
    notes: tuple[str, ...] = ()
    at_once: bool = False

    def check(self, image: Pillow.Image) -> None:
        """Raise CorruptMedia where rows are missing: Pillow leaves them zero and is content. image: as decoded.

        Only a picture with zeros in all of its last or last but one row is unpacked a second time, to count. Where it
        is interlaced, one of the two is all of the last pass, and a single row has no such pass.
        """
        bottom = range(max(0, image.height - 2), image.height)
        rows = (image.crop((0, y, image.width, y + 1)).tobytes() for y in bottom)
        doubtful = len(bottom) == 1 or any(not row.strip(b"\0") for row in rows)
        if doubtful and (share := _share_of_rows(self.data)) < 1:
            raise CorruptMedia(f"the PNG's pixel data end after about {int(share * 100)}% of the picture; {_AGAIN}")

    def without_metadata(self) -> PngFile:
        """The same picture without chunks that Pillow may have failed on."""
        chunks = [
            self.data[start - 8 : end + 4] for kind, start, end in chunks_of(self.data) if kind in (*_PIXELS, b"IEND")
        ]
        notes = (*self.notes, "metadata of the PNG cannot be read and were left out")
        return PngFile(self.data[:_SIGNATURE] + b"".join(chunks), notes)


def prepared(data: bytes) -> PngFile:
    """The file without chunks that hold no pixels and would cost it: damaged ones, and large compressed text.

    Raises CorruptMedia for a wrong checksum of what pixels are made of, UnsupportedMedia for Apple's own variant.
    """
    keep, notes, kept, texts = [data[:_SIGNATURE]], [], _SIGNATURE, 0
    for kind, start, end in chunks_of(data):
        if kind == b"CgBI":
            raise UnsupportedMedia(
                "this is a PNG as Xcode packs it into iOS apps (CgBI), which is no standard PNG; take the original, or "
                "convert it with `xcrun -sdk iphoneos pngcrush -revert-iphone-optimizations -q in.png out.png`"
            )
        texts += kind in (b"zTXt", b"iTXt")
        fault = None if kind in _UNCHECKED else _fault(data, kind, start, end, texts)
        if fault is None:
            continue
        if kind in _PIXELS or kind[:1].isupper():
            raise CorruptMedia(f"the PNG's chunk {_name(kind)} {fault}; {_AGAIN}")
        notes.append(f"the PNG's chunk {_name(kind)} {fault}; it holds no pixels and was left out")
        keep.append(data[kept : start - 8])
        kept = end + 4
    return PngFile(b"".join([*keep, data[kept:]]) if kept > _SIGNATURE else data, tuple(dict.fromkeys(notes)))


def _fault(data: bytes, kind: bytes, start: int, end: int, texts: int) -> str | None:
    """What is wrong with a chunk, or what Pillow would give up the picture for; None where it can be read. texts: how
    many compressed ones there were so far."""
    if end > len(data):
        return None if kind == b"IDAT" else "is cut"  # whether all rows are there, the decoder says
    if end + 4 <= len(data) and zlib.crc32(memoryview(data)[start - 4 : end]) != struct.unpack_from(">I", data, end)[0]:
        return "has a wrong checksum"
    if kind in (b"zTXt", b"iTXt") and texts > _MAX_TEXTS:
        return f"is one of more than {_MAX_TEXTS} texts"
    if kind in (b"zTXt", b"iTXt", b"iCCP"):
        return _unpacking_fault(kind, data[start:end])
    return None


def chunks_of(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of its data, end of its data) of each chunk up to IEND, or to where the file is cut. Raises
    LimitExceeded."""
    at, count = _SIGNATURE, 0
    while at + 8 <= len(data):
        count += 1
        check_count(count, MAX_CHUNKS, "chunks")
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, at + 8 + length
        at += 12 + length
        if kind == b"IEND":
            return


def _name(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else kind.hex(" ")


def _unpacking_fault(kind: bytes, content: bytes) -> str | None:
    """Why Pillow would not unpack a compressed text or profile chunk."""
    _, _, rest = content.partition(b"\0")  # the keyword or profile name
    if kind == b"iTXt":
        if rest[:1] != b"\x01":  # not compressed
            return None
        rest = rest[1:]
    if rest[:1] != b"\0":
        return "is compressed by an unknown method"
    packed = rest[1:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[1:]  # after language and translated keyword
    try:
        unpacker = zlib.decompressobj()
        unpacker.decompress(packed, _MAX_UNPACKED)
        return "unpacks to more than 1 MB" if unpacker.unconsumed_tail else None
    except zlib.error:
        return None


def _share_of_rows(data: bytes) -> float:
    """The share of the picture's bytes that its pixel data unpack to (1: all of them). Pillow has unpacked them before,
    up to the end or to as many rows as there should be, so that they can be."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS[colour]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sides = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes if x < width and y < height]
    expected = sum(rows * (1 + (across * bits + 7) // 8) for across, rows in sides)
    unpacker, found = zlib.decompressobj(), 0
    for kind, start, end in chunks_of(data):
        packed = data[start:end] if kind == b"IDAT" else b""
        while packed and found < expected:
            found += len(unpacker.decompress(packed, 2**20))
            packed = unpacker.unconsumed_tail
    if found < expected:
        found += len(unpacker.flush())
    return min(1.0, found / float(expected))
