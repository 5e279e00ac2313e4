"""Seconds that tracks stood somewhere: at their feet, on their way, at any rate of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.video.heat import HeatMap

ONE = np.array([7])


def box(x: float, width: float = 40.0) -> NDArray[np.float64]:
    return np.array([[x - width / 2, 100, x + width / 2, 300]])


@pytest.mark.parametrize("gap_s", [0.04, 0.5, 2.0, 7.0])
def test_who_stands_still_counts_its_seconds_at_its_feet(gap_s: float) -> None:
    heat = HeatMap(960, 480)
    for i in range(11):
        heat.update(i * gap_s, ONE, box(600.0))
    cells = heat.cells
    assert cells.max() == pytest.approx(10 * gap_s, rel=1e-3)
    assert cells.argmax() == 50 * 160 + 100
    assert (cells[50, [96, 104]] > 0).all() and (cells[50, [70, 130]] == 0).all()


@pytest.mark.parametrize("gap_s", [0.1, 1.0])
def test_a_fast_walker_at_a_low_rate_leaves_a_line_and_no_dots(gap_s: float) -> None:
    heat = HeatMap(960, 480)
    for i in range(round(4 / gap_s) + 1):
        heat.update(i * gap_s, ONE, box(80 + 200 * i * gap_s))
    way = heat.cells[50, 25:135]
    assert way.min() > 0.8 * way.max()


def test_two_who_stand_apart_do_not_share_a_way_and_the_same_place_adds_up() -> None:
    heat = HeatMap(960, 480)
    for i in range(11):
        heat.update(i / 10, np.array([1, 2]), np.concatenate([box(100.0), box(900.0)]))
        heat.update(i / 10, np.array([3]), box(100.0))  # of the same frame, in a call of its own
    assert heat.cells[50, 16] == pytest.approx(2.0, rel=0.05) and heat.cells[50, 150] == pytest.approx(1.0, rel=0.05)
    assert heat.cells[:, 70:90].max() == 0


def test_what_was_out_of_sight_for_long_stood_nobody_knows_where() -> None:
    heat = HeatMap(960, 480)
    for t_s, seen in ((0.0, True), (0.1, True), (0.2, False), (0.6, False), (3.0, False), (3.1, True), (3.2, True)):
        heat.update(t_s, ONE if seen else ONE[:0], box(100.0 if t_s < 1 else 500.0)[: int(seen)])
    assert heat.cells[50, 16] == pytest.approx(0.1) and heat.cells[50, 83] == pytest.approx(0.1)
    assert heat.cells[:, 30:70].max() == 0


def test_what_is_near_and_wide_stands_on_more_ground_than_what_is_far() -> None:
    spread = []
    for width in (20.0, 200.0):
        heat = HeatMap(960, 480)
        for i in range(11):
            heat.update(i / 10, ONE, box(500.0, width))
        spread.append(int((heat.cells > 0.5).sum()))
    assert spread[1] > 8 * spread[0]


def test_a_portrait_clip_has_as_fine_a_map() -> None:
    assert HeatMap(1080, 1920).cells.shape == (160, 90)
    assert HeatMap(1920, 8).cells.shape == (1, 160)
