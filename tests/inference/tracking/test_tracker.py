"""Tracking: the published accuracy on real detections, re-entry, real time, appearance and a moving camera."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.errors import UnsupportedMedia
from inference.tracking import mot
from inference.tracking.algorithms import TRACKERS
from inference.tracking.assignment import iou
from inference.tracking.bytetrack import AspectHeight, ByteTracker
from inference.tracking.kalman import States
from inference.tracking.sort import SortTracker
from inference.tracking.tracker import Tracker
from inference.tracking.tracker_options import TrackerOptions

Boxes = NDArray[np.float64]


def walker(x: float, y: float = 100.0) -> list[float]:
    return [x, y, x + 40.0, y + 100.0]


def follow(tracker: Tracker, frames: Sequence[tuple[float, Sequence[list[float]]]]) -> list[list[int]]:
    """Track numbers frame by frame for (seconds, boxes)."""
    rows = []
    for t_s, boxes in frames:
        n = len(boxes)
        ids = tracker.update(np.array(boxes).reshape(-1, 4), np.full(n, 0.9), np.zeros(n, np.int64), t_s)
        rows.append(ids.tolist())
    return rows


def measure(tracks: mot.MotLines, truth: mot.MotLines) -> tuple[float, float]:
    """(MOTA, IDF1) at IoU 0.5, by py-motmetrics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import motmetrics

        scores = motmetrics.MOTAccumulator()
        for frame in range(1, int(truth.frame.max()) + 1):
            real, tracked = truth.frame == frame, tracks.frame == frame
            distance = 1 - iou(truth.boxes[real], tracks.boxes[tracked])
            distance[distance > 0.5] = np.nan
            scores.update(truth.id[real], tracks.id[tracked], distance, frameid=frame)
        table = motmetrics.metrics.create().compute(scores, metrics=["mota", "idf1"])
    return float(table.mota.iloc[0]), float(table.idf1.iloc[0])


@pytest.mark.needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(("name", "tracker"), [("SORT", "sort"), ("ByteTrack", "bytetrack")])
def test_not_below_the_published_package_on_its_detections(
    shared: Path, tmp_path: Path, name: str, tracker: str
) -> None:
    folder = shared / "media/mot/TUD-Campus"
    reference = json.loads((shared / "models/REFERENCE.json").read_text())["trackers"]["TUD-Campus"][name]
    out = tmp_path / "tracks.txt"
    out.write_text("\n".join(mot.track(mot.read(folder / "det.txt"), TRACKERS[tracker](), fps=25)))
    mota, idf1 = measure(mot.read(out), mot.read(folder / "gt.txt"))
    assert mota >= reference["MOTA"]
    assert idf1 >= reference["IDF1"]


@pytest.mark.parametrize("make", TRACKERS.values())
class TestReentry:
    def test_who_comes_back_after_three_seconds_is_a_new_track(self, make: Callable[[], Tracker]) -> None:
        def frames() -> Iterator[tuple[float, list[list[float]]]]:
            for i in range(240):
                t_s = i / 30
                boxes = [walker(20 + 40 * t_s), walker(300 + 30 * t_s, 250)]
                if not 2.0 <= t_s < 5.0:
                    boxes.append(walker(600 - 20 * t_s, 400))
                yield t_s, boxes

        rows = follow(make(), list(frames()))
        columns = [{row[i] for row in rows if len(row) > i and row[i] >= 0} for i in range(3)]
        assert len(columns[0]) == len(columns[1]) == 1
        assert len(columns[2]) == 2
        assert len(set.union(*columns)) == 4

    def test_each_visit_is_one_track(self, make: Callable[[], Tracker]) -> None:
        frames = [(i / 25, [walker(10 + 3 * (i % 150))] if i % 150 < 75 else []) for i in range(600)]
        rows = follow(make(), frames)
        visits = [{row[0] for row in rows[start : start + 75] if row and row[0] >= 0} for start in range(0, 600, 150)]
        assert all(len(visit) == 1 for visit in visits)
        assert len(set.union(*visits)) == 4

    @pytest.mark.parametrize("fps", [5, 8, 30, 60])
    def test_a_short_gap_is_bridged_at_any_frame_rate(self, make: Callable[[], Tracker], fps: int) -> None:
        times = [i / fps for i in range(5 * fps)]
        rows = follow(make(), [(t, [] if 2.0 <= t < 2.7 else [walker(50 + 45 * t)]) for t in times])
        assert {row[0] for row in rows if row and row[0] >= 0} == {1}

    @pytest.mark.parametrize("fps", [2, 3, 5])
    def test_a_walker_keeps_its_number_where_samples_hardly_overlap(
        self, make: Callable[[], Tracker], fps: int
    ) -> None:
        # It is 40 pixels wide and walks 60 a second: of samples 0.5 s apart 10 pixels overlap. It comes in later, so
        # that it has to be seen twice.
        rows = follow(make(), [(i / fps, [] if i < 2 else [walker(60.0 * i / fps)]) for i in range(20)])
        assert {row[0] for row in rows[4:]} == {1}

    def test_two_frames_in_a_row_make_a_track_from_the_first_frame_on(self, make: Callable[[], Tracker]) -> None:
        rows = follow(make(), [(i / 25, [walker(50.0)]) for i in range(3)])
        assert rows[1:] == [[1], [1]]

    @pytest.mark.parametrize("growth", [12.0, -8.0])
    def test_an_unseen_track_moves_on_and_keeps_the_size_it_was_last_seen_with(
        self, make: Callable[[TrackerOptions], Tracker], growth: float
    ) -> None:
        def box(i: int, height: float) -> list[float]:
            x = 100.0 + 6 * i
            return [x - height / 4, 500 - height / 2, x + height / 4, 500 + height / 2]

        seen = [(i / 25, [box(i, 200 + growth * i)]) for i in range(13)]
        unseen: list[tuple[float, list[list[float]]]] = [(i / 25, []) for i in range(13, 80)]
        # Growing on it would be more than three times as high by now, shrinking on a point: neither overlaps enough.
        back = (80 / 25, [box(80, 200 + growth * 12)])
        rows = follow(make(TrackerOptions(lost_s=3.0, confirm_hits=1)), [*seen, *unseen, back])
        assert rows[12] == rows[-1] == [1]

    def test_the_same_input_gives_the_same_numbers(self, make: Callable[[], Tracker]) -> None:
        rng = np.random.default_rng(3)
        frames = [(i / 25, [walker(*xy) for xy in rng.uniform(0, 600, (6, 2))]) for i in range(50)]
        assert follow(make(), frames) == follow(make(), frames)


