"""What is no drift: the time of day, another mix of cameras, another model. And what is, in a small group too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloud.drift.drift_entry import DriftEntry
from cloud.drift.drift_profile import Profile, profile
from cloud.drift.drift_rows import Row
from cloud.drift.drift_verdict import Verdict, compare
from tests.cloud.drift.drift_world import row

ENTRY = DriftEntry()


def judged(before: list[Row], now: list[Row]) -> Verdict:
    return compare(profile(before), profile(now), ENTRY)


def by_day(seed: int, count: int, night: float, **more: Any) -> list[Row]:
    """Pictures of a camera: dark at night, whatever share of them is taken then."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        dark = chance.random() < night
        hour = int(chance.integers(0, 6) if dark else chance.integers(10, 16))
        brightness = float(chance.normal(0.1 if dark else 0.6, 0.05))
        score, label = float(chance.normal(0.8, 0.05)), str(chance.choice(["cat", "dog"]))
        found.append(row(number, hour=hour, brightness=brightness, score=score, label=label, **more))
    return found


def test_more_pictures_at_night_are_no_drift_and_dark_days_are() -> None:
    assert judged(by_day(1, 600, 0.3), by_day(2, 400, 0.8)).status == "ok"
    days = by_day(2, 400, 0.0)
    dark = [row(n, hour=each.time.hour, brightness=each.numbers["brightness"] - 0.3) for n, each in enumerate(days)]
    assert judged(by_day(1, 600, 0.3), dark).status == "alert"


def cameras(seed: int, counts: list[int], dark: int | None = None) -> list[Row]:
    """Cameras that each look at a scene of its own."""
    chance = np.random.default_rng(seed)
    return [
        row(number, folder=f"cam{camera}", hour=int(chance.integers(2)), label=f"thing{chance.integers(9)}",
            brightness=float(chance.normal(0.3 + 0.03 * camera, 0.05) * (0.2 if camera == dark else 1)))
        for camera, count in enumerate(counts) for number in range(count)
    ]  # fmt: skip


def test_another_mix_of_cameras_is_no_drift() -> None:
    assert judged(cameras(1, [600, 600]), cameras(2, [700, 100])).status == "ok"


@pytest.mark.slow
def test_a_few_results_of_the_baseline_that_stand_for_many_say_little() -> None:
    def at_night(seed: int, night: int, day: int) -> list[Row]:
        chance = np.random.default_rng(seed)
        return [row(n, hour=2 if n < night else 14, label=str(chance.integers(9))) for n in range(night + day)]

    statuses = [judged(at_night(seed, 25, 900), at_night(seed + 99, 800, 100)).status for seed in range(20)]
    assert statuses.count("ok") >= 19


@pytest.mark.slow
def test_a_dark_camera_with_a_twentieth_of_the_traffic_is_an_alert_that_names_it() -> None:
    counts = [200] * 20
    verdict = judged(cameras(1, counts), cameras(2, counts, dark=7))
    assert verdict.status == "alert"
    assert verdict.why.startswith("route r, folder cam7: brightness 0.5")
    assert [(moved.route, moved.folder) for moved in verdict.moved] == [("r", "cam7")]
    assert verdict.shifts[0].group == "route r, folder cam7"


@pytest.mark.slow
def test_many_cameras_do_not_cry_wolf() -> None:
    strict = DriftEntry(warning=0.01)  # nearly all that is above chance

    def noise(seed: int) -> Profile:
        chance = np.random.default_rng(seed)
        return profile([row(n, folder=f"cam{n % 20}", label=str(chance.integers(9))) for n in range(2000)])

    base = noise(1)
    statuses = [compare(base, noise(seed), strict).status for seed in range(2, 32)]
    assert statuses.count("ok") >= 29


def test_a_route_of_one_folder_is_compared_once() -> None:
    verdict = judged(by_day(1, 300, 0.3, folder="cam1"), by_day(2, 300, 0.3, folder="cam1"))
    assert {shift.group for shift in verdict.shifts} == {"route r"}


def test_folders_with_a_few_results_each_are_compared_as_one() -> None:
    def customers(seed: int, first: int, mean: float) -> list[Row]:
        chance = np.random.default_rng(seed)
        names = [f"customer-{first + n // 2}" for n in range(200)]
        return [row(n, folder=name, brightness=float(chance.normal(mean, 0.1))) for n, name in enumerate(names)]

    assert judged(customers(1, 0, 0.5), customers(2, 1000, 0.5)).status == "ok"
    assert judged(customers(1, 0, 0.5), customers(2, 1000, 0.2)).status == "alert"


def test_what_the_baseline_does_not_have_is_left_out_and_counted() -> None:
    before = [row(n, folder=f"cam{n % 2}", hour=9, brightness=0.5) for n in range(200)]
    now = before + [row(n, folder="new", brightness=0.1) for n in range(40)]
    now += [row(n, folder="cam1", hour=3, brightness=0.1) for n in range(7)]
    verdict = judged(before, now)
    assert verdict.status == "ok"
    assert "47 of 247 results are left out, as the baseline has none of folder new and" in verdict.why
    assert "none of the same folder at hour 3 (UTC)" in verdict.why


