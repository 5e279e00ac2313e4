"""Clips of few pictures, or of pictures far apart: what can be tracked is, and of the rest it is said what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from inference.predictions import Objects
from inference.tracking.pace import Pace
from inference.video.heat import HeatMap
from inference.video.options import VideoOptions
from inference.video.tracks import Tracks
from inference.video.zones import Zone

STAND = (100.0, 100.0, 160.0, 260.0)
YARD = Zone("yard", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), ("person",))
TRACKERS = pytest.mark.parametrize("tracker", ["bytetrack", "sort"])


def seen(boxes: Sequence[Sequence[float]]) -> Objects:
    n = len(boxes)
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), np.full(n, 0.6, np.float32), np.zeros(n, np.int64),
                   ("person",) * n)  # fmt: skip


def tracks_of(times: Sequence[float], pictures: Sequence[Sequence[Sequence[float]]], **options: Any) -> Tracks:
    tracks = Tracks(VideoOptions(**options), 0.4, 2000, 360)
    for t_s, boxes in zip(times, pictures, strict=True):
        tracks.update(t_s, seen(boxes))
    return tracks


def trembling(box: Sequence[float], seed: int, share: float = 0.1) -> list[float]:
    edges, (wide, high) = np.array(box), (box[2] - box[0], box[3] - box[1])
    noise = np.random.default_rng(seed).uniform(-share, share, 4) * [wide, high, wide, high]
    return [float(edge) for edge in edges + noise]


@TRACKERS
@pytest.mark.parametrize("gap_s", [0.5, 1.0, 1.04, 2.0, 10.0, 60.0])
def test_who_stands_there_is_one_track_and_one_stay_at_any_rate(tracker: str, gap_s: float) -> None:
    """Not in the first picture, and missed in the tenth."""
    pictures = [[] if i in (0, 9) else [trembling(STAND, i)] for i in range(20)]
    tracks = tracks_of([i * gap_s for i in range(20)], pictures, tracker=tracker, zones=(YARD,))
    document = tracks.extra([])
    assert len(document["tracks"]) == 1 and document["objects"] == {"person": 1}
    assert document["zones"]["yard"]["total"] == {"enter": 1, "exit": 1, "dwell": 1}
    assert list(tracks.notes()) == []


@TRACKERS
def test_keyframes_come_at_irregular_times(tracker: str) -> None:
    times = list(accumulate([1.0, 4.0, 2.0, 9.0, 3.0] * 4))
    tracks = tracks_of(times, [[trembling(STAND, i)] for i in range(20)], tracker=tracker)
    assert tracks.extra([])["objects"] == {"person": 1}


@TRACKERS
def test_a_pause_of_the_recording_keeps_no_track_alive(tracker: str) -> None:
    times = [i / 10 + (60.0 if i >= 15 else 0.0) for i in range(30)]
    tracks = tracks_of(times, [[STAND]] * 30, tracker=tracker)
    assert len(tracks.extra([])["tracks"]) == 2


@TRACKERS
def test_no_tolerance_is_up_to_the_next_picture(tracker: str) -> None:
    times = [i / 10 for i in range(30)]
    whole = tracks_of(times, [[STAND]] * 30, tracker=tracker, lost_s=0.0)
    assert len(whole.extra([])["tracks"]) == 1
    gap = tracks_of(times, [[STAND] if i != 15 else [] for i in range(30)], tracker=tracker, lost_s=0.0)
    assert len(gap.extra([])["tracks"]) == 2


ALL = "record more pictures a second (all that there are were analysed)"
SOME = "analyse more of the clip's pictures (a higher fps, or a lower stride)"


@TRACKERS
@pytest.mark.parametrize(
    ("options", "advice"),
    [({}, ALL), ({"fps": 4.0}, ALL), ({"fps": 0.1}, SOME), ({"stride": 2}, SOME), ({"keyframes_only": True}, SOME)],
)
def test_who_walks_through_between_two_pictures_is_seen_and_not_tracked(
    tracker: str, options: dict[str, Any], advice: str
) -> None:
    pictures = [[], *[[(x, 100.0, x + 60, 260.0), (x + 500, 100.0, x + 560, 260.0)] for x in range(0, 1000, 100)]]
    tracks = tracks_of([i * 10.0 for i in range(11)], pictures, tracker=tracker, zones=(YARD,), **options)
    document = tracks.extra([])
    assert document["tracks"] == [] and document["zones"]["yard"]["total"] == {}
    assert document["objects"] == {"person": 2}
    (note,) = tracks.notes()
    assert note == (
        "person: 20 of 20 detections could not be joined to a track, because pictures are about 10 s apart; the "
        "summary counts 2, and there may have been more; zones count only what is tracked; to track them, "
        f"{advice}"
    )


@TRACKERS
def test_who_goes_to_and_fro_does_not_run_on(tracker: str) -> None:
    pictures = [[(100.0 + 42 * (i % 2), 100.0, 160.0 + 42 * (i % 2), 260.0)] for i in range(20)]
    assert tracks_of([i * 60.0 for i in range(20)], pictures, tracker=tracker).extra([])["objects"] == {"person": 1}


@TRACKERS
@pytest.mark.parametrize(
    ("pictures", "on", "kites", "counted"),
    [(20, (5, 12), 1, {"car": 1}), (20, (5,), 4, {"car": 1}), (20, (3, 8, 14), 1, {"car": 1, "kite": 1}),
     (2, (1,), 1, {"car": 1, "kite": 1})],
)  # fmt: skip
def test_beside_tracks_a_sight_or_two_is_not_counted_nor_worth_a_word(
    tracker: str, pictures: int, on: tuple[int, ...], kites: int, counted: dict[str, int]
) -> None:
    """However many are seen on one picture; of two pictures, one is half of all."""
    tracks = Tracks(VideoOptions(tracker=tracker), 0.4, 2000, 360)  # type: ignore[arg-type]
    for i in range(pictures):
        apart = [(500.0 + 200 * k + 60 * i, 0.0, 540.0 + 200 * k + 60 * i, 40.0) for k in range(kites)]
        objects = seen([STAND, *apart] if i in on else [STAND])
        n = len(objects)
        names = ("car", *["kite"] * (n - 1))
        tracks.update(2.0 * i, replace(objects, names=names, label_ids=np.array([0, *[1] * (n - 1)])))
    found = tracks.extra([])["objects"]
    assert {name: min(n, 1) for name, n in found.items()} == counted
    assert [note.split(":")[0] for note in tracks.notes()] == [name for name in counted if name == "kite"]


@TRACKERS
def test_a_newcomer_in_the_last_of_two_pictures_is_seen(tracker: str) -> None:
    tracks = tracks_of([0.0, 0.04], [[], [STAND]], tracker=tracker)
    assert tracks.extra([])["objects"] == {"person": 1}
    (note,) = tracks.notes()
    assert note.startswith(
        "person: 1 of 1 detections could not be joined to a track, because there are only 2 pictures; "
    )


@TRACKERS
def test_a_flicker_in_many_pictures_is_not_counted_but_said(tracker: str) -> None:
    for every, said in ((10, ["person: found on 5 of 50 pictures, but never in about the same place on 2 in a row; "
                              "taken for mistakes and not counted"]), (25, [])):  # fmt: skip
        tracks = tracks_of(
            [i / 25 for i in range(50)], [[STAND] if i % every == 5 else [] for i in range(50)], tracker=tracker
        )
        assert tracks.extra([])["objects"] == {}
        assert list(tracks.notes()) == said


def test_heat_of_pictures_far_apart_is_all_the_time_and_a_pause_is_not() -> None:
    for times, seconds in (([0.0, 2.0, 4.0, 6.0], 6.0), ([i / 10 + (60.0 if i > 5 else 0.0) for i in range(11)], 0.9)):
        heat = HeatMap(960, 480)
        for t_s in times:
            heat.update(t_s, np.array([1]), np.array([[100.0, 0.0, 140.0, 50.0]]))
        assert heat.cells.max() == pytest.approx(seconds)


def test_the_gap_to_expect_is_that_of_most_pictures() -> None:
    pace = Pace()
    assert pace.gap_s == 0.0 and pace.patience_s(1.0) == 1.0
    for t_s in (0.0, 0.1, 0.1, 0.2, 0.3, 30.0, 30.1):
        pace.update(t_s)
    assert pace.gap_s == pytest.approx(0.1)
    assert pace.patience_s(1.0) == 1.0 and pace.patience_s(0.0) == pytest.approx(0.105)
