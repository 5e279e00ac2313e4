"""Angles of oriented boxes over a track: unwrapped, by the smallest turn, and in tracks.csv."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.heads.yolo import corners_of
from inference.predictions import Objects
from inference.video.angles import Angles, long_sides
from inference.video.outputs import FrameLines


def rotated(degrees: float, width: float = 80.0, height: float = 30.0) -> NDArray[np.floating]:
    """(1, 4, 2) corners."""
    return corners_of(np.array([[200.0, 200.0, width, height, np.radians(degrees)]]))


def followed(turns: NDArray[np.floating], width: float = 80.0, height: float = 30.0) -> list[float]:
    angles = Angles()
    return [angles.update(np.array([7]), rotated(float(turn), width, height))[0] for turn in turns]


@pytest.mark.parametrize(("width", "height", "of_longer"), [(80.0, 30.0, 0.0), (30.0, 80.0, 90.0)])
@pytest.mark.parametrize("step", [20.0, -20.0, 85.0])
def test_a_turn_goes_on_without_a_jump(width: float, height: float, of_longer: float, step: float) -> None:
    turns = 10.0 + step * np.arange(40)
    angles = followed(turns, width, height)
    assert 0 <= angles[0] < 180
    assert np.diff(angles) == pytest.approx(step)
    assert (angles[0] - 10.0 - of_longer) % 180 == pytest.approx(0, abs=1e-6)


def test_a_square_that_is_now_wider_now_higher_does_not_turn() -> None:
    angles = Angles()
    sizes = [(50.0, 48.0), (48.0, 50.0), (51.0, 47.0), (47.0, 51.0)] * 5
    got = [angles.update(np.array([1]), rotated(30.0 + i, *size))[0] for i, size in enumerate(sizes)]
    assert np.diff(got) == pytest.approx(1.0)


def test_boxes_without_size_have_an_angle_too() -> None:
    corners = np.zeros((2, 4, 2), np.float32)
    angles, ratios = long_sides(corners)
    assert np.isfinite(angles).all() and np.isfinite(ratios).all()
    assert long_sides(corners[:0])[0].shape == (0,)


def test_the_table_has_the_angle_of_oriented_boxes_alone(tmp_path: Path) -> None:
    with FrameLines(tmp_path, tracks=True) as lines:
        for i, turn in enumerate([170.0, 178.0, 186.0, 194.0]):
            corners = np.concatenate([rotated(turn), rotated(turn)]).astype(np.float32)
            boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
            scores, ids = np.full(2, 0.9, np.float32), np.zeros(2, np.int64)
            ships = Objects(boxes, scores, ids, ("ship", "ship"), corners=corners, tracks=np.array([1, -1]))
            people = Objects(boxes, scores, ids, ("person", "person"), tracks=np.array([-1, 2]))
            lines.write(i, i / 10, {"ships": ships, "people": people})
    with (tmp_path / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["angle"]) for row in rows if row["label"] == "ship"] == pytest.approx(
        [170, 178, 186, 194], abs=0.01
    )
    assert [row["angle"] for row in rows if row["label"] == "person"] == [""] * 4
