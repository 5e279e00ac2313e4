"""The annotated picture: readable at any size, stable colours, outlines, blur, before and after."""

from __future__ import annotations

import itertools
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from inference.draw import annotate
from inference.draw.artifacts import _as_drawn
from inference.draw.colours import APART, colour, ink, palette, track_colour
from inference.draw.keypoints import LEFT, RIGHT
from inference.draw.labels import Tag, draw_tags
from inference.draw.masks import rim
from inference.draw.scaling import sized
from inference.errors import BadRoute
from inference.predictions import Classes, LabelMap, Masks, Objects, OutputImage
from inference.results.result import ModelFacts, StepResult
from inference.routes import Draw
from inference.routes_file import parse_routes


def objects(*boxes: tuple[float, float, float, float], label: str = "person") -> Objects:
    count = len(boxes)
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    return Objects(array, np.linspace(0.9, 0.5, count).astype(np.float32), np.zeros(count, np.int64), (label,) * count)


def noise(width: int, height: int) -> Pillow.Image:
    return Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def changed(before: Pillow.Image, after: Pillow.Image) -> np.ndarray:
    return np.asarray((np.asarray(before) != np.asarray(after)).any(axis=2))


@pytest.mark.parametrize(
    "size", [(24, 16), (1, 1), (16, 400), (640, 480), pytest.param((7680, 4320), marks=pytest.mark.slow)]
)
def test_everything_is_drawn_at_any_picture_size(size: tuple[int, int]) -> None:
    picture = Pillow.new("RGB", size, "white")
    width, height = size
    predicted = objects((0, 0, width, height), (width * 0.4, height * 0.4, width * 0.9, height * 0.9))
    points = np.full((2, 17, 3), 0.9, np.float32)
    points[:, :, 0] *= width
    points[:, :, 1] *= height
    predicted = replace(
        predicted,
        keypoints=points,
        skeleton="coco17",
        attributes=({}, {"mood": Classes(np.zeros(1, int), np.ones(1), ("happy",))}),
    )
    classes = Classes(np.asarray([0]), np.asarray([0.7]), ("a rather long name of a class",))
    canvas, steps = sized(picture, [("objects", predicted), ("classes", classes)])
    drawn = annotate(canvas, steps, Draw())
    assert drawn.size == canvas.size and max(drawn.size) >= 240
    assert changed(canvas, drawn).mean() > 0.001


def test_a_label_can_be_read_on_a_tiny_picture() -> None:
    """Enlarged, the tag of a 24-pixel picture has letters of at least 8 pixels in two colours."""
    canvas, steps = sized(Pillow.new("RGB", (24, 24), "white"), [("objects", objects((2, 10, 22, 23)))])
    drawn = np.asarray(annotate(canvas, steps, Draw()))
    shade = colour("person")
    tag = np.argwhere((drawn == shade).all(axis=2))
    area = drawn[tag[:, 0].min() : 100, 22:120].astype(int)  # the tag stands above the box
    letters = np.argwhere(np.abs(area - ink(shade)).max(axis=2) < 100)
    assert len(tag) and np.ptp(letters[:, 0]) >= 8 and np.ptp(letters[:, 1]) >= 40


def test_tags_do_not_hide_each_other_where_there_is_room() -> None:
    picture = Pillow.new("RGB", (800, 600), "white")
    close = [(300.0 + 3 * i, 300.0 + 2 * i, 460.0 + 3 * i, 420.0) for i in range(3)]
    apart = sum((np.asarray(_words_only(picture, objects(box))) < 250).any(axis=2).sum() for box in close)
    all_at_once = (np.asarray(_words_only(picture, objects(*close))) < 250).any(axis=2).sum()
    assert all_at_once > 0.97 * apart


def test_where_there_is_no_room_the_best_one_can_be_read() -> None:
    """Many tags on a strip with room for a single tag: the first, of the highest score, lies on top."""
    strip = Pillow.new("RGB", (60, 14), "white")
    colours = [(200, 0, 0), (0, 0, 200), (0, 120, 0)]
    draw_tags(ImageDraw.Draw(strip), strip.size, [Tag("thing", (0.0, 0.0, 60.0, 14.0), c) for c in colours])
    shares = [int((np.asarray(strip) == c).all(axis=2).sum()) for c in colours]
    assert shares[0] == max(shares) > 0, shares


