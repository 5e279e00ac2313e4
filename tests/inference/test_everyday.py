"""What the listing says of models on everyday photos is what is measured, and how it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import reference_models
from benchmarks._judged import Answer, Photo, Thing, answers, boxes, coco, face_boxes, first_name
from benchmarks.everyday import PHOTOS, figures, limit_of, measured, useful
from inference.engine.catalog import load_catalog
from inference.image.media import Picture, decode
from inference.manifest import read_manifest
from tests.conftest import ROOT

pytestmark = [pytest.mark.needs_shared, pytest.mark.slow]


@pytest.mark.slow
def test_the_listing_says_what_is_measured() -> None:
    """Of the face detector of the pack, on the 50 photos; the other figures come from the same command."""
    model = measured("yunet-2023mar")
    given = answers(model, coco()[:PHOTOS], face_boxes)
    assert load_catalog().named("yunet-2023mar").full_manifest().everyday == useful(given, limit_of(model))


def test_every_model_with_a_figure_has_a_threshold_of_its_own() -> None:
    manifests = [read_manifest(path) for path in sorted((ROOT / "models").glob("*/model.toml"))]
    manifests += [entry.full_manifest() for entry in load_catalog().model]
    measured_ones = [manifest for manifest in manifests if manifest.everyday]
    assert len(measured_ones) == 6
    for manifest in measured_ones:
        assert manifest.postprocess.confidence_threshold is not None
        assert manifest.everyday.endswith(f" of {PHOTOS}")


def test_useful_is_more_right_than_wrong() -> None:
    first, second, third = (photo.path.name for photo in coco()[:3])
    given = [Answer(first, 0.9, True, True), Answer(second, 0.9, True, True), Answer(second, 0.8, False, True),
             Answer(third, 0.4, True, True)]  # fmt: skip
    assert useful(given, 0.5) == f"1 of {PHOTOS}"  # on the second as much is wrong; the third is below the threshold
    assert useful(given, 0.85) == f"2 of {PHOTOS}"
    counts = figures(given, 0.5)
    assert (counts.said, counts.right, counts.photos_right, counts.photos_wrong) == (3, 2, 2, 1)


def test_a_second_box_on_the_same_thing_is_wrong(shared: Path) -> None:
    """The tennis player of a photo, annotated once and twice."""
    path = shared / "media/sports/tennis/dsc08303.jpg"
    model = measured("picodet-s-416")
    everything = list(boxes(model, Photo(path)))
    assert everything and not any(answer.right for answer in everything)
    objects, _ = model.run(_picture(path))
    player = Thing("person", tuple(objects.boxes[list(objects.names).index("person")].tolist()))  # type: ignore[union-attr]
    assert sum(answer.right for answer in boxes(model, Photo(path, (player,)))) == 1


def test_a_name_that_nobody_has_judged_stops_the_measurement(shared: Path) -> None:
    path = shared / "media/coco/val2017/000000047112.jpg"  # a pizza
    model = measured("mobilenetv2-int8")
    assert next(first_name(model, Photo(path, names=frozenset({"pizza"}), misnomers=frozenset()))).right
    assert not next(first_name(model, Photo(path, misnomers=frozenset({"pizza, pizza pie", "pizza"})))).right
    with pytest.raises(LookupError, match="nobody has judged 'pizza"):
        next(first_name(model, Photo(path, misnomers=frozenset())))


def _picture(path: Path) -> Picture:
    return decode(path.read_bytes())


def test_movenet_sees_nobody_in_a_wall_and_a_refrigerator(shared: Path) -> None:
    model = reference_models().model("pose-movenet-lightning")
    wall = Picture.of(np.full((300, 400, 3), (180, 170, 150), np.uint8))
    refrigerator = _picture(shared / "media/coco/val2017/000000073326.jpg")
    tennis = _picture(shared / "media/coco/val2017/000000406129.jpg")
    assert [len(model.run(picture)[0]) for picture in (wall, refrigerator, tennis)] == [0, 0, 1]  # type: ignore[arg-type]
