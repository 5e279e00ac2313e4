"""Whether TICK_SCHEDULE fits the schedules of pipelines.toml: what `dev.py doctor` says of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise

from cloud.pipelines_file import Pipelines
from cloud.schedule import Schedule, check_ncrontab, longest_gap
from cloud.tick import scheduled

_CANDIDATES = ("0 0 * * * *", *(f"0 */{minutes} * * * *" for minutes in (30, 20, 15, 12, 10, 6, 5, 4, 3, 2)))
# So many slots of an entry are looked at.
_LOOK = 100
_SECOND = timedelta(seconds=1)


def cadence(config: Pipelines, text: str, now: datetime) -> tuple[list[str], str]:
    """A line for every entry that needs a finer tick than the NCRONTAB `text`; and a coarser tick that would do.

    A finer tick is needed where two slots fall between the same ticks: then only the newest runs, unless catch_up is
    "all". A coarser tick does where every slot still has a tick at its very moment. "": none.
    """
    slots = {
        entry.name: list(islice(entry.schedule.slots(now, now + timedelta(days=366)), _LOOK))
        for entry in scheduled(config)
        if entry.enabled
    }
    finer = [
        f"{name} is due at {pair[0].isoformat()} and {pair[1].isoformat()}, with no tick of {text!r} between them"
        for name, upcoming in slots.items()
        if (pair := _crowded(text, upcoming))
    ]
    moments = sorted({moment for upcoming in slots.values() for moment in upcoming})
    if finer or not moments:
        return finer, ""
    coarser = next((tick for tick in _CANDIDATES if all(_ticks(tick, m - _SECOND, m) for m in moments)), "")
    return [], coarser if coarser and longest_gap(coarser) > longest_gap(text) else ""


def _crowded(text: str, upcoming: list[datetime]) -> tuple[datetime, datetime] | None:
    """The first two slots that fall to the same tick."""
    pairs = pairwise(upcoming)
    return next((pair for pair in pairs if not _ticks(text, pair[0] - _SECOND, pair[1] - _SECOND)), None)


def _ticks(text: str, after: datetime, until: datetime) -> bool:
    return next(Schedule(cron=check_ncrontab(text)).slots(after, until), None) is not None


def report(config: Pipelines, text: str, now: datetime) -> tuple[bool, str]:
    """Whether the tick fits, and what to say about it."""
    finer, coarser = cadence(config, text, now)
    if finer:
        return False, "; ".join([*finer, "set TICK_SCHEDULE to a finer tick"])
    if coarser:
        return True, f"TICK_SCHEDULE is {text!r}; {coarser!r} would do, and wake the app less often"
    return True, f"TICK_SCHEDULE is {text!r}, as the schedules need" if next(scheduled(config), None) else "not needed"
