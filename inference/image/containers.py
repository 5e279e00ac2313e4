"""Files as the decoders read them right: which picture of several, and headers that a decoder knows only by half.

Nothing here decodes. Every step reads headers within bounds, and gives the file back as it was where nothing is wrong.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image.limits import Limits, check_count, check_size
from inference.image.sniff import EXPECTED

# What Pillow's AVIF reader goes by: the first brand alone.
_PILLOWS_AVIF = (b"avif", b"avis", b"mif1", b"msf1")
_NETPBM = re.compile(
    rb"P([56])(?:\s|#[^\r\n]*+[\r\n])++(\d++)(?:\s|#[^\r\n]*+[\r\n])++(\d++)(?:\s|#[^\r\n]*+[\r\n])++(\d++)\s"
)
_OS2_HEADER = 64
# Brands of ISO/IEC 15444-3 and -6.
_OTHER_JPEG2000 = {
    b"mjp2": "a Motion JPEG 2000 video: convert it to MP4",
    b"mj2s": "a Motion JPEG 2000 video: convert it to MP4",
    b"jpm ": "a JPM document: save its pages as pictures",
}


def prepared(data: bytes, media_type: str, limits: Limits) -> tuple[bytes, int | None, str]:
    """(the file for the decoder, how many pictures it holds or None where the decoder says, a note or "").

    Raises UnsupportedMedia (camera raw), CorruptMedia, LimitExceeded.
    """
    if media_type == "image/tiff":
        from inference.image.tiff_pages import MAX_PARTS, choose  # lazily: most pictures are no TIFF

        chosen = choose(data)
        if chosen.page:  # before Pillow lists the parts: twenty million of them take it a minute and six gigabytes
            check_size(*chosen.page.size, limits)
            check_count(chosen.page.parts, MAX_PARTS, "strips or tiles")
        return chosen.data, chosen.pages, chosen.note
    if media_type == "image/bmp":
        return _with_known_header(data), None, ""
    if media_type == "image/avif" and data[8:12] not in _PILLOWS_AVIF:
        return data[:8] + b"avif" + data[12:], None, ""
    if media_type == "image/x-portable-anymap":
        full, note = _with_full_range(_with_one_line_end(data), limits)
        return full, None, note
    if media_type == "image/jp2":
        if data[20:24] in _OTHER_JPEG2000:
            raise UnsupportedMedia(f"this is {_OTHER_JPEG2000[data[20:24]]}; {EXPECTED}")
        from inference.image.jpeg2000 import check_jpeg2000  # lazily: few pictures are JPEG 2000

        check_jpeg2000(data, limits)
    return data, None, ""


def _with_known_header(data: bytes) -> bytes:
    """A BMP whose OS/2 2.x header is shorter than 64 bytes, filled up with the zeros that it leaves out.

    OS/2's BITMAPINFOHEADER2 may end after any of its fields from the bits a pixel on (16 bytes).
    """
    (size,) = struct.unpack_from("<I", data, 14)
    if not 16 <= size < _OS2_HEADER or size in (40, 52, 56):
        return data
    added = _OS2_HEADER - size
    offset = struct.unpack_from("<I", data, 10)[0] + added
    header = data[:10] + struct.pack("<II", offset & 0xFFFFFFFF, _OS2_HEADER) + data[18 : 14 + size]
    return header + bytes(added) + data[14 + size :]


def _with_one_line_end(data: bytes) -> bytes:
    """A binary PGM or PPM whose header Windows' text mode wrote: its values begin behind two bytes, as the size of the
    file shows, and not behind the one that the format knows."""
    head = _NETPBM.match(data)
    if head is None or data[head.end() - 1 : head.end() + 1] != b"\r\n":
        return data
    width, height, most = (int(digits[:11]) for digits in head.groups()[1:])
    size = width * height * (3 if head[1] == b"6" else 1) * (2 if most > 255 else 1)
    return data[: head.end() - 1] + data[head.end() :] if len(data) == head.end() + 1 + size else data


def _with_full_range(data: bytes, limits: Limits) -> tuple[bytes, str]:
    """(a binary PGM or PPM whose highest value is no full 8 or 16 bits, scaled to that; a note or "").

    Pillow does it too, in Python, at 15 s for 12 megapixels. Of deep colours it keeps 8 bits: those that use little of
    their range are stretched here.
    """
    head = _NETPBM.match(data)
    if head is None:
        return data, ""
    # A number of more than ten digits is none for Pillow either.
    width, height, most = (int(digits[:11]) for digits in head.groups()[1:])
    colour = head[1] == b"6"
    if not 0 < most < 65536 or most == 255 or (most == 65535 and not colour):
        return data, ""
    check_size(width, height, limits)
    count = width * height * (3 if colour else 1)
    kind = ">u2" if most > 255 else "u1"
    if len(data) - head.end() < count * np.dtype(kind).itemsize:
        raise CorruptMedia(f"the header says {width} x {height} pixels, and the file ends before; upload it again")
    values = np.minimum(np.frombuffer(data, kind, count, head.end()), most)
    top, out = (65535, ">u2") if most > 255 and not colour else (255, "u1")
    notes: list[str] = []
    if most > 255 and colour:
        from inference.image.deep import Scale, to_8_bits  # lazily: not of every picture

        scale = Scale(full=float(most))
        scaled = to_8_bits(values.reshape(height, width, 3).astype(np.uint16), scale, notes).tobytes()
    else:
        scaled = np.round(values.astype(np.float32) * (top / most)).astype(out).tobytes()
    return b"P%s\n%d %d\n%d\n" % (head[1], width, height, top) + scaled, "; ".join(notes)
