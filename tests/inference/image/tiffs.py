"""Writes TIFF files as the specification (TIFF 6.0) has them, in the layouts that Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ASCII, _SHORT, _LONG, _DOUBLE, _UNDEFINED = 2, 3, 4, 12, 7


def tiff(
    values: NDArray[Any],
    *,
    photometric: int = 1,
    order: str = "<",
    bits: int | None = None,
    planar: int = 1,
    compression: int = 1,
    predictor: int = 1,
    tile: tuple[int, int] | None = None,
    rows: int | None = None,
    fill_order: int = 1,
    extra: Sequence[int] = (),
    tags: Mapping[int, Any] | None = None,
    without: Sequence[int] = (),
) -> bytes:
    """(H, W) or (H, W, S) numbers as a TIFF of one directory.

    order: byte order. bits: of a sample where fewer than the dtype has, packed. tile: (width, height), else strips of
    `rows` rows. compression: 1 none, 5 LZW, 8 deflate, 32773 PackBits. tags: more of them, bytes, text, float (double)
    or whole numbers (long). without: tags that are left out.
    """
    values = values if values.ndim == 3 else values[:, :, None]
    height, width, samples = values.shape
    bits = bits or 8 * values.itemsize
    planes = [values[:, :, i : i + 1] for i in range(samples)] if planar == 2 else [values]
    chunks = []
    across, down = tile or (width, rows or height)
    for plane in planes:
        for y in range(0, height, down):
            for x in range(0, width, across):
                part = plane[y : y + down, x : x + across]
                if tile:
                    part = np.pad(part, ((0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)))
                chunks.append(_compressed(_packed(part, bits, order, predictor, fill_order), compression, fill_order))
    body = {
        256: width,
        257: height,
        258: [bits] * samples,
        259: compression,
        262: photometric,
        277: samples,
        284: planar,
    }
    if fill_order == 2:
        body[266] = 2
    if predictor != 1:
        body[317] = predictor
    if extra:
        body[338] = list(extra)
    if values.dtype.kind != "u":
        body[339] = [{"i": 2, "f": 3}[values.dtype.kind]] * samples
    places = [8 + sum(map(len, chunks[:i])) for i in range(len(chunks))]
    sizes = [len(chunk) for chunk in chunks]
    body |= {322: across, 323: down, 324: places, 325: sizes} if tile else {273: places, 278: down, 279: sizes}
    body |= dict(tags or {})
    return _file({k: v for k, v in body.items() if k not in without}, b"".join(chunks), order)


def _packed(part: NDArray[Any], bits: int, order: str, predictor: int, fill_order: int) -> bytes:
    rows, samples = part.shape[0], part.shape[2]
    if predictor == 2:
        part = np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1)
    flat: NDArray[Any] = part.reshape(rows, -1)
    if predictor == 3:  # bytes of all numbers, the highest first, then differences (Adobe's note on TIFF, 2005)
        each = flat.astype(flat.dtype.newbyteorder(">")).view(np.uint8).reshape(rows, -1, part.itemsize)
        raw: NDArray[np.uint8] = each.transpose(0, 2, 1).reshape(rows, -1)
        data = np.concatenate([raw[:, :samples], raw[:, samples:] - raw[:, :-samples]], axis=1).tobytes()
    elif bits < 8 * part.itemsize:
        ones = (flat[:, :, None].astype(np.uint32) >> np.arange(bits - 1, -1, -1)) & 1
        data = np.packbits(ones.reshape(rows, -1).astype(np.uint8), axis=1).tobytes()
    else:
        data = flat.astype(flat.dtype.newbyteorder("<" if order == "<" else ">")).tobytes()
    return data


def _compressed(data: bytes, compression: int, fill_order: int) -> bytes:
    if compression == 8:
        data = zlib.compress(data)
    elif compression == 32773:
        data = b"".join(bytes([len(data[i : i + 128]) - 1]) + data[i : i + 128] for i in range(0, len(data), 128))
    elif compression == 5:  # codes of nine bits only: the table is cleared before it grows
        codes: list[int] = []
        for i, byte in enumerate(data):
            codes += [256, byte] if i % 200 == 0 else [byte]
        codes.append(257)
        each = (np.asarray(codes)[:, None] >> np.arange(8, -1, -1)) & 1
        data = np.packbits(each.astype(np.uint8).ravel()).tobytes()
    if fill_order == 2:
        data = np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little").tobytes()
    return data


def _file(tags: Mapping[int, Any], data: bytes, order: str) -> bytes:
    data += bytes(len(data) % 2)
    start = 8 + len(data)
    entries, outside = [], b""
    place = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        kind, count, content = _value(tag, value, order)
        if len(content) > 4:
            entries.append(struct.pack(f"{order}HHII", tag, kind, count, place + len(outside)))
            outside += content + bytes(len(content) % 2)
        else:
            entries.append(struct.pack(f"{order}HHI", tag, kind, count) + content.ljust(4, b"\0"))
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    return head + data + struct.pack(f"{order}H", len(tags)) + b"".join(entries) + bytes(4) + outside


def _value(tag: int, value: Any, order: str) -> tuple[int, int, bytes]:
    if isinstance(value, bytes):
        return _UNDEFINED, len(value), value
    if isinstance(value, str):
        return _ASCII, len(value) + 1, value.encode() + b"\0"
    if isinstance(value, float):
        return _DOUBLE, 1, struct.pack(f"{order}d", value)
    numbers = value if isinstance(value, list) else [value]
    long = tag in (256, 257, 273, 279, 324, 325) or max(numbers) > 65535
    kind = _LONG if long else _SHORT
    return kind, len(numbers), struct.pack(f"{order}{len(numbers)}{'I' if long else 'H'}", *numbers)