def test_in_a_crowd_small_things_are_named_once_and_large_ones_always() -> None:
    picture = Pillow.new("RGB", (640, 480), "white")
    small = [(20.0 * i, 10.0 * j, 20.0 * i + 8, 10.0 * j + 9) for i in range(20) for j in range(4)]
    alone = int((np.asarray(_words_only(picture, objects(small[-1]))) < 250).any(axis=2).sum())
    crowd = np.asarray(_words_only(picture, objects(*small, (100, 200, 300, 400), (400, 200, 600, 400))))
    assert 2.5 * alone < int((crowd < 250).any(axis=2).sum()) < 3.5 * alone


def _words_only(picture: Pillow.Image, predicted: Objects) -> Pillow.Image:
    return annotate(picture, [("o", predicted)], Draw(boxes=False, scores=False))


def test_a_label_keeps_its_colour_and_its_ink_can_be_read() -> None:
    assert colour("person") == colour("person") != colour("face")
    assert colour("#102030") == (16, 32, 48)
    for name in ("person", "face", "dog", "car", "#000000", "#ffffff"):
        light = [0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] for c in (colour(name), ink(colour(name)))]
        assert abs(light[0] - light[1]) > 60


def pair(scores: tuple[float, float], **columns: object) -> Objects:
    """A person and a car in the same place."""
    both = objects((40, 40, 160, 160), (40, 40, 160, 160))
    return replace(both, names=("person", "car"), scores=np.asarray(scores, np.float32), **columns)  # type: ignore[arg-type]


def test_eyes_and_mouth_are_not_drawn_on_a_blurred_face_but_a_blurred_person_has_its_bones() -> None:
    """Their dots looked like a face to another detector, where the face is small."""
    plain, draw = noise(200, 200), Draw(labels=False, boxes=False, blur=("face", "person"))
    points = np.array([[[80, 80, 1], [120, 80, 1], [100, 100, 1], [85, 125, 1], [115, 125, 1]]], np.float32)
    face = replace(objects((60, 50, 140, 150), label="face"), keypoints=points, skeleton="face5")
    body = np.full((1, 17, 3), (100.0, 100.0, 1.0), np.float32) + np.arange(17, dtype=np.float32)[:, None] * (1, 1, 0)
    person = replace(objects((60, 50, 140, 150)), keypoints=body.astype(np.float32), skeleton="coco17")
    on_crop = replace(objects((40, 40, 160, 160), label="head"), attributes=({"faces": face},))
    for found, drawn in ((face, False), (on_crop, False), (person, True)):
        without = replace(found, keypoints=None, attributes=())
        bare = annotate(plain, [("s", without), ("t", objects((60, 50, 140, 150), label="face"))], draw)
        assert changed(bare, annotate(plain, [("s", found)], draw)).any() == drawn


@pytest.mark.parametrize(("scores", "top"), [((0.9, 0.6), 0), ((0.6, 0.9), 1)])
def test_the_object_with_the_highest_score_is_drawn_over_the_others(scores: tuple[float, float], top: int) -> None:
    white = Pillow.new("RGB", (200, 200), "white")
    points = np.zeros((2, 17, 3), np.float32)
    points[0, 5] = points[1, 6] = (100, 100, 0.9)  # the person's left shoulder, the car's right shoulder
    bits = (np.ones((60, 60), bool),) * 2
    masks = Masks((200, 200), np.asarray([[60, 60, 120, 120]] * 2), bits)
    predicted = pair(scores, keypoints=points, skeleton="coco17", masks=masks)
    drawn = annotate(white, [("o", predicted)], Draw(labels=False))
    shade = colour(("person", "car")[top])
    assert drawn.getpixel((40, 100)) == shade  # the outline of the box
    assert drawn.getpixel((60, 100)) == shade  # the rim of the mask
    assert drawn.getpixel((100, 100)) == (LEFT, RIGHT)[top]


