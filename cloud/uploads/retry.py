"""Whether an error is worth another attempt, and whose fault it is: for uploads and for the parts of long videos."""

from __future__ import annotations

from typing import Literal

from cloud.storage.blobs import Conflict
from inference.errors import (
    BadManifest,
    BadModel,
    CorruptMedia,
    LimitExceeded,
    ModelReplaced,
    NotReady,
    Permanent,
    UnsupportedMedia,
)

Retry = Literal["now", "later", "mended", "never"]


def decide(error: Exception, attempt: int, max_attempts: int) -> Retry:
    """When to try again after `error` in attempt number `attempt` of at most `max_attempts`.

    At once, with a later delivery, once the installation is mended (no attempt is spent), or never.
    """
    if isinstance(error, ModelReplaced):
        return "now"
    if isinstance(error, NotReady):
        return "mended"
    # A model that fails on this file may do so for want of memory, say: only its attempts tell.
    permanent = isinstance(error, Permanent) and not isinstance(error, BadModel | BadManifest)
    if permanent or attempt >= max_attempts:
        return "never"
    return "now" if isinstance(error, Conflict) else "later"


def is_fault_of_file(error: Exception) -> bool:
    """Whether another file is needed, and not another installation: its routes, models, storage, memory, code."""
    return isinstance(error, UnsupportedMedia | CorruptMedia | LimitExceeded)
