"""Lines and areas: who came, crossed, stayed and left, and when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.errors import BadRoute
from inference.regions import inside
from inference.tables import build
from inference.video.options import VideoOptions
from inference.video.tracks import Speeds
from inference.video.zone_counts import counts
from inference.video.zones import Zone, ZoneCount, ZoneEvent, ZoneWatch

LINE = Zone("door", ((0.5, 0.0), (0.5, 1.0)))
AREA = Zone("yard", ((0.25, 0.0), (0.75, 0.0), (0.75, 1.0), (0.25, 1.0)), loiter_s=2.0)


def standing(x: float, y: float = 0.5) -> list[float]:
    """A box of a 1000 x 1000 picture whose foot stands at (x, y)."""
    return [x * 1000 - 20, y * 1000 - 100, x * 1000 + 20, y * 1000]


def watch(zones: Sequence[Zone], path: Sequence[tuple[float, float | None]], label: str = "person") -> list[ZoneEvent]:
    """Events of one track that stands at x at each time (None: not seen)."""
    watcher = ZoneWatch(zones, 1000, 1000)
    for t_s, x in path:
        boxes = np.array([standing(x)] if x is not None else []).reshape(-1, 4)
        watcher.update(t_s, np.full(len(boxes), 7), boxes, [label] * len(boxes))
    return watcher.finish()


def walk(*xs: float) -> list[tuple[float, float | None]]:
    return [(i / 2, x) for i, x in enumerate(xs)]


def kinds(events: Sequence[ZoneEvent]) -> list[tuple[str, float, str | None]]:
    return [(event.kind, event.t_s, event.direction) for event in events]


class TestLine:
    def test_there_and_back(self) -> None:
        # Down along the line, the right-hand side is the picture's left.
        assert kinds(watch([LINE], walk(0.4, 0.45, 0.55, 0.6, 0.3))) == [("cross", 1.0, "out"), ("cross", 2.0, "in")]

    def test_a_stop_on_the_line_counts_once(self) -> None:
        assert len(watch([LINE], walk(0.4, 0.5, 0.5, 0.6))) == 1
        assert watch([LINE], walk(0.4, 0.5, 0.4, 0.3)) == []

    def test_past_its_end_is_no_crossing(self) -> None:
        short = Zone("short", ((0.5, 0.0), (0.5, 0.3)))
        assert watch([short], walk(0.4, 0.6)) == []

    def test_another_label_does_not_count(self) -> None:
        cars = Zone("door", LINE.points, ("car",))
        assert watch([cars], walk(0.4, 0.6)) == []
        assert len(watch([cars], walk(0.4, 0.6), "car")) == 1


class TestArea:
    def test_enter_exit_and_dwell(self) -> None:
        events = watch([AREA], walk(0.1, 0.3, 0.5, 0.7, 0.9))
        assert kinds(events) == [("enter", 0.5, None), ("exit", 2.0, None), ("dwell", 2.0, None)]
        assert events[-1].seconds == pytest.approx(1.5)
        assert events[-1].to_json() == {"kind": "dwell", "zone": "yard", "track": 7, "label": "person", "t_s": 2.0,
                                        "start_s": 0.5, "end_s": 2.0}  # fmt: skip

    def test_loitering_is_an_event_once_when_it_begins(self) -> None:
        events = watch([AREA], walk(*[0.5] * 12))
        assert [event.t_s for event in events if event.kind == "loiter"] == [2.0]

    def test_who_vanishes_left_when_last_seen(self) -> None:
        events = watch([AREA], [(0.0, 0.5), (0.5, 0.5), *[(1 + i / 2, None) for i in range(4)]])
        assert [(e.kind, e.t_s) for e in events] == [("enter", 0.0), ("exit", 0.5), ("dwell", 0.5)]

    @pytest.mark.parametrize(("last", "vanished"), [(0.5, True), (0.9, False)])
    def test_an_exit_says_whether_it_was_seen(self, last: float, vanished: bool) -> None:
        told = [event.to_json() for event in watch([AREA], walk(0.1, 0.5, 0.5, last, last))]
        assert [item["kind"] for item in told if item.get("vanished")] == ["exit"] * vanished

    def test_who_is_still_there_at_the_end_is_counted(self) -> None:
        assert kinds(watch([AREA], walk(0.1, 0.5)))[-1][0] == "dwell"

    @pytest.mark.parametrize("foot", [(0.3, 1.0), (0.0, 0.7), (1.0, 0.7)])
    def test_who_is_cut_off_by_the_edge_is_in_an_area_that_reaches_it(self, foot: tuple[float, float]) -> None:
        below = Zone("below", ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)))
        above = Zone("above", ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)))
        watcher = ZoneWatch([below, above], 1000, 1000)
        watcher.update(0.0, np.array([1]), np.array([standing(*foot)]), ["person"])
        assert [(count.name, count.entered) for count in watcher.counters()] == [("below", 1), ("above", 0)]


def test_what_is_drawn_of_a_zone_is_what_it_has_counted_up_to_the_frame() -> None:
    watcher = ZoneWatch([LINE, AREA], 1000, 1000)
    drawn = []
    for i, x in enumerate((0.1, 0.3, 0.4, 0.6, 0.9)):
        watcher.update(i / 2, np.array([7]), np.array([standing(x)]), ["person"])
        drawn.append(watcher.counters())
    assert drawn[2] == [ZoneCount("door", LINE.points, 0, 0), ZoneCount("yard", AREA.points, 1, 0, 1)]
    assert drawn[-1] == [ZoneCount("door", LINE.points, 0, 1), ZoneCount("yard", AREA.points, 1, 1, 0)]


def test_counts_by_interval() -> None:
    zone = Zone("door", LINE.points, every_s=10.0)
    events = [
        ZoneEvent("cross", "door", t, 1, "person", way) for t, way in ((1, "in"), (2, "in"), (3, "out"), (25, "in"))
    ]
    assert counts([zone], events, (0.0, 30.0))["door"] == {
        "total": {"cross_in": 3, "cross_out": 1},
        "unique": {"cross_in": 1, "cross_out": 1},
        "intervals": [{"start_s": 0.0, "end_s": 10.0, "cross_in": 2, "cross_out": 1},
                      {"start_s": 20.0, "end_s": 30.0, "cross_in": 1}],
    }  # fmt: skip


def test_an_event_on_the_edge_of_an_interval_is_in_the_one_that_begins_there() -> None:
    """In binary, 3 x 0.1 is more than 0.3."""
    zone = Zone("yard", AREA.points, every_s=0.1)
    events = [ZoneEvent("enter", "yard", 0.3, 1, "person"), ZoneEvent("exit", "yard", 0.7, 1, "person")]
    found = counts([zone], events, (0.0, 1.0))["yard"]
    assert found["intervals"] == [{"start_s": 0.3, "end_s": 0.4, "enter": 1}, {"start_s": 0.7, "end_s": 0.8, "exit": 1}]
    tenths = [(one["start_s"], one["mean"]) for one in found["occupancy"]["intervals"]]
    assert tenths == [(0.3, 1.0), (0.4, 1.0), (0.5, 1.0), (0.6, 1.0)]


def test_how_full_an_area_was_and_how_long_stays_lasted() -> None:
    """One from 0 to 6 s, another from 2 to 4, a third comes as that goes; the first is lost, the third walks out."""
    zone = Zone("yard", AREA.points, every_s=5.0)
    stays = [(1, 0.0, 6.0, True), (2, 2.0, 4.0, False), (3, 4.0, 8.0, False), (1, 6.0, 6.0, True)]
    events = []
    for track, start, end, vanished in stays:
        events += [ZoneEvent("enter", "yard", start, track, "person"),
                   ZoneEvent("exit", "yard", end, track, "person", vanished=vanished),
                   ZoneEvent("dwell", "yard", end, track, "person", seconds=end - start)]  # fmt: skip
    found = counts([zone, LINE], events, (0.0, 10.0))
    assert found["yard"]["total"] == {"enter": 4, "exit": 4, "dwell": 4} and found["yard"]["unique"] == {"enter": 3}
    assert found["yard"]["occupancy"] == {
        "peak": 3, "peak_s": 6.0, "mean": 1.2,
        "intervals": [{"start_s": 0.0, "end_s": 5.0, "peak": 2, "mean": 1.6},
                      {"start_s": 5.0, "end_s": 10.0, "peak": 3, "mean": 0.8}],
    }  # fmt: skip
    assert found["yard"]["dwell"] == {"count": 4, "mean_s": 3.0, "median_s": 3.0, "longest_s": 6.0}
    assert "occupancy" not in found["door"] and "dwell" not in found["door"]
    empty = counts([zone], [], (0.0, 10.0))["yard"]
    assert empty == {"total": {}, "unique": {}, "intervals": [], "dwell": {"count": 0},
                     "occupancy": {"peak": 0, "mean": 0.0, "intervals": []}}  # fmt: skip


def test_a_day_in_milliseconds_has_a_bounded_number_of_intervals() -> None:
    zone = Zone("yard", AREA.points, every_s=0.001)
    events = [ZoneEvent("enter", "yard", 0.0, 1, "a"), ZoneEvent("exit", "yard", 86400.0, 1, "a")]
    occupancy = counts([zone], events, (0.0, 86400.0))["yard"]["occupancy"]
    assert occupancy["mean"] == 1.0 and 9_000 < len(occupancy["intervals"]) <= 10_001


def test_inside_of_a_shape_with_a_bay() -> None:
    shape = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], float)
    points = np.array([[0.5, 2], [2, 2], [3.5, 2], [2, 0.5], [5, 1]], float)
    assert inside(points, shape).tolist() == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"name": "a"}, "points"),
        ({"name": "a", "points": [[0.1, 0.2]]}, "two points"),
        ({"name": "a", "points": [[0, 0], [640, 360]]}, "0..1"),
        ({"name": "a", "points": [[0, 0], [1, 1]], "dwells": 3}, r"zones\[0\]: unknown key 'dwells'; known are"),
        ({"name": "a", "points": [[0, 0], [1, 1]], "labels": [3]}, r"labels\[0\]: found 3, expected text"),
        ({"name": "a", "points": [[0, 0], [1]]}, r"points\[1\]: found \[1\], expected 2 values"),
        ({"name": "a", "points": [[0, 0], [1, 1]], "loiter_s": "long"}, "loiter_s: found 'long', expected a number"),
        ({"name": "a", "points": [[0, 0], [1, 1]], "every_s": 0}, "every_s"),
        ("door", r"zones\[0\]: found 'door', expected a table"),
    ],
)
def test_a_zone_that_cannot_be_is_refused(table: object, words: str) -> None:
    with pytest.raises(BadRoute, match=words):
        build(VideoOptions, {"zones": [table]}, "video", BadRoute)


def test_two_zones_of_one_name_are_refused() -> None:
    with pytest.raises(BadRoute, match="two zones are called 'door'"):
        build(VideoOptions, {"zones": 2 * [{"name": "door", "points": [[0, 0], [1, 1]]}]}, "video", BadRoute)


def box(x: float) -> NDArray[np.float64]:
    return np.array([[x - 10, 0, x + 10, 50]], float)


def test_speed_in_metres() -> None:
    speeds = Speeds(metres_per_pixel=0.05)
    for i in range(60):
        speeds.update(i / 10, np.array([3]), box(10.0 + 4 * i))
    assert speeds.mean(3) == pytest.approx(2.0)
    assert speeds.mean(4) is None
