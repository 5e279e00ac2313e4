"""pipelines.toml: what runs in Azure Machine Learning, and when.

The file is checked completely when it is read. A wrong entry is a clear problem; the other entries work.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from cloud.azureml.azureml_client import KINDS
from cloud.azureml.expressions import Samples, check_condition, check_template, fill
from cloud.azureml.pipeline_kind import Kind, Plain, check_name
from cloud.drift.drift_entry import DriftEntry, LakeEntry
from cloud.edited import FileAsRead
from cloud.models.model_entry import ModelEntry
from cloud.schedule import WEEKDAYS, Schedule, as_instant, check_ncrontab, parse_every
from cloud.settings import Settings, current, text_of
from cloud.time_zones import check_zone
from inference.errors import BadPipeline
from inference.tables import build, nearest, read_toml

log = logging.getLogger(__name__)

_T = TypeVar("_T")

APP = Path(__file__).resolve().parents[1]

CatchUp = Literal["latest", "all", "none"]
_KNOWN = ("pipeline", "model", "drift", "lake")
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


@dataclass(frozen=True)
class Pipelines:
    """What a pipelines.toml says: entries that work, and a line for every entry that does not.

    broken: the names of pipelines that cannot be used. readable: whether the file could be read at all. file: as it
    was read, where it is this app's own.
    """

    entries: tuple[PipelineEntry, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    drift: DriftEntry | None = None
    lake: LakeEntry | None = None
    problems: tuple[str, ...] = ()
    broken: frozenset[str] = frozenset()
    readable: bool = True
    file: FileAsRead | None = field(default=None, compare=False, repr=False)

    def find(self, name: str) -> PipelineEntry:
        """The entry of that name. Raises BadPipeline with the nearest names."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        names = [entry.name for entry in self.entries]
        near = difflib.get_close_matches(name, names, 3) or names
        problem = "".join(f"; {line}" for line in self.problems if f"'{name}'" in line)
        raise BadPipeline(f"pipelines.toml has no usable entry {name!r}; it has {near or 'none'}{problem}")


@cache
def pipelines() -> Pipelines:
    """The file of this app as this process read it."""
    name = text_of("PIPELINES_FILE")
    file = FileAsRead(APP / name, name, lambda: list(read(APP / name, _model_names).problems))
    found = replace(read(file.path, _model_names), file=file)
    if name != Settings.pipelines_file and not file.path.exists():  # there need be none of the usual name
        missing = f"PIPELINES_FILE names {file.path}, which does not exist; no pipeline runs"
        return replace(found, problems=(*found.problems, missing))
    return found


def _model_names() -> set[str]:
    """The models that the app's routes name, and those that come with it; none where the routes cannot be read."""
    try:
        # The engine: only an app with a [[model]] pays for it.
        from cloud.uploads.plans import written_routes
        from inference.engine.registry import Registry

        routes = written_routes(current()).routes  # the default ones name nothing but what the registry has
        return {step.model for route in routes for step in route.steps} | {entry.name for entry in Registry().list()}
    except Exception as error:  # noqa: BLE001 - the pipelines run without it; the deep health says what is wrong
        log.warning("whether a route names what a [[model]] serves is not checked: %s: %s", type(error).__name__, error)
        return set()


def read(path: Path, model_names: Callable[[], Iterable[str]] = tuple) -> Pipelines:
    """Read the file. A missing one means no pipelines; nothing here raises for a wrong entry.

    model_names: those by which a [[model]] could serve; a name that nearly is such a name is a mistake.
    """
    if not path.exists():
        return Pipelines()
    try:
        document = read_toml(path, path.name, BadPipeline)
    except BadPipeline as error:
        return Pipelines(problems=(f"{error}; no pipeline runs",), readable=False)
    problems = [f"{path.name}: unknown key {key!r}{nearest(key, _KNOWN)}" for key in document if key not in _KNOWN]
    reader = _Reader(path.name, document, problems)
    entries = reader.tables("pipeline", parse)
    delivered = reader.tables("model", lambda table, where: build(ModelEntry, table, where, BadPipeline))
    drift, lake = reader.table("drift", DriftEntry), reader.table("lake", LakeEntry)
    names = [entry.name for entry in entries]
    if drift and drift.retrain and drift.retrain not in names:
        problems.append(
            f"{path.name}: [drift]: retrain is {drift.retrain!r}, which is no usable [[pipeline]] of this file"
            + nearest(drift.retrain, names)
        )
        drift = replace(drift, retrain="")  # what is wrong with a pipeline is no reason to stop looking
    if delivered:
        delivered = _served(path.name, delivered, set(model_names()), problems)
    broken = frozenset(reader.names("pipeline")) - {*names}
    return Pipelines(tuple(entries), tuple(delivered), drift, lake, tuple(problems), broken)


def _served(file: str, models: list[ModelEntry], known: set[str], problems: list[str]) -> list[ModelEntry]:
    """Without those whose `serves` is nearly, but not quite, the name of a model that is known."""
    usable = []
    for model in models:
        near = difflib.get_close_matches(model.serves, known, 1, 0.85)
        if model.serves in known or not near:
            usable.append(model)
        else:
            problems.append(
                f"{file}: model {model.name!r}: serves is {model.serves!r}, which no route names; did you mean "
                f"{near[0]!r}? If not, name it in a route of routes.toml first"
            )
    return usable


@dataclass
class _Reader:
    """Takes a document apart; what is wrong becomes a line of `problems`."""

    file: str
    document: Mapping[str, Any]
    problems: list[str]

    def table(self, key: str, cls: type[_T]) -> _T | None:
        """The table [key]; None where there is none that can be used."""
        if key not in self.document:
            return None
        try:
            return build(cls, self.document[key], f"{self.file}: [{key}]", BadPipeline)
        except BadPipeline as error:
            self.problems.append(str(error))
            return None

    def names(self, key: str) -> list[str]:
        """The names of all entries under [[key]], also of those that cannot be used."""
        tables = self.document.get(key, [])
        return [str(each.get("name")) for each in tables if isinstance(each, dict)] if isinstance(tables, list) else []

    def tables(self, key: str, parse_table: Callable[[Mapping[str, Any], str], _T]) -> list[_T]:
        """The entries under [[key]] that can be used."""
        tables = self.document.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.problems.append(f"{self.file}: write every {key} as [[{key}]]")
            return []
        entries: dict[str, _T] = {}
        for number, table in enumerate(tables, 1):
            where = f"{self.file}: {key} {number} ({table.get('name', 'unnamed')!r})"
            try:
                entry = parse_table(table, where)
            except BadPipeline as error:
                self.problems.append(str(error))
                continue
            name = str(getattr(entry, "serves", table["name"]))  # two models in one folder would replace each other
            if name in entries:
                self.problems.append(f"{where}: the name {name!r} is taken by an entry above; names are unique")
            else:
                entries[name] = entry
        return list(entries.values())


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
