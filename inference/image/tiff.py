"""Pillow's TIFF reader where it takes samples for what they are not, and what a TIFF says of its samples.

Found by writing every combination of sample format, bits, planes, compression, predictor, byte order, fill order and
tiles and comparing (Pillow 13.0): its own reader of uncompressed files takes planes by the letters of a raw mode, so
that those of 16 bits come out as stripes, and knows the fill order of few; libtiff, which it uses for compressed ones,
gives numbers in the machine's byte order, which only some raw modes are told. Tags by TIFF 6.0.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL.TiffImagePlugin import TiffImageFile

from inference.image import jpeg_structure

_WIDTH, _HEIGHT, _ORIENTATION, _ROWS, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 274, 278, 317, 322, 323
_PLACES = (273, 279, 324, 325)  # of strips and tiles, and their sizes in bytes
_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _PLANAR = 258, 259, 262, 266, 277, 284
_MIN, _MAX, _EXTRA, _FORMAT, _SMIN, _SMAX, _NODATA = 280, 281, 338, 339, 340, 341, 42113
_FAX, _OLD_JPEG, _JPEG = (2, 3, 4), 6, 7
_UNSIGNED, _SIGNED = 1, 2


class Tiff(TiffImageFile):
    """A TIFF whose directory is set up so that the samples come out right.

    white_is_zero: the deep grey numbers are still to be inverted (Pillow inverts up to 8 bits itself). premultiplied:
    the colours are, by their alpha, and are given as they are (Pillow would divide). notes: what was assumed of this
    directory.
    """

    white_is_zero: bool = False
    premultiplied: bool = False
    notes: tuple[str, ...] = ()

    def _setup(self) -> None:
        """Called by Pillow for every directory that is sought. Raises what Pillow's does."""
        self.white_is_zero, self.premultiplied, self.notes = False, False, ()
        tags = self.tag_v2
        self._say_photometric()
        if tags.get(_PHOTOMETRIC) == 0 and max(tags.get(_BITS, (1,))) > 8:
            self.white_is_zero = True
            tags[_PHOTOMETRIC] = 1
        extra = tuple(tags.get(_EXTRA, ()))
        self.premultiplied = extra[:1] == (1,)
        if self.premultiplied:
            tags[_EXTRA] = (2, *extra[1:])
        if self.in_planes:
            self._leave_out_planes()
        rawmode, disguise = self._as_pillow_knows_it()
        said = {tag: tags.get(tag) for tag in disguise}
        self._set(disguise)
        super()._setup()
        self._set(said)
        self._in_native_order(rawmode)

    def _set(self, values: Mapping[int, Any]) -> None:
        for tag, value in values.items():
            if value is None:
                self.tag_v2.pop(tag, None)
            else:
                self.tag_v2[tag] = value

    def _as_pillow_knows_it(self) -> tuple[str, dict[int, Any]]:
        """(raw mode of what Pillow has no name for, tags that it is shown while it looks for the way to read)."""
        tags = self.tag_v2
        kind = tags.get(_SAMPLES, 1), self.bits, _first(self, _FORMAT, _UNSIGNED)
        shown: dict[int, Any] = {_FILL_ORDER: 1}  # libtiff turns the bits
        rawmode = {(1, 64, 3): "F;64NF", (1, 32, _UNSIGNED): "I;32N"}.get(kind, "")
        if rawmode == "F;64NF":
            shown[_BITS] = (32,)
        elif rawmode:
            shown[_FORMAT] = (_SIGNED,)
        if tags.get(_COMPRESSION, 1) == 1 and (self.in_planes or tags.get(_FILL_ORDER, 1) == 2 or rawmode):
            shown[_COMPRESSION] = 8  # so that libtiff reads it, which takes the real value from the file
        return rawmode, shown

    def check_scans(self, data: bytes) -> None:
        """Raises LimitExceeded where a strip or tile is a JPEG with more scans than any picture needs. data: the file's
        bytes."""
        tags = self.tag_v2
        if tags.get(_COMPRESSION) == _OLD_JPEG:  # its scans lie anywhere
            jpeg_structure.check_scans(data)
        elif tags.get(_COMPRESSION) == _JPEG:
            for places, sizes in (_PLACES[:2], _PLACES[2:]):
                for start, size in zip(tags.get(places, ()), tags.get(sizes, ()), strict=False):
                    jpeg_structure.check_scans(data[start : start + size])

    def load(self) -> Any:
        """As Pillow's, but for RGBA in planes, which it divides by an alpha that nothing says is unassociated."""
        divided = self.tile and self.mode == "RGBA" and self.in_planes
        result = super().load()
        if divided and (self.premultiplied or not self.tag_v2.get(_EXTRA)):
            self.paste(Pillow.merge("RGBA", [_high_bytes(plane(self, i)) for i in range(4)]))
        return result

    @property
    def unsigned_32(self) -> bool:
        """Whether the numbers, which Pillow holds as int32, are uint32."""
        return self.bits == 32 and _first(self, _FORMAT, _UNSIGNED) == _UNSIGNED

    @property
    def signed_8(self) -> bool:
        """Whether the numbers, which Pillow takes for 0..255, are -128..127."""
        return self.bits == 8 and _first(self, _FORMAT, _UNSIGNED) == _SIGNED

    @property
    def in_planes(self) -> bool:
        """Whether each channel lies in a plane of its own."""
        return _first(self, _PLANAR, 1) == 2

    @property
    def bits(self) -> int:
        """Of a sample."""
        return _first(self, _BITS, 1)

    @property
    def stated_range(self) -> tuple[float, float] | None:
        """(lowest, highest) that the file says its samples have; None where it says none."""
        for low_tag, high_tag in ((_SMIN, _SMAX), (_MIN, _MAX)):
            low, high = _numbers(self, low_tag), _numbers(self, high_tag)
            if high:
                found = min(low, default=0.0), max(high)
                if math.isfinite(found[0]) and math.isfinite(found[1]) and found[0] < found[1]:
                    return found
        return None

    @property
    def nodata(self) -> float | None:
        """The number that stands for "nothing was measured here" (GDAL_NODATA, text); None where there is none."""
        text = self.tag_v2.get(_NODATA)
        try:
            return float(str(text).strip(" \0")) if text is not None else None
        except ValueError:
            return None

    def _say_photometric(self) -> None:
        """Where it is left out, as libtiff guesses it (TIFFRGBAImageBegin): Pillow takes grey for inverted."""
        tags = self.tag_v2
        compression = tags.get(_COMPRESSION, 1)
        if _PHOTOMETRIC in tags or compression in (6, 7):
            return
        tags[_PHOTOMETRIC] = 2 if tags.get(_SAMPLES, 1) >= 3 else 0 if compression in _FAX else 1
        if compression not in _FAX:
            self.notes += ("the TIFF does not say what its samples mean: read as RGB, or as grey with 0 for black",)

    def _leave_out_planes(self) -> None:
        """Planes that Pillow reads only interleaved with the others: alpha of grey, and what follows the alpha."""
        tags = self.tag_v2
        extra, samples = tuple(tags.get(_EXTRA, ())), tags.get(_SAMPLES, 1)
        if samples == 2 and extra == (2,):
            tags[_EXTRA] = (0,)
            self.notes += ("its transparency lies in a plane of its own and was left out",)
        elif len(extra) > 1 and extra[0] and not any(extra[1:]):
            unused = len(extra) - 1
            tags[_EXTRA], tags[_SAMPLES], tags[_BITS] = extra[:1], samples - unused, tags[_BITS][:-unused]

    def _in_native_order(self, known: str) -> None:
        """The numbers that libtiff gives have the machine's byte order. known: the raw mode, or "" for Pillow's."""
        if len(self.tile) != 1 or self.tile[0].codec_name != "libtiff" or not isinstance(self.tile[0].args, tuple):
            return
        rawmode, *others = self.tile[0].args
        native = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "I;32S": "I;32NS", "I;16S": "I;16NS",
                  "F;32BF": "F;32NF", "F;32F": "F;32NF"}.get(rawmode, rawmode)  # fmt: skip
        self.tile = [self.tile[0]._replace(args=(known or native, *others))]


