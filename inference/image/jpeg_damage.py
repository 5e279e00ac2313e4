"""Whether all of a JPEG's pixels are there. libjpeg fills what is missing with grey and only warns; Pillow drops that.

A whole JPEG costs a look at its structure and at its last pixel, and a search for a run of zeros. Only where one
of them is suspicious, or where the picture comes in several scans (progressive), FFmpeg reads the file a second time:
with err_detect=explode its mjpeg decoder ends with an error where libjpeg goes on. Of what it does not read, a
whole picture does not change when its data go on.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as Pillow

from inference.errors import CorruptMedia
from inference.image import jpeg_structure, line_ends
from inference.image.jpeg_structure import END, Jpeg, Scan

_AGAIN = "export or upload the file again"
# Coded pictures look like chance: a run of 64 zero bytes is either flat picture or a hole.
HOLE = bytes(64)
# Data behind the picture's: two zero bytes, which an arithmetic coder may have left out, and then some that say much.
_MORE = bytes([0, 0, *range(1, 64)])
_TAIL = 8  # bytes; without its last ones a whole picture cannot be read
_GREY = {127, 128}  # what libjpeg puts where data are missing; 127 as inverted CMYK


@dataclass(frozen=True)
class JpegFile:
    """data: as it is decoded, with an end marker. jpeg: None where the headers lead to no picture (Pillow says why)."""

    data: bytes
    jpeg: Jpeg | None
    notes: tuple[str, ...] = ()
    ended: bool = True

    def check(self, image: Pillow.Image) -> None:
        """Raise CorruptMedia where parts of the picture are missing. image: as decoded, at any scale."""
        if self.jpeg is not None:
            _check(self, self.jpeg, image)

    @property
    def at_once(self) -> bool:
        """Arithmetic-coded ones: libjpeg does not take them in pieces."""
        return self.jpeg is not None and self.jpeg.arithmetic

    def without_metadata(self) -> JpegFile:
        """The same picture without segments that Pillow may have failed on."""
        file = prepared(jpeg_structure.without_metadata(self.data))
        return replace(
            file, notes=(*self.notes, "metadata of the JPEG cannot be read and were left out"), ended=self.ended
        )


def prepared(data: bytes) -> JpegFile:
    """A JPEG with what Pillow wants and a picture does not need: the end marker, and the height in its header."""
    jpeg = jpeg_structure.read(data)
    if jpeg is None:
        return JpegFile(data, None)
    start = jpeg.scans[0].start
    notes: tuple[str, ...] = ()
    ended = data.rfind(END, start) >= 0
    if not ended:
        data, notes = data + END, ("the JPEG lacks its end marker, and nothing else",)
    if jpeg.arithmetic and not jpeg.restart:
        notes += ("the JPEG is arithmetic-coded: whether all of it is there cannot be told",)
    if jpeg.height == 0:  # it follows the first scan, in a DNL segment (T.81, B.2.5), which libjpeg does not read
        at = data.find(b"\xff\xdc\x00\x04", start)
        if at >= 0:
            data = data[: jpeg.height_at] + data[at + 4 : at + 6] + data[jpeg.height_at + 2 :]
            jpeg.height = struct.unpack_from(">H", data, jpeg.height_at)[0]
    return JpegFile(data, jpeg, notes, ended)


def _check(file: JpegFile, jpeg: Jpeg, image: Pillow.Image) -> None:
    data, start = file.data, jpeg.scans[0].start
    grey = _is_grey_at(image, image.width - 1, image.height - 1)
    changed = line_ends.are_alike(data)
    if changed:
        line_ends.check(data, "image/jpeg")
    doubtful = grey or changed or not file.ended or not jpeg.in_one_scan or _has_grey_interval(jpeg, image)
    zeros = data.find(HOLE, start)
    if not doubtful and zeros < 0 and not jpeg.restart:
        return
    marker, end = _end(data, jpeg)
    holed = [scan for scan in jpeg.scans if data.find(HOLE, scan.start, min(scan.end, end)) >= 0] if zeros >= 0 else []
    if not jpeg.in_one_scan and jpeg.lacks():
        raise _missing("the JPEG's last scans are missing: what is there shows the picture only coarsely")
    if jpeg.restart and jpeg.in_one_scan and not _restarts_in_order(data, jpeg, end):
        raise _missing("the JPEG's restart markers are not those of a whole picture: parts of its data are missing")
    if any(_is_hole(data, jpeg, scan) for scan in holed):
        raise _missing("the JPEG's data have a hole of zeros")
    if jpeg.arithmetic and file.ended:
        return  # its coder leaves out zeros at the end (T.81, D.1.8): cut data are another valid picture
    if doubtful or 0 <= zeros < marker:
        holed = holed if file.ended else []  # without an end marker, text may follow the picture
        # Zeros at the end that are picture are no more than it needs; in one of a single colour, nobody misses any.
        flat = holed if image.getcolors(1) else [*holed, jpeg.scans[-1]]
        ends = ((at, holed if at <= end else flat) for at in _ends(data, jpeg, marker, end))
        if not any(_is_whole(data[:at], jpeg.arithmetic, scans) for at, scans in ends):
            if changed:
                raise line_ends.changed("image/jpeg")
            raise _missing(_what_is_there(image) if grey else "parts of the JPEG's data are missing or overwritten")


def _ends(data: bytes, jpeg: Jpeg, marker: int, end: int) -> tuple[int, ...]:
    """Where the coded data may end: zeros before the marker are filling, flat picture, or either."""
    if marker - end < len(HOLE):
        return (marker,)
    return (marker, end) if jpeg.zeros_are_flat(data, jpeg.scans[-1]) else (end,)


def _is_whole(data: bytes, arithmetic: bool, holed: list[Scan]) -> bool:
    """Whether coded data without end marker are read to the last pixel, and each scan with a hole to its own end."""
    reads = None if arithmetic else _reads(data + END)
    if reads is None:  # a whole picture stays as it is when its data go on
        return _decoded(data + END) == _decoded(data + _MORE + END)
    ends = [min(scan.end, len(data)) for scan in holed]
    return reads and not any(_reads(data[: end - _TAIL] + data[end:] + END) for end in ends)


def _decoded(data: bytes) -> bytes:
    from PIL import JpegImagePlugin  # lazily, as Pillow does

    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data), "")
    image.decodermaxblock = len(data)
    return image.tobytes()


def _is_grey_at(image: Pillow.Image, x: int, y: int) -> bool:
    value = image.getpixel((x, y))
    return set(value if isinstance(value, tuple) else (value,)) <= _GREY


def _has_grey_interval(jpeg: Jpeg, image: Pillow.Image) -> bool:
    """Whether a row ends in grey where each is an interval between restart markers, from which the next goes on."""
    if not jpeg.restart or not jpeg.in_one_scan or jpeg.restart % jpeg.mcus_across():
        return False
    edge = np.asarray(image.crop((image.width - 1, 0, image.width, image.height))).reshape(image.height, -1)
    return bool(((edge == 127) | (edge == 128)).all(axis=1).any())


def has_hole(data: bytes) -> bool:
    """Whether a JPEG stream (a strip of a TIFF) with a run of zeros in it is damaged there."""
    file = prepared(data)
    if file.jpeg is None:
        return False
    marker, end = _end(file.data, file.jpeg)
    scan = file.jpeg.scans[0]
    return file.data.find(HOLE, scan.start, end) >= 0 and (
        _is_hole(file.data, file.jpeg, scan) or not _is_whole(file.data[:marker], file.jpeg.arithmetic, [scan])
    )


def _missing(what: str) -> CorruptMedia:
    return CorruptMedia(f"{what}; {_AGAIN}")


def _end(data: bytes, jpeg: Jpeg) -> tuple[int, int]:
    """Where the coded data end: (before the end marker; before zeros that fill the rest, but for two bytes, which may
    belong to the last block)."""
    last = jpeg.scans[-1].start
    coded = data[last : data.find(END, last)].rstrip(b"\xff")  # filling as well: as a value, FF has 00 behind it
    return last + len(coded), last + min(len(coded), len(coded.rstrip(b"\0")) + 2)


def _is_hole(data: bytes, jpeg: Jpeg, scan: Scan) -> bool:
    """Whether a run of zeros in a scan cannot be flat picture."""
    return jpeg.arithmetic or not jpeg.zeros_are_flat(data, scan)


def _restarts_in_order(data: bytes, jpeg: Jpeg, end: int) -> bool:
    """Whether the restart markers count 0 to 7 in turn, one between each two intervals (T.81, E.1.4)."""
    coded = np.frombuffer(data, np.uint8, end - jpeg.scans[0].start, jpeg.scans[0].start)
    after = coded[np.flatnonzero(coded[:-1] == 0xFF) + 1]
    numbers = after[(after >= 0xD0) & (after <= 0xD7)] - 0xD0
    expected = -(-jpeg.mcus() // jpeg.restart) - 1
    return len(numbers) >= expected and bool((numbers[:expected] == np.arange(expected) % 8).all())


def _reads(data: bytes) -> bool | None:
    """Whether FFmpeg reads the picture without an error; None for kinds that it does not read."""
    import av  # lazily: only a suspicious picture needs it

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    decoder.thread_count = 1
    try:
        return bool(decoder.decode(av.Packet(data)) + decoder.decode(None))
    except av.error.PatchWelcomeError:
        return None
    except av.FFmpegError:
        return False


def _what_is_there(image: Pillow.Image) -> str:
    pixels = np.asarray(image)
    filled = ((pixels == 127) | (pixels == 128)).reshape(len(pixels), -1).all(axis=1)
    share = 1 - int(np.argmin(filled[::-1])) / len(filled) if not filled.all() else 0
    return f"the JPEG's pixel data end after about {share:.0%} of the picture"
