"""pipelines.toml: what runs in Azure Machine Learning, and when. Standard library only.

One wrong entry is one clear problem; the other entries still work.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud.azureml.types import EXPERIMENT
from cloud.drift.entries import DriftEntry
from cloud.drift.entries import parse as parse_drift
from cloud.models import entries as models
from cloud.models.entries import ModelEntry
from cloud.pipelines.expressions import check_condition, check_template
from cloud.pipelines.targets import check_tables
from cloud.schedule import WEEKDAYS, Schedule, as_instant, check_ncrontab, parse_every

_T = TypeVar("_T")

# What every entry may say, and what each kind needs ("!") or may say besides.
_COMMON = [
    *("name", "kind", "schedule", "every", "at", "weekdays", "time_zone", "start", "end", "catch_up"),
    *("condition", "enabled", "experiment", "description", "tags"),
]
KINDS: dict[str, dict[str, bool]] = {
    "published": {"id": True, "parameters": False, "data_paths": False, "continue_on_step_failure": False},
    "pipeline-endpoint": {
        "endpoint": True,
        "version": False,
        "parameters": False,
        "data_paths": False,
        "continue_on_step_failure": False,
    },
    "job": {
        "component": False,
        "yaml": False,
        "inputs": False,
        "compute": False,
        "force_rerun": False,
        "continue_on_step_failure": False,
    },
    "schedule": {"azureml_schedule": True},
    "batch-endpoint": {"endpoint": True, "deployment": False, "inputs": False, "outputs": False},
}
CATCH_UP = ("latest", "all", "none")
_TABLES = ("inputs", "parameters", "data_paths", "outputs", "tags")
_FLAGS = ("enabled", "force_rerun", "continue_on_step_failure")
# Also the first part of a job's id in the workspace and of the timer function's name.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Entry:
    """One pipeline. `target` holds the keys that belong to its kind, as written."""

    name: str
    kind: str
    schedule: Schedule
    catch_up: str = "latest"
    condition: str = ""
    experiment: str = EXPERIMENT
    description: str = ""
    enabled: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipelines:
    """What a pipelines.toml says: entries that work, and one line for each that does not.

    lake: when finished hours are written as Parquet (NCRONTAB, UTC); empty: never.
    """

    entries: tuple[Entry, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    drift: DriftEntry | None = None
    lake: str = ""
    problems: tuple[str, ...] = ()

    def find(self, name: str) -> Entry:
        """The entry of that name. Raises BadPipeline with the nearest names."""
        from inference.errors import BadPipeline

        for entry in self.entries:
            if entry.name == name:
                return entry
        names = [entry.name for entry in self.entries]
        near = difflib.get_close_matches(name, names, 3) or names
        problem = "".join(f"; {line}" for line in self.problems if f"'{name}'" in line)
        raise BadPipeline(f"pipelines.toml has no usable entry {name!r}; it has {near or 'none'}{problem}")


def read(path: Path) -> Pipelines:
    """Read the file. A missing one means no pipelines; nothing here raises for a wrong entry."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Pipelines()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        return Pipelines(problems=(f"{path.name} cannot be read, so no pipeline runs: {error}",))
    known = ("pipeline", "model", "drift", "lake")
    problems = [f"{path.name}: {_unknown(key, list(known))}" for key in document if key not in known]
    entries, wrong = _each(document, path.name, "pipeline", parse)
    delivered, more = _each(document, path.name, "model", models.parse)
    drift, lake = None, ""
    try:
        if "drift" in document:
            drift = parse_drift(document["drift"])
        if "lake" in document:
            lake = check_ncrontab(document["lake"]["schedule"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problems.append(f"{path.name}: [drift] or [lake] ({type(error).__name__}): {error}")
    if drift and drift.retrain and drift.retrain not in [entry.name for entry in entries]:
        problems.append(
            f"{path.name}: [drift] retrain is {drift.retrain!r}, which is no usable [[pipeline]] of this file"
        )
    return Pipelines(tuple(entries), tuple(delivered), drift, lake, (*problems, *wrong, *more))


def _each(
    document: Mapping[str, Any], file: str, key: str, parse_one: Callable[[Mapping[str, Any]], _T]
) -> tuple[list[_T], list[str]]:
    """The entries under [[key]] that work, and one line for each that does not."""
    tables = document.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        return [], [f"{file}: write each {key} as [[{key}]]"]
    found: dict[str, _T] = {}
    problems = []
    for number, table in enumerate(tables, 1):
        name = table.get("name", "unnamed")
        try:
            entry = parse_one(table)
            taken = getattr(entry, "serves", name)  # two models in one folder would replace each other for ever
            if taken in found:
                raise ValueError(f"the name {taken!r} is taken by an entry above; names are unique")
            found[taken] = entry
        except (ValueError, TypeError) as error:
            problems.append(f"{file}: {key} {number} ({name!r}): {error}")
    return list(found.values()), problems


def parse(table: Mapping[str, Any]) -> Entry:
    """One [[pipeline]] table. Raises ValueError that says what to write instead."""
    kind = table.get("kind")
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, 1)
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}{_meant(near)}")
    own = KINDS[kind]
    allowed = [*_COMMON, *own]
    for key in table:
        if key not in allowed:
            raise ValueError(_unknown(key, allowed))
    for key, required in own.items():
        if required and not table.get(key):
            raise ValueError(f"kind {kind!r} needs {key!r}")
    if kind == "job" and bool(table.get("component")) == bool(table.get("yaml")):
        raise ValueError("kind 'job' needs either 'component' (name:version or name@latest) or 'yaml'")
    _check_types(table)
    check_tables(table)
    name = table.get("name", "")
    if not _NAME.fullmatch(name):
        raise ValueError(f"name is {name!r}; use 1 to 40 lower-case letters, digits and hyphens")
    catch_up = table.get("catch_up", "latest")
    if catch_up not in CATCH_UP:
        raise ValueError(f"catch_up is {catch_up!r}; it must be one of {', '.join(CATCH_UP)}")
    condition = table.get("condition", "")
    check_condition(condition)
    target = {key: table[key] for key in own if key in table}
    check_template([target, table.get("tags", {}), table.get("experiment", ""), table.get("description", "")])
    return Entry(
        name=name,
        kind=kind,
        schedule=_schedule(table),
        catch_up=catch_up,
        condition=condition,
        # A YAML job names its own, unless the entry does.
        experiment=table.get("experiment", "" if "yaml" in table else EXPERIMENT),
        description=table.get("description", ""),
        enabled=table.get("enabled", True),
        tags=dict(table.get("tags", {})),
        target=target,
    )


