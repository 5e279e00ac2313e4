"""What is blurred of a clip stays covered where its detector misses it: before, between and after its sights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.draw.privacy import boxes_of
from inference.predictions import Classes, Objects
from inference.results.prediction_docs import prediction_docs
from inference.results.result import ModelFacts
from inference.routes import Draw, Route, Step
from inference.video.held import Held, most_waiting
from inference.video.options import VideoOptions
from inference.video.overlay import Shown
from inference.video.places import HOLD_S, LOOKS_BACK_S
from inference.video.summary import RouteFacts, StepFacts

FACES = ("face", "plate")
Box = tuple[float, float, float, float]
Frames = list[tuple[float, list[Box]]]


def found(boxes: list[Box]) -> Shown:
    scores, ids = np.ones(len(boxes), np.float32), np.zeros(len(boxes), np.int64)
    scene = Classes(np.zeros(1, np.int64), np.ones(1, np.float32), ("park",))
    faces = Objects(np.array(boxes, np.float32).reshape(-1, 4), scores, ids, ("face",) * len(boxes))
    return Shown({"scene": scene, "faces": faces})


def blurred(frames: Frames, most: int = 100) -> list[list[Box]]:
    """The boxes that are blurred on each frame, by its time and what is seen on it."""
    held = Held[int](FACES, most)
    ready = [item for i, (t_s, boxes) in enumerate(frames) for item in held.update(i, t_s, found(boxes))]
    ready += held.rest()
    assert [number for number, _ in ready] == list(range(len(frames))), "every frame once, in order"
    for (_, seen), (_, shown) in zip(frames, ready, strict=True):
        assert len(prediction_docs(shown.steps["faces"], "faces")) == len(seen), "it is in no result"
    return [list(map(tuple, boxes_of([*shown.steps.items()], FACES).tolist())) for _, shown in ready]


def share(box: Box, boxes: list[Box]) -> float:
    """How much of the box lies under the others."""
    xs, ys = np.linspace(box[0] + 0.5, box[2] - 0.5, 25), np.linspace(box[1] + 0.5, box[3] - 0.5, 25)
    x, y = np.meshgrid(xs, ys)
    under = np.zeros(x.shape, bool)
    for x1, y1, x2, y2 in boxes:
        under |= (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
    return float(under.mean())


def at(x: float, y: float = 100.0, side: float = 20.0) -> Box:
    return (x, y, x + side, y + side)


@pytest.mark.parametrize(
    ("fps", "sizes_a_second"), [(2, 0.0), (2, 1.0), (5, 1.0), (5, 4.0), (10, 0.0), (10, 4.0), (25, 8.0), (50, 10.0)]
)
@pytest.mark.parametrize("missed", [(2, 4), (1, 3), (0, 2), (0, 3), (5, 7), (0, 1)])
def test_a_face_is_covered_on_every_frame_on_which_it_is_missed(
    fps: int, sizes_a_second: float, missed: tuple[int, int]
) -> None:
    """Of seven frames it is missed on some: the first, the last, or between."""
    gap = min(missed[1] - missed[0], max(1, int(HOLD_S * fps)))
    hidden = range(missed[0], missed[0] + gap) if missed[1] < 7 else range(7 - gap, 7)
    way = min(sizes_a_second * 20 / fps, 20 / gap) if {0, 6} & {*hidden} else sizes_a_second * 20 / fps
    places = [at(way * i) for i in range(7)]
    frames = [(i / fps, [] if i in hidden else [place]) for i, place in enumerate(places)]
    for place, boxes in zip(places, blurred(frames), strict=True):
        assert share(place, boxes) > 0.95


def test_nothing_is_covered_any_more_when_it_has_gone_for_long() -> None:
    frames: Frames = [(i / 10, [at(100)] if 20 <= i < 30 else []) for i in range(60)]
    covered = [bool(boxes) for boxes in blurred(frames)]
    assert covered == [14 <= i <= 49 for i in range(60)]
    once: Frames = [(i / 10, [at(100)] if i == 20 else []) for i in range(50)]
    assert sum(map(bool, blurred(once))) == 7, "what is seen once is held for less"


def test_a_face_that_turns_away_for_two_seconds_is_covered_all_the_time() -> None:
    frames: Frames = [(i / 10, [] if 20 <= i < 45 else [at(100 + 0.2 * i)]) for i in range(60)]
    for i, boxes in enumerate(blurred(frames)):
        assert share(at(100 + 0.2 * i), boxes) > 0.95, i


def test_what_was_seen_longer_ago_than_places_look_back_counts_no_more() -> None:
    """A part of a clip, which is read from there on, has the boxes of the whole."""
    frames: Frames = [(i / 10, [at(100)] if i in (5, 14, 23) else []) for i in range(60)]
    whole = blurred(frames)
    assert whole[42] and not whole[44], "seen thrice, it is held for long"
    for first in range(24, 60):
        lead = [frame for frame in frames if first / 10 - LOOKS_BACK_S - 1e-6 <= frame[0]]
        assert blurred(lead)[-(60 - first) :] == whole[first:]


def test_faces_that_cross_unseen_are_covered_each_on_its_way() -> None:
    ways = [(at(10.0 + 4 * i), at(130.0 - 4 * i, 104)) for i in range(30)]
    frames: Frames = [(i / 25, [] if 13 <= i < 18 else [*places]) for i, places in enumerate(ways)]
    for places, boxes in zip(ways, blurred(frames), strict=True):
        assert min(share(place, boxes) for place in places) > 0.95


def test_a_cut_leaves_no_frame_on_either_side_sharp() -> None:
    places = [at(20.0)] * 12 + [at(300.0, 40, 60)] * 12
    frames: Frames = [(i / 25, [] if 10 <= i < 14 else [place]) for i, place in enumerate(places)]
    for place, boxes in zip(places, blurred(frames), strict=True):
        assert share(place, boxes) > 0.95


def test_where_a_fast_face_is_lost_the_picture_is_not_blurred_with_it() -> None:
    frames: Frames = [(i / 25, [at(8.0 * i)] if i < 10 else []) for i in range(25)]
    for boxes in blurred(frames)[10:]:
        assert all(x1 >= 60 and x2 <= 120 and y1 >= 90 and y2 <= 130 for x1, y1, x2, y2 in boxes)


def test_a_face_that_is_seen_is_blurred_where_it_is() -> None:
    frames: Frames = [(i / 25, [at(50.0)]) for i in range(40)]
    assert blurred(frames) == [[at(50.0)]] * 40


@pytest.mark.parametrize("gap_s", [0.04, 0.5, 3.0])
def test_with_few_samples_it_is_held_to_the_next_and_from_the_one_before(gap_s: float) -> None:
    frames: Frames = [(gap_s * i, [at(50.0)] if i == 2 else []) for i in range(5)]
    covered = [bool(boxes) for boxes in blurred(frames)]
    assert covered[1:4] == [True] * 3 and (gap_s < 0.1 or not covered[0] and not covered[4])


def test_after_a_long_gap_of_the_clock_the_next_sample_is_covered_too() -> None:
    times = [0.0, 2.0, 2.04, 2.08, 4.0, 4.04]
    frames: Frames = [(t_s, [at(50.0)] if t_s in (0.0, 4.0) else []) for t_s in times]
    assert [bool(boxes) for boxes in blurred(frames)] == [True, True, False, True, True, True]


def test_only_so_many_frames_wait_and_each_for_the_next() -> None:
    held, waiting = Held[int](FACES, 5), 0
    for i in range(200):
        waiting += 1 - len(list(held.update(i, i / 240, found([at(i)]))))
        assert 1 <= waiting <= 5
    assert len(list(held.rest())) == waiting


def test_nothing_waits_where_nothing_is_blurred() -> None:
    held, shown = Held[str]((), 5), found([at(1.0)])
    assert list(held.update("a", 0.0, shown)) == [("a", shown)] and not list(held.rest())


def test_larger_pictures_wait_in_smaller_numbers() -> None:
    def most(side: int, task: str, size: tuple[int, int]) -> int:
        route = Route("r", (Step("m"),), draw=Draw(blur=FACES), video=VideoOptions(annotated_side=side))
        return most_waiting(
            route, RouteFacts((StepFacts("m", task, ModelFacts("m", "1", "", "cpu")),), "m", 0.5, {}), size
        )

    detection, bound = "object-detection", 48 << 20
    assert most(720, detection, (1280, 720)) == most(720, detection, (3840, 2160)) == bound // (3 * 1280 * 720)
    assert most(2160, detection, (3840, 2160)) == 2 < most(720, "image-to-image", (1280, 720)) < 10


sides = st.floats(8, 60)
seen_boxes = st.lists(st.builds(at, st.floats(0, 600), st.floats(0, 300), sides), max_size=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.005, 1.5), seen_boxes), min_size=1, max_size=30), st.integers(2, 12))
def test_whatever_is_seen_is_covered_and_nothing_depends_on_how_many_may_wait(
    steps: list[tuple[float, list[Box]]], most: int
) -> None:
    frames = [(sum(gap_s for gap_s, _ in steps[: i + 1]), boxes) for i, (_, boxes) in enumerate(steps)]
    for (_, seen), boxes in zip(frames, blurred(frames, most), strict=True):
        assert all(share(box, boxes) == 1.0 for box in seen)
