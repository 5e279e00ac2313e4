"""When a crossing, an arrival and a leaving count: boxes that tremble, places that are narrow, pictures far apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.video.zones import Zone, ZoneEvent, ZoneWatch
from tests.inference.properties import examples

W, H = 1000, 1000
WIDE, HIGH = 60.0, 160.0
DOOR = Zone("door", ((0.5, 0.0), (0.5, 1.0)))  # down: left to right is out
STEP = Zone("step", ((0.0, 0.5), (1.0, 0.5)))  # to the right: down is in
YARD = Zone("yard", ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)))
Place = tuple[float, float]


def box(x: float, y: float, noise: Sequence[float] | NDArray[np.float64] = (0, 0, 0, 0)) -> NDArray[np.float64]:
    """(1, 4) of somebody whose feet are at (x, y), within the picture; noise: of its edges, in shares of its sides."""
    sides = np.array([WIDE, HIGH, WIDE, HIGH])
    edges = np.array([x - WIDE / 2, y - HIGH, x + WIDE / 2, y]) + np.asarray(noise) * sides
    found: NDArray[np.float64] = edges.clip(0, [W, H, W, H])[None]
    return found


def watch(
    zones: Sequence[Zone], places: Iterable[Place | None], fps: float = 10.0, noise: float = 0.0, seed: int = 0
) -> list[ZoneEvent]:
    """What one track does, standing at these places (None: not seen) in pictures so often a second."""
    rng, watcher = np.random.default_rng(seed), ZoneWatch(zones, W, H)
    for i, place in enumerate(places):
        boxes = np.zeros((0, 4)) if place is None else box(*place, rng.uniform(-noise, noise, 4))
        watcher.update(i / fps, np.full(len(boxes), 7), boxes, ["person"] * len(boxes))
    return watcher.finish()


def total(events: Iterable[ZoneEvent]) -> dict[str, int]:
    return dict(Counter(event.counted for event in events if event.kind != "dwell"))


def way(start: Place, end: Place, seconds: float, fps: float = 10.0) -> list[Place]:
    n = max(2, round(seconds * fps))
    return [(start[0] + (end[0] - start[0]) * i / (n - 1), start[1] + (end[1] - start[1]) * i / (n - 1))
            for i in range(n)]  # fmt: skip


@pytest.mark.parametrize("fps", [30, 10, 4])
@pytest.mark.parametrize("zone", [DOOR, STEP], ids=["door", "step"])
def test_who_stops_on_a_line_counts_once_and_what_stands_on_it_never(zone: Zone, fps: float) -> None:
    on = [(500.0, 500.0)] * int(10 * fps)
    before, after = way((300, 300), (500, 500), 3, fps), way((500, 500), (700, 700), 3, fps)
    one = {"cross_out": 1} if zone is DOOR else {"cross_in": 1}
    for seed in range(3):
        assert watch([zone], on, fps, 0.15, seed) == []
        assert total(watch([zone], [*before, *on, *after], fps, 0.15, seed)) == one
        assert watch([zone], [*before, *on, *reversed(before)], fps, 0.15, seed) == []


@pytest.mark.parametrize("fps", [2, 1, 0.2])
@pytest.mark.parametrize("zone", [DOOR, STEP], ids=["door", "step"])
def test_where_pictures_are_far_apart_a_single_bad_box_is_no_crossing(zone: Zone, fps: float) -> None:
    trembling = [0.2, -0.2, 0.0] * 20  # of the box: over the band, and not twice in a row
    assert watch([zone], [(500 + share * 100, 500 + share * HIGH) for share in trembling], fps) == []
    passed = [(300.0, 300.0), (430.0, 430.0), (570.0, 570.0), (700.0, 700.0)]
    assert total(watch([zone], passed, fps)) == ({"cross_out": 1} if zone is DOOR else {"cross_in": 1})


@pytest.mark.parametrize("fps", [30, 10, 4, 1])
def test_a_stay_on_a_border_is_one_stay(fps: float) -> None:
    there = [(300.0, 500.0)] * int(12 * fps)
    events = watch(
        [YARD], [*way((100, 500), (300, 500), 2, fps), *there, *way((300, 500), (100, 500), 2, fps)], fps, 0.1
    )
    assert total(events) == {"enter": 1, "exit": 1}


@pytest.mark.parametrize("fps", [25, 10, 2, 1])
def test_there_and_back_is_a_crossing_each_way(fps: float) -> None:
    there = way((300, 500), (700, 500), 5, fps)
    assert total(watch([DOOR], [*there, *reversed(there)], fps)) == {"cross_out": 1, "cross_in": 1}


def test_a_crossing_has_the_time_of_its_step_over_the_line() -> None:
    (event,) = watch([DOOR], way((300, 500), (700, 500), 4.1))
    assert event.t_s == pytest.approx(2.0, abs=0.11)


def test_one_picture_on_the_other_side_is_no_crossing_but_where_the_track_ends_there() -> None:
    stands = [(400.0, 500.0)] * 10
    assert watch([DOOR], [*stands, (600, 500), *stands]) == []
    assert total(watch([DOOR], [*stands, (600, 500)])) == {"cross_out": 1}


def test_around_the_end_of_a_line_is_not_over_it() -> None:
    short = Zone("short", ((0.5, 0.0), (0.5, 0.5)))
    around = [*way((400, 400), (400, 700), 1), *way((400, 700), (600, 700), 1), *way((600, 700), (600, 400), 1)]
    assert watch([short], around) == []
    over = way((600, 400), (400, 400), 1)
    assert total(watch([short], [*around, *over, *around, *over])) == {"cross_in": 2}


def test_along_a_line_is_not_over_it() -> None:
    assert watch([STEP], way((50, 495), (950, 505), 8), noise=0.1) == []
    assert watch([DOOR], way((500, 200), (500, 950), 8), noise=0.1) == []


@pytest.mark.parametrize(
    ("line", "path", "counted"),
    [
        (((0.0, 0.97), (1.0, 0.97)), way((500, 600), (500, 1100), 3), {"cross_in": 1}),
        (((0.97, 0.0), (0.97, 1.0)), way((600, 500), (1100, 500), 3), {"cross_out": 1}),
        (((0.02, 0.0), (0.02, 1.0)), way((400, 500), (-100, 500), 3), {"cross_in": 1}),
    ],
)
def test_a_line_near_the_edge_of_the_picture_is_crossed_by_who_walks_out(
    line: tuple[Place, Place], path: list[Place], counted: dict[str, int]
) -> None:
    seen = [p for p in path if p[0] - WIDE / 2 < W - 5 and p[0] + WIDE / 2 > 5 and p[1] - HIGH < H - 5]
    assert total(watch([Zone("out", line)], seen, noise=0.03)) == counted
    there = [*seen, *[seen[-1]] * 5, *reversed(seen)]
    assert total(watch([Zone("out", line)], there, noise=0.03)) == {"cross_in": 1, "cross_out": 1}


@pytest.mark.parametrize("fps", [25, 10, 2, 1])
@pytest.mark.parametrize("half", [0.001, 0.02, 0.1])
def test_a_strip_is_entered_and_left_by_who_walks_through(half: float, fps: float) -> None:
    strip = Zone("strip", ((0.5 - half, 0.0), (0.5 + half, 0.0), (0.5 + half, 1.0), (0.5 - half, 1.0)))
    assert total(watch([strip], way((100, 500), (900, 500), 4, fps), fps)) == {"enter": 1, "exit": 1}


def test_who_reaches_into_a_strip_and_turns_has_not_been_there() -> None:
    strip = Zone("strip", ((0.5, 0.0), (0.52, 0.0), (0.52, 1.0), (0.5, 1.0)))
    assert (
        watch([strip], [*way((400, 500), (495, 500), 1), (502, 500), (503, 500), *way((495, 500), (400, 500), 1)]) == []
    )


@pytest.mark.parametrize("fps", [25, 2, 1])
def test_around_the_corner_of_an_area_is_not_through_it(fps: float) -> None:
    path = [*way((250, 500), (250, 250), 4, fps), *way((250, 250), (500, 250), 4, fps)]
    assert watch([YARD], path, fps) == []


def test_hidden_the_stay_goes_on_and_the_line_is_crossed() -> None:
    hidden = [*way((100, 500), (400, 500), 3), *[None] * 30, *way((600, 500), (690, 500), 3)]
    events = watch([YARD, DOOR], hidden)
    assert total(e for e in events if e.zone == "yard") == {"enter": 1, "exit": 1}
    assert total(e for e in events if e.zone == "door") == {"cross_out": 1}


def test_who_was_hidden_on_all_the_way_through_an_area_was_not_seen_there() -> None:
    assert watch([YARD], [*way((100, 500), (250, 500), 2), *[None] * 30, *way((750, 500), (900, 500), 2)]) == []


def test_a_stay_that_grew_long_unseen_has_loitered() -> None:
    patio = Zone("patio", YARD.points, loiter_s=3.0)
    events = watch([patio], [(0.1, 0.1), *[(500, 500)] * 10, *[None] * 40, *[(900, 500)] * 10])
    assert [(e.kind, e.t_s) for e in events] == [("enter", 0.1), ("loiter", 5.1), ("exit", 5.1), ("dwell", 5.1)]


def test_who_steps_out_into_a_narrow_bay_has_left() -> None:
    """The bay is 24 pixels wide, less than the band of both its sides."""
    bay = ((0.2, 0.2), (0.488, 0.2), (0.488, 0.6), (0.512, 0.6), (0.512, 0.2), (0.8, 0.2), (0.8, 0.9), (0.2, 0.9))
    events = watch([Zone("bay", bay)], [*way((350, 400), (500, 400), 2), *[(500.0, 400.0)] * 30])
    assert total(events) == {"enter": 1, "exit": 1} and events[-1].t_s < 2


def test_a_band_does_not_tremble_with_the_box() -> None:
    """Every second box is of the head and shoulders alone: its band would be too narrow for its trembling."""
    watcher = ZoneWatch([STEP], W, H)
    for i in range(40):
        foot, high = 500 + 10 * (1 if i // 2 % 2 else -1), 40 if i % 2 else 160
        watcher.update(i / 2, np.array([1]), np.array([[470, foot - high, 530, foot]]), ["person"])
    assert watcher.finish() == []


def test_a_stay_ends_with_its_track_where_that_was_seen_last() -> None:
    watcher = ZoneWatch([YARD], W, H)
    for i in range(10):
        watcher.update(i / 10, np.array([1]), box(500, 500), ["person"], {1})
    for i in range(10, 40):
        watcher.update(i / 10, np.zeros(0, np.int64), np.zeros((0, 4)), [], {1} if i < 35 else set())
        assert watcher.counters()[0].inside == (1 if i < 35 else 0)
    assert [(e.kind, e.t_s) for e in watcher.finish()] == [("enter", 0.0), ("exit", 0.9), ("dwell", 0.9)]


def test_it_counts_what_the_track_is_as_a_whole() -> None:
    names = ["car"] * 8 + ["bus"] * 2 + ["car"] * 8
    zones = [
        Zone("cars", DOOR.points, ("car",)),
        Zone("heavy", DOOR.points, ("bus", "truck")),
        Zone("all", DOOR.points),
    ]
    watcher, seen = ZoneWatch(zones, W, H), Counter[str]()
    for i, (name, place) in enumerate(zip(names, way((300, 500), (700, 500), 1.8), strict=True)):
        seen[name] += 1
        watcher.update(i / 10, np.array([1]), box(*place), [seen.most_common(1)[0][0]])
    events = watcher.finish()
    assert [(event.zone, event.label) for event in events] == [("all", "car"), ("cars", "car")]


@pytest.mark.parametrize(("anchor", "counted"), [("feet", {"cross_in": 1}), ("centre", {}), ("top", {})])
def test_the_anchor_is_what_crosses(anchor: str, counted: dict[str, int]) -> None:
    line = Zone("step", STEP.points, anchor=anchor)  # type: ignore[arg-type]
    assert total(watch([line], way((500, 400), (500, 560), 2))) == counted
    assert total(watch([line], way((500, 300), (500, 900), 4))) == {"cross_in": 1}


def test_two_who_pass_each_other_on_a_line_are_two_and_so_are_two_that_swap_numbers_later() -> None:
    there, back = way((300, 480), (700, 480), 4), way((700, 500), (300, 500), 4)
    for swapped in (False, True):
        watcher = ZoneWatch([DOOR], W, H)
        for i, (a, b) in enumerate(zip(there, back, strict=True)):
            ids = np.array([2, 1] if swapped and i >= 35 else [1, 2])
            watcher.update(i / 10, ids, np.concatenate([box(*a), box(*b)]), ["person"] * 2)
        counted = total(watcher.finish())
        assert counted["cross_out"] >= 1 and counted["cross_in"] >= 1
        assert swapped or counted == {"cross_out": 1, "cross_in": 1}


STANDING = st.lists(st.tuples(*[st.floats(-0.14, 0.14)] * 4), min_size=2, max_size=40)
WALKS = st.lists(st.tuples(st.integers(60, 940), st.integers(200, 990)), min_size=2, max_size=9)
ZONES = [DOOR, STEP, YARD, Zone("bay", ((0.1, 0.2), (0.9, 0.2), (0.9, 0.9), (0.5, 0.4), (0.1, 0.9)))]


def walked(corners: Sequence[Place]) -> list[Place]:
    return [place for a, b in zip(corners, corners[1:], strict=False) for place in way(a, b, 1)]


few = examples(40)


@pytest.mark.slow
@few
@given(STANDING, st.sampled_from([30.0, 10.0, 4.0]))
def test_what_trembles_within_the_band_does_nothing(noise: list[tuple[float, ...]], fps: float) -> None:
    watcher = ZoneWatch([DOOR, STEP, YARD], W, H)
    for i, edges in enumerate([(0.0,) * 4, *noise]):
        # Its size is what it is; only its place trembles.
        edges = (edges[0], edges[1], edges[0], edges[1])
        watcher.update(i / fps, np.array([1]), box(500, 500, edges), ["person"])
    assert total(watcher.finish()) == {"enter": 1, "exit": 1}


@pytest.mark.slow
@few
@given(WALKS)
def test_a_mirrored_way_swaps_in_and_out(corners: list[Place]) -> None:
    path = walked(corners)
    here, there = total(watch([DOOR], path)), total(watch([DOOR], [(W - x, y) for x, y in path]))
    assert here == {{"cross_in": "cross_out"}.get(kind, "cross_in"): n for kind, n in there.items()}


@pytest.mark.slow
@few
@given(WALKS)
def test_arrivals_and_leavings_alternate_and_the_order_of_zones_does_not_matter(corners: list[Place]) -> None:
    path = walked(corners)
    events = watch(ZONES, path)
    assert events == watch(ZONES[::-1], path)
    for zone in ZONES:
        kinds = [event.kind for event in events if event.zone == zone.name and event.kind in ("enter", "exit")]
        assert kinds == ["enter", "exit"] * (len(kinds) // 2)
        ways = [event.direction for event in events if event.zone == zone.name and event.kind == "cross"]
        assert all(a != b for a, b in zip(ways, ways[1:], strict=False))


@pytest.mark.slow
@few
@given(WALKS)
def test_who_came_and_has_not_left_is_inside(corners: list[Place]) -> None:
    watcher = ZoneWatch(ZONES, W, H)
    for i, place in enumerate(walked(corners)):
        watcher.update(i / 10, np.array([1]), box(*place), ["person"])
        assert all(c.inside is None or c.inside == c.entered - c.left for c in watcher.counters())
