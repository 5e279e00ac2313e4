"""A GIF's blocks (GIF89a, CompuServe 1990): texts are left out unread, and pictures counted, both within bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inference.image.limits import check_count

# Blocks and their parts. Each costs a tenth of a microsecond here and eighty bytes in Pillow. A part has 255 bytes
# wherever the encoder had so many, so that a picture of 50 MB has fewer.
MAX_PARTS = 200_000
# Comments, profiles and XMP before the first picture.
MAX_TEXT = 2**20
_HEADER = 13  # bytes; the global table of colours follows
_TABLE, _TABLE_SIZE = 128, 7
_CONTROL = 0xF9  # which colour is transparent
_NEXT = re.compile(rb"[!,;]")


@dataclass(frozen=True)
class Counted:
    """The pictures of a GIF: `pictures` at least, and no more where it is all that there are."""

    pictures: int
    all: bool


def without_texts(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """(the file without what stands before its first picture, where that is more than MAX_TEXT; notes on that).

    Raises LimitExceeded for more than MAX_PARTS of it.
    """
    start = at = _HEADER + _table(data[10:11])
    left, kept = MAX_PARTS, list[bytes]()
    while (found := _NEXT.search(data, at)) and found.group() == b"!":
        at, left = _behind_parts(data, found.start() + 2, left)
        check_count(MAX_PARTS - left, MAX_PARTS, "parts of blocks before its first picture")
        if data[found.start() + 1 : found.start() + 2] == bytes([_CONTROL]):
            kept.append(data[found.start() : at])
    picture = found.start() if found else len(data)
    gone = picture - start - sum(map(len, kept))
    if gone <= MAX_TEXT:
        return data, ()
    note = f"{gone:,} bytes of texts before the GIF's picture hold no pixels and were left out"
    return b"".join([data[:start], *kept, data[picture:]]), (note,)


def count(data: bytes) -> Counted:
    """How many pictures begin in the file, counted over MAX_PARTS of it."""
    at, left, pictures = _HEADER + _table(data[10:11]), MAX_PARTS, 0
    while (found := _NEXT.search(data, at)) and found.group() != b";":
        at = found.start() + 2
        if found.group() == b",":
            flags = data[found.start() + 9 : found.start() + 10]
            if not flags:
                break
            pictures += 1
            at = found.start() + 10 + _table(flags) + 1
        at, left = _behind_parts(data, at, left)
        if left < 0:
            return Counted(pictures, all=False)
    return Counted(pictures, all=True)


def _table(flags: bytes) -> int:
    """Bytes of the table of colours that these flags announce."""
    return 3 << (flags[0] & _TABLE_SIZE) + 1 if flags and flags[0] & _TABLE else 0


def _behind_parts(data: bytes, at: int, left: int) -> tuple[int, int]:
    """(the place behind the parts that begin at one, how many more may be looked at: below 0 where it was given up)."""
    left -= 1
    while at < len(data) and data[at] and left >= 0:
        at += 1 + data[at]
        left -= 1
    return at + 1, left
