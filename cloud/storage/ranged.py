"""A blob as a seekable file: ranges of a fixed version are read when they are asked for, and few are kept."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO, cast

from cloud.storage.containers import BlobInfo, Storage

BLOCK = 256 * 1024
# A request brings up to 4 MiB while reading on, and a single block after a jump; 16 MiB are kept at most.
AHEAD = 16
KEPT = 64


class RangedFile(io.RawIOBase):
    """Reads version `info.etag` of a blob. `head`, its first bytes, costs no request where they are there already.

    Reading raises Conflict (overwritten, deleted) and StorageUnavailable. A library in between may take that for the
    end of the file: `check` raises it again. `requests` counts what was asked of storage. goes_on: is asked before each
    request, and raises where nobody wants to read on; as an error of reading.
    """

    def __init__(
        self,
        storage: Storage,
        container: str,
        info: BlobInfo,
        head: bytes = b"",
        goes_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage, self._container, self.info, self._goes_on = storage, container, info, goes_on
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._error: Exception | None = None
        self.requests = 0
        self._keep(0, head if len(head) >= info.size else head[: len(head) // BLOCK * BLOCK])

    @property
    def binary(self) -> BinaryIO:
        """This very file, by the type that says what it can do."""
        return cast(BinaryIO, self)

    def check(self) -> None:
        """Raises what went wrong while reading, whoever has swallowed it."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Lets go of what is kept."""
        self._blocks.clear()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.info.size}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the file's start")
        self._at = base + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as asked for, fewer at the end. Raises ValueError where the whole file is asked for."""
        if size is None or size < 0:
            raise ValueError("a ranged file is not read as a whole: say how many bytes")
        end = min(self._at + size, self.info.size)
        pieces = []
        while self._at < end:
            number, offset = divmod(self._at, BLOCK)
            piece = self._block(number)[offset : offset + end - self._at]
            pieces.append(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * BLOCK
        length = min(BLOCK * (AHEAD if number - 1 in self._blocks else 1), self.info.size - start)
        self.requests += 1
        try:
            self._goes_on()
            data = self._storage.read_range(self._container, self.info.name, start, length, self.info.etag)
        except Exception as error:
            self._error = error
            raise
        self._keep(start, data)
        return self._blocks[number]

    def _keep(self, start: int, data: bytes) -> None:
        first = start // BLOCK
        for offset in range(0, len(data), BLOCK):
            self._blocks[first + offset // BLOCK] = data[offset : offset + BLOCK]
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)
