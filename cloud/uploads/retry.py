"""Whether an error is worth another attempt, and whose fault it is: for uploads and for the parts of long videos."""

from __future__ import annotations

import errno
from typing import Literal

from cloud.storage.blobs import Conflict
from inference.errors import (
    BadManifest,
    BadModel,
    CorruptMedia,
    DiskFull,
    LimitExceeded,
    ModelReplaced,
    NotReady,
    OutOfMemory,
    Permanent,
    ServiceBusy,
    StorageRefused,
    StorageUnavailable,
    TookTooLong,
    UnsupportedMedia,
)

Retry = Literal["now", "later", "mended", "passed", "never"]

# What the system says where the disk is full, or may not be written; and where it has no more of something else.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_MACHINE = (errno.EMFILE, errno.ENFILE, errno.EAGAIN)


def surroundings(error: BaseException) -> str:
    """Which of the SURROUNDINGS an error comes from; "" where it may be the file's, the installation's, or a bug."""
    if isinstance(error, StorageRefused):
        return ""  # this very request: that does not pass
    if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in _DISK):
        return "disk"
    if isinstance(error, StorageUnavailable):
        return "storage"
    out_of_threads = isinstance(error, RuntimeError) and "start new thread" in str(error)
    busy = out_of_threads or isinstance(error, ServiceBusy)
    return "machine" if busy or (isinstance(error, OSError) and error.errno in _MACHINE) else ""


def is_suspect(error: BaseException) -> bool:
    """Whether the next attempt is to have the worker for itself: it may need all the memory, or all the time."""
    return isinstance(error, OutOfMemory | TookTooLong | MemoryError)


def decide(error: Exception, attempt: int, max_attempts: int) -> Retry:
    """When to try again after `error` in attempt number `attempt` of at most `max_attempts`.

    At once, with a later delivery, once the installation is mended or what is in the way of everybody has passed (both
    spend no attempt), or never.
    """
    if isinstance(error, ModelReplaced):
        return "now"
    if isinstance(error, NotReady):
        return "mended"
    if surroundings(error):
        return "passed"
    # A model that fails on this file may do so for want of memory, say: only its attempts tell.
    permanent = isinstance(error, Permanent) and not isinstance(error, BadModel | BadManifest)
    if permanent or attempt >= max_attempts:
        return "never"
    return "now" if isinstance(error, Conflict) else "later"


def is_fault_of_file(error: Exception) -> bool:
    """Whether another file is needed, and not another installation: its routes, models, storage, memory, code."""
    return isinstance(error, UnsupportedMedia | CorruptMedia | LimitExceeded)
