"""A BlobEvent, whoever noticed the upload (polling, Event Grid, the sweep, a replay), and its Outcome."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cloud.uploads.receipts import Receipt

Cause = Literal["trigger", "sweep", "replay"]
Status = Literal["done", "failed", "busy", "waiting", "job", "dropped", "ignored", "again"]
# Whether a replay does again what a receipt says is finished, given the key of today.
Again = Callable[[Receipt, str], bool]


def anyway(receipt: Receipt, key: str) -> bool:
    """An `Again`: all of it."""
    return True


@dataclass(frozen=True)
class BlobEvent:
    """Something happened to a blob. Events come twice, late, out of order: what is current is read when claiming.

    begin_thread: makes the log lines of a thread those of the invocation that has the event. again: asked of a replay
    when it claims, since others may have finished the upload meanwhile. replay: the id of the replay, if it has one.
    end: until when (time.monotonic()) whoever has it may wait for a place.
    """

    container: str
    name: str
    cause: Cause = "trigger"
    begin_thread: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    again: Again = field(default=anyway, compare=False, repr=False)
    replay: str = field(default="", compare=False, repr=False)
    end: float = field(default=math.inf, compare=False, repr=False)


@dataclass(frozen=True)
class Outcome:
    """How a delivery ended. `attempt` is 0 where nothing had to be done by us.

    cause: what of the installation it waits for, where only the work itself found that out.

    "again": the upload was overwritten meanwhile, or a sidecar came in: it has to be claimed anew.
    """

    status: Status
    attempt: int = 0
    cause: str = field(default="", compare=False)


AGAIN = Outcome("again")