def test_paths_that_cross_keep_their_numbers() -> None:
    frames = [(i / 25, [walker(100 + 4 * i), walker(500 - 4 * i, 112)]) for i in range(100)]
    rows = follow(ByteTracker(), frames)
    assert {row[0] for row in rows} == {1} and {row[1] for row in rows} == {2}


def test_a_faint_detection_goes_on_with_a_track_but_starts_none() -> None:
    tracker = ByteTracker()
    for i in range(30):
        scores = np.array([0.9 if i < 10 else 0.2, 0.2])
        boxes = np.array([walker(50 + 2 * i), walker(400)])
        ids = tracker.update(boxes, scores, np.zeros(2, np.int64), i / 25)
        assert ids.tolist() == [1, -1]


def test_what_only_just_reaches_a_low_threshold_is_a_track_like_any_other() -> None:
    tracker = ByteTracker(threshold=0.25)
    tracker.update(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), 0.0)
    boxes = [np.array([walker(50.0 + 12 * i)]) for i in range(10)]
    numbers = [
        int(tracker.update(b, np.array([0.3]), np.zeros(1, np.int64), (i + 1) / 25)[0]) for i, b in enumerate(boxes)
    ]
    assert numbers == [-1, *[1] * 9]


def test_what_was_seen_well_once_in_the_first_frame_does_not_go_on_faintly() -> None:
    tracker, numbers = ByteTracker(), []
    for i, score in enumerate([0.9, 0.2, 0.2, 0.2]):
        ids = tracker.update(np.array([walker(50.0)]), np.array([score]), np.zeros(1, np.int64), i / 4)
        numbers.append(int(ids[0]))
    assert numbers == [1, -1, -1, -1]


