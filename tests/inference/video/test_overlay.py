"""What is drawn on frames beside predictions: trails, actions, counters, and their way to another process."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pytest

from inference.draw.trails import Trail
from inference.predictions import Objects
from inference.video.overlay import (
    ActionsNow,
    Crowd,
    Overlay,
    Trails,
    action_line,
    answers_of,
    counters,
    overlay_between,
)
from inference.video.stored import from_line, to_line
from inference.video.time_range import TimeRange
from inference.video.zones import ZoneCount

NOTHING: tuple[Trail, ...] = ()


def walker(x: float, track: int = 4, y: float = 300.0) -> Objects:
    return Objects(np.array([[x - 20, y - 100, x + 20, y]], np.float32), np.array([0.9], np.float32),
                   np.zeros(1, np.int64), ("person",), tracks=np.array([track]))  # fmt: skip


def trails(places: Iterable[tuple[float, float | None]], size: tuple[int, int] = (1000, 500)) -> tuple[Trail, ...]:
    """The trails after these (second, x or None for nobody)."""
    watch, found = Trails(size), NOTHING
    for t_s, x in places:
        found = watch.update(t_s, [Objects.empty() if x is None else walker(x)])
    return found


@pytest.mark.parametrize("rate", [4, 12.5, 60])
def test_a_trail_is_two_seconds_of_the_way_of_the_feet(rate: float) -> None:
    (trail,) = trails((i / rate, 100 + 100 * i / rate) for i in range(round(6 * rate) + 1))
    x, y = np.array(trail.points).T
    assert trail.track == 4 and trail.points[-1] == pytest.approx((0.7, 0.6))
    assert 0.45 < x[0] < 0.55 and (np.diff(x) > 0).all() and (y == pytest.approx(0.6)) and 6 <= len(x) <= 10


def test_at_a_picture_in_two_seconds_there_is_a_trail_too() -> None:
    (trail,) = trails((2.0 * i, 100 + 50 * i) for i in range(6))
    assert [x for x, _ in trail.points] == pytest.approx([0.2, 0.25, 0.3, 0.35])


def test_who_stands_and_trembles_has_none() -> None:
    jitter = np.random.default_rng(3).normal(0, 12, 100)
    assert trails((i / 10, 300 + jitter[i]) for i in range(100)) == ()


def test_a_walk_whose_box_trembles_is_smoothed() -> None:
    jitter = np.random.default_rng(3).normal(0, 4, 200)
    watch, found = Trails((1000, 500)), NOTHING
    for i in range(100):
        found = watch.update(i / 50, [walker(100 + 3 * i, y=300 + jitter[i])])
    heights = np.array(found[0].points)[:-1, 1] * 500  # the last is where the box is
    assert heights.std() < 2.5


def test_a_trail_breaks_where_its_track_was_out_of_sight_and_goes_soon_after_it() -> None:
    gone = [*((i / 10, 100 + 10.0 * i) for i in range(30)), *((3 + i / 10, None) for i in range(30))]
    assert len(trails(gone[:33])) == 1 and trails(gone[:36]) == ()
    (trail,) = trails([*gone[:50], *((5 + i / 10, 800 + 10.0 * i) for i in range(10))])
    assert min(x for x, _ in trail.points) >= 0.8


def test_where_the_camera_moves_the_way_moves_with_it() -> None:
    watch, found = Trails((1000, 500)), NOTHING
    shift = np.array([[1.0, 0.0, -10.0], [0.0, 1.0, 0.0]])  # it turns right: everything goes left
    for i in range(20):
        found = watch.update(i / 10, [walker(500.0)], shift if i else None)  # who it follows stays in the middle
    x = [x for x, _ in found[0].points]
    assert x[0] < 0.36 and x[-1] == 0.5


def test_what_is_followed_and_detected_is_one_trail() -> None:
    watch, found = Trails((1000, 500)), NOTHING
    for i in range(20):
        found = watch.update(i / 10, [walker(100.0 + 10 * i), walker(103.0 + 10 * i)])
    assert len(found) == 1 and found[0].points[-1][0] == pytest.approx(0.29)


def action(start_s: float, end_s: float, label: str = "skiing") -> TimeRange:
    return TimeRange("action", "act", label, 1, start_s, end_s, 0.8)


def test_an_action_is_what_the_newest_window_says_from_where_it_began() -> None:
    now = ActionsNow(["act"])
    assert now.update({}) == ()
    assert now.update({"act": action(0, 2)}) == (action(0, 2),)
    assert now.update({}) == (action(0, 2),)
    assert now.update({"act": action(1, 3)}) == (action(0, 3),)
    assert now.update({"act": None}) == ()
    assert now.update({"act": action(3, 5)}) == (action(3, 5),)
    assert now.update({"act": action(7, 9)}) == (action(7, 9),)


@pytest.mark.parametrize(
    ("start_s", "end_s", "words"),
    [(3, 5.2, "skiing  80%  3-5 s"), (3.1, 3.4, "skiing  80%  3.1-3.4 s"), (58, 65, "skiing  80%  0:58-1:05")],
)
def test_an_action_is_written_with_its_time(start_s: float, end_s: float, words: str) -> None:
    assert action_line(action(start_s, end_s), scores=True) == words
    assert action_line(action(start_s, end_s), scores=False) == words.replace("  80%", "")


def test_a_few_more_or_less_do_not_change_the_tags() -> None:
    crowd = Crowd()
    assert [crowd.update(n) for n in (10, 20, 21, 19, 21, 15, 14, 19, 21)] == [
        False, False, True, True, True, True, False, False, True,
    ]  # fmt: skip


OVERLAY = Overlay(
    (ZoneCount("kind", ((0.0, 0.5), (1.0, 0.5)), 3, 1), ZoneCount("a\n\ud800", ((0, 0), (1, 0), (1, 1)), 3, 1, 2)),
    (Trail(4, "dtype", ((0.1, 0.2), (0.3, 0.4))),),
    (action(1, 3),),
    True,
)


def test_a_line_gives_back_the_very_same_overlay() -> None:
    line = to_line({"overlay": OVERLAY.to_json()})
    assert Overlay.from_json(from_line(line)["overlay"]) == OVERLAY
    assert Overlay.from_json(json.loads(to_line({})).get("overlay")) == Overlay()  # of an older version


def test_a_line_says_what_the_windows_said_that_ended_with_its_frame() -> None:
    said = {"act": action(1, 3), "other": None}
    line = to_line({"actions": {step: answer and vars(answer) for step, answer in said.items()}})
    assert answers_of(from_line(line)) == said
    assert answers_of(from_line(to_line({"frame": 3}))) == {}  # of an older version


def test_counters_in_words() -> None:
    assert [counters(zone) for zone in OVERLAY.zones] == ["in 3  out 1", "inside 2  entered 3"]


def test_between_two_samples_a_trail_ends_where_the_box_is() -> None:
    after = Overlay((), (Trail(4, "cat", ((0.3, 0.4), (0.5, 0.4))), Trail(5, "cat", ((0, 0), (1, 1)))), (), False)
    early, late = overlay_between(OVERLAY, after, 0.25), overlay_between(OVERLAY, after, 0.75)
    assert early.trails[0].points == ((0.1, 0.2), (0.3, 0.4), (0.35, 0.4)) and len(early.trails) == 1
    assert early.zones == OVERLAY.zones and late.zones == () and late.actions == OVERLAY.actions
