"""What a comparison knows of a set of results: a table of a sample of them, and their embeddings summed up.

A baseline is such a profile, kept as JSON; so is the window that is held against it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.drift.drift_measures import Floats
from cloud.drift.drift_rows import NUMERIC, Row

SCHEMA = "dropsight-baseline/2"
# With these a baseline is a few MB of JSON.
MOST_KEPT = 20_000
_MOST_NUMBERS = 400_000

Texts = NDArray[np.str_]


class Cell(NamedTuple):
    """Results that are alike: from the same folder of a route, by the same model, at the same hour of the day (UTC)."""

    route: str
    folder: str
    model: str
    hour: int


@dataclass(frozen=True)
class Vectors:
    """Embeddings: how many, their mean (D,), and their spread, the mean squared distance from it."""

    count: int
    mean: Floats
    spread: float


@dataclass(frozen=True)
class Profile:
    """count: results that it was made of. until: when that was. Columns (N,) of a sample of them, NaN and "" for what
    is not known; a label is not known where a row has no outputs."""

    count: int
    route: Texts
    folder: Texts
    model: Texts
    label: Texts
    hour: NDArray[np.int64]
    numbers: Mapping[str, Floats]
    vectors: Mapping[Cell, Vectors] = field(default_factory=dict)
    until: datetime | None = None

    def of_route(self, route: str) -> Profile:
        """The part of it."""
        part = self.where(self.route == route)
        return replace(part, vectors={cell: sums for cell, sums in self.vectors.items() if cell.route == route})

    def of_folder(self, folder: str) -> Profile:
        """The part of it, of all routes."""
        part = self.where(self.folder == folder)
        return replace(part, vectors={cell: sums for cell, sums in self.vectors.items() if cell.folder == folder})

    def where(self, chosen: NDArray[np.bool_]) -> Profile:
        """The rows that are chosen (N,), with all vectors."""
        columns = {name: getattr(self, name)[chosen] for name in ("route", "folder", "model", "label", "hour")}
        numbers = {name: values[chosen] for name, values in self.numbers.items()}
        return replace(self, count=int(chosen.sum()), numbers=numbers, **columns)

    def renamed(self, folders: Mapping[str, str]) -> Profile:
        """With other names of folders; those that get the same name become one."""
        column = np.array([folders.get(folder, folder) for folder in self.folder.tolist()], np.str_)
        vectors = self._pooled(lambda cell: cell._replace(folder=folders.get(cell.folder, cell.folder)))
        return replace(self, folder=column, vectors=vectors)

    def at_any_hour(self) -> Profile:
        """As if all results were of the same hour of the day."""
        vectors = self._pooled(lambda cell: cell._replace(hour=0))
        return replace(self, hour=np.zeros_like(self.hour), vectors=vectors)

    def _pooled(self, rename: Callable[[Cell], Cell]) -> dict[Cell, Vectors]:
        cells: dict[Cell, list[Vectors]] = defaultdict(list)
        for cell, sums in self.vectors.items():
            cells[rename(cell)].append(sums)
        return {cell: pooled(parts) for cell, parts in cells.items()}

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        texts = {name: getattr(self, name).tolist() for name in ("route", "folder", "model", "label", "hour")}
        numbers = {
            name: [None if np.isnan(value) else value for value in values] for name, values in self.numbers.items()
        }
        vectors = [
            {
                **cell._asdict(),
                "count": sums.count,
                "spread": float(f"{sums.spread:.5g}"),
                "mean": [float(f"{value:.5g}") for value in sums.mean],
            }
            for cell, sums in self.vectors.items()
        ]
        until = self.until.isoformat() if self.until else ""
        return {
            "schema": SCHEMA, "until": until, "count": self.count, "rows": {**texts, **numbers}, "vectors": vectors
        }  # fmt: skip


def profile(rows: Sequence[Row], until: datetime | None = None) -> Profile:
    """Everything that a comparison needs of these rows."""
    vectors = _summed(rows)
    count = len(rows)
    if count > MOST_KEPT:
        chosen = np.sort(np.random.default_rng(0).choice(count, MOST_KEPT, replace=False))
        rows = [rows[index] for index in chosen]
    route, folder, model, label = (
        np.array([getattr(row, name) for row in rows], np.str_) for name in ("route", "folder", "model", "label")
    )
    numbers = {name: np.array([row.numbers.get(name, np.nan) for row in rows], np.float64) for name in NUMERIC}
    hour = np.array([row.time.hour for row in rows], np.int64)
    return Profile(count, route, folder, model, label, hour, numbers, vectors, until)


def pooled(parts: Iterable[Vectors]) -> Vectors:
    """Several sets as one; those of another length than most are left out."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    sizes: Counter[int] = Counter()
    for part in parts:
        sizes[part.mean.size] += part.count
    parts = [part for part in parts if part.mean.size == sizes.most_common(1)[0][0]]
    counts = np.array([part.count for part in parts], np.float64)
    means = np.stack([part.mean for part in parts])
    mean = counts @ means / counts.sum()
    apart = ((means - mean) ** 2).sum(axis=1) + [part.spread for part in parts]
    return Vectors(int(counts.sum()), mean, float(counts @ apart / counts.sum()))


