"""Whether an error is worth another attempt, and whose fault it is: for uploads and for the parts of long videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cloud.storage.blobs import Conflict
from inference.errors import CorruptMedia, LimitExceeded, Permanent, RouteUnavailable, UnsupportedMedia

Fault = Literal["file", "environment"]


@dataclass(frozen=True)
class Decision:
    """`again`: at once, with a later delivery, once the installation is mended (no attempt is spent), or not at all.

    `fault`: what has to change for it to go well.
    """

    again: Literal["now", "later", "mended", "never"]
    fault: Fault


def decide(error: Exception, attempt: int, max_attempts: int) -> Decision:
    """What follows from `error` in the attempt number `attempt` of at most `max_attempts`."""
    if isinstance(error, RouteUnavailable):
        return Decision("mended", "environment")
    if isinstance(error, Permanent) or attempt >= max_attempts:
        return Decision("never", fault_of(error))
    return Decision("now" if isinstance(error, Conflict) else "later", fault_of(error))


def fault_of(error: Exception) -> Fault:
    """Whether another file is wanted, or another installation: its routes, models, storage, memory, code."""
    return "file" if isinstance(error, UnsupportedMedia | CorruptMedia | LimitExceeded) else "environment"
