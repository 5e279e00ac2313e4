"""Content that was packed before it was uploaded: unpacked where that is true, left as it is where it is not."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator

from inference.errors import CorruptMedia, UnsupportedMedia
from inference.image.sniff import sniff

# Both know their own beginning, so that no other file is taken for one: gzip (RFC 1952), zlib (RFC 1950).
_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_RAW = -zlib.MAX_WBITS  # deflate without a beginning (RFC 1951), as many a tool understands the word
_GZIP = b"\x1f\x8b"
_NOTHING = ("", "identity", "aws-chunked")  # said of bytes that lie here as they are
_PIECE = 4 * 1024 * 1024  # bytes at a time, however much a few packed ones stand for


def unpacked(name: str, encoding: str, chunks: Iterator[bytes]) -> tuple[bool, Iterator[bytes]]:
    """Whether the content is packed as `encoding` (a Content-Encoding) says, and the content.

    The uploader chose that header, and many a tool sets it on files that are not packed. Reading the content raises
    CorruptMedia where it is packed and breaks off or does not unpack.
    """
    codings = [coding.partition(";")[0].strip() for coding in encoding.split(",")]
    packed = [coding for coding in codings if coding not in _NOTHING]
    window = _WINDOW.get(packed[-1]) if packed else None
    if window is None:
        return False, chunks
    first = next(chunks, b"")
    chunks = itertools.chain([first], chunks)
    if window == zlib.MAX_WBITS and _is_raw(first):
        window = _RAW
    elif not first or _beginning(first, window, 1) is None:
        return False, chunks
    return True, _pieces(name, encoding, window, chunks)


def _beginning(first: bytes, window: int, length: int) -> bytes | None:
    """What `first` unpacks to, at most `length` bytes; None where it does not."""
    try:
        return zlib.decompressobj(window).decompress(first, length)
    except zlib.error:
        return None


def _is_raw(first: bytes) -> bool:
    """Whether it is of no known kind as it is, and of a known one unpacked: raw deflate cannot be told otherwise."""
    unpacked_first = _beginning(first, _RAW, 4096)
    return unpacked_first is not None and not _is_known(first) and _is_known(unpacked_first)


def _is_known(head: bytes) -> bool:
    try:
        sniff(head)
    except UnsupportedMedia:
        return False
    return True


def _pieces(name: str, encoding: str, window: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(window)
    for chunk in chunks:
        data, full = chunk, False
        while data or full:
            if unpacker.eof:
                if window <= zlib.MAX_WBITS or not _GZIP.startswith(data[:2]):
                    return  # what lies behind it is nobody's
                unpacker = zlib.decompressobj(window)  # gzip files may stand one behind the other
            try:
                piece = unpacker.decompress(data, _PIECE)
            except zlib.error as error:
                raise CorruptMedia(f"{name}: it is packed ({encoding}), and does not unpack: {error}") from error
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            full = len(piece) == _PIECE and not unpacker.eof  # more of the same input may be on its way
            if piece:
                yield piece
    if not unpacker.eof:
        raise CorruptMedia(f"{name}: it is packed ({encoding}), and breaks off before its end: upload it again")
