"""What is blurred at the picture's edge is blurred as it is in the middle, and in maps of colours."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image as Pillow

from inference.draw.artifacts import image_artifacts
from inference.draw.privacy import WIDER, blur
from inference.image.media import Picture
from inference.predictions import LabelMap, Objects
from inference.results.result import ModelFacts, StepResult
from inference.routes import Draw
from tests.inference.properties import examples

SIDE = 120
PLACES = st.sampled_from([0.0, float(SIDE)]) | st.floats(0, SIDE)


@pytest.mark.slow
@given(PLACES, PLACES, PLACES, PLACES)
@example(0.0, 40.0, 20.0, 90.0)  # half a face, cut by the left edge
@examples(60)
def test_the_blur_covers_the_sides_of_a_box_wherever_it_is(a: float, b: float, c: float, d: float) -> None:
    """Nine tenths of every side of the box, and nothing further away than the rim."""
    (x1, x2), (y1, y2) = sorted((a, b)), sorted((c, d))
    assume(x2 - x1 >= 12 and y2 - y1 >= 12)
    rows, columns = np.indices((SIDE, SIDE))
    sharp = ((rows + columns) % 2 * 255).astype(np.uint8)  # under any blur it is grey
    canvas = Pillow.fromarray(np.dstack([sharp] * 3))
    blur(canvas, np.asarray([[x1, y1, x2, y2]], np.float32))
    seen = np.abs(np.asarray(canvas)[:, :, 0].astype(int) - 128) > 120
    width, height = x2 - x1, y2 - y1
    inside = (columns >= x1) & (columns + 1 <= x2) & (rows >= y1) & (rows + 1 <= y2)
    upright = inside & (rows > y1 + height / 20) & (rows < y2 - height / 20)
    across = inside & (columns > x1 + width / 20) & (columns < x2 - width / 20)
    assert not (seen & upright & across).any()
    if x1 == 0:
        assert not (seen & upright & (columns == 0)).any()
    dx, dy = width * WIDER + 2, height * WIDER + 2
    far = (columns + 1 < x1 - dx) | (columns > x2 + dx) | (rows + 1 < y1 - dy) | (rows > y2 + dy)
    assert seen[far].all()


def test_a_map_of_a_pictures_own_colours_shows_no_face() -> None:
    """Two colours are a face that everybody knows: in the tint of the annotated picture, and in the map's own file."""
    rows, columns = np.indices((240, 240))
    ids = ((rows // 4 + columns // 4) % 2).astype(np.uint8)
    before = ids.copy()
    face = Objects(np.array([[10, 10, 60, 60]], np.float32), np.ones(1), np.zeros(1, int), ("face",))
    facts = ModelFacts("m", "1", "", "")
    found = LabelMap(ids, ("#000000", "#ffffff"))
    colours = StepResult("colors", "image-segmentation", facts, found)
    steps = [StepResult("faces", "object-detection", facts, face), colours]
    grey = Picture(Pillow.new("RGB", (240, 240), (128, 128, 128)), (240, 240))
    draw = Draw(labels=False, boxes=False, masks=1.0, blur=("face",))
    files, _ = image_artifacts(grey, steps, draw)
    drawn = np.asarray(Pillow.open(io.BytesIO(files["annotated.jpg"])).convert("L"), int)
    assert np.ptp(drawn[12:58, 12:58]) < 60 and np.ptp(drawn[100:140, 60:90]) > 150
    written = np.asarray(Pillow.open(io.BytesIO(files["colors.png"])))
    assert np.ptp(written[10:60, 10:60]) == 0 and (written[70:] == ids[70:]).all()
    assert (found.ids == before).all(), "the result counts what is there"
    files, _ = image_artifacts(grey, steps, replace(draw, blur=()))
    assert (np.asarray(Pillow.open(io.BytesIO(files["colors.png"]))) == ids).all()


def test_a_large_face_is_covered_as_a_small_one() -> None:
    """The oval of a large one is enlarged: opaque over the box but for the corners, and clear outside."""
    sharp = (np.indices((900, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    canvas = Pillow.fromarray(np.dstack([sharp] * 3))
    blur(canvas, np.asarray([[300, 200, 900, 700]], np.float32))
    away = np.abs(np.asarray(canvas)[:, :, 0].astype(int) - 128)
    # The corners are round, with a soft rim: near them a little shines through.
    assert away[225:675, 300:900].max() <= 128 / 4 and away[300:600, 300:900].max() <= 4
    seen = away > 120
    assert seen[:100].all() and seen[:, :200].all() and seen[:, 1000:].all() and seen[800:].all()
