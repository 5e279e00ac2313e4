"""How long a verdict counts: what it said of the world weeks ago must start nothing today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from cloud.drift.drift_entry import VERDICT, DriftEntry
from cloud.schedule import Schedule, check_ncrontab, longest_gap
from cloud.settings import STATE
from cloud.storage.containers import Storage
from cloud.storage.parsed_json import read_parsed

STATUSES = ("ok", "warning", "alert", "unknown")
_HOUR = timedelta(hours=1)
# Of a verdict that does not say itself how long it counts.
_BEFORE_0_2 = timedelta(days=2)
_FAR = timedelta(days=366 * 8)


@dataclass(frozen=True)
class Standing:
    """The newest verdict: ok, warning, alert or unknown; when it was given, and how long it counts."""

    status: str
    at: datetime
    good_until: datetime

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Standing:
        """As stored. Raises KeyError, TypeError or ValueError."""
        if document["status"] not in STATUSES:
            raise ValueError(f"status is {document['status']!r}, not one of {', '.join(STATUSES)}")
        at = _moment(document["at"])
        until = document.get("good_until")
        return cls(document["status"], at, _moment(until) if until else at + _BEFORE_0_2)


def good_until(schedule: str, now: datetime) -> datetime:
    """How long a verdict counts that a check by this NCRONTAB gives now: until two further checks were missed."""
    following = list(islice(Schedule(cron=check_ncrontab(schedule)).slots(now, now + _FAR), 2))
    return max([now + 2 * longest_gap(schedule), *following]) + _HOUR


def status(storage: Storage, now: datetime) -> str:
    """What the newest verdict says; unknown where there is none, or none that counts any more. Raises BadPipeline."""
    stored = read_parsed(storage, STATE, VERDICT, Standing.from_json)
    return stored[0].status if stored and now <= stored[0].good_until else "unknown"


def stale(storage: Storage, entry: DriftEntry, now: datetime) -> str:
    """A sentence where the check has given no verdict for too long, else "". Raises BadPipeline.

    Where it never gave any, the first thing that was written for it (a baseline, or what a check had collected) says
    since when one is due.
    """
    stored = read_parsed(storage, STATE, VERDICT, Standing.from_json)
    look = f"the check is due by {entry.schedule!r}; say `python -m cloud drift check` to see what it says"
    if stored:
        since = stored[0].at.isoformat(timespec="minutes")
        return "" if now <= stored[0].good_until else f"[drift]: the newest verdict is of {since}; {look}"
    written = [blob.modified for page in storage.pages(STATE, "drift/") for blob in page.blobs]
    if not written or now <= good_until(entry.schedule, min(written)):
        return ""
    return f"[drift]: no check has given a verdict since {min(written).isoformat(timespec='minutes')}; {look}"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
