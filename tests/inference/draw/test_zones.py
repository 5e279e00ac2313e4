"""Zones on a frame: where they are, what they have counted, at any size and whatever they are called."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.draw import Marks, annotate
from inference.draw.labels import shared
from inference.draw.zones import ZoneMark, draw_zones, plates
from inference.routes import Draw

DOWN = ((0.5, 0.2), (0.5, 0.8))
YARD = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))


def drawn(size: tuple[int, int], *zones: ZoneMark, draw: Draw | None = None) -> NDArray[np.uint8]:
    return np.asarray(annotate(Pillow.new("RGB", size, "grey"), [], draw or Draw(), Marks(zones)))


def marked(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = (picture != 128).any(axis=2)
    return different


@pytest.mark.parametrize("size", [(426, 240), (1280, 720), (720, 1280), (3840, 2160)])
def test_a_counter_that_goes_on_changes_its_plate_and_nothing_else(size: tuple[int, int]) -> None:
    before = drawn(size, ZoneMark("door", DOWN, "in 3  out 1"))
    after = drawn(size, ZoneMark("door", DOWN, "in 4  out 1"))
    rows, columns = np.nonzero((before != after).any(axis=2))
    (((x1, y1, x2, y2), *_),) = plates(Pillow.new("RGB", size), [ZoneMark("door", DOWN, "in 3  out 1")])
    assert len(rows) > 10 and x1 <= columns.min() <= columns.max() <= x2 and y1 <= rows.min() <= rows.max() <= y2
    assert np.ptp(rows) >= 7  # a digit that can be read


def test_a_plate_keeps_its_place_while_it_counts() -> None:
    places = {
        plates(Pillow.new("RGB", (640, 360)), [ZoneMark("door", DOWN, f"in {n}  out 1")])[0][0] for n in range(10)
    }
    assert len(places) == 1


@pytest.mark.parametrize(("points", "side"), [(DOWN, -1), (DOWN[::-1], 1)])
def test_an_arrow_points_to_where_a_crossing_is_in(points: tuple[tuple[float, float], ...], side: int) -> None:
    """Walked along from its first point, that is the right-hand side: downwards in the picture, the picture's left."""
    canvas = Pillow.new("RGB", (640, 360), "grey")
    draw_zones(canvas, [ZoneMark("door", points, "")])
    columns = np.nonzero(marked(np.asarray(canvas))[170:190])[1] - 320
    assert abs(columns[columns * side > 0]).max() > 1.8 * abs(columns[columns * side < 0]).max()


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_a_line_at_the_border_is_as_wide_as_any(x: float) -> None:
    widths = []
    for at in (x, 0.5):
        canvas = Pillow.new("RGB", (640, 360), "grey")
        draw_zones(canvas, [ZoneMark("door", ((at, 0.0), (at, 1.0)), "")])
        widths.append(int(marked(np.asarray(canvas))[40].sum()))
    assert widths[0] == widths[1] >= 4


def test_an_area_is_tinted_lightly_and_what_is_outside_is_left_alone() -> None:
    canvas = Pillow.new("RGB", (640, 360), "grey")
    draw_zones(canvas, [ZoneMark("yard", YARD, "")])
    picture = np.asarray(canvas).astype(int)
    assert 0 < np.abs(picture[180, 320] - 128).max() < 20 and (picture[20, 20] == 128).all()


@pytest.mark.parametrize(
    ("draw", "outline", "words"),
    [
        (Draw(), True, True),
        (Draw(labels=False), True, False),
        (Draw(boxes=False), True, True),
        (Draw(boxes=False, labels=False), False, False),
    ],
)
def test_what_a_route_does_not_draw_is_not_drawn_of_zones(draw: Draw, outline: bool, words: bool) -> None:
    zone = ZoneMark("yard", YARD, "inside 1  entered 2")
    picture = drawn((640, 360), zone, draw=draw)
    assert marked(picture).any() == outline
    white = (picture > 200).all(axis=2)  # letters
    assert white.any() == words


