"""The boxes of MP4 and QuickTime files, one after another (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from inference.errors import LimitExceeded

# What such a file may begin with.
_FIRST = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip"})
# More than the fragments of the longest recordings; a file of empty boxes has any number.
MAX_BOXES = 1_000_000


class Box(NamedTuple):
    """content: where what is in it begins; end: where it says that it ends, which may be past the end of the file. In
    bytes from the start of the file."""

    kind: bytes
    content: int
    end: int


def has_boxes(head: bytes) -> bool:
    """Whether a file that begins so (8 bytes or more) is made of boxes."""
    return head[4:8] in _FIRST


def boxes(file: BinaryIO, within: Box | None = None) -> Iterator[Box]:
    """The outermost boxes of a file, or those within a box; up to the first whose size makes no sense.

    Moves the file's position, which others may move meanwhile. Raises LimitExceeded for more than MAX_BOXES.
    """
    at, end = 0, file.seek(0, os.SEEK_END)
    if within is not None:
        at, end = within.content, min(within.end, end)
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        file.seek(at)
        head = file.read(16)
        size, kind, header = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        size = size or end - at  # 0: all that is left
        if size < header:
            return
        yield Box(kind, at + header, at + size)
        at += size
    raise LimitExceeded(
        f"the video container has more than {MAX_BOXES:,} boxes in a row, which are allowed; write it anew, as by "
        "`ffmpeg -i in.mp4 -c copy out.mp4`"
    )


def movie(file: BinaryIO) -> Box | None:
    """The box `moov`, the index of a file; None where there is none."""
    return next((box for box in boxes(file) if box.kind == b"moov"), None)
