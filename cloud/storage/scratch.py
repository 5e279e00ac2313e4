"""Temporary folders for what does not belong in memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.errors import ServiceBusy
from inference.os_errors import own_files

_SPARE_BYTES = 64 * 1024 * 1024


@contextmanager
def scratch(needed: int = 0) -> Iterator[Path]:
    """A temporary folder. Raises ServiceBusy where fewer than `needed` bytes of disk, and some to spare, are free, and
    StorageUnavailable where the disk refuses what is written there."""
    with own_files(), tempfile.TemporaryDirectory(prefix="dropsight-") as folder:
        free = shutil.disk_usage(folder).free
        if needed and needed + _SPARE_BYTES > free:
            raise ServiceBusy(f"{free:,} bytes of disk are free, {needed:,} are needed; it is tried again")
        yield Path(folder)
