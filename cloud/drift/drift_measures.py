"""The statistics of a drift report, in numpy: libraries that have them weigh more than the rest of the app."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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


def kolmogorov_smirnov(a: Floats, b: Floats) -> tuple[float, float]:
    """The two-sample statistic of (N,) and (M,), and its two-sided p-value."""
    a, b = np.sort(a), np.sort(b)
    n, m = len(a), len(b)
    both = np.concatenate([a, b])
    # In whole numbers, n * m times the difference of the two distributions: exact where paths touch the limit.
    apart = np.abs(np.searchsorted(a, both, side="right") * m - np.searchsorted(b, both, side="right") * n)
    limit = int(apart.max())
    return limit / (n * m), _chance_to_leave(n, m, limit)


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
