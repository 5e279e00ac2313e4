"""Whether a video that cannot be decoded is encrypted, by what its container says of itself."""

from __future__ import annotations

import re
from typing import BinaryIO

from inference.image.transport_stream import packets
from inference.video.boxes import has_boxes, movie

_HEADER_BYTES = 1 << 20
# Within so many, a pack of a programme stream begins.
_PACK_BYTES = 4096
# Of an index (moov) so much is looked at: it may be larger where a clip is long, and begins with what it is of.
_INDEX_BYTES = 4 << 20
_ENTRY = re.compile(rb"stsd.{12}(encv|drmi)", re.DOTALL)
# ContentEncodings, somewhere in them ContentEncryption (RFC 9559, 5.1.4.1.31).
_MATROSKA = re.compile(rb"\x6d\x80.{1,8}\x62\x40.{1,40}\x50\x35", re.DOTALL)
# The objects of ASF that stand for encryption, content that is, extended and advanced.
_ASF = tuple(
    bytes.fromhex(guid)
    for guid in (
        "fbb3112223bdd211b4b700a0c955fc6e",
        "14e68a292226174cb935dae07ee9289c",
        "338505438169e6499b74ad12cb86d58c",
    )
)
_MXF = b"\x06\x0e\x2b\x34\x04\x01\x01\x07\x0d\x01\x03\x01\x02\x0b\x01\0"
# A packet of a video in a programme stream whose header says that it is scrambled, as on DVDs.
_SCRAMBLED = re.compile(rb"\0\0\x01[\xe0-\xef]..[\x90-\xbf]", re.DOTALL)
_CLEAR = re.compile(rb"\0\0\x01[\xe0-\xef]..[\x80-\x8f]", re.DOTALL)


def encryption(file: BinaryIO) -> str | None:
    """How it is encrypted, in words; None where it does not say so. Reads a few megabytes at most."""
    file.seek(0)
    head = file.read(16)
    if has_boxes(head):
        entry = _ENTRY.search(_index(file))
        return None if entry is None else "FairPlay" if entry[1] == b"drmi" else "common encryption (CENC)"
    head += file.read(_HEADER_BYTES)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "content encryption of Matroska" if _MATROSKA.search(head) else None
    if head.startswith(b"\x30\x26\xb2\x75"):
        return "Windows Media DRM" if any(guid in head for guid in _ASF) else None
    if b"\0\0\x01\xba" in head[:_PACK_BYTES]:
        scrambled, clear = (len(pattern.findall(head)) for pattern in (_SCRAMBLED, _CLEAR))
        return "CSS, as on DVDs" if scrambled > clear else None
    if _MXF in head:
        return "as for cinemas"
    return "its packets are scrambled, as pay TV is" if any(packet.scrambled for packet in packets(head)) else None


def _index(file: BinaryIO) -> bytes:
    """The beginning of what is in the box `moov`."""
    index = movie(file)
    if index is None:
        return b""
    file.seek(index.content)
    return file.read(min(index.end - index.content, _INDEX_BYTES))
