"""One [[pipeline]] of pipelines.toml: what it says, checked when it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cloud.azureml.azureml_client import KINDS
from cloud.azureml.expressions import Samples, check_condition, check_template, fill
from cloud.azureml.pipeline_kind import Kind, Plain, check_name
from cloud.schedule import WEEKDAYS, Schedule, as_instant, check_ncrontab, parse_every
from cloud.time_zones import check_zone
from inference.errors import BadPipeline
from inference.tables import build, nearest

CatchUp = Literal["latest", "all", "none"]
# Also the first part of a job's id in the workspace.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
# Expressions are tried in winter and in summer: the name of a time zone may change.
_MOMENTS = (datetime(2026, 1, 15, 3, tzinfo=UTC), datetime(2026, 7, 15, 3, tzinfo=UTC))


@dataclass(frozen=True, kw_only=True)
class _Common:
    """What an entry says whatever its kind is, and as it says it."""

    name: str
    catch_up: CatchUp = "latest"
    condition: str = ""
    enabled: bool = True
    description: str = ""
    tags: Mapping[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineKeys(_Common):
    """The keys that every [[pipeline]] may have, beside those of its kind."""

    kind: str
    schedule: str = ""
    every: str = ""
    at: tuple[str, ...] = ()
    weekdays: tuple[str, ...] = ()
    time_zone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    experiment: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; use 1 to 40 lower-case letters, digits and hyphens")
        check_condition(self.condition)
        check_template([self.tags, self.experiment, self.description])


@dataclass(frozen=True, kw_only=True)
class PipelineEntry(_Common):
    """What runs on a schedule. keeps: whether the receipts of all slots stay, or only the newest."""

    target: Kind
    schedule: Schedule
    experiment: str = ""
    keeps: bool = True

    @property
    def kind(self) -> str:
        """The kind's name."""
        return self.target.kind


def parse(table: Mapping[str, Any], where: str = "[[pipeline]]") -> PipelineEntry:
    """One [[pipeline]] table. Raises BadPipeline that says what to write instead."""
    kind = KINDS.get(str(table.get("kind")))
    if kind is None:
        raise BadPipeline(f"{where}: kind is {table.get('kind')!r}{nearest(str(table.get('kind')), KINDS)}")
    common = {item.name for item in fields(PipelineKeys)}
    own = {item.name for item in fields(kind)}
    for key in table:
        if key not in common | own:
            raise BadPipeline(f"{where}: unknown key {key!r}{nearest(key, common | own)}")
    written = build(PipelineKeys, {key: value for key, value in table.items() if key in common}, where, BadPipeline)
    target = build(kind, {key: value for key, value in table.items() if key in own}, where, BadPipeline)
    try:
        check_template(target.as_table())
        schedule = _schedule(written)
    except ValueError as error:
        raise BadPipeline(f"{where}: {error}") from None
    experiment = written.experiment or target.experiment
    for moment in _MOMENTS:
        _check_filled(target, experiment, written.name, moment, schedule.tz, where)
    shared = {item.name: getattr(written, item.name) for item in fields(_Common)}
    return PipelineEntry(target=target, schedule=schedule, experiment=experiment, **shared)


def _check_filled(target: Kind, experiment: str, name: str, moment: datetime, zone: ZoneInfo, where: str) -> None:
    """Raise BadPipeline where the service would refuse what the expressions make of an entry."""
    written = {"target": target.as_table(), "experiment": experiment}
    filled = fill(written, name, moment, zone, Samples())
    if filled != written:
        where = f"{where}, as it is at {moment.astimezone(zone):%Y-%m-%d %H:%M}"
    try:
        build(type(target), filled["target"], where, BadPipeline).check_names()
        if experiment:
            check_name("experiment", filled["experiment"], 256)
    except ValueError as error:
        raise BadPipeline(f"{where}: {error}") from None


def _schedule(entry: PipelineKeys) -> Schedule:
    """When it runs. Raises ValueError."""
    if bool(entry.schedule) == bool(entry.every):
        raise ValueError('say when: either schedule = "0 0 3 * * *" (NCRONTAB) or every = "1 day"')
    zone = entry.time_zone
    check_zone(zone)
    start, end = _instant("start", entry.start, zone), _instant("end", entry.end, zone)
    if start and end and end < start:
        raise ValueError(f"end ({end}) lies before start ({start})")
    if entry.schedule:
        if entry.at or entry.weekdays:
            raise ValueError("'at' and 'weekdays' belong to 'every'; an NCRONTAB says it itself")
        return Schedule(zone, check_ncrontab(entry.schedule), start=start, end=end)
    every, unit = parse_every(entry.every)
    return Schedule(zone, "", every, unit, _times(entry.at, unit), _weekdays(entry.weekdays, unit), start, end)


def _instant(key: str, value: datetime | None, zone: str) -> datetime | None:
    if value is None:
        return None
    if not 1 < value.year < 9999:  # at the ends of the calendar a time zone leads out of it
        raise ValueError(f"{key} is {value}; leave it out where there is no {key}")
    return as_instant(value, zone).replace(microsecond=0)


def _times(words: tuple[str, ...], unit: str) -> tuple[time, ...]:
    if words and unit not in ("day", "week"):
        raise ValueError(f"'at' goes with days and weeks, not with {unit}s")
    for word in words:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", word):
            raise ValueError(f"at is {word!r}; write the time as 04:15")
    return tuple(time.fromisoformat(word) for word in words)


def _weekdays(words: tuple[str, ...], unit: str) -> tuple[int, ...]:
    if words and unit != "week":
        raise ValueError(f"'weekdays' goes with weeks, not with {unit}s")
    for word in words:
        if word not in WEEKDAYS:
            raise ValueError(f"{word!r} is not a weekday{nearest(word, WEEKDAYS)}")
    return tuple(WEEKDAYS.index(word) for word in words)
