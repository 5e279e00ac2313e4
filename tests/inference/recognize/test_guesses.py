"""What is assumed of an export where its tensors leave it open, and how a fixed input changes what it is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.registry import Registry
from inference.engine.session import Session
from inference.image.media import Picture
from inference.predictions import Objects
from inference.recognize import examine, manifest_of
from inference.recognize._export import Draft, Export
from inference.recognize._guesses import guesses
from tests.inference.graphs import build, picture_input, save

F = np.float32
DETR = {"model_type": "detr", "architectures": ["DetrForObjectDetection"], "id2label": {"0": "blue", "1": "red"}}
PROCESSOR = {
    "feature_extractor_type": "DetrFeatureExtractor", "size": 80, "max_size": 133, "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
}  # fmt: skip


def detr(folder: Path, shape: list[Any]) -> None:
    """A detector of what the last tenth of the input's columns shows: the mean of its blue less that of its red."""
    nodes: list[Any] = [
        ("Slice", "pixel_values first last columns", "right"), ("ReduceMean", "right", "m", {"axes": [2, 3]}),
        ("Split", "m", "r g b", {"axis": 1}), ("Sub", "b r", "d"), ("Neg", "d", "n"), ("Squeeze", "d a", "d3"),
        ("Squeeze", "n a", "n3"), ("Concat", "d3 n3 low", "logits", {"axis": 2}), ("Identity", "box", "pred_boxes"),
    ]  # fmt: skip
    constants = {
        "first": np.asarray([72]), "last": np.asarray([80]), "columns": np.asarray([3]), "a": np.asarray([3]),
        "low": np.full((1, 1, 1), -9, F), "box": np.asarray([[[0.9, 0.25, 0.2, 0.5]]], F),
    }  # fmt: skip
    outputs = {"logits": ("float32", [1, 1, 3]), "pred_boxes": ("float32", [1, 1, 4])}
    build(folder / "model.onnx", {"pixel_values": ("float32", shape)}, nodes, outputs, constants)
    (folder / "config.json").write_text(json.dumps(DETR), "utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR), "utf-8")


@pytest.mark.parametrize(
    ("size", "box"),
    [
        # 80 pixels of the input are 160 of the picture, so that its box begins at 0.8 * 160 and ends at 0.5 * 160 below
        ((160, 80), [128, 0, 160, 80]),
        ((80, 80), [64, 0, 80, 40]),
    ],
)
def test_the_right_end_of_a_wide_picture_is_seen_by_a_detr_of_a_fixed_size(
    tmp_path: Path, size: tuple[int, int], box: list[int]
) -> None:
    detr(tmp_path / "m", [1, 3, 80, 80])
    registry = Registry([tmp_path])
    assert registry.list()[0].assumed == (
        "its input is fixed at 80 x 80: a picture is shrunk to fit, the rest is padding; "
        "size = { height = 80, width = 80 } stretches it",
    )
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, :, 0], pixels[:, -size[0] // 10 :] = 255, (0, 0, 255)  # red, and blue at the right end
    found, _ = registry.model("m").run(Picture.of(pixels))
    assert isinstance(found, Objects) and found.names == ("blue",)
    assert found.boxes[0].tolist() == pytest.approx(box, abs=0.01)


def test_the_padding_of_a_hugging_face_processor_is_the_mean(tmp_path: Path) -> None:
    """It pads with 0 after the normalisation; before it, that is 255 times the mean."""
    detr(tmp_path, [1, 3, 80, 80])
    how = manifest_of(*examine(tmp_path)).preprocess
    assert how.pad_value == pytest.approx((123.7, 116.3, 103.5))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, "do_normalize": False}), "utf-8")
    assert manifest_of(*examine(tmp_path)).preprocess.pad_value == (0.0,)


def test_a_center_crop_of_roboflow_is_a_crop(tmp_path: Path) -> None:
    save(tmp_path / "weights.onnx", picture_input("images"), {"output": np.zeros((1, 84, 84), F)})
    network = {"training_input_size": {"height": 64, "width": 64}, "resize_mode": "center-crop"}
    (tmp_path / "inference_config.json").write_text(json.dumps({"network_input": network}), "utf-8")
    model = {"model_architecture": "yolov8", "task_type": "object-detection"}
    (tmp_path / "model_config.json").write_text(json.dumps(model), "utf-8")
    how = manifest_of(*examine(tmp_path)).preprocess
    assert how.do_center_crop and how.resize_mode == "shortest_edge"


def test_automl_s_classifiers_say_that_one_label_is_assumed(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", picture_input("input1"), {"output1": np.zeros((1, 2), F)})
    (tmp_path / "labels.json").write_text('["a", "b"]', "utf-8")
    _, draft = examine(tmp_path)
    assert draft.assumed == (
        "one label for a picture is assumed; say postprocess.multilabel = true where it may have several",
    )


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"image_mean": [123.675, 116.28, 103.53], "image_std": [58.4, 57.1, 57.4]}, "of 0..255, .* fed 0..1 as"),
        ({"do_rescale": False}, "image_mean 0.485 is one of 0..1, .* fed 0..255 as"),
        ({"rescale_factor": 1.0}, "fed 0..255 as"),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3}, ""),
        ({"do_rescale": False, "image_mean": [123.675, 116.28, 103.53]}, ""),
    ],
)
def test_a_mean_of_another_range_is_said(how: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = save(tmp_path / "model.onnx", picture_input("x"), {"y": np.zeros((1, 2), np.float32)})
    table = {"task": "image-classification", "head": "classifier", "preprocess": {"do_normalize": True, **how}}
    said = [s for s in guesses(Export(tmp_path, file, Session(file)), Draft("", table, ())) if "image_mean" in s]
    assert bool(said) == bool(words) and all(re.search(words, s) for s in said)
