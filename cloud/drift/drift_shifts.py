"""How far a single feature of a group of results moved against the baseline, and how much of that chance explains.

The baseline's rows are weighted so that as many come from each cell (folder and hour of the day; of outputs, the model
too) as in the window: what changes between day and night, or when another camera sends more, is no drift
(post-stratification: Holt and Smith 1979, "Post stratification"). Rows of cells that one side lacks are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.drift.drift_measures import (
    Floats,
    chi_squared_quantile,
    cosine_distance,
    effective_size,
    jensen_shannon,
    kolmogorov_smirnov,
    median,
    relative_entropy,
)
from cloud.drift.drift_profile import Cell, Profile, Texts, Vectors

# Below this neither side says anything.
FEWEST = 30
# So many equal rows the weighted ones of the baseline must be worth.
_WORTH = 15.0
_BINS = 10
INPUTS = ("brightness", "contrast", "sharpness", "width", "height", "aspect")
OUTPUTS = ("count", "score", "mean_score")

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Shift:
    """How far a feature moved. psi_excess: the index above what chance stays below 99 times in 100, over all groups
    that are compared. group: whose feature it is, in words."""

    feature: str
    psi: float
    psi_excess: float
    js: float
    ks: float | None = None
    p: float | None = None
    before: float | str = ""
    now: float | str = ""
    group: str = ""


@dataclass(frozen=True)
class Turn:
    """How far the mean embedding turned: the cosine distance, and its excess above chance, as of a Shift."""

    distance: float
    excess: float
    group: str = ""


def codes(*columns: tuple[NDArray[Any], NDArray[Any]]) -> tuple[Codes, Codes]:
    """A number for each cell, of baseline (N,) and window (M,): the same where all columns are the same."""
    count = len(columns[0][0])
    code = np.zeros(count + len(columns[0][1]), np.int64)
    for old, new in columns:
        part = np.unique(np.concatenate([old, new]), return_inverse=True)[1]
        code = np.unique(code * (int(part.max(initial=0)) + 1) + part, return_inverse=True)[1]
    return code[:count], code[count:]


def weights(old: Codes, new: Codes) -> tuple[Floats, NDArray[np.bool_]]:
    """The weight of each row of the baseline (N,), 0 where its cell has none in the window; and which rows of the
    window (M,) lie in cells that the baseline has."""
    size = int(max(old.max(initial=-1), new.max(initial=-1))) + 1
    before, now = np.bincount(old, minlength=size), np.bincount(new, minlength=size)
    weight = (now / np.maximum(before, 1))[old]
    used = weight[weight > 0]
    if used.size and (used == used[0]).all():
        weight = (weight > 0).astype(np.float64)
    return weight, before[new] > 0


def enough(weight: Floats, kept: NDArray[np.bool_]) -> bool:
    """Whether a comparison of these rows says anything."""
    used = weight[weight > 0]
    return min(used.size, int(kept.sum())) >= FEWEST and effective_size(used) >= _WORTH


def of_numbers(name: str, baseline: Profile, window: Profile, cells: tuple[Codes, Codes], share: float) -> Shift | None:
    """The shift of a number; None where too few are known. share: of all cases that stay below chance's bound."""
    known = [~np.isnan(side.numbers[name]) for side in (baseline, window)]
    weight, kept = weights(cells[0][known[0]], cells[1][known[1]])
    if not enough(weight, kept):
        return None
    old, weight = baseline.numbers[name][known[0]][weight > 0], weight[weight > 0]
    new = window.numbers[name][known[1]][kept]
    # Deciles of the baseline. A value that several of them share is a bin of its own: what lies above a constant
    # would count as the constant otherwise.
    deciles, repeats = np.unique(np.quantile(old, np.linspace(0, 1, _BINS + 1)[1:-1]), return_counts=True)
    edges = np.unique(np.concatenate([deciles, np.nextafter(deciles[repeats > 1], np.inf)]))
    bins = [np.searchsorted(edges, values, side="right") for values in (old, new)]
    psi, excess, js = _indices(bins[0], weight, bins[1], len(edges) + 1, share)
    ks, p = kolmogorov_smirnov(old, new, weight)
    before, now = round(median(old, weight), 4), round(float(np.median(new)), 4)
    return Shift(name, psi, excess, js, round(ks, 4), p, before, now)


