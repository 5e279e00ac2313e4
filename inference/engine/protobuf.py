"""Just enough of protobuf's wire format to look into an .onnx file, large or small, and to add to one, without onnx.

Nothing is mapped into memory: where somebody shortens a mapped file in place, the process that reads it is killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, overload

Span = tuple[int, int]
_BLOCK = 1 << 16


class Broken(Exception):
    """The bytes are not protobuf."""


class Bytes(Protocol):
    """What `fields` reads: a memoryview, bytes, or a FileBytes."""

    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes | memoryview: ...
    def __len__(self) -> int: ...


class FileBytes:
    """The bytes of a file by their places, read in blocks as they are asked for. To be closed, or used in a `with`."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("rb", buffering=0)
        self._length = self._file.seek(0, 2)
        self._start, self._block = 0, b""

    def __enter__(self) -> FileBytes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> bytes: ...
    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, int):
            place = at - self._start
            if not 0 <= place < len(self._block):
                self._read(at, 1)
                place = 0
            return self._block[place]
        start, end = at.start or 0, self._length if at.stop is None else at.stop
        if start < self._start or end > self._start + len(self._block):
            self._read(start, end - start)
        return self._block[start - self._start : end - self._start]

    def _read(self, start: int, size: int) -> None:
        self._file.seek(start)
        self._start, self._block = start, self._file.read(max(size, _BLOCK))


def fields(data: Bytes, at: int, end: int) -> Iterator[tuple[int, Span]]:
    """(field number, (start, end) of its bytes); for whole numbers (value, value). Raises Broken, IndexError."""
    while at < end:
        key, at = varint(data, at)
        kind = key & 7
        if not key >> 3:  # no field: zeros, say, that a download was filled up with
            raise Broken
        if kind == 0:
            value, at = varint(data, at)
            yield key >> 3, (value, value)
            continue
        if kind == 2:
            size, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Broken
        if at + size > end:
            raise Broken
        yield key >> 3, (at, at + size)
        at += size


def varint(data: Bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Broken


def encoded(number: int, content: bytes) -> bytes:
    """A field of bytes: its key and length as varints, then the content."""
    head = b""
    for value in (number << 3 | 2, len(content)):
        while value > 0x7F:
            head, value = head + bytes([value & 0x7F | 0x80]), value >> 7
        head += bytes([value])
    return head + content