def test_labels_are_not_mixed_unless_asked_to() -> None:
    for one_class, expected in ((False, {1, 2}), (True, {1})):
        tracker = SortTracker(TrackerOptions(one_class=one_class), threshold=0.3)
        seen = set()
        for i in range(20):
            ids = tracker.update(np.array([walker(50)]), np.array([0.9]), np.array([i // 10]), i / 25)
            seen |= set(ids.tolist()) - {-1}
        assert seen == expected


def test_appearance_finds_somebody_again_elsewhere() -> None:
    looks = np.eye(8)[:3]
    for known, expected in ((True, 3), (False, 4)):
        tracker = ByteTracker(TrackerOptions(reid_s=10.0))
        seen: set[int] = set()
        for i in range(150):
            rows = [0, 1] if 50 <= i < 100 else [0, 1, 2]
            # The third comes back four seconds of walking away from where it left.
            boxes = np.array([walker(100), walker(300), walker(500 if i < 50 else 700)])[rows]
            embeddings = looks[rows] if known else None
            ids = tracker.update(boxes, np.full(len(rows), 0.9), np.zeros(len(rows), np.int64), i / 25, embeddings)
            seen |= set(ids.tolist()) - {-1}
        assert len(seen) == expected


def test_nobody_in_the_first_frame_does_not_disturb_appearance() -> None:
    tracker = ByteTracker()
    tracker.update(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), 0.0, np.zeros((0, 1)))
    for i in range(1, 5):
        ids = tracker.update(np.array([walker(9)]), np.array([0.9]), np.zeros(1, np.int64), i / 25, np.eye(4)[:1])
    assert ids.tolist() == [1]


def test_a_known_camera_motion_keeps_tracks_that_jump() -> None:
    rng = np.random.default_rng(1)
    moves = rng.uniform(-60, 60, (80, 2))
    places = np.cumsum(moves, axis=0)
    lives = {}
    for compensated in (True, False):
        tracker, seen = ByteTracker(), set()
        for i in range(80):
            warp = np.array([[1, 0, moves[i, 0]], [0, 1, moves[i, 1]]]) if compensated else None
            boxes = np.array([walker(200 + i), walker(500 - i, 300)]) + np.tile(places[i], 2)
            ids = tracker.update(boxes, np.full(2, 0.9), np.zeros(2, np.int64), i / 25, warp=warp)
            seen |= set(ids.tolist()) - {-1}
        lives[compensated] = len(seen)
    assert lives[True] == 2 < lives[False]


def test_time_must_move_on() -> None:
    tracker = SortTracker()
    follow(tracker, [(1.0, [walker(1)])])
    with pytest.raises(ValueError, match="after one at"):
        follow(tracker, [(1.0, [walker(1)])])


def test_the_filter_is_the_published_one_written_out() -> None:
    """Parity with the eight-state filter of ByteTrack, in plain matrices, over predict and update."""
    model, rng = AspectHeight(), np.random.default_rng(2)
    boxes = np.array([walker(100)]) + np.cumsum(rng.normal(2, 3, (30, 4)), axis=0)
    value = model.measure(boxes[:1])
    states = States.start(value, *model.start_noise(value))
    mean = np.concatenate([value[0], np.zeros(4)])
    covariance = np.diag(np.concatenate([n[0] for n in model.start_noise(value)]) ** 2)
    transition = np.eye(8) + np.eye(8, k=4)
    for box in boxes[1:]:
        noise = np.concatenate([n[0] for n in model.step_noise(mean[None, :4])])
        mean = transition @ mean
        covariance = transition @ covariance @ transition.T + np.diag(noise**2)
        states.predict(1.0, *model.step_noise(states.value))
        measured = model.measure(box[None])
        r = model.measure_noise(mean[None, :4])[0]
        gain = covariance[:, :4] @ np.linalg.inv(covariance[:4, :4] + np.diag(r**2))
        states.update(np.zeros(1, np.intp), measured, model.measure_noise(states.value))
        mean = mean + gain @ (measured[0] - mean[:4])
        covariance = covariance - gain @ covariance[:4]
        assert np.allclose(np.concatenate([states.value[0], states.velocity[0]]), mean, atol=1e-9)
        assert np.allclose(states.var_value[0], np.diag(covariance)[:4], atol=1e-9)


class TestMotLines:
    def test_what_is_written_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "t.txt"
        path.write_text(mot.line(3, 7, np.array([10.5, 20, 40, 80]), 0.5) + "\n1,2,0,0,5,5,1,-1,-1,-1\n\n")
        lines = mot.read(path)
        assert lines.frame.tolist() == [3, 1] and lines.id.tolist() == [7, 2]
        assert lines.boxes[0].tolist() == [10.5, 20, 40, 80] and lines.scores.tolist() == [0.5, 1.0]
        assert [(number, rows.tolist()) for number, rows in lines.frames()] == [(1, [1]), (2, []), (3, [0])]

    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ([0.0, 0.4, 1.0], [0.0, 0.4, 1.0]),
            ([-1, -1], [1, 1]),
            ([0.3, -1], [0.3, 1]),
            ([-0.5, 0, 2.5], [0.378, 0.5, 0.924]),
            ([0.4, 45, 1e6], [0.599, 1, 1]),
        ],
    )
    def test_scores_of_any_detector_are_probabilities(
        self, tmp_path: Path, scores: list[float], expected: list[float]
    ) -> None:
        path = tmp_path / "det.txt"
        path.write_text("".join(f"{i + 1},-1,10,20,30,40,{score},-1,-1,-1\n" for i, score in enumerate(scores)))
        assert mot.read(path).scores.tolist() == pytest.approx(expected, abs=1e-3)

    def test_people_are_tracked_whatever_the_detector_calls_sure(self, tmp_path: Path) -> None:
        """Two people walk past each other far apart; with scores above 1 any touch would be a match."""
        for score in ("-1", "1", "2.2", "87.5"):
            path = tmp_path / "det.txt"
            rows = [f"{i + 1},-1,{x},100,40,100,{score}" for i in range(40) for x in (100 + 3 * i, 600 - 3 * i)]
            path.write_text("\n".join([*rows, "41,-1,900,100,40,100,0.0" if score == "2.2" else ""]))
            tracks = list(mot.track(mot.read(path), ByteTracker(), fps=25))
            assert {int(line.split(",")[1]) for line in tracks} == {1, 2}

    def test_a_wrong_line_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("1,2,3,4,5,6\nhello,world\n")
        with pytest.raises(UnsupportedMedia, match="line 2: 'hello,world'"):
            mot.read(tmp_path / "t.txt")

    def test_a_frame_number_nobody_counts_to_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("1,-1,3,4,5,6,0.9\n100000000000,-1,3,4,5,6,0.9\n")
        with pytest.raises(UnsupportedMedia, match="line 2.*frames up to 1000000"):
            mot.read(tmp_path / "t.txt")
