"""Content that was packed before it was uploaded: unpacked where that is true, left as it is where it is not."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator

from inference.errors import CorruptMedia

# Both know their own beginning, so that no other file is taken for one: gzip (RFC 1952), zlib (RFC 1950).
_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_PIECE = 4 * 1024 * 1024  # bytes at a time, however much a few packed ones stand for


def unpacked(name: str, encoding: str, chunks: Iterator[bytes]) -> tuple[bool, Iterator[bytes]]:
    """Whether the content is packed as `encoding` (a Content-Encoding) says, and the content.

    The uploader chose that header, and many a tool sets it on files that are not packed. Reading the content raises
    CorruptMedia where it is packed and breaks off or does not unpack.
    """
    window = _WINDOW.get(encoding)
    if window is None:
        return False, chunks
    first = next(chunks, b"")
    chunks = itertools.chain([first], chunks)
    try:
        zlib.decompressobj(window).decompress(first, 1)
    except zlib.error:
        return False, chunks
    return bool(first), _pieces(name, encoding, window, chunks)


def _pieces(name: str, encoding: str, window: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(window)
    for chunk in chunks:
        data, full = chunk, False
        while data or full:
            if unpacker.eof:
                if window == zlib.MAX_WBITS:
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
