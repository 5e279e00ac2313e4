"""The wire format of protobuf, as far as reading ONNX files needs it."""

from __future__ import annotations

from collections.abc import Iterator


class Broken(Exception):
    """The bytes are not protobuf."""


def fields(view: memoryview, at: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """(field number, (start, end) of its bytes); for whole numbers (value, value)."""
    while at < end:
        key, at = varint(view, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(view, at)
            yield key >> 3, (value, value)
            continue
        if kind == 2:
            size, at = varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Broken
        if at + size > end:
            raise Broken
        yield key >> 3, (at, at + size)
        at += size


def varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Broken
