"""What a JPEG's markers say: size, tables and scans (ITU-T T.81, annex B), without decoding a pixel."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from inference.image.limits import check_count

END = b"\xff\xd9"
_SOI, _EOI, _SOS, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDD
_FRAMES = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, 0xCC}  # SOF0 to SOF15; between them: tables, and a reserved one
_PROGRESSIVE = (0xC2, 0xCA)
# In coded data, FF is followed by 00 (FF as a value), by a restart marker, or by another FF (filling before a marker).
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Decoders go through the whole picture for every scan, however little it says: thousands take minutes. Those who write
# progressive pictures write about 10.
MAX_SCANS = 100
# Each costs every reader time; the longest profile has 255.
MAX_SEGMENTS = 5000


class Scan(NamedTuple):
    """One scan: components (indexes into the frame's), band first..last of its coefficients, bits high..low, and where
    its coded data lie in the file (end: for a picture in a single scan that of the file).

    tables: the number of each component's AC table. defined: how many of the file's DHT segments come before.
    """

    components: tuple[int, ...]
    first: int
    last: int
    high: int
    low: int
    start: int
    end: int
    tables: tuple[int, ...]
    defined: int


@dataclass(eq=False, repr=False, match_args=False)
class Jpeg:
    """frame: the SOF marker (C0 baseline, C2 progressive ...). sampling: (horizontal, vertical) of each component.
    height_at: where the height stands in the file. restart: MCUs between restart markers, 0 for none."""

    frame: int = 0
    width: int = 0
    height: int = 0
    height_at: int = 0
    sampling: tuple[tuple[int, int], ...] = ()
    restart: int = 0
    scans: list[Scan] = field(default_factory=list)
    _ids: bytes = b""
    _tables: list[tuple[int, int]] = field(default_factory=list)  # where the contents of the DHT segments lie

    @property
    def arithmetic(self) -> bool:
        return self.frame >= 0xC9

    @property
    def in_one_scan(self) -> bool:
        """Whether the first scan holds all of the picture; otherwise `scans` has each."""
        return self.frame not in _PROGRESSIVE and len(self.scans[0].components) == len(self.sampling)

    def mcus_across(self) -> int:
        """MCUs in a row of a picture in one scan (T.81, A.2)."""
        across = max(across for across, _ in self.sampling) if len(self.sampling) > 1 else 1
        return -(-self.width // (8 * across))

    def mcus(self) -> int:
        """The number of MCUs of a picture in one scan."""
        down = max(down for _, down in self.sampling) if len(self.sampling) > 1 else 1
        return self.mcus_across() * -(-self.height // (8 * down))

    def zeros_are_flat(self, data: bytes, scan: Scan) -> bool:
        """Whether a long run of zero bits in a scan can be flat picture.

        Each Huffman table gives the code of all zeros to the first of its symbols (T.81, annex C); where that is no end
        of block, zeros would be blocks filled with equal coefficients. The tables of DC decide nothing (equal steps
        from block to block are a ramp), and scans that refine hold plain bits as well.
        """
        if scan.high or (scan.first == 0 and self.frame in _PROGRESSIVE):
            return True
        symbols = {}
        for start, end in self._tables[: scan.defined]:
            while start + 17 < end:
                symbols[data[start]] = data[start + 17]
                start += 17 + sum(data[start + 1 : start + 17])
        first = [symbols.get(0x10 | table, 1) for table in scan.tables]
        return all(symbol & 15 == 0 and symbol < 0xF0 for symbol in first)

    def lacks(self) -> bool:
        """Whether scans are missing: a component without data, a band of brightness never sent, or a band of which the
        lower bits did not follow."""
        missing: dict[tuple[int, int], int] = {}
        for scan in self.scans:
            for component in scan.components:
                missing.update({(component, k): scan.low for k in range(scan.first, min(scan.last, 63) + 1)})
        brightness = all((0, k) in missing for k in range(64))
        return not brightness or any((c, 0) not in missing for c in range(len(self.sampling))) or any(missing.values())


def read(data: bytes) -> Jpeg | None:
    """The structure up to the data of the first scan, or of all scans where there are several; None where the headers
    do not lead to a scan. Raises LimitExceeded for more scans or segments than any picture needs."""
    jpeg, at, segments = Jpeg(), 2, 0
    try:
        while True:
            found = _MARKER.search(data, at)
            if found is None:
                break
            at = found.start()
            marker = data[at + 1]
            if marker == _EOI or (marker == _SOI and jpeg.scans):
                break
            at, segments = at + 2, segments + 1
            check_count(segments, MAX_SEGMENTS, "segments")
            if marker == _SOI or 0xD0 <= marker <= 0xD7 or marker == 1:
                continue
            length = struct.unpack_from(">H", data, at)[0]
            _take(jpeg, marker, data, at + 2, at + length)
            at += length
            if marker == _SOS:
                check_count(len(jpeg.scans), MAX_SCANS, "scans")
                if jpeg.in_one_scan:
                    break
                at = jpeg.scans[-1].end
    except (IndexError, struct.error):  # the file ends; what was read so far counts
        pass
    return jpeg if jpeg.scans else None


def check_scans(coded: bytes) -> None:
    """Raises LimitExceeded where a JPEG stream that another file holds has more scans than any picture needs."""
    check_count(coded.count(b"\xff\xda"), MAX_SCANS, "scans in one picture")


def without_metadata(data: bytes) -> bytes:
    """The file without its APP and COM segments, but for EXIF and for Adobe's, which says what the components are."""
    keep, kept, at = [], 0, 2
    while (found := _MARKER.search(data, at)) and data[found.start() + 1] != _SOS and found.end() + 2 <= len(data):
        start, marker = found.start(), data[found.start() + 1]
        at = found.end()
        if marker != _SOI:
            at += struct.unpack_from(">H", data, at)[0]
        content = data[start + 4 : at]
        needed = content.startswith(b"Exif\0\0") or (content.startswith(b"Adobe") and len(content) >= 12)
        if (0xE0 <= marker <= 0xEF or marker == 0xFE) and not needed:
            keep.append(data[kept:start])
            kept = at
    return b"".join([*keep, data[kept:]])


def _take(jpeg: Jpeg, marker: int, data: bytes, start: int, end: int) -> None:
    """Note what the segment data[start:end] says. Raises IndexError and struct.error where it is cut."""
    if marker in _FRAMES and not jpeg.frame:
        jpeg.frame, jpeg.height_at = marker, start + 1
        _, jpeg.height, jpeg.width, count = struct.unpack_from(">BHHB", data, start)
        parts = [data[start + 6 + 3 * i : start + 9 + 3 * i] for i in range(count)]
        jpeg._ids = bytes(part[0] for part in parts)
        jpeg.sampling = tuple((part[1] >> 4, part[1] & 15) for part in parts)
    elif marker == _DRI:
        jpeg.restart = struct.unpack_from(">H", data, start)[0]
    elif marker == _DHT:
        jpeg._tables.append((start, end))
    elif marker == _SOS and jpeg.frame:
        jpeg.scans.append(_scan(jpeg, data, start, end))


def _scan(jpeg: Jpeg, data: bytes, start: int, end: int) -> Scan:
    count = data[start]
    chosen = [(data[start + 1 + 2 * i], data[start + 2 + 2 * i]) for i in range(count)]
    first, last, bits = data[start + 1 + 2 * count], data[start + 2 + 2 * count], data[start + 3 + 2 * count]
    components = tuple(jpeg._ids.find(identifier) for identifier, _ in chosen)
    progressive = jpeg.frame in _PROGRESSIVE
    high, low = (bits >> 4, bits & 15) if progressive else (0, 0)
    whole = not progressive and count == len(jpeg.sampling)
    following = None if whole else _NEXT_MARKER.search(data, end)
    return Scan(
        components, first, last if progressive else 63, high, low, end,
        following.start() if following else len(data), tuple(table & 15 for _, table in chosen), len(jpeg._tables),
    )  # fmt: skip
