"""A lock on an open file, held against other processes until the file is closed. Standard library only."""

from __future__ import annotations

import sys
from typing import IO


def lock(file: IO[bytes]) -> None:
    """Take the lock. Raises OSError where somebody else holds it."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
