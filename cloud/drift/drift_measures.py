"""The statistics of a drift report, in numpy: libraries that have them weigh more than the rest of the app."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# So many values of both samples together are compared exactly; it takes their number squared.
_EXACT = 4000


def relative_entropy(p: Floats, q: Floats) -> float:
    """Kullback and Leibler's divergence of two distributions (N,) without empty bins, in nats."""
    return float(np.sum(p * np.log(p / q)))


def jensen_shannon(p: Floats, q: Floats) -> float:
    """The Jensen-Shannon distance of two distributions (N,): 0 for the same, 1 for nothing in common."""
    middle = (p + q) / 2
    entropy = relative_entropy(p, middle) + relative_entropy(q, middle)
    return math.sqrt(max(entropy, 0.0) / (2 * math.log(2)))


def cosine_distance(a: Floats, b: Floats) -> float:
    """1 - the cosine of the angle between two vectors (D,)."""
    return 1 - float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300)


def effective_size(weights: Floats) -> float:
    """How many equal ones weighted values (N,) are worth (Kish 1965, "Survey sampling"): N where all are equal."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def median(values: Floats, weights: Floats) -> float:
    """The value (of N, one at least) with half of the weight on either side."""
    if (weights == weights[0]).all():
        return float(np.median(values))
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2)])


def kolmogorov_smirnov(a: Floats, b: Floats, weights: Floats | None = None) -> tuple[float, float]:
    """The two-sample statistic of (N,) and (M,), and its two-sided p-value. weights: of `a`; all 1 by default.

    With other weights the p-value is that of so many equal values as they are worth, rounded down.
    """
    weights = np.ones(len(a)) if weights is None else weights
    order = np.argsort(a)
    a, weights, b = a[order], weights[order], np.sort(b)
    both = np.concatenate([a, b])
    n, m = int(effective_size(weights) + 1e-9), len(b)
    # In multiples of the smallest step, 1 / (n * m): whole numbers where all weights are equal, exact where paths
    # touch the limit.
    below = np.concatenate([[0.0], np.cumsum(weights * (n / weights.sum()))])
    apart = np.abs(below[np.searchsorted(a, both, side="right")] * m - np.searchsorted(b, both, side="right") * n)
    limit = float(apart.max())
    chance = _chance_to_leave(n, m, int(limit + 1e-6)) if n + m <= _EXACT else _chance_of(limit / (n * m), n, m)
    return limit / (n * m), chance


def _chance_of(statistic: float, n: int, m: int) -> float:
    """Kolmogorov's limit, with Stephens' correction for sizes that are not infinite (1970, "Use of the
    Kolmogorov-Smirnov, Cramer-von Mises and related statistics without extensive tables")."""
    root = math.sqrt(n * m / (n + m))
    scaled = (root + 0.12 + 0.11 / root) * statistic
    if scaled < 0.2:  # where the series has not begun to fall: 1 to twelve digits
        return 1.0
    terms = (2 * (1 if k % 2 else -1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(max(sum(terms), 0.0), 1.0)


def _chance_to_leave(n: int, m: int, limit: int) -> float:
    """How likely a random order of n and m values takes their distributions `limit` / (n * m) apart somewhere.

    All orders are equally likely: paths of n steps right and m steps up, followed over all of them at once
    (Hodges, 1958). The chance is added up as they leave, so that tiny ones keep their digits.
    """
    if limit == 0:
        return 1.0
    right = np.arange(n + 1)
    inside, left = np.zeros(n + 1), 0.0
    inside[0] = 1.0
    for step in range(n + m):
        ahead = inside * ((n - right) / (n + m - step))
        inside -= ahead
        inside[1:] += ahead[:-1]
        gone = np.abs(right * m - (step + 1 - right) * n) >= limit
        left += float(inside[gone].sum())
        inside[gone] = 0.0
    return min(left, 1.0)


@lru_cache
def chi_squared_quantile(share: float, freedom: int) -> float:
    """The value that chi-squared with `freedom` degrees of freedom stays below in `share` of all cases."""
    low, high = 0.0, freedom + 20 * math.sqrt(2 * freedom) + 20
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _chi_squared(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _chi_squared(value: float, freedom: int) -> float:
    """The share of chi-squared below `value`: the incomplete gamma function by its series."""
    a, x = freedom / 2, value / 2
    terms = np.cumprod(x / (a + np.arange(1, int(x + 20 * math.sqrt(x + 1) + 60))))
    return math.exp(a * math.log(x) - x - math.lgamma(a + 1)) * (1 + float(terms.sum())) if x > 0 else 0.0
