"""Files that do not lie on this machine, or have no name: from an https address, from standard input. They are kept in
a temporary file while they are analysed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from inference.cli.sources import Item
from inference.errors import LimitExceeded
from inference.image.jpeg_stream import JPEG_BYTES
from inference.image.limits import DEFAULT_LIMITS
from inference.image.sniff import SNIFF_BYTES, sniff
from inference.steps import naming

_BLOCK = 1 << 18
MOST_VIDEO_BYTES = 500 * 2**20  # as the app takes (MAX_VIDEO_BYTES)

# Called with the bytes so far, and of how many (None: unknown).
OnSize = Callable[[int, int | None], None]


@contextmanager
def file_of(item: Item, progress: OnSize) -> Iterator[Path]:
    """The file of an item, on this machine. Raises UnsupportedMedia and LimitExceeded as soon as its beginning or its
    size says so, UnreadableMedia and StorageUnavailable where it cannot be had, and OSError."""
    if item.path:
        yield item.path
        return
    blocks = _from_address(item, progress) if item.url else _standard_input()
    with tempfile.TemporaryDirectory(prefix="dropsight-") as folder:
        path = Path(folder) / "media"
        with naming(item.name):
            _save(blocks, path)
        yield path


def _from_address(item: Item, progress: OnSize) -> Iterator[bytes]:
    from inference.engine.https_file import blocks_of  # lazily: files of this machine need no network

    return blocks_of(item.url, item.shown, progress)


def _standard_input() -> Iterator[bytes]:
    stdin: Any = sys.stdin.buffer
    with suppress(OSError, ValueError):  # no file, as in tests
        os.set_blocking(stdin.fileno(), True)  # or a pause of the writer would be taken for the end
    while block := stdin.read1(_BLOCK):
        yield block


def _save(blocks: Iterator[bytes], path: Path) -> None:
    head, size, most = bytearray(), 0, 0
    with path.open("wb") as file:
        for block in blocks:
            size += len(block)
            if not most:
                head += block
                most = _most(bytes(head))
            if most and size > most:
                raise LimitExceeded(
                    f"it has more than the {most:,} bytes that are read in this way; save it in a file and give that"
                )
            file.write(block)


def _most(head: bytes) -> int:
    """The bytes that a file of this beginning may have; 0 while that is too short to say. Raises UnsupportedMedia."""
    if len(head) < SNIFF_BYTES:
        return 0
    media_type = sniff(head)
    if media_type == "image/jpeg" and len(head) < JPEG_BYTES:  # it may be the first of a video
        return 0
    return MOST_VIDEO_BYTES if media_type.startswith("video/") else DEFAULT_LIMITS.bytes