corner = st.tuples(st.floats(0, 1, width=16), st.floats(0, 1, width=16))
zones = st.builds(
    ZoneMark,
    st.text(max_size=300),
    st.lists(corner, min_size=2, max_size=6).map(tuple),
    st.sampled_from(["in 0  out 0", "inside 12  entered 3456"]),
)
sizes = st.sampled_from([(1, 1), (2, 90), (64, 64), (160, 120), (426, 240), (240, 426)])


@settings(max_examples=30, deadline=None)
@given(sizes, st.lists(zones, max_size=4))
def test_any_zones_are_drawn_at_any_size_with_their_plates_inside(size: tuple[int, int], marks: list[ZoneMark]) -> None:
    assert drawn(size, *marks).shape == (size[1], size[0], 3)
    for (x1, y1, x2, y2), _, text, *_ in plates(Pillow.new("RGB", size), marks):
        assert text.isascii() or set(text) <= set("«»°±·‘’“”…‹›™") | {chr(c) for c in range(32, 127)}
        if size[0] >= 160:
            assert x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1]


def test_plates_of_several_zones_do_not_lie_over_each_other() -> None:
    everywhere = [ZoneMark(f"zone {i}", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), "inside 1  entered 2")
                  for i in range(4)]  # fmt: skip
    same = [ZoneMark(f"line {i}", DOWN, "in 1  out 2") for i in range(3)]
    areas = [area for area, *_ in plates(Pillow.new("RGB", (640, 360)), [*everywhere, *same])]
    assert all(shared(a, b) == 0 for i, a in enumerate(areas) for b in areas[:i])


def test_counters_are_never_cut() -> None:
    long = ZoneMark("a name that is as long as a sentence and longer " * 9, DOWN, "in 1234  out 5678")
    for size in ((160, 120), (426, 240), (3840, 2160)):
        ((_, _, text, *_),) = plates(Pillow.new("RGB", size), [long])
        assert text.endswith("in 1234  out 5678")


def test_a_zone_whose_name_cannot_be_written_has_its_number() -> None:
    marks = [ZoneMark(name, DOWN, "in 1  out 2") for name in ("北口", "South door", "כניסה", "😀")]
    texts = [text for _, _, text, *_ in plates(Pillow.new("RGB", (1280, 720)), marks)]
    assert texts == [f"{name}  in 1  out 2" for name in ("zone 1", "South door", "zone 3", "zone 4")]


@pytest.mark.parametrize(("size", "named"), [((160, 120), 0), ((426, 240), 6), ((1280, 720), 6)])
def test_names_of_many_zones_do_not_hide_a_small_picture(size: tuple[int, int], named: int) -> None:
    marks = [ZoneMark(f"door {i}", ((i / 7, 0.1), (i / 7, 0.9)), "in 0  out 0") for i in range(1, 7)]
    placed = plates(Pillow.new("RGB", size), marks)
    assert sum("door" in text for _, _, text, *_ in placed) == named
    covered = sum(shared(area, area) for area, *_ in placed)
    assert covered < 0.4 * size[0] * size[1]


@pytest.mark.parametrize(("size", "shown"), [((160, 120), 4), ((110, 100), 3), ((20, 20), 1), ((320, 240), 6)])
def test_where_counters_would_hide_the_picture_only_the_first_zones_have_any(size: tuple[int, int], shown: int) -> None:
    yards = [ZoneMark(str(i), tuple((x * 0.7 + i / 20, y * 0.7 + i / 20) for x, y in YARD), "inside 2  entered 3")
             for i in range(6)]  # fmt: skip
    placed = plates(Pillow.new("RGB", size), yards)
    assert [zone for _, zone, *_ in placed] == yards[:shown]
    assert all(shared(a, b) == 0 for i, (a, *_) in enumerate(placed) for b, *_ in placed[:i])
