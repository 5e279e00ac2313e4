"""One BlobEvent, whoever noticed the upload: polling, Event Grid, a queue, an HTTP call or the sweep; one Outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Cause = Literal["trigger", "queue", "http", "sweep", "replay"]
Status = Literal["done", "failed", "busy", "waiting", "job", "dropped", "ignored", "again"]


@dataclass(frozen=True)
class BlobEvent:
    """Something happened to a blob. What the delivery does not tell is None and is read when claiming.

    Events may come twice, late and out of order, and ETags have no order: `etag` says what the deliverer
    saw, never what is current.
    """

    container: str
    name: str
    etag: str | None = None
    size: int | None = None
    at: datetime | None = None
    cause: Cause = "trigger"
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a delivery ended. `attempt` is 0 where nothing had to be done by us.

    "again": the upload is another one by now, or a sidecar came in: it has to be claimed anew.
    """

    status: Status
    attempt: int = 0
