"""pipelines.toml: what runs in Azure Machine Learning, and when.

The file is checked completely when it is read. A wrong entry is a clear problem; the other entries work.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from cloud.azureml.pipeline_entry import PipelineEntry, parse
from cloud.drift.drift_entry import DriftEntry, LakeEntry
from cloud.edited import FileAsRead
from cloud.models.model_entry import ModelEntry
from cloud.settings import Settings, current, text_of
from inference.errors import BadPipeline
from inference.tables import build, nearest, read_toml

log = logging.getLogger(__name__)

_T = TypeVar("_T")

APP = Path(__file__).resolve().parents[1]

_KNOWN = ("pipeline", "model", "drift", "lake")


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
