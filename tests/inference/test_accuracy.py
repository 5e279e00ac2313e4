"""End to end on the reference photos: as good as what independent code reached with the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import (
    Photos,
    coco_map,
    label_map_figures,
    person_mask_iou,
    pictures,
    top1,
    top_down_similarity,
)
from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.predictions import Objects
from inference.routes import Route, Step

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_shared,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # pycocotools with numpy 2
]
MODELS = Path(__file__).parents[1] / "models"
TOLERANCE = 0.01


@pytest.fixture(scope="module")
def registry(shared: Path) -> Registry:
    return Registry([MODELS], weights=Weights([shared / "models"]))


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((shared / "models/REFERENCE.json").read_text("utf-8"))
    return figures


@pytest.fixture(scope="module")
def photos(shared: Path) -> Photos:
    return pictures(shared / "media/coco/val2017")


@pytest.mark.parametrize(
    "name",
    [
        "det-yolox-nano",
        "det-nanodet-m-320",
        "det-picodet-s-320",
        "det-picodet-s-416",
        "det-ssd-mobilenetv1-tf",
        "ultra-yolov8n-320",
        "ultra-yolo11n-320",
        "ultra-yolo26n-end2end",
    ],
)
def test_mean_average_precision_on_coco(
    name: str, registry: Registry, reference: dict[str, Any], photos: Photos, shared: Path
) -> None:
    figures = coco_map(registry.model(name), photos, shared / "media/coco/instances.json")
    assert figures["mAP"] >= reference[name]["mAP"] - TOLERANCE, figures


def test_top_1_on_imagenet(registry: Registry, reference: dict[str, Any], shared: Path) -> None:
    model = registry.model("cls-mobilenetv2-int8")
    right, count = top1(model, pictures(shared / "media/imagenet"), shared / "media/index.json")
    wanted = reference["cls-mobilenetv2-int8"]
    assert count == wanted["pictures"] and right >= wanted["top1"] - 2, right


def test_top_1_of_a_quantised_classifier_with_a_background_class(registry: Registry, shared: Path) -> None:
    photos = pictures(shared / "media/imagenet")
    right, count = top1(registry.model("cls-mobilenetv2-tf-uint8"), photos, shared / "media/index.json")
    assert right / count >= 0.875 - 0.03  # 87.5 % on 200 such pictures, these are 126 of them


@pytest.mark.parametrize("name", ["face-ultraface-rfb320", "face-ultraface-rfb640", "face-yunet-2023mar"])
def test_faces_of_the_group_photos_are_counted_exactly(name: str, registry: Registry, shared: Path) -> None:
    model, counts = registry.model(name), {}
    for path, picture in pictures(shared / "media/faces"):
        if path.name.startswith("group_"):
            counts[path.name] = len(model.run(picture)[0])  # type: ignore[arg-type]
    assert counts and all(predicted == int(name.split("_")[1]) for name, predicted in counts.items()), counts


def test_expressions_are_read_on_the_faces_that_a_detector_found(registry: Registry, shared: Path) -> None:
    """As a route does it: YuNet, then the expression on every face."""
    route = Route("faces", (Step("face-yunet-2023mar"), Step("fer-mini-xception", on="face")))
    index = json.loads((shared / "media/index.json").read_text("utf-8"))
    faces = [e for e in index if e["kind"] == "face+expression"]
    truth = {Path(e["file"]).name: e["ground_truth"]["expression"] for e in faces}
    read = {}
    for name in truth:
        result = analyze((shared / "media/faces" / name).read_bytes(), route, registry, artifacts=False).result
        predicted = result.steps[0].predictions
        assert isinstance(predicted, Objects) and len(predicted) == 1, name
        read[name] = predicted.attributes[0]["fer-mini-xception"].names[0]
    assert [n for n in truth if read[n] != truth[n]] == ["neutral.jpg"], read  # the model reads it as sad


def test_keypoints_on_the_crops_of_people(registry: Registry, photos: Photos, shared: Path) -> None:
    similarity, people = top_down_similarity(
        registry.model("pose-movenet-lightning"), photos, shared / "media/coco/person_keypoints.json"
    )
    assert people == 24
    assert similarity >= 0.648 - TOLERANCE  # a loop with OpenCV's resize reaches 0.648 on the same 24


def test_label_maps(registry: Registry, photos: Photos, shared: Path) -> None:
    """SOURCE.md's figures of two DeepLabs; the quantised model on every fourth picture, as it is slow."""
    annotations = shared / "media/coco/instances.json"
    figures = label_map_figures(registry.model("seg-deeplabv3-mnv2-257"), photos, annotations)
    assert figures["pixel accuracy"] >= 0.809 - TOLERANCE, figures
    figures = label_map_figures(registry.model("seg-deeplabv3-513-argmax"), photos[::4], annotations)
    assert figures["pixel accuracy"] >= 0.866 - TOLERANCE and figures["person IoU"] >= 0.668 - TOLERANCE, figures


def test_masks_of_people(registry: Registry, photos: Photos, shared: Path) -> None:
    model = registry.model("ultra-yolov8n-seg-320")
    assert person_mask_iou(model, photos[::4], shared / "media/coco/instances.json") >= 0.781 - TOLERANCE
