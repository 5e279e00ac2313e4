"""Comparing a window of production with a saved baseline.

Population stability index and Jensen-Shannon distance over the baseline's deciles (or the labels),
two-sample Kolmogorov-Smirnov on the values; cosine distance of embedding centroids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.drift.drift_entry import DriftEntry
from cloud.drift.drift_measures import (
    chi_squared_quantile,
    cosine_distance,
    jensen_shannon,
    kolmogorov_smirnov,
    relative_entropy,
)
from cloud.drift.drift_rows import Row

NUMERIC = ("brightness", "contrast", "sharpness", "width", "height", "aspect", "count", "score", "mean_score")
# Below this neither side says anything.
FEWEST = 30
_KEPT = 2000
_BINS = 10
_CERTAIN = 0.01


@dataclass(frozen=True)
class Profile:
    """What is kept of a set of rows: a sample of each number, the labels' counts, the embeddings' centroid."""

    count: int
    numbers: Mapping[str, Sequence[float]]
    labels: Mapping[str, int]
    centroid: Sequence[float] = ()
    until: str = ""


@dataclass(frozen=True)
class Shift:
    """How far a feature moved. psi_excess: the index above what chance stays below 99 times in 100."""

    feature: str
    psi: float
    psi_excess: float
    js: float
    ks: float | None = None
    p: float | None = None
    before: float | str = ""
    now: float | str = ""


@dataclass(frozen=True)
class Verdict:
    """status: ok, warning, alert, or unknown where there are too few results."""

    status: str
    why: str
    shifts: tuple[Shift, ...] = ()
    embedding: float | None = None
    count: int = 0
    at: str = ""
    report: str = ""


def profile(rows: Sequence[Row], until: str = "") -> Profile:
    """Everything that a later comparison needs of these rows."""
    numbers: dict[str, list[float]] = {}
    for name in NUMERIC:
        values = [float(row[name]) for row in rows if isinstance(row.get(name), int | float)]
        step = -(-len(values) // _KEPT) or 1
        numbers[name] = sorted(values)[::step]
    vectors = [row["embedding"] for row in rows if row.get("embedding")]
    sizes = {len(vector) for vector in vectors}
    centroid = np.mean(vectors, axis=0).tolist() if len(sizes) == 1 else ()
    return Profile(len(rows), numbers, dict(Counter(str(row.get("label", "none")) for row in rows)), centroid, until)


def compare(baseline: Profile, window: Profile, entry: DriftEntry) -> Verdict:
    """The verdict over a window. Raises nothing: too little evidence is `unknown`."""
    if min(baseline.count, window.count) < FEWEST:
        why = f"{window.count} results against a baseline of {baseline.count}; both need at least {FEWEST}"
        return Verdict("unknown", why, count=window.count)
    shifts = [_labels(baseline.labels, window.labels)]
    for name in NUMERIC:
        old, new = (np.asarray(side.numbers.get(name, ()), np.float64) for side in (baseline, window))
        if min(len(old), len(new)) >= FEWEST:
            shifts.append(_numbers(name, old, new))
    shifts.sort(key=lambda shift: -shift.psi_excess)
    sure = [shift for shift in shifts if shift.p is None or shift.p < _CERTAIN]
    worst = max((shift.psi_excess for shift in sure), default=0.0)
    status = "alert" if worst >= entry.alert else "warning" if worst >= entry.warning else "ok"
    moved = [f"{s.feature} {s.before} -> {s.now}" for s in sure if s.psi_excess >= entry.warning]
    embedding = None
    if len(baseline.centroid) == len(window.centroid) > 0:
        embedding = round(cosine_distance(np.asarray(baseline.centroid), np.asarray(window.centroid)), 4)
    return Verdict(status, "; ".join(moved) or "nothing moved", tuple(shifts), embedding, window.count)


def _numbers(name: str, old: NDArray[np.float64], new: NDArray[np.float64]) -> Shift:
    # Deciles of the baseline. A value that several of them share is a bin of its own: what lies above a constant
    # would count as the constant otherwise.
    deciles, repeats = np.unique(np.quantile(old, np.linspace(0, 1, _BINS + 1)[1:-1]), return_counts=True)
    edges = np.unique(np.concatenate([deciles, np.nextafter(deciles[repeats > 1], np.inf)]))
    bins = [np.searchsorted(edges, values, side="right") for values in (old, new)]
    counts = np.stack([np.bincount(index, minlength=len(edges) + 1) for index in bins])
    counts = counts[:, counts.any(axis=0)]
    ks, p = kolmogorov_smirnov(old, new)
    before, now = (round(float(np.median(values)), 4) for values in (old, new))
    psi, excess, js = _indices(*counts)
    return Shift(name, psi, excess, js, round(ks, 4), p, before, now)


def _labels(old: Mapping[str, int], new: Mapping[str, int]) -> Shift:
    names = sorted({*old, *new})
    psi, excess, js = _indices(*(np.array([labels.get(name, 0) for name in names]) for labels in (old, new)))
    before, now = (max(labels, key=lambda name: labels[name], default="none") for labels in (old, new))
    return Shift("label", psi, excess, js, before=before, now=now)


def _indices(old: NDArray[np.int64], new: NDArray[np.int64]) -> tuple[float, float, float]:
    # Half a count in every bin, so that an empty bin does not make the index infinite.
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (old, new))
    psi = relative_entropy(p, q) + relative_entropy(q, p)
    # Under no drift the index is distributed as chi-squared times this (Yurdakul 2018, "Statistical properties
    # of population stability index"): small windows and many labels alone make it large.
    chance = chi_squared_quantile(0.99, max(len(old) - 1, 1)) * (1 / old.sum() + 1 / new.sum())
    return round(psi, 4), round(max(psi - chance, 0.0), 4), round(jensen_shannon(p, q), 4)