def _summed(rows: Sequence[Row]) -> dict[Cell, Vectors]:
    """The embeddings of each cell, the largest cells first: as many as fit."""
    found: dict[Cell, list[NDArray[np.float32]]] = defaultdict(list)
    for row in rows:
        if row.vector is not None:
            found[Cell(row.route, row.folder, row.model, row.time.hour)].append(row.vector)
    kept: dict[Cell, Vectors] = {}
    numbers = 0
    for cell, vectors in sorted(found.items(), key=lambda item: -len(item[1])):
        size = Counter(vector.size for vector in vectors).most_common(1)[0][0]
        stacked = np.stack([vector for vector in vectors if vector.size == size]).astype(np.float64)
        numbers += size
        if numbers > _MOST_NUMBERS:
            break
        mean = stacked.mean(axis=0)
        kept[cell] = Vectors(len(stacked), mean, float(((stacked - mean) ** 2).sum(axis=1).mean()))
    return kept


def from_json(document: Mapping[str, Any]) -> Profile | None:
    """A stored baseline; None for that of another release. Raises ValueError, TypeError or KeyError for any other."""
    schema = document.get("schema", "")
    if schema != SCHEMA:
        if str(schema).startswith("dropsight-baseline/") or {"count", "numbers", "labels"} <= set(document):
            return None
        raise ValueError("it is no baseline")
    try:
        return _from_json(document)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _from_json(document: Mapping[str, Any]) -> Profile:
    rows = document["rows"]
    route, folder, model, label = (_texts(rows[name], name) for name in ("route", "folder", "model", "label"))
    hour = np.array(rows["hour"], np.int64).reshape(-1)
    numbers = {name: np.array(rows[name], np.float64).reshape(-1) for name in NUMERIC}
    if len({column.size for column in (route, folder, model, label, hour, *numbers.values())}) != 1:
        raise ValueError("its columns are not of the same length")
    if any(np.isinf(values).any() for values in numbers.values()) or not ((hour >= 0) & (hour < 24)).all():
        raise ValueError("its numbers are not within their bounds")
    until = datetime.fromisoformat(document["until"]) if document["until"] else None
    until = until.replace(tzinfo=UTC) if until and not until.tzinfo else until
    vectors = dict(_vectors_from_json(sums) for sums in document["vectors"])
    return Profile(int(document["count"]), route, folder, model, label, hour, numbers, vectors, until)


def _vectors_from_json(document: Mapping[str, Any]) -> tuple[Cell, Vectors]:
    cell = Cell(str(document["route"]), str(document["folder"]), str(document["model"]), int(document["hour"]))
    mean = np.array(document["mean"], np.float64).reshape(-1)
    sums = Vectors(int(document["count"]), mean, float(document["spread"]))
    if sums.count < 1 or not mean.size or not np.isfinite([sums.spread, *mean]).all():
        raise ValueError(f"the embeddings of {cell} are no sums")
    return cell, sums


def _texts(values: Any, name: str) -> Texts:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"rows.{name} is no list of texts")
    return np.array(values, np.str_)
