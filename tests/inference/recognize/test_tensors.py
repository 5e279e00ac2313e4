"""Exports that only the names and shapes of their tensors give away.

A tiny graph stands in for the file, with the exporter's exact names, shapes and side files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image as Pillow

from inference.image.media import Picture
from inference.predictions import Objects
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import answer, boxes, floats


def test_dfine_and_rtdetr_of_their_authors(tmp_path: Path) -> None:
    outputs = {
        "labels": np.asarray([[2, 0]]),
        "boxes": floats([[16, 32, 32, 48], [0, 0, 1, 1]]),
        "scores": floats([0.9, 0.1]),
    }
    inputs = {**picture_input("images"), "orig_target_sizes": ("int64", [1, 2])}
    save(tmp_path / "dfine_s.onnx", inputs, outputs)
    family, manifest, predicted = answer(tmp_path)
    assert family == "D-FINE / RT-DETR" and manifest.preprocess.resize_mode == "stretch"
    assert boxes(predicted) == [("car", 0.9, [32.0, 32.0, 64.0, 48.0])]


def test_rfdetr_has_logits_where_mmdeploy_has_numbers(tmp_path: Path) -> None:
    logits = np.full((1, 300, 91), -9, np.float32)
    logits[0, 5, 17] = 3
    boxes_out = np.full((1, 300, 4), 0.5, np.float32)
    save(tmp_path / "inference_model.onnx", picture_input("input"), {"dets": boxes_out, "labels": logits})
    family, manifest, predicted = answer(tmp_path)
    assert family == "RF-DETR" and manifest.preprocess.do_normalize and not manifest.preprocess.antialias
    assert boxes(predicted) == [("cat", 0.9526, [32.0, 16.0, 96.0, 48.0])]


def test_tensorflow_object_detection(tmp_path: Path) -> None:
    outputs = {
        "num_detections": floats(1),
        "detection_boxes": floats([[0.25, 0.5, 0.5, 1], [0, 0, 1, 1]]),
        "detection_scores": floats([0.9, 0.8]),
        "detection_classes": floats([17, 1]),
    }
    save(tmp_path / "ssd.onnx", {"inputs": ("uint8", [1, None, None, 3])}, outputs)
    family, _, predicted = answer(tmp_path)
    assert family == "TensorFlow object detection" and boxes(predicted) == [("cat", 0.9, [64.0, 16.0, 128.0, 32.0])]


@pytest.mark.parametrize("decoded", [False, True])
def test_yolox_with_its_boxes_decoded_in_the_file_or_not(decoded: bool, tmp_path: Path) -> None:
    rows = np.zeros((1, 84, 85), np.float32)  # 8 x 8, 4 x 4 and 2 x 2 cells of a square of 64
    exponents = [np.log(2), np.log(1)]  # 16 x 8 pixels at stride 8
    rows[0, 3 * 8 + 4, :6] = [36, 28, *exponents, 1, 0.9] if decoded else [0.5, 0.5, *exponents, 1, 0.9]
    path = save(tmp_path / "yolox.onnx", picture_input("images"), {"output": rows})
    if decoded:  # as --decode_in_inference does: exp of the sizes, times the stride
        graph = onnx.load(str(path))
        graph.graph.node[0].output[0] = "raw"
        cut = helper.make_node("Split", ["raw", "parts"], ["centre", "size", "scores"], axis=2)
        parts = numpy_helper.from_array(np.asarray([2, 2, 81]), "parts")
        stride = numpy_helper.from_array(np.asarray(8, np.float32), "stride")
        graph.graph.initializer.extend([parts, stride])
        graph.graph.node.extend(
            [
                cut,
                helper.make_node("Exp", ["size"], ["cells"]),
                helper.make_node("Mul", ["cells", "stride"], ["pixels"]),
                helper.make_node("Concat", ["centre", "pixels", "scores"], ["output"], axis=2),
            ]
        )
        onnx.save(graph, str(path))
    family, manifest, predicted = answer(tmp_path)
    assert family == "YOLOX" and manifest.postprocess.params.get("decoded", False) is decoded
    # Top left in the square, at half size: centre (36, 28) and 16 x 8 there.
    assert boxes(predicted) == [("person", 0.9, [56.0, 48.0, 88.0, 64.0])]


def test_keras_yolov3(tmp_path: Path) -> None:
    scores = np.zeros((1, 80, 30), np.float32)
    scores[0, 2, 7] = 0.9
    rows = np.zeros((1, 30, 4), np.float32)
    rows[0, 7] = 104 + 26, 52, 104 + 52, 104  # y1, x1, y2, x2 in the 416 x 416 of the letterbox
    outputs = {
        "yolonms_layer_1": rows,
        "yolonms_layer_1:1": scores,
        "yolonms_layer_1:2": np.asarray([[[0, 2, 7], [-1, -1, -1]]], np.int32),
    }
    inputs: dict[str, Any] = {"input_1": ("float32", ["N", 3, None, None]), "image_shape": ("float32", ["N", 2])}
    save(tmp_path / "tiny-yolov3.onnx", inputs, outputs)
    family, _, predicted = answer(tmp_path, Picture(Pillow.new("RGB", (832, 416)), (832, 416)))
    assert family == "YOLOv3 (keras)" and boxes(predicted) == [("car", 0.9, [104.0, 52.0, 208.0, 104.0])]


@pytest.mark.parametrize("masks", [False, True])
def test_torchvision_in_either_order(masks: bool, tmp_path: Path) -> None:
    outputs: dict[str, Any] = {
        "3": floats([10, 8, 30, 16], [0, 0, 9, 9])[0:2],
        "5": np.asarray([17, 1]),
        "4": floats(0.9, 0.2),
    }
    if masks:
        outputs["6"] = np.ones((2, 1, 64, 128), np.float32)
    shapes: dict[str, Any] = {"3": ["n", 4], "5": ["n"], "4": ["n"], "6": ["n", 1, None, None]}
    save(tmp_path / "rcnn.onnx", {"image": ("float32", [3, None, None])}, outputs, shapes)
    family, manifest, predicted = answer(tmp_path)
    assert family == "torchvision detection" and not manifest.preprocess.do_normalize
    assert boxes(predicted) == [("cat", 0.9, [10.0, 8.0, 30.0, 16.0])]
    assert isinstance(predicted, Objects) and (predicted.masks is not None) == masks
    if predicted.masks is not None:
        assert predicted.masks.area(0) == 20 * 8


def test_torchvision_keypoints(tmp_path: Path) -> None:
    points = np.tile(floats(20, 12, 1), (1, 17, 1)).astype(np.float32)
    outputs = {
        "boxes": floats([10, 8, 30, 16]),
        "labels": np.asarray([1]),
        "scores": floats(0.9),
        "keypoints": points,
        "keypoints_scores": np.full((1, 17), 2, np.float32),
    }
    shapes: dict[str, Any] = {
        "boxes": ["n", 4],
        "labels": ["n"],
        "scores": ["n"],
        "keypoints": ["n", 17, 3],
        "keypoints_scores": ["n", 17],
    }
    save(tmp_path / "kp.onnx", {"image": ("float32", [1, 3, None, None])}, outputs, shapes)
    _, manifest, predicted = answer(tmp_path)
    assert manifest.task == "keypoint-detection" and boxes(predicted)[0][0] == "person"
    assert isinstance(predicted, Objects) and predicted.keypoints is not None
    np.testing.assert_allclose(predicted.keypoints[0, 4], [20, 12, 1 / (1 + np.exp(-2))], atol=1e-4)


def test_movenet_of_tensorflow_hub(tmp_path: Path) -> None:
    points = np.full((1, 1, 17, 3), 0.5, np.float32)
    points[..., 1] = 0.25
    save(tmp_path / "movenet.onnx", {"input": ("int32", [1, 192, 192, 3])}, {"output_0": points})
    family, _, predicted = answer(tmp_path)
    assert family == "MoveNet" and isinstance(predicted, Objects) and predicted.keypoints is not None
    np.testing.assert_allclose(predicted.keypoints[0, 0], [32, 32, 0.5], atol=0.01)  # a letterbox of 128 x 64