def of_labels(old: Texts, new: Texts, cells: tuple[Codes, Codes], share: float) -> Shift | None:
    """As of_numbers, of the labels (N,) and (M,)."""
    known = [side != "" for side in (old, new)]
    weight, kept = weights(cells[0][known[0]], cells[1][known[1]])
    if not enough(weight, kept):
        return None
    old, weight, new = old[known[0]][weight > 0], weight[weight > 0], new[known[1]][kept]
    names, index = np.unique(np.concatenate([old, new]), return_inverse=True)
    psi, excess, js = _indices(index[: len(old)], weight, index[len(old) :], len(names), share)
    before = names[np.bincount(index[: len(old)], weights=weight).argmax()]
    now = names[np.bincount(index[len(old) :]).argmax()]
    return Shift("label", psi, excess, js, before=str(before), now=str(now))


def of_vectors(baseline: Mapping[Cell, Vectors], window: Mapping[Cell, Vectors], share: float) -> Turn | None:
    """How far the mean embedding turned; None where too few are known.

    For any two vectors a and b, 1 - cos(a, b) = (|a - b|^2 - (|a| - |b|)^2) / (2 |a| |b|) <= |a - b|^2 / (2 |a| |b|).
    Without drift a - b is the difference of two means around 0. Its squared length is a sum of squares of normal
    variables whose expectations add up to V, the variances of both means, each over all dimensions: the variance of a
    single embedding (its spread within cells) over how many there are. Of all such sums the one whose variance lies in
    a single direction reaches farthest (Szekely and Bakirov 2003, "Extremal probabilities for Gaussian quadratic
    forms"), so that V times a quantile of chi-squared with one degree of freedom bounds them all, whatever the
    dimension and however the embeddings are spread.
    """
    common = [cell for cell, sums in window.items() if cell in baseline and baseline[cell].mean.size == sums.mean.size]
    sizes = [window[cell].mean.size for cell in common]
    common = [cell for cell, size in zip(common, sizes, strict=True) if size == max(sizes)]
    old, new = [baseline[cell] for cell in common], [window[cell] for cell in common]
    before, now = (np.array([sums.count for sums in side], np.float64) for side in (old, new))
    # With a single embedding in every cell nothing is known of their spread.
    if min(before.sum(), now.sum()) < FEWEST or len(common) >= min(before.sum(), now.sum()):
        return None
    part = now / now.sum()
    a, b = (part @ np.stack([sums.mean for sums in side]) for side in (old, new))
    variance = _variance(old) * float((part**2 / before).sum()) + _variance(new) / float(now.sum())
    lengths = max(2 * float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300)
    distance = cosine_distance(a, b)
    excess = distance - variance * chi_squared_quantile(share, 1) / lengths
    return Turn(round(distance, 4), round(max(excess, 0.0), 4))


def _variance(sums: Sequence[Vectors]) -> float:
    """Of a single embedding around the mean of its cell, over all dimensions."""
    return sum(each.count * each.spread for each in sums) / sum(each.count - 1 for each in sums)


def _indices(old: Codes, weight: Floats, new: Codes, bins: int, share: float) -> tuple[float, float, float]:
    worth = effective_size(weight)
    counts = np.stack(
        [np.bincount(old, weight * (worth / weight.sum()), bins), np.bincount(new, minlength=bins).astype(np.float64)]
    )
    counts = counts[:, counts.any(axis=0)]
    # Half a count in every bin, so that an empty bin does not make the index infinite.
    p, q = ((side + 0.5) / (side.sum() + 0.5 * len(side)) for side in counts)
    psi = relative_entropy(p, q) + relative_entropy(q, p)
    # Under no drift the index is distributed as chi-squared times this (Yurdakul 2018, "Statistical properties
    # of population stability index"): small windows and many labels alone make it large.
    chance = chi_squared_quantile(share, max(counts.shape[1] - 1, 1)) * (1 / worth + 1 / len(new))
    return round(psi, 4), round(max(psi - chance, 0.0), 4), round(jensen_shannon(p, q), 4)
