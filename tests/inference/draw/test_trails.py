"""Trails behind what moves, and the mark of what is followed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.draw import TARGET, Marks, annotate
from inference.draw.colours import track_colour
from inference.draw.trails import Trail, draw_trails
from inference.predictions import Objects
from inference.routes import Draw

WAY = Trail(3, "cat", tuple((0.1 + 0.05 * i, 0.5) for i in range(13)))


@pytest.mark.parametrize("size", [(64, 64), (160, 120), (426, 240), (1280, 720), (3840, 2160)])
def test_a_trail_is_on_the_way_in_the_colour_of_its_track_and_fades(size: tuple[int, int]) -> None:
    canvas = Pillow.new("RGB", size, "grey")
    draw_trails(canvas, [WAY])
    pixels = np.asarray(canvas).astype(int)
    along = pixels[size[1] // 2, [int(x * size[0]) for x in (0.15, 0.4, 0.65)]]
    shade = np.array(track_colour("cat", 3))
    away = np.abs(along - shade).sum(axis=1)
    assert away[0] > away[1] > away[2] and away[2] < 100
    touched = (pixels != 128).any(axis=2)
    assert not touched[:, int(0.8 * size[0]) :].any() and touched.sum(axis=0).max() <= max(0.02 * size[1], 4)


def test_trails_are_not_drawn_where_boxes_are_not() -> None:
    picture = Pillow.new("RGB", (320, 240), "grey")
    for boxes in (True, False):
        drawn = annotate(picture, [], Draw(boxes=boxes), Marks(trails=[WAY]))
        assert (np.asarray(drawn) != 128).any() == boxes


def tracked(track: int = 3, name: str = "cat") -> Objects:
    return Objects(np.array([[100, 60, 200, 180]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64),
                   (name,), tracks=np.array([track]))  # fmt: skip


def test_what_is_followed_has_corners_and_is_named_once() -> None:
    picture = Pillow.new("RGB", (640, 360), "grey")
    steps = [("d", tracked()), ("follow", tracked())]
    plain = np.asarray(annotate(picture, steps[:1], Draw(), Marks(target="follow")))
    followed = np.asarray(annotate(picture, steps, Draw(), Marks(target="follow")))
    white = (followed == TARGET).all(axis=2)
    rows, columns = np.nonzero(white)
    assert columns.min() < 100 and columns.max() > 200 and rows.max() > 180
    assert not white[100:140, 90:210].any()  # corners, and no box
    tags = [(np.abs(p[:60].astype(int) - track_colour("cat", 3)).max(axis=2) < 3).sum() for p in (plain, followed)]
    assert 1.3 < tags[1] / tags[0] < 3  # the same tag with a word more, and not a second


@pytest.mark.parametrize("box", [[-50, -20, 90, 400], [600, 10, 700, 80], [5, 5, 5, 5], [0, 0, 640, 360]])
def test_all_corners_of_what_leaves_the_picture_are_seen(box: list[float]) -> None:
    target = replace(tracked(), boxes=np.array([box], np.float32))
    drawn = np.asarray(annotate(Pillow.new("RGB", (640, 360), "grey"), [("follow", target)], Draw(labels=False),
                                Marks(target="follow")))  # fmt: skip
    rows, columns = np.nonzero((drawn == TARGET).all(axis=2))
    low, high = np.maximum(box[:2], 3), np.minimum(box[2:], [636, 356])
    assert columns.min() <= low[0] + 3 and columns.max() >= high[0] - 3
    assert rows.min() <= low[1] + 3 and rows.max() >= high[1] - 3
