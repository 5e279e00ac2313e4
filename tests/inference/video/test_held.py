"""A face that the detector misses for a moment stays blurred where it was."""

from __future__ import annotations

import numpy as np

from inference.draw.privacy import boxes_of
from inference.predictions import Classes, Objects
from inference.results.prediction_docs import prediction_docs
from inference.video.held import Held

FACES = ("face", "plate")


def found(*boxes: tuple[float, float, float, float]) -> dict[str, Objects | Classes]:
    scores, ids = np.ones(len(boxes), np.float32), np.zeros(len(boxes), np.int64)
    scene = Classes(np.zeros(1, np.int64), np.ones(1, np.float32), ("park",))
    return {
        "scene": scene,
        "faces": Objects(np.array(boxes, np.float32).reshape(-1, 4), scores, ids, ("face",) * len(boxes)),
    }


def hidden(held: Held, t_s: float, *boxes: tuple[float, float, float, float]) -> list[list[float]]:
    steps = held.update(t_s, found(*boxes))
    assert len(prediction_docs(steps["faces"], "faces")) == len(boxes), "it is in no result"
    places: list[list[float]] = boxes_of([*steps.items()], FACES).tolist()
    return places


def test_a_missed_face_is_blurred_for_half_a_second_where_it_was_last() -> None:
    held, box, moved = Held(FACES), (10.0, 10.0, 30.0, 30.0), (14.0, 10.0, 34.0, 30.0)
    assert hidden(held, 0.0, box) == [list(box)]
    assert hidden(held, 0.1, moved) == [list(moved)], "seen again, a little further"
    assert hidden(held, 0.2) == [list(moved)] and hidden(held, 0.6) == [list(moved)]
    assert hidden(held, 0.7) == []
    far = (100.0, 100.0, 120.0, 120.0)
    assert hidden(held, 0.8, far) == [list(far)] and hidden(held, 0.9, box) == [list(box), list(far)]


def test_with_few_samples_it_is_held_to_the_next() -> None:
    held, box = Held(FACES), (10.0, 10.0, 30.0, 30.0)
    assert hidden(held, 0.0, box) and hidden(held, 2.0) == [list(box)] and hidden(held, 4.0) == []


def test_nothing_is_held_where_nothing_is_blurred() -> None:
    held = Held(())
    held.update(0.0, found((1.0, 1.0, 9.0, 9.0)))
    assert not boxes_of([*held.update(0.1, found()).items()], FACES).size