def test_a_later_step_is_drawn_over_an_earlier_one_whatever_the_scores() -> None:
    white = Pillow.new("RGB", (200, 200), "white")
    sure, unsure = pair((0.9, 0.9)).take([0]), pair((0.5, 0.5)).take([1])
    drawn = annotate(white, [("a", sure), ("b", unsure)], Draw(labels=False))
    assert drawn.getpixel((40, 100)) == colour("car")


def test_masks_are_below_boxes_boxes_below_keypoints_and_words_above_all() -> None:
    white = Pillow.new("RGB", (200, 200), "white")
    boxes = np.asarray([(100, 10, 190, 190), (10, 10, 150, 190)], np.float32)
    points = np.zeros((2, 17, 3), np.float32)
    points[0, 5] = (100, 150, 0.9)  # a left shoulder on its own box's edge
    masks = Masks(
        (200, 200), np.asarray([[0, 0, 1, 1], [80, 60, 120, 180]]), (np.zeros((1, 1), bool), np.ones((120, 40), bool))
    )
    predicted = replace(pair((0.5, 0.9)), boxes=boxes, keypoints=points, skeleton="coco17", masks=masks)
    drawn = annotate(white, [("o", predicted)], Draw())
    assert drawn.getpixel((100, 100)) == colour("person")  # over the mask of an object with a higher score
    assert drawn.getpixel((100, 150)) == LEFT
    words = _words_only(white, replace(predicted, masks=None, keypoints=None))
    written = changed(white, words)
    full = annotate(white, [("o", predicted)], Draw(scores=False))
    assert written.any() and np.array_equal(np.asarray(full)[written], np.asarray(words)[written])


def test_masks_are_transparent_inside_and_full_at_the_rim() -> None:
    bits = np.ones((60, 80), bool)
    predicted = replace(objects((20, 20, 100, 80)), masks=Masks((100, 200), np.asarray([[20, 20, 100, 80]]), (bits,)))
    drawn = annotate(Pillow.new("RGB", (200, 100), "white"), [("o", predicted)], Draw(labels=False, boxes=False))
    shade = np.asarray(colour("person"), float)
    assert tuple(drawn.getpixel((20, 50))) == colour("person")  # type: ignore[arg-type]
    inside = np.asarray(drawn.getpixel((60, 50)), float)
    assert np.abs(inside - (0.45 * shade + 0.55 * 255)).max() < 3
    assert drawn.getpixel((150, 50)) == (255, 255, 255)
    assert rim(bits, 2).sum() == 60 * 80 - 56 * 76


