"""The boxes of MP4 files, some of which say what cannot be."""

from __future__ import annotations

import io
import struct

import pytest

from inference.errors import LimitExceeded
from inference.video.boxes import Box, boxes, movie
from inference.video.container import truncation
from inference.video.encryption import encryption
from inference.video.ending import track_ends


def box(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I4s", len(content) + 8 if size is None else size, kind) + content


def long_box(kind: bytes, content: bytes, size: int) -> bytes:
    return struct.pack(">I4sQ", 1, kind, size) + content


def test_boxes_have_short_long_and_open_sizes() -> None:
    file = io.BytesIO(box(b"ftyp", bytes(4)) + long_box(b"free", bytes(4), 20) + box(b"mdat", bytes(12), size=0))
    assert list(boxes(file)) == [Box(b"ftyp", 8, 12), Box(b"free", 28, 32), Box(b"mdat", 40, 52)]
    assert movie(file) is None and truncation(file) is None


def test_those_within_a_box_end_with_it() -> None:
    file = io.BytesIO(box(b"moov", box(b"trak", box(b"tkhd")) + box(b"udta")) + box(b"mdat"))
    index = movie(file)
    assert index == Box(b"moov", 8, 32)
    assert [inner.kind for inner in boxes(file, index)] == [b"trak", b"udta"]


@pytest.mark.parametrize("size", [2, 7, 12, 2**63, 2**64 - 1])
def test_sizes_that_make_no_sense_are_no_fault_of_ours(size: int) -> None:
    data = box(b"ftyp") + long_box(b"moov", long_box(b"trak", bytes(8), size), size)
    file = io.BytesIO(data)
    assert track_ends(file) == [] and encryption(file) is None
    declared = f"the file has {len(data)} bytes, its container declares {8 + size}"
    assert truncation(file) == (declared if size > 16 else None)


def test_a_file_of_nothing_but_boxes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.video.boxes.MAX_BOXES", 100)
    found = boxes(io.BytesIO(box(b"free") * 1000))
    assert len([next(found) for _ in range(100)]) == 100
    with pytest.raises(LimitExceeded, match="more than 100 boxes in a row"):
        next(found)
    assert len(list(boxes(io.BytesIO(box(b"free") * 99)))) == 99
