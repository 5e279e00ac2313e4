"""Files that are read whole: settings, notes, tables."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

MOST_BYTES = 64 * 2**20


def content_of(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file of up to `most` bytes. Raises OSError, also for a pipe or device, which may have no end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "no file but a pipe, socket or device; save its content in a file", str(path))
    with path.open("rb") as file:  # which has words of its own for a folder
        content = file.read(most + 1) if status.st_size <= most else b""
    if max(len(content), status.st_size) > most:
        raise OSError(errno.EINVAL, f"{status.st_size:,} bytes, expected at most {most:,}", str(path))
    return content
