"""The heat map as it is painted: over the picture, smooth, with a legend that gives seconds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.draw.heat import duration, heat_picture


@pytest.mark.parametrize("size", [(426, 240), (1280, 720), (720, 1280), (64, 64), (9, 5)])
def test_where_nothing_stood_is_the_picture_and_where_it_stood_long_is_light(size: tuple[int, int]) -> None:
    seconds = np.zeros((90, 160))
    seconds[20:25, 40:48], seconds[20:25, 100:108] = 12.0, 1.0
    ground = Pillow.new("RGB", size, (90, 90, 90))
    painted = np.asarray(heat_picture(seconds, ground)).astype(int)
    assert np.array_equal(np.asarray(ground), np.full((size[1], size[0], 3), 90))
    if min(size) < 64:
        return
    long, short = (painted[round(size[1] * 22.5 / 90), round(size[0] * x / 160)] for x in (44, 104))
    assert (painted[: size[1] // 9, : size[0] // 9] == 90).all()
    assert long.sum() > short.sum() and abs(short - 90).max() > 20 and long[2] < long[0]
    legend = painted[-size[1] // 12 :, -size[0] // 12 :]
    assert (legend != 90).any() == (min(size) > 64)


@pytest.mark.parametrize(("size", "shown"), [((64, 64), False), ((100, 80), False), ((3000, 30), False),
                                             ((160, 120), True), ((240, 426), True)])  # fmt: skip
def test_a_legend_is_whole_or_there_is_none(size: tuple[int, int], shown: bool) -> None:
    cells = np.zeros((90, 160))
    cells[10, 10] = 7600.0
    painted = np.asarray(heat_picture(cells, Pillow.new("RGB", size, (90, 90, 90))))
    assert (painted[-1, -1] != 90).any() == shown
    assert (painted[size[1] // 2 :, 0] == 90).all()


@pytest.mark.parametrize("size", [(320, 240), (426, 240), (1280, 720)])
def test_the_numbers_of_the_legend_are_apart(size: tuple[int, int]) -> None:
    painted = np.asarray(heat_picture(np.full((9, 16), 3.6), Pillow.new("RGB", size)))
    words = (painted[-size[1] // 24 :] > 140).all(axis=2).any(axis=0)  # white, on dark
    gaps = np.sort(np.diff(np.flatnonzero(words)))
    assert gaps[-2] > 1.5 * gaps[-3]  # between three words there is more room than in one, before its unit


def test_a_clip_in_which_nothing_was_tracked_has_no_legend() -> None:
    ground = Pillow.new("RGB", (320, 180), "grey")
    assert np.array_equal(np.asarray(heat_picture(np.zeros((9, 16)), ground)), np.asarray(ground))


def test_the_map_is_smooth() -> None:
    """From pixel to pixel it changes by little: no cells can be seen."""
    at = np.arange(160)
    seconds = np.exp(-0.5 * ((at[None] - 80) / 6) ** 2) * np.exp(-0.5 * ((at[:90, None] - 40) / 4) ** 2) * 5
    painted = np.asarray(heat_picture(seconds, Pillow.new("RGB", (1280, 720), "grey"))).astype(int)[:600]
    assert np.abs(np.diff(painted, axis=1)).max() < 12


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (1.25, "1.2 s"), (12.4, "12 s"), (59.6, "1:00 min"), (185, "3:05 min"), (7800, "2:10 h")],
)
def test_seconds_are_written_short(seconds: float, words: str) -> None:
    assert duration(seconds) == words
