"""The temporary files of this process, below one folder, so that what a killed process left can be told and deleted.

A process holds a lock on its folder, which the system gives back however it ends. Standard library only.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

PREFIX = "dropsight-process-"
_YOUNG_S = 60.0  # its process may be about to take the lock
_folder: Path | None = None


def own_folder() -> None:
    """Have temporary files made in a folder of this process alone, once; what others left is deleted. Where the disk
    does not let it (full, read-only), they stay where they were."""
    global _folder
    if sys.platform == "win32" or _folder is not None:
        return
    with suppress(OSError):
        root = Path(tempfile.gettempdir())
        delete_left(root)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        if _lock(folder) is None:
            return
        _folder = folder
        tempfile.tempdir = str(folder)
        atexit.register(_deleted, folder, os.getpid())


def delete_left(root: Path | None = None) -> int:
    """Delete the folders whose processes are gone; how many there were. root: where they lie, by default where that of
    this process does."""
    if sys.platform == "win32" or (root is None and _folder is None):
        return 0
    found = 0
    for folder in (root or (_folder or Path()).parent).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder == _folder or time.time() - folder.stat().st_mtime < _YOUNG_S:
                continue
            lock = _lock(folder)
            if lock is None:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
            found += 1
    if found:
        log.info("temporary files of %d processes that were killed are deleted", found)
    return found


def _lock(folder: Path) -> int | None:
    """The descriptor that locks it as long as it is open; None where another process has it."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _deleted(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not that of a child
        shutil.rmtree(folder, ignore_errors=True)
