"""What follows from an error: one table for uploads and for the parts of long videos."""

from __future__ import annotations

import errno

import pytest

from cloud.storage.blobs import Conflict
from cloud.uploads.retry import Retry, decide, is_fault_of_file
from inference.errors import (
    BadModel,
    CorruptMedia,
    DiskFull,
    LimitExceeded,
    MissingPackage,
    ModelUnavailable,
    OutOfMemory,
    RouteUnavailable,
    StorageRefused,
    StorageUnavailable,
)


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (CorruptMedia("cut off"), 1, "never"),
        (BadModel("it fails on this picture"), 2, "later"),
        (BadModel("it fails on this picture"), 3, "never"),
        (StorageUnavailable("busy"), 3, "passed"),
        (StorageRefused("400 InvalidInput"), 2, "later"),
        (StorageRefused("400 InvalidInput"), 3, "never"),
        (DiskFull("no room"), 3, "passed"),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "passed"),
        (OSError(errno.EMFILE, "Too many open files"), 3, "passed"),
        (RuntimeError("can't start new thread"), 3, "passed"),
        (OutOfMemory("no room in memory"), 2, "later"),
        (OutOfMemory("no room in memory"), 3, "never"),
        (ModelUnavailable("missing"), 3, "mended"),
        (RouteUnavailable("its model is broken"), 3, "mended"),
        (MissingPackage("no OpenCV"), 3, "mended"),
        (Conflict("overwritten"), 2, "now"),
        (Conflict("overwritten"), 3, "never"),
        (ZeroDivisionError("a bug"), 1, "later"),
        (ZeroDivisionError("a bug"), 3, "never"),
    ],
)
def test_what_follows_from_an_error(error: Exception, attempt: int, expected: Retry) -> None:
    assert decide(error, attempt, 3) == expected


def test_only_what_another_file_would_not_have_is_the_files_fault() -> None:
    assert is_fault_of_file(CorruptMedia("cut off")) and is_fault_of_file(LimitExceeded("too large"))
    assert not is_fault_of_file(BadModel("no such output")) and not is_fault_of_file(StorageUnavailable("busy"))
