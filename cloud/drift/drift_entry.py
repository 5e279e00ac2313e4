"""`[drift]` and `[lake]` in pipelines.toml."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.schedule import check_ncrontab
from inference.ranges import check_range

# The newest comparison, in the container `state`.
VERDICT = "drift/verdict.json"
# The container of what is collected, and of the Parquet files.
LAKE = "lake"


@dataclass(frozen=True)
class DriftEntry:
    """schedule: when finished hours are collected and compared (NCRONTAB, UTC). window_days: what is compared.

    warning, alert: bounds of the population stability index, above what chance explains. retrain: the
    pipeline to run on an alert. approval: only after `python -m cloud drift approve`. cooldown_days: how
    long after a request for retraining no other is made.
    """

    schedule: str = "0 20 * * * *"
    window_days: int = 7
    warning: float = 0.1
    alert: float = 0.25
    retrain: str = ""
    approval: bool = True
    cooldown_days: int = 7

    def __post_init__(self) -> None:
        check_ncrontab(self.schedule)
        for name, bound in (("warning", self.warning), ("alert", self.alert)):
            usual = "0.1 is a shift to look at, and 0.25 a large one"
            check_range(name, bound, 0, 5, usual, above=True)  # no shift of real data reaches 5
        if self.warning > self.alert:
            raise ValueError(f"warning is {self.warning:g}, expected at most alert, {self.alert:g}")
        check_range("window_days", self.window_days, 1, 3650)
        check_range("cooldown_days", self.cooldown_days, 0, 3650)


@dataclass(frozen=True)
class LakeEntry:
    """`[lake]`: when finished hours are written as Parquet (NCRONTAB, UTC)."""

    schedule: str

    def __post_init__(self) -> None:
        check_ncrontab(self.schedule)
