"""`[drift]` in pipelines.toml. Standard library only."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cloud.schedule import check_ncrontab


@dataclass(frozen=True)
class DriftEntry:
    """schedule: when finished hours are collected and compared (NCRONTAB, UTC). window_days: what is compared.

    warning, alert: bounds of the population stability index, above what chance explains. retrain: the
    pipeline to run on an alert. approval: only after `python -m cloud drift approve`. cooldown_days: how
    long after one request for retraining no other is made.
    """

    schedule: str = "0 20 * * * *"
    window_days: int = 7
    warning: float = 0.1
    alert: float = 0.25
    retrain: str = ""
    approval: bool = True
    cooldown_days: int = 7


def parse(table: Mapping[str, Any]) -> DriftEntry:
    """The [drift] table. Raises ValueError that says what to write instead."""
    known = {each.name: each.default for each in fields(DriftEntry)}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise ValueError(f"unknown key {key!r}" + (f" (did you mean {near[0]!r}?)" if near else f"; {list(known)}"))
        wanted = type(known[key])
        if not isinstance(value, int | float if wanted is float else wanted) or (wanted is int and value is True):
            raise ValueError(f"{key} is {value!r}; expected something like {known[key]!r}")
    entry = DriftEntry(**{**table, "schedule": check_ncrontab(table.get("schedule", known["schedule"]))})
    if not 0 < entry.warning <= entry.alert:
        raise ValueError(f"warning ({entry.warning}) must be above 0 and at most alert ({entry.alert})")
    if entry.window_days < 1 or entry.cooldown_days < 0:
        raise ValueError("window_days must be at least 1, and cooldown_days at least 0")
    return entry
