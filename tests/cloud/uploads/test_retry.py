"""What follows from an error: one table for uploads and for the parts of long videos."""

from __future__ import annotations

import pytest

from cloud.storage.blobs import Conflict
from cloud.uploads.retry import Decision, decide
from inference.errors import BadModel, CorruptMedia, ModelUnavailable, RouteUnavailable, StorageUnavailable


@pytest.mark.parametrize(
    ("error", "attempt", "decision"),
    [
        (CorruptMedia("cut off"), 1, Decision("never", "file")),
        (BadModel("no such output"), 1, Decision("never", "environment")),
        (StorageUnavailable("busy"), 2, Decision("later", "environment")),
        (StorageUnavailable("busy"), 3, Decision("never", "environment")),
        (ModelUnavailable("missing"), 1, Decision("later", "environment")),
        (RouteUnavailable("its model is broken"), 3, Decision("mended", "environment")),
        (Conflict("overwritten"), 2, Decision("now", "environment")),
        (Conflict("overwritten"), 3, Decision("never", "environment")),
        (ZeroDivisionError("a bug"), 1, Decision("later", "environment")),
        (ZeroDivisionError("a bug"), 3, Decision("never", "environment")),
    ],
)
def test_what_follows_from_an_error(error: Exception, attempt: int, decision: Decision) -> None:
    assert decide(error, attempt, 3) == decision
