"""One BlobEvent, whoever noticed the upload: polling, Event Grid, a queue, an HTTP call or the sweep; one Outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cause = Literal["trigger", "sweep", "replay"]
Status = Literal["done", "failed", "busy", "waiting", "job", "dropped", "ignored", "again"]


@dataclass(frozen=True)
class BlobEvent:
    """Something happened to a blob. Events come twice, late, out of order: what is current is read when claiming."""

    container: str
    name: str
    cause: Cause = "trigger"


@dataclass(frozen=True)
class Outcome:
    """How a delivery ended. `attempt` is 0 where nothing had to be done by us.

    "again": the upload is another one by now, or a sidecar came in: it has to be claimed anew.
    """

    status: Status
    attempt: int = 0
