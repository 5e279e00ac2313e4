"""Files that are being written under hidden names of their own, and those that a killed process has left behind."""

from __future__ import annotations

import os
import platform
import tempfile
import threading
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

UNFINISHED = ".export-"
_MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"  # a folder of the network has those of others, too
_open: set[str] = set()
_making = threading.Lock()


def make(folder: Path) -> tuple[int, str]:
    """(descriptor, path) of a new file in a folder, in which `clear` has removed what is nobody's. Raises OSError."""
    with _making:
        _clear(folder)
        handle, name = tempfile.mkstemp(dir=folder, prefix=f"{UNFINISHED}{_MACHINE}-{os.getpid()}-")
        _open.add(name)
    return handle, name


def end(name: str) -> None:
    """Removes the file if it is still there under this name."""
    Path(name).unlink(missing_ok=True)
    _open.discard(name)


@lru_cache(512)  # an export writes a file a picture into a folder
def _clear(folder: Path) -> None:
    """Removes what processes of this machine that are no more have left in a folder."""
    for path in folder.glob(f"{UNFINISHED}{_MACHINE}-*-*"):
        with suppress(OSError, ValueError, OverflowError):
            if str(path) not in _open and not _is_running(int(path.name.split("-")[2])):
                path.unlink()


def _is_running(process: int) -> bool:
    if process == os.getpid():  # one of an earlier container
        return False
    if os.name == "nt":
        return False  # nobody removes a file there that is open
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