def test_no_two_labels_of_the_starter_maps_and_no_neighbouring_tracks_look_alike() -> None:
    folder = Path(__file__).resolve().parents[3] / "models" / "street" / "model.toml"
    labels = tuple(tomllib.loads(folder.read_text(encoding="utf-8"))["labels"])
    shades = palette(labels)
    assert min(math.dist(a, b) for a, b in itertools.combinations(shades, 2)) >= APART
    assert shades[: len(shades) // 2] == palette(labels[: len(labels) // 2])  # a picture without the last ones
    assert palette(("#102030", "#102031")) == ((16, 32, 48), (16, 32, 49))  # colours that mean themselves
    tracks = [track_colour("bottle", number) for number in range(1, 6)]
    assert min(math.dist(a, b) for a, b in itertools.combinations(tracks, 2)) >= APART


def test_a_map_leaves_the_background_alone_and_has_a_legend() -> None:
    ids = np.zeros((300, 400), np.uint8)
    ids[:, 200:] = 1
    picture = noise(400, 300)
    drawn = annotate(picture, [("m", LabelMap(ids, ("background", "sky"), 0))], Draw())
    different = changed(picture, drawn)
    assert different[:, 205:].mean() > 0.9 and not different[:200, :190].any()
    assert different[260:, :60].any()  # the legend
    assert annotate(picture, [("m", LabelMap(ids, ("background", "sky"), 0))], Draw(labels=False)) != drawn


def test_blurred_faces_keep_no_detail_and_others_stay() -> None:
    picture = noise(400, 300)
    on_crop = {"faces": objects((250, 50, 330, 150), label="face")}
    people = replace(objects((240, 20, 390, 290)), attributes=(on_crop,))
    steps = [("f", objects((50, 50, 150, 170), label="face")), ("p", people)]
    drawn = np.asarray(annotate(picture, steps, Draw(labels=False, boxes=False, blur=("face",))), float)
    for x1, y1, x2, y2 in ((60, 60, 140, 160), (260, 60, 320, 140)):  # the second lies on a crop
        assert np.abs(np.diff(drawn[y1:y2, x1:x2], axis=1)).mean() < 3
    assert np.array_equal(drawn[:40, :40], np.asarray(picture, float)[:40, :40])


def test_what_was_found_on_a_crop_is_enlarged_with_the_picture() -> None:
    nested = objects((2, 2, 6, 6), label="face")
    people = replace(objects((1, 1, 20, 20)), attributes=({"faces": nested},))
    _, ((_, predicted),) = sized(noise(24, 24), [("p", people)])
    assert isinstance(predicted, Objects)
    assert predicted.attributes[0]["faces"].boxes.tolist() == [[20, 20, 60, 60]] and nested.boxes[0, 0] == 2


def test_before_and_after_stand_side_by_side_and_transparency_shows() -> None:
    picture = noise(300, 400)
    half = np.dstack([np.asarray(picture), np.full((400, 300), 255, np.uint8)])
    half[:200, :, 3] = 0
    both = annotate(picture, [("cutout", OutputImage(half))], Draw())
    assert both.width > 590 and abs(both.height - 400) <= 1
    after = np.asarray(both)[20:180, 400:]
    assert set(np.unique(after[80:])) <= set(range(195, 256))  # grey squares
    wide = annotate(noise(500, 200), [("s", OutputImage(np.zeros((200, 500, 3), np.uint8)))], Draw())
    assert wide.height > 390


def test_boxes_outside_the_picture_or_without_extent_do_no_harm() -> None:
    predicted = objects((-50, -50, -10, -10), (5, 5, 5, 5), (90, 90, 80, 80), (-1e5, 0, 1e5, 1e5))
    assert annotate(noise(100, 100), [("o", predicted), ("e", Objects.empty())], Draw()).size == (100, 100)


def test_options_are_checked_when_the_routes_are_read() -> None:
    text = '[[route]]\nname = "a"\nsteps = [{ model = "m" }]\ndraw = '
    assert parse_routes(text + '{ blur = "face" }', "routes.toml").routes[0].draw.blur == ("face",)
    with pytest.raises(BadRoute, match="did you mean 'blur'"):
        parse_routes(text + '{ blurr = "face" }', "routes.toml")
    with pytest.raises(BadRoute, match="opacity"):
        parse_routes(text + "{ masks = 4.5 }", "routes.toml")


def test_a_route_that_only_makes_pictures_has_no_annotated_one_unless_it_asks() -> None:
    from pathlib import Path

    from inference.analysis import analyze
    from inference.draw.artifacts import png
    from inference.engine.registry import Registry
    from inference.routes import Route, Step

    registry = Registry([Path(__file__).resolve().parents[3] / "models"])
    data = png(noise(300, 200))
    steps = (Step("sketch"),)
    assert set(analyze(data, Route("r", steps), registry).artifacts) == {"sketch.jpg"}
    both = analyze(data, Route("r", steps, draw=Draw(compare=True)), registry).artifacts
    assert set(both) == {"sketch.jpg", "annotated.jpg"}


def test_a_guess_has_a_question_mark_on_the_annotated_picture() -> None:
    names = Classes(np.asarray([0, 1, 2]), np.asarray([0.9, 0.4, 0.01]), ("pizza", "plate", "defect"))
    drawn = _as_drawn(StepResult("what", "image-classification", ModelFacts("m", "1", "", "", threshold=0.85), names))
    assert isinstance(drawn, Classes) and (drawn.names, len(drawn)) == (("pizza", "plate?"), 2)
