"""K-means, CIE Lab and the statistics of drift, held to the values of scipy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cosine, jensenshannon
from scipy.special import rel_entr
from scipy.stats import chi2, ks_2samp

from cloud.drift.drift_measures import (
    chi_squared_quantile,
    cosine_distance,
    jensen_shannon,
    kolmogorov_smirnov,
    relative_entropy,
)
from inference.image.kmeans import kmeans
from inference.image.lab import lab_to_rgb, rgb_to_lab


@pytest.mark.parametrize(("count", "size", "clusters"), [(500, 3, 6), (300, 64, 8), (40, 2, 1), (7, 2, 7)])
def test_kmeans_finds_the_clusters_of_scipy(count: int, size: int, clusters: int) -> None:
    points = np.random.default_rng(1).normal(size=(count, size))
    expected, numbers = kmeans2(points, clusters, iter=20, minit="++", seed=np.random.default_rng(5))
    centres, labels = kmeans(points, clusters, np.random.default_rng(5), 20)
    assert labels.tolist() == numbers.tolist()
    np.testing.assert_allclose(centres, expected, atol=1e-12)


def test_kmeans_of_points_that_are_all_the_same() -> None:
    centres, labels = kmeans(np.full((9, 2), 3.0), 2, np.random.default_rng(0), 5)
    assert (centres == 3.0).all() and set(labels.tolist()) == {0}


def test_lab_is_opencvs_both_ways() -> None:
    chance = np.random.default_rng(2)
    rgb = chance.random((200, 300, 3)).astype(np.float32)
    # OpenCV interpolates in tables on the way there: next to black and on steep parts it is off by up to half a unit.
    apart = np.abs(rgb_to_lab(rgb) - cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab))
    assert apart.mean() < 0.1 and apart.max() < 0.75
    np.testing.assert_allclose(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=1e-4)
    lab = ((chance.random((200, 300, 3)) - [0, 0.5, 0.5]) * [100, 200, 200]).astype(np.float32)  # most outside sRGB
    np.testing.assert_allclose(lab_to_rgb(lab), cv2.cvtColor(lab, cv2.COLOR_Lab2RGB).clip(0, 1), atol=5e-4)
    np.testing.assert_allclose(rgb_to_lab(np.ones((1, 3), np.float32))[0], [100, 0, 0], atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "shift"), [(2000, 2000, 0.05), (1999, 1000, 0.1), (40, 77, 0), (300, 300, 2)])
def test_kolmogorov_and_smirnov_as_in_scipy(n: int, m: int, shift: float) -> None:
    chance = np.random.default_rng(n)
    for digits in (12, 1):  # with and without values that stand on both sides
        a, b = chance.normal(size=n).round(digits), chance.normal(shift, 1, m).round(digits)
        expected = ks_2samp(a, b)
        statistic, p = kolmogorov_smirnov(a, b)
        assert statistic == pytest.approx(expected.statistic, rel=1e-12)
        assert p == pytest.approx(expected.pvalue, rel=1e-7)
    assert kolmogorov_smirnov(a, a) == (0.0, 1.0)


def test_distances_of_distributions_as_in_scipy() -> None:
    chance = np.random.default_rng(4)
    for size in (2, 10, 500):
        p, q = chance.dirichlet(np.ones(size)), chance.dirichlet(np.ones(size))
        assert relative_entropy(p, q) == pytest.approx(rel_entr(p, q).sum(), rel=1e-9)
        assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), rel=1e-9)
        assert cosine_distance(p, q) == pytest.approx(cosine(p, q), abs=1e-12)
        assert jensen_shannon(p, p) == 0
    for freedom in (1, 2, 9, 100, 3000):
        assert chi_squared_quantile(0.99, freedom) == pytest.approx(chi2.ppf(0.99, freedom), rel=1e-9)
