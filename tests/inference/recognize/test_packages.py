"""OpenVINO Model API, Azure Custom Vision and Roboflow packages.

A tiny graph stands in for the file, with the exporter's exact names, shapes and side files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow

from inference.errors import BadManifest
from inference.image.media import Picture
from inference.predictions import Classes
from inference.recognize import recognize
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import answer, boxes, floats


def test_openvino_model_info(tmp_path: Path) -> None:
    info = {
        "model_type": "ssd",
        "labels": "red_car truck",
        "mean_values": "123.675 116.28 103.53",
        "pad_value": "114",
        "scale_values": "58.395 57.12 57.375",
        "reverse_input_channels": "True",
        "resize_type": "fit_to_window",
        "confidence_threshold": "0.4",
    }
    dets = np.asarray([[[10, 0, 30, 20, 0.9], [10, 0, 30, 20, 0.35]]], np.float32)
    save(
        tmp_path / "model.onnx",
        picture_input("image"),
        {"boxes": dets, "labels": np.asarray([[1, 0]])},
        metadata={f"model_info {k}": v for k, v in info.items()},
    )
    family, manifest, predicted = answer(tmp_path)
    how = manifest.preprocess
    assert family == "OpenVINO Model API" and manifest.labels == ("red car", "truck")
    assert (how.resize_mode, how.color_order, how.do_rescale, how.image_mean[0]) == (
        "letterbox_top_left",
        "rgb",
        False,
        123.675,
    )
    assert boxes(predicted) == [("truck", 0.9, [20.0, 0.0, 60.0, 40.0])]


def custom_vision(tmp_path: Path, shared: Path, kind: str, outputs: dict[str, Any], metadata: dict[str, str]) -> Path:
    """A folder with the real side files of an export and a graph in its signature."""
    beside = shared / "models/_odd/customvision-metadata"
    for name in ("cvexport.manifest", "labels.txt", "metadata_properties.json"):
        if (beside / f"{kind}.{name}").is_file():
            shutil.copy(beside / f"{kind}.{name}", tmp_path / name)
    size = 512 if "metadata_properties.json" in {p.name for p in tmp_path.iterdir()} and kind[0] == "o" else 416
    save(tmp_path / "model.onnx", picture_input("data", size), outputs, metadata=metadata)
    return tmp_path


@pytest.mark.needs_shared
def test_custom_vision_compact_grid(tmp_path: Path, shared: Path) -> None:
    grid = np.full((1, 5 * (5 + 8), 16, 16), -9, np.float32)
    grid[0, 13:26, 4, 6] = 0, 0, 0, 0, 4, *(-9, -9, 9, -9, -9, -9, -9, -9)  # the second anchor, the third label
    folder = custom_vision(tmp_path, shared, "objectdetection-onnx", {"model_outputs0": grid}, {})
    family, manifest, predicted = answer(folder, Picture(Pillow.new("RGB", (512, 512)), (512, 512)))
    assert family == "Azure Custom Vision" and manifest.postprocess.iou_threshold == 0.45
    (name, score, box), *rest = boxes(predicted)
    assert name == "Eosinophil" and not rest and score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
    width, height = 1.87446 * 32, 2.06253 * 32
    np.testing.assert_allclose(box, [208 - width / 2, 144 - height / 2, 208 + width / 2, 144 + height / 2], atol=0.01)


@pytest.mark.needs_shared
def test_custom_vision_says_how_it_is_fed_and_the_file_has_the_last_word(tmp_path: Path, shared: Path) -> None:
    outputs = {"model_output": floats(np.full(12, 1 / 12))}
    folder = custom_vision(
        tmp_path,
        shared,
        "classification-tfjs",
        outputs,
        {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"},
    )
    how = recognize(folder).preprocess
    assert (how.color_order, how.do_rescale, how.do_center_crop) == ("bgr", False, True)
    assert len(recognize(folder).labels) == 12


def test_custom_vision_detected_boxes(tmp_path: Path) -> None:
    outputs = {
        "detected_boxes": floats([[0.25, 0.5, 0.5, 1.0], [0, 0, 1, 1]]),
        "detected_classes": np.asarray([[1, 0]]),
        "detected_scores": floats([0.9, 0.1]),
    }
    save(tmp_path / "model.onnx", picture_input("image_tensor"), outputs)
    (tmp_path / "labels.txt").write_text("helmet\nvest", "utf-8")
    family, manifest, predicted = answer(tmp_path)
    assert (family, manifest.head) == ("Azure Custom Vision", "custom_vision")
    assert boxes(predicted) == [("vest", 0.9, [32.0, 32.0, 64.0, 64.0])]


def test_custom_vision_classifier_with_a_map(tmp_path: Path) -> None:
    """The older domains end in ZipMap: a sequence of {label: probability}."""
    shares = helper.make_node(
        "Constant", [], ["p"], value=helper.make_tensor("p", TensorProto.FLOAT, [1, 2], [0.2, 0.8])
    )
    label = helper.make_node(
        "Constant", [], ["classLabel"], value=numpy_helper.from_array(np.asarray([["dog"]], object))
    )
    pairs = helper.make_node("ZipMap", ["p"], ["loss"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog"])
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    graph = helper.make_graph(
        [shares, label, pairs],
        "g",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("classLabel", TensorProto.STRING, [1, 1]), helper.make_value_info("loss", kind)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"})
    onnx.save(model, str(tmp_path / "model.onnx"))
    (tmp_path / "labels.txt").write_text("cat\ndog", "utf-8")
    _, _, predicted = answer(tmp_path)
    assert (
        isinstance(predicted, Classes) and predicted.names == ("dog", "cat") and predicted.label_ids.tolist() == [1, 0]
    )
    np.testing.assert_allclose(predicted.scores, [0.8, 0.2], atol=1e-6)


def test_roboflow_package(tmp_path: Path) -> None:
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 3] = 32, 32, 20, 10, 0.1, 0.9
    save(tmp_path / "weights.onnx", picture_input("images"), {"output0": raw})
    network = {
        "training_input_size": {"height": 64, "width": 64},
        "color_mode": "rgb",
        "resize_mode": "letterbox",
        "padding_value": 127,
        "scaling_factor": 255,
        "normalization": None,
    }
    config = {
        "image_pre_processing": {},
        "network_input": network,
        "forward_pass": {"static_batch_size": 1},
        "post_processing": {"type": "nms", "fused": False, "nms_parameters": {"iou_threshold": 0.6}},
    }
    (tmp_path / "inference_config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "model_config.json").write_text(
        json.dumps({"model_architecture": "yolov8", "task_type": "object-detection", "backend_type": "onnx"}), "utf-8"
    )
    (tmp_path / "class_names.txt").write_text("bolt\nnut\n", "utf-8")
    family, manifest, predicted = answer(tmp_path)
    assert family == "Roboflow" and manifest.postprocess.iou_threshold == 0.6
    assert boxes(predicted) == [("nut", 0.9, [44.0, 22.0, 84.0, 42.0])]


@pytest.mark.parametrize(
    ("network", "before", "words"),
    [
        ({"resize_mode": "fit-shorter-edge"}, None, "resize_mode 'fit-shorter-edge'; known are stretch"),
        ({"normalization": [[0.5] * 3, [0.5, 0, 0.5]]}, None, "image_std is .*each more than 0"),
        ({"normalization": [[0.5] * 2, [0.5] * 2]}, None, "image_mean is .*expected one number for each of 3"),
        ({}, {"grayscale": {"enabled": True}}, "grayscale .*not done here"),
        ({}, {"static-crop": {"enabled": True, "x_min": 10}}, "static-crop .*not done here"),
        ({}, {"contrast": {"enabled": False}, "auto-orient": {"enabled": True}}, ""),
    ],
)
def test_steps_of_roboflow_that_are_not_done_are_refused(
    network: dict[str, Any], before: Any, words: str, tmp_path: Path
) -> None:
    save(tmp_path / "net/weights.onnx", picture_input("input"), {"output": floats([3, 0])})
    config = {"network_input": {"scaling_factor": 255, **network}, "image_pre_processing": before}
    (tmp_path / "net/inference_config.json").write_text(json.dumps(config), "utf-8")
    model = {"model_architecture": "resnet", "task_type": "classification"}
    (tmp_path / "net/model_config.json").write_text(json.dumps(model), "utf-8")
    if words:
        with pytest.raises(BadManifest, match=words):
            recognize(tmp_path / "net")
    else:
        assert recognize(tmp_path / "net").head == "classifier"


def test_a_resize_type_of_openvino_that_is_not_known_is_refused(tmp_path: Path) -> None:
    info = {"model_info model_type": "Classification", "model_info resize_type": "fit_somehow"}
    save(tmp_path / "net/model.onnx", picture_input("image"), {"logits": floats([3, 0])}, metadata=info)
    with pytest.raises(BadManifest, match="resize_type 'fit_somehow'; known are standard"):
        recognize(tmp_path / "net")


@pytest.mark.parametrize(
    ("span", "black_and_white"),
    [("NominalRange_0_255", [0, 255]), ("Normalized_0_1", [0, 1]), ("Normalized_1_1", [-1, 1])],
)
def test_the_nominal_range_of_onnx_metadata(span: str, black_and_white: list[float], tmp_path: Path) -> None:
    """What the values 0 and 255 of a pixel become."""
    meta = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": span}
    save(tmp_path / "model.onnx", picture_input("data"), {"scores": floats([0.2, 0.8])}, metadata=meta)
    how = recognize(tmp_path).preprocess
    scale = how.rescale_factor if how.do_rescale else 1.0
    mean, std = (how.image_mean[0], how.image_std[0]) if how.do_normalize else (0.0, 1.0)
    assert [round((value * scale - mean) / std, 6) for value in (0, 255)] == black_and_white
