"""Errors of the operating system: those of the machine told from those of the file at hand, and put in words.

Standard library only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.errors import DiskFull, StorageUnavailable

# What the system says of a disk, or of somebody's share of it.
FULL = (errno.ENOSPC, errno.EDQUOT)
_SPACE, _OPEN = "free some space or name another place", "close other programs or raise the limit (ulimit -n)"
_RIGHTS = "change its permissions or name another"
_REMEDIES = {
    **dict.fromkeys(FULL, _SPACE),
    errno.EFBIG: _SPACE,
    errno.EMFILE: _OPEN,
    errno.ENFILE: _OPEN,
    errno.EROFS: "name another place",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOENT: "check the path",
    errno.EISDIR: "expected a file, check the path",
    errno.ENOTDIR: "expected a folder, check the path",
    errno.EEXIST: "expected a folder, check the path",
}
# Never the trouble of the file that is read: disks that are full or read-only, too much open.
_OURS = {number for number, remedy in _REMEDIES.items() if remedy in (_SPACE, _OPEN)} | {errno.EROFS}
# Reading an open file, whose name is not in the error, raises none of these; looking for a temporary folder does.
_WITHOUT_NAME = _OURS | {errno.ENOENT, errno.EACCES, errno.EPERM}


def in_words(error: OSError) -> str:
    """The file, what the system says about it, and what to do."""
    what = error.strerror or str(error) or type(error).__name__
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{where}{what}" + (f"; {remedy}" if remedy else "")


def trouble_of_ours(error: OSError, media: Path | None = None) -> StorageUnavailable | None:
    """The error (DiskFull of a full disk) where it is the machine's or about a file of ours; None where it is about
    reading `media` itself."""
    if error.filename is None:
        ours = error.errno in _WITHOUT_NAME
    else:
        named = os.fsdecode(error.filename).removeprefix("file:")
        ours = error.errno in _OURS or media is None or Path(named).absolute() != media.absolute()
    kind = DiskFull if error.errno in FULL else StorageUnavailable
    return kind(in_words(error)) if ours else None


@contextmanager
def own_files(media: Path | None = None) -> Iterator[None]:
    """Raises StorageUnavailable, DiskFull of a full disk, where a file of ours cannot be written or read: no fault of
    `media`."""
    try:
        yield
    except OSError as error:
        if trouble := trouble_of_ours(error, media):
            raise trouble from error
        raise
