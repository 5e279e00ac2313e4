"""K-means (Lloyd, 1982), seeded as k-means++ (Arthur and Vassilvitskii, 2007)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.intp]
Points = NDArray[np.floating]


def kmeans(points: Points, count: int, generator: np.random.Generator, rounds: int) -> tuple[Points, Labels]:
    """(centres (count, D), index (N,) of the centre nearest to every point), for points (N, D). Clusters may end empty.

    rounds: how often the centres are moved to the mean of their points."""
    centres = _seeds(points, count, generator)
    labels = nearest(points, centres)
    for i in range(rounds):
        if i:
            labels = nearest(points, centres)
        members = np.arange(count)[:, None] == labels
        sizes = members.sum(axis=1)
        held = sizes > 0  # a centre that lost all its points stays where it was
        centres[held] = (members[held].astype(np.float64) @ points) / sizes[held, None]
    return centres, labels


def nearest(points: Points, centres: Points) -> Labels:
    """The index (N,) of the centre nearest to every point, for points (N, D) and centres (K, D)."""
    numbers: Labels = ((centres**2).sum(axis=1) - 2 * (points @ centres.T)).argmin(axis=1)
    return numbers


def _seeds(points: Points, count: int, generator: np.random.Generator) -> Points:
    """The first point by chance; the others by chance too, weighted with the squared distance from those before."""
    chosen = [int(generator.integers(len(points)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - points[chosen[-1]].astype(np.float64)) ** 2).sum(axis=1))
        reach = (distance / max(distance.sum(), 1e-300)).cumsum()
        chosen.append(min(int(np.searchsorted(reach, generator.uniform())), len(points) - 1))
    return points[chosen].astype(np.float64)
