"""Videos of JPEGs in a row (MJPEG), told from photos behind which a phone puts further pictures."""

from __future__ import annotations

import re
import struct

# Three pictures of a stream have to lie in so many bytes: 4 MiB are what storage sends first.
JPEG_BYTES = 4 * 2**20
_START = b"\xff\xd8\xff"
_END = b"\xff\xd9"
# Between two pictures: filling, line ends, or the boundary and headers of a multipart answer.
_GAP_BYTES = 1024
_MULTIPART = re.compile(
    rb"\s*--[!-~]{1,70}[ \t]*\r?\n(?:[!-~]{1,100}:[^\r\n]{0,500}\r?\n)*?content-type:[ \t]*image/jpe?g", re.IGNORECASE
)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def is_multipart(head: bytes) -> bool:
    """Whether it is what a camera answers: JPEGs, each behind a boundary and its headers."""
    found = _MULTIPART.match(head)
    return found is not None and b"content-disposition" not in found[0].lower() and _START in head


def is_jpeg_stream(head: bytes) -> bool:
    """Whether three JPEGs of one size follow each other within `head` (its first JPEG_BYTES; fewer show less).

    A photo may have others behind it: previews, gain and depth maps, of other sizes, or announced by its MPF segment;
    a single one of its own size is the same photo without effects.
    """
    if not head.startswith(_START):
        return False
    first = _frame(head, 0)
    at = 0
    for _ in range(2):
        frame = _frame(head, at)
        if frame is None or first is None or frame[0] != first[0]:
            return False
        start = head.find(_START, frame[1])
        if start < 0 or not _is_gap(head, frame[1], start):
            return False
        at = start
    last = _frame(head, at)
    return last is not None and first is not None and last[0] == first[0]


def _is_gap(head: bytes, scan: int, start: int) -> bool:
    """Whether the picture whose pixels begin at `scan` ends shortly before the next one begins."""
    end = head.find(_END, scan, start)
    if end < 0 or start - end > _GAP_BYTES:
        return False
    between = head[end + 2 : start]
    return not between.strip(b"\0\xff\r\n") or _MULTIPART.match(between) is not None


def _frame(head: bytes, at: int) -> tuple[bytes, int] | None:
    """(size and number of components, where the pixels begin) of the JPEG there; None where it says that it belongs to
    others (MPF), or its segments do not lead to pixels."""
    size, at = b"", at + 2
    while head[at : at + 1] == b"\xff" and at + 4 <= len(head):
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", head, at + 2)
        content = head[at + 4 : at + 2 + length]
        if marker == 0xE2 and content.startswith(b"MPF\0"):
            return None
        if marker in _FRAMES:
            size = content[1:6]
        at += 2 + length
        if marker == 0xDA:
            return (size, at) if size else None
    return None