def _high_bytes(image: TiffImageFile) -> Pillow.Image:
    values = np.asarray(image)
    return Pillow.fromarray(values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8))


def plane(image: Tiff, number: int) -> Tiff:
    """One of the planes of an image whose channels lie in planes, as a grey image of the full depth: the same file with
    a directory of its own. image: of a file in memory. Raises what Pillow's decoders raise."""
    tags, order = image.tag_v2, "<" if image.tag_v2.prefix == b"II" else ">"
    across, down = tags.get(_TILE_WIDTH, tags[_WIDTH]), tags.get(_TILE_HEIGHT, tags.get(_ROWS, tags[_HEIGHT]))
    count = -(-tags[_WIDTH] // max(across, 1)) * -(-tags[_HEIGHT] // max(down, 1))
    entries: dict[int, tuple[int, ...]] = {_PHOTOMETRIC: (1,), _SAMPLES: (1,), _BITS: (image.bits,)}
    for tag in (_WIDTH, _HEIGHT, _COMPRESSION, _FILL_ORDER, _ROWS, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _ORIENTATION):
        if tag in tags:
            entries[tag] = (tags[tag],)
    for tag in _PLACES:
        if tag in tags:
            entries[tag] = tuple(tags[tag][number * count : (number + 1) * count])
    assert image.fp is not None
    image.fp.seek(0)
    file = image.fp.read()
    start, outside = len(file) + len(file) % 2, b""
    table = struct.pack(f"{order}H", len(entries))
    for tag, values in sorted(entries.items()):
        content = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            place = start + 2 + 12 * len(entries) + 4 + len(outside)
            outside, content = outside + content, struct.pack(f"{order}I", place)
        table += struct.pack(f"{order}HHI", tag, 4, len(values)) + content
    # Of BigTIFF, too: what it points to stays in place.
    head = struct.pack(f"{order}2sHI", tags.prefix, 42, start)
    parts = (head, memoryview(file)[8:], bytes(len(file) % 2), table, bytes(4), outside)
    return Tiff(io.BytesIO(b"".join(parts)))


def _first(image: TiffImageFile, tag: int, default: int) -> int:
    value = image.tag_v2.get(tag, default)
    return int(value[0]) if isinstance(value, tuple) else int(value)


def _numbers(image: TiffImageFile, tag: int) -> list[float]:
    value = image.tag_v2.get(tag, ())
    values = value if isinstance(value, tuple) else (value,)
    return [float(v) for v in values if isinstance(v, int | float)]