def _schedule(table: Mapping[str, Any]) -> Schedule:
    if ("schedule" in table) == ("every" in table):
        raise ValueError('say when: either schedule = "0 0 3 * * *" (NCRONTAB) or every = "1 day"')
    zone = table.get("time_zone", "UTC")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"time_zone {zone!r} is not known; write it as in Europe/Zurich ({error})") from error
    start, end = (_moment(table, key, zone) for key in ("start", "end"))
    if start and end and end < start:
        raise ValueError(f"end ({end}) lies before start ({start})")
    if "schedule" in table:
        for key in ("at", "weekdays"):
            if key in table:
                raise ValueError(f"{key!r} belongs to 'every'; an NCRONTAB says it itself")
        return Schedule(zone=zone, cron=check_ncrontab(table["schedule"]), start=start, end=end)
    every, unit = parse_every(table["every"])
    return Schedule(zone, "", every, unit, _times(table, unit), _weekdays(table, unit), start, end)


def _moment(table: Mapping[str, Any], key: str, zone: str) -> datetime | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise ValueError(f"{key} is {value!r}; write a date and time without quotes: 2026-12-01T03:00:00")
    if not 1 < value.year < 9999:  # at the ends of the calendar a time zone leads out of it
        raise ValueError(f"{key} is {value}; leave it out where there is no {key}")
    return as_instant(value, zone).replace(microsecond=0)


def _times(table: Mapping[str, Any], unit: str) -> tuple[time, ...]:
    words = table.get("at", [])
    words = [words] if isinstance(words, str) else words
    if words and unit not in ("day", "week"):
        raise ValueError(f"'at' goes with days and weeks, not with {unit}s")
    for word in words:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", str(word)):
            raise ValueError(f"at is {word!r}; write the time as 04:15")
    return tuple(time.fromisoformat(word) for word in words)


def _weekdays(table: Mapping[str, Any], unit: str) -> tuple[int, ...]:
    words = table.get("weekdays", [])
    if words and unit != "week":
        raise ValueError(f"'weekdays' goes with weeks, not with {unit}s")
    for word in words:
        if word not in WEEKDAYS:
            near = difflib.get_close_matches(str(word), WEEKDAYS, 1)
            raise ValueError(f"{word!r} is not a weekday{_meant(near)}")
    return tuple(WEEKDAYS.index(word) for word in words)


def _check_types(table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key in _TABLES:
            if not isinstance(value, dict):
                raise ValueError(f"{key} must be a table: {key} = {{ name = value }}")
        elif key in _FLAGS:
            if not isinstance(value, bool):
                raise ValueError(f"{key} is {value!r}; it must be true or false")
        elif key in ("at", "weekdays"):
            if not isinstance(value, list | str) or (key == "weekdays" and isinstance(value, str)):
                raise ValueError(f"{key} must be a list of words")
        elif key not in ("start", "end") and not isinstance(value, str):
            raise ValueError(f"{key} is {value!r}; it must be text in quotes")


def _unknown(key: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(key, allowed, 1)
    return f"unknown key {key!r}{_meant(near) or '; known here: ' + ', '.join(allowed)}"


def _meant(near: list[str]) -> str:
    return f" (did you mean {near[0]!r}?)" if near else ""
