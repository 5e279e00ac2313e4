"""The numbers of a comparison against those of references, and how often chance alone warns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstwobign

from cloud.drift.drift_entry import DriftEntry
from cloud.drift.drift_measures import effective_size, kolmogorov_smirnov, median
from cloud.drift.drift_profile import Profile, profile
from cloud.drift.drift_verdict import compare
from tests.cloud.drift.drift_world import row


def of(seed: int, count: int, shift: float = 0.0, labels: int = 50) -> Profile:
    chance = np.random.default_rng(seed)
    return profile(
        [
            row(n, brightness=float(chance.normal(shift)), label=str(chance.integers(labels)), vector=[1.0, shift])
            for n in range(count)
        ]
    )


@pytest.mark.slow
def test_chance_alone_rarely_warns_and_a_real_shift_always_does() -> None:
    entry = DriftEntry()
    base = of(1, 300)
    quiet = [compare(base, of(seed, 120), entry).status for seed in range(2, 42)]
    assert quiet.count("ok") >= 38
    assert {compare(base, of(seed, 120, shift=1.0), entry).status for seed in range(2, 22)} == {"alert"}
    assert compare(base, of(9, 120, labels=5), entry).shifts[0].feature == "label"


def test_indices_are_those_of_their_definitions() -> None:
    old, new = of(1, 400, labels=2), of(2, 400, labels=2)
    shift = next(each for each in compare(old, new, DriftEntry()).shifts if each.feature == "label")
    p, q = ((np.array([(each.label == "0").sum(), (each.label == "1").sum()]) + 0.5) / 401 for each in (old, new))
    assert shift.psi == pytest.approx(float(np.sum((p - q) * np.log(p / q))), abs=1e-4)
    m = (p + q) / 2
    js = np.sqrt((np.sum(p * np.log2(p / m)) + np.sum(q * np.log2(q / m))) / 2)
    assert shift.js == pytest.approx(float(js), abs=1e-4)
    turned = compare(old, of(2, 400, shift=1.0), DriftEntry())
    assert turned.turns[0].distance == pytest.approx(1 - 1 / np.sqrt(2), abs=1e-3)


@pytest.mark.parametrize("now", [1.0, 6.0])
def test_a_constant_that_becomes_another_one_is_drift(now: float) -> None:
    def cameras(count: float) -> Profile:
        return profile([row(n, count=count, label="person") for n in range(60)])

    assert compare(cameras(3.0), cameras(now), DriftEntry()).status == "alert"
    assert compare(cameras(3.0), cameras(3.0), DriftEntry()).status == "ok"


def test_numbers_are_compared_as_a_reference_does() -> None:
    chance = np.random.default_rng(0)
    old, new = chance.normal(0, 1, 500), chance.normal(0.3, 1.2, 400)
    before, now = (profile([row(n, brightness=float(v)) for n, v in enumerate(each)]) for each in (old, new))
    shift = next(each for each in compare(before, now, DriftEntry()).shifts if each.feature == "brightness")
    bounds = [-np.inf, *np.quantile(old, np.linspace(0, 1, 11)[1:-1]), np.inf]
    p, q = ((np.histogram(each, bounds)[0] + 0.5) / (len(each) + 5) for each in (old, new))
    assert shift.psi == pytest.approx(float(np.sum((q - p) * np.log(q / p))), abs=1e-4)
    reference = ks_2samp(old, new)
    assert shift.ks == pytest.approx(reference.statistic, abs=1e-4)
    assert shift.p == pytest.approx(reference.pvalue)


def test_large_samples_have_the_p_value_of_the_reference() -> None:
    chance = np.random.default_rng(3)
    for apart in (0.0, 0.02, 0.06):
        a, b = chance.normal(0, 1, 4000), chance.normal(apart, 1, 3000)
        reference = ks_2samp(a, b, method="exact")
        statistic, p = kolmogorov_smirnov(a, b)
        assert statistic == pytest.approx(reference.statistic)
        assert p == pytest.approx(reference.pvalue, rel=0.05)
        assert p <= kstwobign.sf(statistic * np.sqrt(4000 * 3000 / 7000))  # the limit without the correction


def test_weights_count_as_repetitions_do_and_are_worth_less() -> None:
    values, times = np.array([4.0, 1.0, 3.0, 2.0]), np.array([1.0, 3.0, 1.0, 2.0])
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_size(times) == pytest.approx(49 / 15)
    assert median(values, times) == np.median(np.repeat(values, times.astype(int)))
    assert median(values, np.full(4, 2.0)) == 2.5
    other = np.array([0.5, 1.5, 2.5])
    repeated = ks_2samp(np.repeat(values, times.astype(int)), other).statistic
    assert kolmogorov_smirnov(values, other, times)[0] == pytest.approx(repeated)


@pytest.mark.slow
def test_weights_do_not_make_chance_certain() -> None:
    chance = np.random.default_rng(5)
    weights = np.where(np.arange(60) < 10, 8.0, 0.5)
    values = [kolmogorov_smirnov(chance.random(60), chance.random(80), weights)[1] for _ in range(300)]
    assert sum(p < 0.05 for p in values) / 300 < 0.08


def test_too_little_evidence_says_so() -> None:
    assert compare(of(1, 300), of(2, 9), DriftEntry()).status == "unknown"
