"""FLV recordings joined byte after byte: FFmpeg takes the second header for a tag of 5 MB, which it leaves out."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

# Signature, version, flags, its own size, and the size of the tag before, of which there is none (FLV, annex E.2).
_HEADER = re.compile(rb"FLV\x01[\x00\x01\x04\x05]\x00\x00\x00\x09\x00{4}")
_SIZE = 13


class JoinedFlv:
    """A file to be read in which headers that are not at its start are tags of no size, so that reading goes on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        at = self._file.tell()
        # A header may lie across the ends of what is asked for.
        begin = max(0, at - _SIZE + 1)
        self._file.seek(begin)
        window = self._file.read(at - begin + size + _SIZE - 1)
        data = bytearray(window)
        for found in _HEADER.finditer(window):
            if begin + found.start() > 0:
                data[found.start() + 1 : found.start() + 4] = bytes(3)
        data = data[at - begin : at - begin + size]
        self._file.seek(at + len(data))
        return bytes(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._file.tell()
