"""Temporary folders for what does not belong in memory, on a disk that is shared out before it is written to."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference import time_limits
from inference.errors import DiskFull, LimitExceeded
from inference.os_errors import own_files

# What is made of a video lies beside it: drawn anew it may have more bytes than the file that came.
_OUTPUTS = 2
_SPARE_BYTES = 64 * 1024 * 1024
# Well below functionTimeout: the host would end the worker, and all others that work in it.
PATIENCE_S = 120.0
# A disk of which others have less than this share, and still something did not fit: it never will.
_NEARLY_ALL = 0.9
_MOST_REMEMBERED = 1000
PREFIX = "dropsight-"


@dataclass(eq=False)
class _Share:
    """bytes: that may be written. folder: where, as soon as it is there."""

    bytes: int
    folder: Path | None = None

    def left(self) -> int:
        """Bytes that are still to be written."""
        return max(0, self.bytes - (_used(self.folder) if self.folder else 0))


class Disk:
    """The disk of temporary files, shared out among the threads of a process: first come, first served.

    A share is counted until it is given back; of what was written of it already, the free space tells. Who needs more
    than there is gets all of it, alone: by how much results grow, only writing them shows.
    """

    def __init__(self) -> None:
        self._shares: list[_Share] = []
        self._waiting: list[object] = []
        self._changed = threading.Condition()
        self._short: OrderedDict[str, None] = OrderedDict()  # what ran out of space beside others
        self._own = threading.local()

    @contextmanager
    def folder(self, file: int, results: int | None = None, name: str = "") -> Iterator[Path]:
        """A temporary folder with room for a file of `file` bytes, and for `results` that are made of it (None: by a
        rule of thumb). name: of what is worked on: where its room did not suffice, it gets the whole disk next time.

        Waits for what other threads have reserved; inside a share of the same thread it does not. Raises LimitExceeded
        where the disk is too small for it, DiskFull where others have filled the disk.
        """
        wanted = file + (_OUTPUTS * file if results is None else results)
        if not wanted or getattr(self._own, "shares", False):
            with own_files(), tempfile.TemporaryDirectory(prefix=PREFIX) as made:
                yield Path(made)
            return
        with own_files():
            root = Path(tempfile.gettempdir())
        share = self._reserved(root, file, wanted + _SPARE_BYTES, name)
        self._own.shares = True
        try:
            with self._explained(root, share, name), tempfile.TemporaryDirectory(prefix=PREFIX) as made:
                share.folder = Path(made)
                yield share.folder
        finally:
            self._own.shares = False
            with self._changed:
                self._shares.remove(share)
                self._changed.notify_all()

    def _reserved(self, root: Path, file: int, wanted: int, name: str) -> _Share:
        ticket, end = object(), time.monotonic() + min(PATIENCE_S, time_limits.left())
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or not self._has_room(root, file, wanted, name):
                    left = end - time.monotonic()
                    if left <= 0:
                        raise DiskFull(
                            f"{wanted:,} bytes are needed on the disk for temporary files ({root}), and other files "
                            f"that are in work still had it after {PATIENCE_S:g} s; it is tried again"
                        )
                    self._changed.wait(left)
                share = _Share(wanted)
                self._shares.append(share)
                return share
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _has_room(self, root: Path, file: int, wanted: int, name: str) -> bool:
        usage = shutil.disk_usage(root)
        if file > usage.total:
            raise LimitExceeded(
                f"it has {file:,} bytes, and the disk for temporary files ({root}) {usage.total:,} in all: make the "
                "file smaller, or give the app a larger disk"
            )
        if self._shares:
            return name not in self._short and wanted <= usage.free - sum(share.left() for share in self._shares)
        if file > usage.free:
            raise DiskFull(
                f"{usage.free:,} bytes are free on the disk for temporary files ({root}), {file:,} are needed, and "
                "none of it is in use by an upload in work: free some space"
            )
        return True

    @contextmanager
    def _explained(self, root: Path, share: _Share, name: str) -> Iterator[None]:
        """Tells a disk that is too small for the results from one that others have filled."""
        try:
            with own_files():
                yield
        except DiskFull as error:
            with self._changed:
                alone = self._shares == [share]
                if name:
                    self._short[name] = None
                    if len(self._short) > _MOST_REMEMBERED:
                        self._short.popitem(last=False)
            usage = shutil.disk_usage(root)
            ours = sum(_used(folder) for folder in root.glob(f"{PREFIX}*"))
            if alone and ours + usage.free >= _NEARLY_ALL * usage.total:
                raise LimitExceeded(
                    f"what is made of it does not fit the disk for temporary files ({root}), which has "
                    f"{usage.total:,} bytes in all: leave out the annotated video (draw.annotated = false), cut the "
                    "clip, or give the app a larger disk"
                ) from error
            raise


def _used(folder: Path) -> int:
    """Bytes of the disk that the files below have; what goes meanwhile is not counted."""
    total = 0
    for above, _, names in os.walk(folder, onerror=lambda _: None):
        for name in names:
            try:
                total += os.lstat(os.path.join(above, name)).st_blocks * 512
            except (OSError, AttributeError):  # gone; or Windows, which does not say
                continue
    return total


DISK = Disk()


@contextmanager
def scratch(file: int = 0, results: int | None = None, name: str = "") -> Iterator[Path]:
    """A temporary folder on the disk that all threads share; see `Disk.folder`. Of a `file` of 0 bytes and no
    `results` nothing is reserved."""
    with DISK.folder(file, results, name) as folder:
        yield folder
