"""The kinds of video that are read: how each begins, what it is called, and which of FFmpeg's demuxers reads it.

The only list: what a file is taken for, and what a reader opens, both follow from it. None of these demuxers opens a
file or an address that the video names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from inference.image.annex_b import is_h264, is_h265
from inference.image.jpeg_stream import is_jpeg_stream, is_multipart
from inference.image.ogg import is_ogg_video
from inference.image.transport_stream import is_cut_transport_stream, is_transport_stream


class VideoKind(NamedTuple):
    """media_type: IANA's where there is one. demuxer: FFmpeg's name. timed: whether the file says when its pictures
    are shown; else they are counted at a rate."""

    media_type: str
    demuxer: str
    timed: bool = True


def is_printed(head: bytes) -> bool:
    """Whether no byte is a control character: as in a text, which may begin like a container."""
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)


def _is_mp4(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] != b"qt  "


def _is_quicktime(head: bytes) -> bool:
    atoms = (b"moov", b"mdat", b"wide", b"free", b"skip")
    return head[4:12] == b"ftypqt  " or (head[4:8] in atoms and not is_printed(head[:128]))


def _is_mpeg4_stream(head: bytes) -> bool:
    """MPEG-4 part 2: a visual object sequence, or a video object and its layer (an icon begins with 00 00 01 00)."""
    return head.startswith(b"\0\0\x01\xb0") or (head[:3] == head[4:7] == b"\0\0\x01" and head[3] < 32 <= head[7] < 48)


def _is_dv(head: bytes) -> bool:
    """The sections of a DIF sequence, 80 bytes each: header, two of subcode, three of VAUX (IEC 61834-2)."""
    sections = [head[at] & 0xE0 for at in (0, 80, 160, 240, 320, 400)] if len(head) >= 480 else []
    return head.startswith(b"\x1f\x07\0") and sections == [0, 0x20, 0x20, 0x40, 0x40, 0x40]


def _is_av1_stream(head: bytes) -> bool:
    """A temporal delimiter, then a sequence header with its size (AV1, 5.3)."""
    return head[:3] == b"\x12\0\x0a" and 4 < head[3] < 64


_PARTITION = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02"

# A pack header with the bits that are always set (ISO/IEC 11172-1 and 13818-1, 2.5.3.3), and the start code behind it.
_PACK = re.compile(
    rb"\0\0\x01\xba(?:[\x21\x23\x25\x27\x29\x2b\x2d\x2f].[\x01-\xff].[\x01-\xff][\x80-\xff].[\x01-\xff]"
    rb"|[\x44-\x47\x4c-\x4f\x54-\x57\x5c-\x5f\x64-\x67\x6c-\x6f\x74-\x77\x7c-\x7f].{8}[\xf8-\xff]\xff*)"
    rb"\0\0\x01[\xb9-\xff]",
    re.DOTALL,
)

# A packet of sound, of pictures or of filling, with its length.
_PES = re.compile(rb"(?=\0\0\x01[\xbd-\xef](..))", re.DOTALL)


def _is_within_programme(head: bytes) -> bool:
    """Whether a pack begins in it, or packets whose lengths lead from one to the next."""
    lengths = {match.start(): int.from_bytes(match[1], "big") for match in _PES.finditer(head)}
    return _PACK.search(head) is not None or any(at + 6 + length in lengths for at, length in lengths.items())


_MJPEG = VideoKind("video/x-mjpeg", "mjpeg", timed=False)
# The first that fits counts.
_KINDS: tuple[tuple[VideoKind, Callable[[bytes], bool] | tuple[bytes, ...]], ...] = (
    (VideoKind("video/mp4", "mov"), _is_mp4),
    (VideoKind("video/quicktime", "mov"), _is_quicktime),
    (VideoKind("video/webm", "matroska"), lambda head: head[:4] == b"\x1aE\xdf\xa3" and b"webm" in head[:64]),
    (VideoKind("video/x-matroska", "matroska"), (b"\x1aE\xdf\xa3",)),
    (VideoKind("video/x-msvideo", "avi"), lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI "),
    (VideoKind("video/x-flv", "flv"), (b"FLV\x01",)),
    (VideoKind("video/x-ms-wmv", "asf"), (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",)),
    (VideoKind("video/ogg", "ogg"), is_ogg_video),
    (VideoKind("video/x-mxf", "mxf"), (_PARTITION,)),
    (VideoKind("video/x-ivf", "ivf"), (b"DKIF\0\0\x20\0",)),
    (VideoKind("video/x-yuv4mpeg", "yuv4mpegpipe"), (b"YUV4MPEG2 ",)),
    (VideoKind("video/dv", "dv"), _is_dv),
    (VideoKind("video/mpeg", "mpeg"), (b"\0\0\x01\xba",)),
    (VideoKind("video/mpeg", "mpegvideo", timed=False), (b"\0\0\x01\xb3",)),
    (VideoKind("video/mp4v-es", "m4v", timed=False), _is_mpeg4_stream),
    (VideoKind("video/h264", "h264", timed=False), is_h264),
    (VideoKind("video/h265", "hevc", timed=False), is_h265),
    (VideoKind("video/av1", "obu", timed=False), _is_av1_stream),
    (_MJPEG, is_multipart),
    (VideoKind("video/mp2t", "mpegts"), is_transport_stream),
)
# Of files that begin before their first packet, or within it, as the later ones of a recorder do.
_WITHIN: tuple[tuple[VideoKind, Callable[[bytes], bool]], ...] = (
    (VideoKind("video/mp2t", "mpegts"), is_cut_transport_stream),
    (VideoKind("video/mpeg", "mpeg"), _is_within_programme),
    (VideoKind("video/x-mxf", "mxf"), lambda head: _PARTITION in head),
)
KINDS = tuple(kind for kind, _ in (*_KINDS, *_WITHIN))


def video_kind(head: bytes) -> VideoKind | None:
    """The kind of video that the first bytes (`head_of` in sniff.py) show; None for anything else.

    Pictures in ISO's container (HEIC, AVIF) are told apart before."""
    if head.startswith(b"\xff\xd8\xff"):
        return _MJPEG if is_jpeg_stream(head) else None
    for kind, begins in _KINDS:
        if head.startswith(begins) if isinstance(begins, tuple) else begins(head):
            return kind
    from inference.image.other_kinds import is_signed  # lazily: few files come this far

    return None if is_signed(head) else next((kind for kind, is_within in _WITHIN if is_within(head)), None)