def test_a_route_that_one_side_lacks_is_said() -> None:
    before, now = by_day(1, 300, 0.3), by_day(2, 300, 0.3)
    verdict = judged([*before, *by_day(3, 50, 0.3, route="old")], [*now, *by_day(4, 50, 0.3, route="new")])
    assert verdict.status == "ok"
    assert "route new: the baseline has none of this route, the window 50 results" in verdict.why
    assert "route old: no results in the window, 50 in the baseline" in verdict.why


def test_outputs_of_another_model_are_held_against_none() -> None:
    before = by_day(1, 300, 0.3)
    other = [row(n, hour=each.time.hour, brightness=each.numbers["brightness"], score=0.5, label="dog", model="m:2")
             for n, each in enumerate(by_day(2, 300, 0.3))]  # fmt: skip
    verdict = judged(before, other)
    assert verdict.status == "unknown"
    assert "300 of 300 results are by m:2, the baseline is of m:1: save it anew with" in verdict.why
    assert {shift.feature for shift in verdict.shifts} == {"brightness"}
    dark = [row(n, hour=each.time.hour, brightness=0.01, model="m:2") for n, each in enumerate(other)]
    assert judged(before, dark).status == "warning"


def test_one_odd_result_does_not_silence_an_alert() -> None:
    before = [row(n, score=0.8 + n % 9 / 100) for n in range(200)]
    now = [row(n, score=0.5 + n % 9 / 100) for n in range(200)]
    assert judged(before, [*now, row(900, score=0.5, model="other:1")]).status == "alert"


def test_two_models_that_the_baseline_knows_are_each_held_against_themselves() -> None:
    def served(share: float, seed: int) -> list[Row]:
        chance = np.random.default_rng(seed)
        found = []
        for n in range(400):
            model = "m:2" if chance.random() < share else "m:1"
            found.append(row(n, model=model, score=float(chance.normal(0.8 if model == "m:1" else 0.5, 0.02))))
        return found

    assert judged(served(0.3, 1), served(0.8, 2)).status == "ok"


def directions(seed: int, count: int, turn: float, **more: Any) -> list[Row]:
    """Embeddings of 512 dimensions around a direction, a few of which vary much more than the others."""
    chance = np.random.default_rng(seed)
    scale = np.where(np.arange(512) < 5, 0.3, 0.03)
    middle = np.zeros(512)
    middle[10], middle[11] = np.cos(turn), np.sin(turn)
    return [row(n, vector=middle + chance.normal(0, scale), **more) for n in range(count)]


@pytest.mark.slow
def test_embeddings_that_turned_are_drift_and_their_chance_is_not() -> None:
    base = profile(directions(1, 300, 0.0))
    assert {compare(base, profile(directions(seed, 40, 0.0)), ENTRY).status for seed in range(2, 32)} == {"ok"}
    turned = compare(base, profile(directions(40, 60, 1.2)), ENTRY)
    assert turned.status == "alert" and "route r: embedding turned by a cosine distance of 0.6" in turned.why
    assert turned.turns[0].excess < turned.turns[0].distance


def test_pure_noise_has_no_direction_that_could_turn() -> None:
    def noise(seed: int) -> list[Row]:
        return [row(n, vector=np.random.default_rng(seed * 1000 + n).normal(0, 1, 512)) for n in range(60)]

    verdict = judged(noise(1), noise(2))
    assert verdict.turns[0].distance > 0.8 and verdict.status == "ok"


def test_embeddings_too_are_weighted_by_hour_and_never_those_of_another_model() -> None:
    before = [*directions(1, 100, 0.0, hour=12), *directions(2, 100, 1.5, hour=0)]
    assert judged(before, [*directions(3, 20, 0.0, hour=12), *directions(4, 180, 1.5, hour=0)]).status == "ok"
    assert judged(before, directions(5, 100, 1.5, hour=12, model="m:2")).turns == ()


def test_where_folders_or_hours_are_others_than_the_baseline_s_it_is_compared_all_the_same_and_said() -> None:
    def taken(seed: int, hour: int, folder: str, brightness: float = 0.5) -> list[Row]:
        chance = np.random.default_rng(seed)
        values = chance.normal(brightness, 0.05, 60)
        return [row(n, hour=hour, folder=folder, brightness=float(value)) for n, value in enumerate(values)]

    before = taken(1, 15, "batch-1")
    for now, regardless in (
        (taken(2, 15, "batch-2"), "the folder"),
        (taken(2, 6, "batch-1"), "the hour"),
        (taken(2, 6, "batch-2"), "folder and hour"),
    ):
        verdict = judged(before, now)
        assert (verdict.status, f"compared regardless of {regardless}" in verdict.why) == ("ok", True)
    assert judged(before, taken(2, 6, "batch-2", 0.1)).status == "alert"


def test_a_dark_camera_is_found_at_hours_that_the_baseline_does_not_have() -> None:
    counts = [600, 300, 45]
    before, now = cameras(1, counts), cameras(2, counts, dark=2)
    now = [replace(each, time=each.time.replace(hour=20)) for each in now]
    verdict = judged(before, now)
    assert verdict.status == "alert"
    assert verdict.moved[0].folder == "cam2"
