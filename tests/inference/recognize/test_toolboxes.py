"""MMDeploy, PaddleDetection and AutoML for Images exports.

A tiny graph stands in for the file, with the exporter's exact names, shapes and side files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow

from inference.errors import BadManifest
from inference.image.media import Picture
from inference.predictions import Classes, LabelMap, Objects
from inference.recognize import recognize
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import INFER_CFG, answer, boxes, floats


def mmdeploy(folder: Path, outputs: dict[str, Any], transforms: list[dict[str, Any]], size: Any = 64) -> Path:
    save(folder / "end2end.onnx", picture_input("input", size), outputs)
    tasks = [
        {"type": "Task", "module": "Transform", "name": "Preprocess", "transforms": transforms},
        {"name": "net", "module": "Net"},
    ]
    (folder / "pipeline.json").write_text(json.dumps({"pipeline": {"input": ["img"], "tasks": tasks}}), "utf-8")
    (folder / "deploy.json").write_text(json.dumps({"models": [{"name": "net", "net": "end2end.onnx"}]}), "utf-8")
    (folder / "labels.txt").write_text("cat\ndog\n", "utf-8")
    return folder


RTMDET: list[dict[str, Any]] = [
    {"type": "LoadImageFromFile"},
    {"type": "Resize", "size": [64, 64], "keep_ratio": True},
    {"type": "Pad", "size": [64, 64], "pad_val": {"img": [114, 114, 114]}},
    {"type": "Normalize", "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395], "to_rgb": False},
    {"type": "Collect"},
]


def test_mmdeploy_detector_with_masks(tmp_path: Path) -> None:
    masks = np.zeros((1, 1, 64, 64), np.float32)
    masks[0, 0, 4:12, 10:20] = 1
    outputs = {"dets": floats([[10, 4, 30, 12, 0.9]]), "labels": np.asarray([[1]]), "masks": masks}
    family, manifest, predicted = answer(mmdeploy(tmp_path, outputs, RTMDET))
    how = manifest.preprocess
    assert (how.resize_mode, how.color_order, how.do_rescale, how.pad_value[0]) == (
        "letterbox_top_left",
        "bgr",
        False,
        114,
    )
    assert family.startswith("OpenMMLab") and boxes(predicted) == [("dog", 0.9, [20.0, 8.0, 60.0, 24.0])]
    assert isinstance(predicted, Objects) and predicted.masks is not None
    assert predicted.masks.area(0) == pytest.approx(20 * 16, abs=20)


def test_mmdeploy_classifier_and_segmenter(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"type": "Resize", "size": [72, -1]},
        {"type": "CenterCrop", "crop_size": 64},
        {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True},
    ]
    _, manifest, predicted = answer(mmdeploy(tmp_path / "a", {"output": floats([0.25, 0.75])}, steps))
    assert manifest.preprocess.size == {"shortest_edge": 72} and manifest.preprocess.color_order == "rgb"
    assert isinstance(predicted, Classes) and predicted.scores.tolist() == [0.75, 0.25]
    _, _, predicted = answer(mmdeploy(tmp_path / "b", {"output": np.ones((1, 1, 64, 64), np.int64)}, RTMDET))
    assert isinstance(predicted, LabelMap) and predicted.areas() == [(1, 128 * 64)]


def test_simcc_without_side_files_is_rtmpose(tmp_path: Path) -> None:
    x, y = np.zeros((1, 17, 384), np.float32), np.zeros((1, 17, 512), np.float32)
    x[0, :, 100], y[0, :, 200] = 0.9, 0.7
    save(tmp_path / "end2end.onnx", picture_input("input", (256, 192)), {"simcc_x": x, "simcc_y": y})
    _, manifest, predicted = answer(tmp_path, Picture(Pillow.new("RGB", (192, 256)), (192, 256)))
    assert manifest.preprocess.crop_scale == 1.25 and manifest.preprocess.image_mean[0] == 123.675
    assert isinstance(predicted, Objects) and predicted.keypoints is not None and predicted.names == ("person",)
    np.testing.assert_allclose(predicted.keypoints[0, 0], [50, 100, 0.8], atol=1e-4)


def test_rtmo_through_mmdeploy(tmp_path: Path) -> None:
    points = np.full((1, 2, 17, 3), 16, np.float32)
    points[..., 2] = 0.6
    outputs = {"dets": floats([[8, 8, 24, 24, 0.9], [0, 0, 1, 1, 0]]), "keypoints": points}
    steps: list[dict[str, Any]] = [
        {"type": "BottomupResize", "pad_val": [114, 114, 114]},
        {"type": "Normalize", "mean": [0, 0, 0], "std": [1, 1, 1]},
    ]
    _, manifest, predicted = answer(mmdeploy(tmp_path, outputs, steps))
    assert manifest.task == "keypoint-detection" and boxes(predicted) == [("person", 0.9, [16.0, 16.0, 48.0, 48.0])]
    assert isinstance(predicted, Objects) and predicted.keypoints is not None
    np.testing.assert_allclose(predicted.keypoints[0, 0], [32, 32, 0.6], atol=1e-4)


def test_mmdeploy_detector_without_its_pipeline_is_refused(tmp_path: Path) -> None:
    outputs = {"dets": floats([[10, 4, 30, 12, 0.9]]), "labels": np.asarray([[1]])}
    save(tmp_path / "end2end.onnx", picture_input("input"), outputs)
    with pytest.raises(BadManifest, match=r"pipeline\.json.*is missing"):
        recognize(tmp_path)


def test_paddle_detection(tmp_path: Path) -> None:
    rows = floats([1, 0.9, 10, 8, 30, 16], [0, 0.3, 0, 0, 9, 9], [-1, 0, 0, 0, 0, 0])
    inputs = {**picture_input("image"), "scale_factor": ("float32", [1, 2]), "im_shape": ("float32", [1, 2])}
    save(
        tmp_path / "model.onnx",
        inputs,
        {"multiclass_nms3_0.tmp_0": rows, "multiclass_nms3_0.tmp_2": np.asarray([2], np.int32)},
    )
    (tmp_path / "infer_cfg.yml").write_text(INFER_CFG, "utf-8")
    family, manifest, predicted = answer(tmp_path)
    assert family == "PaddleDetection" and manifest.preprocess.resample == 3 and manifest.preprocess.do_rescale
    assert boxes(predicted) == [("dog", 0.9, [20.0, 8.0, 60.0, 16.0])]
    (tmp_path / "infer_cfg.yml").unlink()
    with pytest.raises(BadManifest, match=r"infer_cfg\.yml.*is missing"):
        recognize(tmp_path)


def automl(folder: Path, inputs: dict[str, Any], outputs: dict[str, Any], shapes: dict[str, Any] | None = None) -> Path:
    save(folder / "train_artifacts/model.onnx", inputs, outputs, shapes)
    (folder / "train_artifacts/labels.json").write_text('["can", "carton"]', "utf-8")
    return folder


def test_automl_faster_rcnn_and_retinanet(tmp_path: Path) -> None:
    found_rows = {
        "boxes": floats([10, 8, 30, 16], [0, 0, 9, 9])[0:2],
        "labels": np.asarray([1, 0]),
        "scores": floats(0.9, 0.2),
    }
    for order in (("boxes", "labels", "scores"), ("boxes", "scores", "labels")):
        outputs = {name: found_rows[name] for name in order}
        folder = automl(tmp_path / order[1], {"input": ("float32", ["batch", 3, 600, 800])}, outputs)
        family, manifest, predicted = answer(folder, Picture(Pillow.new("RGB", (1600, 600)), (1600, 600)))
        assert family == "AutoML for Images" and manifest.preprocess.do_normalize
        assert boxes(predicted) == [("carton", 0.9, [20.0, 8.0, 60.0, 16.0])]


def test_automl_mask_rcnn_with_free_axes(tmp_path: Path) -> None:
    masks = np.zeros((1, 1, 600, 800), np.float32)
    masks[0, 0, 100:200, 200:300] = 0.9
    outputs = {"boxes": floats([200, 100, 400, 200]), "labels": np.asarray([0]), "scores": floats(0.8), "masks": masks}
    free: dict[str, Any] = {"input": ("float32", ["batch", 3, "height", "width"])}
    family, manifest, predicted = answer(
        automl(tmp_path, free, outputs), Picture(Pillow.new("RGB", (800, 600)), (800, 600))
    )
    assert manifest.task == "image-segmentation" and boxes(predicted) == [("can", 0.8, [200.0, 100.0, 400.0, 200.0])]
    assert isinstance(predicted, Objects) and predicted.masks is not None and predicted.masks.area(0) == 100 * 100


def test_automl_classifier_and_yolov5(tmp_path: Path) -> None:
    inputs: dict[str, Any] = {"input1": ("float32", ["batch", 3, 224, 224])}
    _, manifest, predicted = answer(automl(tmp_path / "a", inputs, {"output1": floats([0, 1])}))
    assert manifest.preprocess.size == {"height": 256, "width": 256} and manifest.preprocess.do_center_crop
    assert isinstance(predicted, Classes) and predicted.names[0] == "carton"
    raw = np.zeros((1, 252, 7), np.float32)
    raw[0, 9] = 32, 32, 20, 10, 0.9, 0.1, 0.8
    outputs = {"output": raw, "a": np.zeros((1, 3, 8, 8, 7), np.float32), "b": np.zeros((1, 3, 4, 4, 7), np.float32)}
    family, _, predicted = answer(automl(tmp_path / "b", picture_input("input"), outputs))
    assert family == "AutoML for Images (YOLOv5)" and boxes(predicted) == [("carton", 0.72, [44.0, 22.0, 84.0, 42.0])]


@pytest.mark.parametrize("how", ["Div", "Mul", "Cast and Div", "Sub"])
def test_a_graph_that_divides_by_255_itself_is_fed_with_whole_numbers(how: str, tmp_path: Path) -> None:
    """AutoML's enable_norm puts a division and the normalisation in front of the network."""
    number, op = (1 / 255, "Mul") if how == "Mul" else (255.0, how.split()[-1])
    nodes = [helper.make_node("Identity", ["input1"], ["x"])]
    if "Cast" in how:
        nodes = [helper.make_node("Cast", ["input1"], ["x"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node(op, ["x", "k"], ["y"]), helper.make_node("GlobalMaxPool", ["y"], ["z"]),
              helper.make_node("Reshape", ["z", "s"], ["output1"])]  # fmt: skip
    k, s = (
        numpy_helper.from_array(np.asarray(v), n) for v, n in ((np.asarray([number], np.float32), "k"), ([1, 3], "s"))
    )
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("input1", TensorProto.FLOAT, ["batch", 3, 64, 64])],
        [helper.make_tensor_value_info("output1", TensorProto.FLOAT, [1, 3])], [k, s])  # fmt: skip
    folder = tmp_path / "train_artifacts"
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "labels.json").write_text('["a", "b", "c"]', "utf-8")
    preprocess = recognize(tmp_path).preprocess
    inside = how != "Sub"
    assert (preprocess.do_rescale, preprocess.do_normalize) == (not inside, not inside)
