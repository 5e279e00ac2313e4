"""The JSON Schema of the result document: real documents satisfy it, others do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import CorruptMedia
from inference.results.result import Source, error_document
from inference.results.schema import schema
from inference.routes import Route, Step
from inference.video.options import VideoOptions

ROOT = Path(__file__).resolve().parents[3]


def check(document: Any) -> None:
    jsonschema.Draft202012Validator(schema()).validate(json.loads(json.dumps(document)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_an_error_record_satisfies_it() -> None:
    check(error_document(Source(name="a.jpg"), CorruptMedia("broken")))


@pytest.mark.parametrize(
    "spoil",
    [
        {"status": "fine"},
        {"steps": None},
        {"schema": "dropsight/2"},
        {"summary": {"person": 1}},
        {"cost": {"cpu_s": 1}},
    ],
)
def test_what_is_not_a_result_does_not(spoil: dict[str, Any]) -> None:
    from PIL import Image as Pillow

    from inference.draw.artifacts import png

    data = png(Pillow.fromarray(np.zeros((20, 20, 3), np.uint8)))
    route = Route("r", (Step("classify", threshold=0.0), Step("embed"), Step("colors"), Step("sketch")))
    good = analyze(data, route, Registry([ROOT / "models"])).result.to_json()
    check(good)
    with pytest.raises(jsonschema.ValidationError):
        check(good | spoil)


CASES = {
    "instance masks": ("coco/val2017/000000022192.jpg", ("ultra-yolov8n-seg-320",)),
    "faces with landmarks and expressions": ("faces/happy.jpg", ("face-yunet-2023mar", "fer-mini-xception@face")),
    "semantic map": ("coco/val2017/000000022192.jpg", ("seg-deeplabv3-mnv2-257",)),
    "a person's keypoints": ("faces/happy.jpg", ("pose-movenet-lightning",)),
    "vectors of people": ("faces/happy.jpg", ("det-yolox-nano", "reid-person-0248@person")),
    "a new picture": ("faces/happy.jpg", ("style-mosaic-128",)),
}


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("case", CASES)
def test_results_of_every_kind_satisfy_it(case: str, shared: Path) -> None:
    file, names = CASES[case]
    registry = Registry([ROOT / "tests/models"], weights=Weights([shared / "models"]))
    steps = tuple(Step(n.split("@")[0], on=n.partition("@")[2]) for n in names)
    check(analyze((shared / "media" / file).read_bytes(), Route("r", steps), registry).result.to_json())


@pytest.mark.slow
@pytest.mark.needs_shared
def test_results_of_videos_satisfy_it(shared: Path) -> None:
    registry = Registry([ROOT / "tests/models"], weights=Weights([shared / "models"]))
    clip = shared / "media/action/v_Biking_g01_c01.mp4"
    route = Route("r", (Step("det-yolox-nano"),), video=VideoOptions(fps=2.0))
    document = analyze(clip, route, registry).result.to_json()
    assert document["tracks"]
    check(document)
