"""Tags of a clip keep their places from frame to frame, and leave something of a small picture to be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw import Marks, annotate, labels
from inference.draw.colours import font
from inference.draw.labels import Tag, draw_tags, fitted_text, plain
from inference.predictions import Classes, LabelMap, Objects, Predictions
from inference.routes import Draw
from inference.video.frames import View
from inference.video.outputs import Drawing
from inference.video.overlay import Overlay, Shown, action_line
from inference.video.time_range import TimeRange

BOXES = np.array([[100, 100, 160, 240], [120, 104, 180, 240], [140, 98, 200, 240]], np.float32)


def tracked(scores: tuple[float, ...] = (0.9, 0.8, 0.7), boxes: Any = BOXES) -> Objects:
    return Objects(np.asarray(boxes, np.float32), np.array(scores, np.float32), np.zeros(len(scores), np.int64),
                   ("person",) * len(scores), tracks=np.arange(1, len(scores) + 1))  # fmt: skip


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Where tags were drawn, in the order in which they took their places."""
    places: list[tuple[float, float]] = []
    place = labels._place

    def note(*arguments: Any) -> tuple[float, float]:
        places.append(place(*arguments))
        return places[-1]

    monkeypatch.setattr(labels, "_place", note)
    return places


def test_tags_of_tracks_stay_where_scores_flicker(placed: list[tuple[float, float]]) -> None:
    picture, draw = Pillow.new("RGB", (640, 360)), Draw(scores=False)
    for scores in ((0.9, 0.8, 0.7), (0.7, 0.9, 0.8), (0.8, 0.7, 0.9)):
        annotate(picture, [("d", tracked(scores))], draw)
    assert placed[:3] == placed[3:6] == placed[6:] and len(placed) == 9


def test_tags_of_persons_side_by_side_leave_their_faces_to_be_seen(placed: list[tuple[float, float]]) -> None:
    boxes = [[100, 100, 160, 260], [110, 104, 170, 260], [300, 90, 340, 240], [302, 92, 342, 244]]
    annotate(Pillow.new("RGB", (640, 360)), [("d", tracked((0.9, 0.8, 0.7, 0.6), boxes))], Draw(scores=False))
    assert all(y <= 90 or y >= 200 for _, y in placed) and len(placed) == 4


def test_a_tag_slides_where_its_box_leaves_the_picture(placed: list[tuple[float, float]]) -> None:
    picture = Pillow.new("RGB", (640, 360))
    for step in range(60):
        annotate(picture, [("d", tracked((0.9,), [[300, 30 - step, 360, 150 - step]]))], Draw())
    heights = [y for _, y in placed]
    assert np.abs(np.diff(heights)).max() <= 1 and heights[-1] == 0


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Fußgängerzone", "Fussgangerzone"),
        ("Łódź – Señor", "Lodz - Senor"),
        ("入口 A", "? A"),
        ("a\nb\x00\u202ec\t d", "a bc d"),
        ("\ud800x", "x"),
        ("x" * 500, "x" * 117 + "..."),
        ("", ""),
    ],
)
def test_names_are_written_with_the_letters_that_there_are(name: str, written: str) -> None:
    assert plain(name) == written


@pytest.mark.parametrize(
    ("label", "shown"),
    [("人", "label_7"), ("человек", "label_7"), ("人 A", "? A"), ("café", "cafe"), ("+", "+"), ("", "label_7")],
)
def test_a_label_that_cannot_be_written_is_its_place_in_the_list(
    label: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("inference.draw.draw_tags", lambda pen, size, tags, besides: said.extend(t.text for t in tags))
    monkeypatch.setattr("inference.draw.caption", lambda canvas, lines: said.extend(text for text, _ in lines))
    number, full = np.array([7]), np.ones(1, np.float32)
    classes = Classes(number, full, (label,))
    person = Objects(BOXES[:1], full, number, (label,), attributes=({"what": classes},), tracks=np.array([2]))
    places = LabelMap(np.full((240, 320), 7, np.uint8), ("",) * 7 + (label,))
    steps: list[tuple[str, Predictions]] = [("d", person), ("c", classes), ("m", places)]
    annotate(Pillow.new("RGB", (320, 240)), steps, Draw(scores=False))
    assert said == [f"{shown} 2, {shown}", shown, f"{shown}  100%"]
    assert action_line(TimeRange("scene", "s", label, 7, 1.0, 3.0, 0.9), False) == f"{shown}  1-3 s"


@settings(max_examples=40, deadline=None)
@example("\ud83d")
@example("#person")  # no colour, as "#102030" is
@given(st.text(max_size=400))
def test_whatever_things_are_called_they_are_drawn(name: str) -> None:
    objects = Objects(BOXES[:1], np.ones(1, np.float32), np.zeros(1, np.int64), (name,))
    classes = Classes(np.zeros(1, np.int64), np.ones(1, np.float32), (name,))
    picture = Pillow.new("RGB", (320, 240))
    assert annotate(picture, [("d", objects), ("c", classes)], Draw(), Marks(lines=(name,))).size == (320, 240)
    pen, letters = ImageDraw.Draw(picture), font(12)
    assert pen.textlength(fitted_text(pen, plain(name), letters, 50), font=letters) <= 50


def test_numbers_beside_each_other_are_written_apart() -> None:
    assert plain("person 4  53%") == "person 4  53%"  # one space of these letters is narrow: "person 453%"
    assert plain(" a\n\nb   c\t d ") == "a b c d"


def words(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tags of a video of that size say."""
    written: list[str] = []

    def note(pen: Any, size: tuple[int, int], tags: list[Tag], besides: Any) -> None:
        written.extend(tag.text for tag in tags)
        draw_tags(pen, size, tags, besides)

    monkeypatch.setattr("inference.draw.draw_tags", note)
    shown = Shown({"d": tracked((0.9,), [[10, 10, 40, 50]])}, Overlay())
    Drawing(Draw(), View(2160))(np.zeros((size[1], size[0], 3), np.uint8), shown, size)
    return written


@pytest.mark.parametrize(
    ("size", "tags"),
    [
        ((64, 64), []),
        ((160, 120), ["1"]),
        ((426, 240), ["person 1"]),
        ((854, 480), ["person 1  90%"]),
        ((1080, 1920), ["person 1  90%"]),
        ((3840, 2160), ["person 1  90%"]),
    ],
)
def test_the_smaller_a_video_is_the_shorter_are_its_tags(
    size: tuple[int, int], tags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words(size, monkeypatch) == tags


@pytest.mark.parametrize("size", [(160, 120), (426, 240), (854, 480)])
def test_captions_leave_half_of_the_picture(size: tuple[int, int]) -> None:
    actions = tuple(TimeRange("action", str(i), "running and jumping", i, 3.0, 5.0, 0.9) for i in range(30))
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    drawn = Drawing(Draw(), View(2160))(pixels, Shown({}, Overlay(actions=actions)), size)
    rows = np.nonzero((drawn != 128).any(axis=(1, 2)))[0]
    assert rows.min() >= 0.45 * size[1] and rows.max() == size[1] - 1
