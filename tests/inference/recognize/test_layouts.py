"""Detectors that end in NMS, YOLO-NAS, SCRFD; what is a candidate for outputs that say nothing; channels.

A tiny graph stands in for the file, with the exporter's exact names, shapes and side files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.engine.registry import Registry
from inference.errors import BadManifest
from inference.predictions import Classes, Objects
from inference.recognize import examine, recognize
from inference.recognize._export import open_export
from inference.recognize.candidates import candidates_of
from inference.recognize.deciding import deciding_lines
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import WIDE, answer, boxes, floats
from tests.inference.recognize.test_ultralytics import ULTRALYTICS

FOUND = [("dog", 0.9, [44.0, 22.0, 84.0, 42.0]), ("cat", 0.4, [20.0, 8.0, 40.0, 28.0])]
MMYOLO = ("num_dets", "boxes", "scores", "labels")  # projects/easydeploy/tools/export_onnx.py
END2END = ("num_dets", "det_boxes", "det_scores", "det_classes")  # export.py of YOLOv6, v7 and v9
NAS = ("num_predictions", "pred_boxes", "pred_scores", "pred_classes")  # super_gradients/conversion/onnx/nms.py
TENSORRT = ("num_dets", "bboxes", "scores", "labels")


def four(names: tuple[str, ...], kind: Any = np.int64) -> dict[str, Any]:
    """Two objects and an unused third row, as (count, boxes, scores, labels)."""
    values = np.asarray([[2]], kind), np.zeros((1, 20, 4)), np.zeros((1, 20)), np.zeros((1, 20), kind)
    values[1][0, :3] = (22, 27, 42, 37), (10, 20, 20, 30), (1, 1, 2, 2)
    values[2][0, :3], values[3][0, :3] = (0.9, 0.4, 0.8), (1, 0, 1)
    return {name: v if v.dtype == kind else v.astype(np.float32) for name, v in zip(names, values, strict=True)}


def put(folder: Path, outputs: dict[str, Any], inputs: Any = None, labels: str = "cat\ndog\n", **more: Any) -> Path:
    save(folder / "best.onnx", inputs or picture_input("images"), outputs, **more)
    if labels:
        (folder / "labels.txt").write_text(labels, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (MMYOLO, "YOLO with NMS"), (tuple(reversed(MMYOLO)), "YOLO with NMS"), (END2END, "YOLO with NMS"),
        (TENSORRT, "YOLO with NMS"), (NAS, "YOLO-NAS"), (tuple(f"graph2_{name}" for name in NAS), "YOLO-NAS"),
    ],
)  # fmt: skip
def test_four_outputs_after_nms_are_a_detector(names: tuple[str, ...], family: str, tmp_path: Path) -> None:
    ordered = names if "num" in names[0] else tuple(reversed(names))
    values = four(ordered)
    said, manifest, predicted = answer(put(tmp_path, {name: values[name] for name in names}))
    assert (said, manifest.head, boxes(predicted)) == (family, "boxes", FOUND)
    how = manifest.preprocess
    assert (how.resize_mode, how.pad_value, how.do_rescale, how.color_order) == ("letterbox", (114.0,), True, "rgb")
    assert any("RGB in 0..1 with a letterbox is assumed" in guess for guess in examine(tmp_path)[1].assumed)


def test_free_axes_and_whole_numbers_in_change_nothing(tmp_path: Path) -> None:
    values = four(MMYOLO, np.int32)
    free = {name: ["b"] + ["n"] * (value.ndim - 1) for name, value in values.items()}
    whole = {"images": ("uint8", [1, 3, 64, 64])}
    _, manifest, predicted = answer(put(tmp_path, values, whole, shapes=free))
    assert manifest.head == "boxes" and boxes(predicted) == FOUND
    (guess,) = examine(tmp_path)[1].assumed
    assert 'color_order = "bgr" for RTMDet' in guess and "0..1" not in guess


@pytest.mark.parametrize("author", [{}, {"author": "Ultralytics", "task": "detect"}])
def test_nms_that_was_appended_to_an_export_keeps_its_names(author: dict[str, str], tmp_path: Path) -> None:
    metadata = {"stride": "32", "names": "{0: 'cat', 1: 'dog'}", **author}
    _, manifest, predicted = answer(put(tmp_path, four(END2END, np.int32), labels="", metadata=metadata))
    assert manifest.head == "boxes" and boxes(predicted) == FOUND


ROWS = floats([0, 22, 27, 42, 37, 0.9, 1], [0, 10, 20, 20, 30, 0.4, 0], [1, 1, 1, 9, 9, 0.8, 1])  # batch index first


def test_flat_rows_of_yolo_nas(tmp_path: Path) -> None:
    """The third row is of another picture of the batch."""
    rows, free = {"graph2_flat_predictions": ROWS}, {"graph2_flat_predictions": ["n", 7]}
    _, manifest, predicted = answer(put(tmp_path / "a", rows, shapes=free))
    assert manifest.head == "boxes" and boxes(predicted) == FOUND
    empty = {"graph2_flat_predictions": ROWS[:0]}
    assert boxes(answer(put(tmp_path / "b", empty, shapes=free))[2]) == []


def test_flat_rows_of_yolov7(tmp_path: Path) -> None:
    """--end2end --max-wh: the label before the score; nothing but the NMS in the graph says that these are boxes."""
    names = {"b": np.zeros((1, 3, 4), np.float32), "s": np.zeros((1, 1, 3), np.float32),
             "output": ROWS[:, [0, 1, 2, 3, 4, 6, 5]]}  # fmt: skip
    nodes = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(v)) for n, v in names.items()]
    nodes.append(helper.make_node("NonMaxSuppression", ["b", "s"], ["kept"]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 7])])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "yolov7.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "labels.txt").write_text("cat\ndog\n", "utf-8")
    _, manifest, predicted = answer(tmp_path)
    assert manifest.preprocess.resize_mode == "letterbox" and boxes(predicted) == FOUND


def test_flat_rows_in_the_other_order_are_refused_with_the_line_that_reads_them(tmp_path: Path) -> None:
    folder = put(tmp_path / "nas", {"flat_predictions": ROWS[:, [0, 1, 2, 3, 4, 6, 5]]})
    with pytest.raises(BadManifest, match="columns") as refused:
        answer(folder)
    line = str(refused.value).split("say ")[1]
    assert line == 'params = { columns = ["batch", "boxes", "labels", "scores"] }'
    text = 'file = "best.onnx"\ntask = "object-detection"\nhead = "boxes"\nlabels = "labels.txt"\n[preprocess]\n'
    text += f'resize_mode = "letterbox"\n[postprocess]\nconfidence_threshold = 0.25\n{line}\n'
    (folder / "model.toml").write_text(text, "utf-8")
    assert boxes(Registry([tmp_path]).model("nas").run(WIDE)[0]) == FOUND


def test_boxes_and_scores_by_class_are_suppressed_here(tmp_path: Path) -> None:
    """YOLO-NAS without its post-processing; nothing says its preprocessing."""
    corners, scores = np.zeros((1, 84, 4), np.float32), np.full((1, 84, 2), 0.01, np.float32)
    corners[0, :3] = (22, 27, 42, 37), (23, 27, 43, 37), (10, 20, 20, 30)
    scores[0, :3] = (0.1, 0.9), (0.1, 0.8), (0.7, 0.1)  # the second overlaps the first
    folder = put(tmp_path / "nas", {"914": corners, "904": scores})
    with pytest.raises(BadManifest, match='candidates: task = "object-detection", head = "boxes"; '):
        recognize(folder)
    lines = deciding_lines(open_export(folder)).replace("do_normalize = true", "do_normalize = false")
    (folder / "model.toml").write_text(lines.replace('"stretch"', '"letterbox"'), "utf-8")
    found = boxes(Registry([tmp_path]).model("nas").run(WIDE)[0])
    assert found == [FOUND[0], ("cat", 0.7, FOUND[1][2])]


def test_roboflow_yolo_nas(tmp_path: Path) -> None:
    corners, scores = np.zeros((1, 84, 4), np.float32), np.full((1, 84, 2), 0.01, np.float32)
    corners[0, 0], scores[0, 0] = (22, 27, 42, 37), (0.1, 0.9)
    network = {"resize_mode": "letterbox", "padding_value": 114, "scaling_factor": 255, "color_mode": "rgb"}
    put(tmp_path, {"boxes": corners, "confidences": scores}, labels="")
    (tmp_path / "class_names.txt").write_text("cat\ndog\n", "utf-8")
    (tmp_path / "inference_config.json").write_text(json.dumps({"network_input": network}), "utf-8")
    facts = {"model_architecture": "yolonas", "task_type": "object-detection"}
    (tmp_path / "model_config.json").write_text(json.dumps(facts), "utf-8")
    family, _, predicted = answer(tmp_path)
    assert family == "Roboflow" and boxes(predicted) == FOUND[:1]


def scrfd(size: int, names: bool = True, batch: bool = False, kps: bool = True) -> dict[str, Any]:
    """det_500m, det_10g and their like: a face whose cell is in line 2, column 3 of stride 8 (24, 16)."""
    values = {f"{kind}_{s}": np.zeros((2 * (size // s) ** 2, width), np.float32)
              for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)) if kps or width < 10
              for s in (8, 16, 32)}  # fmt: skip
    row = 2 * (2 * (size // 8) + 3)
    values["score_8"][row], values["bbox_8"][row] = 0.75, (1, 1, 2, 1)
    if kps:
        values["kps_8"][row] = 0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1
    values = values if names else {str(448 + i): v for i, v in enumerate(values.values())}
    return {name: v[None] for name, v in values.items()} if batch else values


@pytest.mark.parametrize(("names", "batch", "kps"), [(True, False, True), (False, True, True), (False, False, False)])
def test_scrfd(names: bool, batch: bool, kps: bool, tmp_path: Path) -> None:
    values = scrfd(64, names, batch, kps)
    family, manifest, predicted = answer(put(tmp_path, values, {"input.1": ("float32", [1, 3, 64, 64])}, ""))
    how = manifest.preprocess
    assert family.startswith("SCRFD") and manifest.labels == ("face",)
    assert (how.resize_mode, how.pad_value, how.color_order) == ("letterbox_top_left", (0.0,), "rgb")
    assert (how.do_rescale, how.image_mean, how.image_std) == (False, (127.5,) * 3, (128.0,) * 3)
    assert boxes(predicted) == [("face", 0.75, [32.0, 16.0, 80.0, 48.0])]  # scale 2
    assert isinstance(predicted, Objects) and (predicted.keypoints is not None) == kps
    if predicted.keypoints is not None:
        assert predicted.keypoints[0, :, :2].tolist() == [[48, 32], [64, 32], [56, 40], [48, 48], [64, 48]]


def test_scrfd_with_free_axes(tmp_path: Path) -> None:
    values = scrfd(640)
    free = {name: ["?", "?"] for name in values}
    folder = put(tmp_path, values, {"input.1": ("float32", [1, 3, "?", "?"])}, "person\n", shapes=free)
    _, manifest, predicted = answer(folder)
    assert manifest.preprocess.size == {"height": 640, "width": 640} and manifest.labels == ("person",)
    assert boxes(predicted) == [("person", 0.75, [3.2, 1.6, 8.0, 4.8])]  # 128 pixels on 640
    assert "640x640 is assumed" in examine(tmp_path)[1].assumed[0]


@pytest.mark.parametrize(
    ("outputs", "heads"),
    [
        ({"a": (1, 9), "b": (1, 2)}, []),  # two vectors: which one counts?
        ({"loc": (1, 168, 4), "conf": (1, 168, 2), "landms": (1, 168, 10)}, []),  # offsets to priors
        ({"a": (1, 18, 8, 8), "b": (1, 18, 4, 4)}, []),  # levels of a grid
        ({"a": (9, 5), "b": (9,)}, []),
        ({"a": (1, 9, 4), "b": (1, 9), "whole": (1, 9)}, ["boxes"]),
        ({"scores": (1, 99, 3), "boxes": (1, 99, 4)}, ["ultraface", "boxes"]),
        ({"a": (1, 84, 4), "b": (1, 84, 80)}, ["boxes"]),
        ({"a": (1, 84, 4), "b": (1, 80, 84)}, ["boxes"]),
        ({"boxes": (1, 84, 4), "b": (1, 84, 3)}, ["boxes"]),  # three classes, not keypoints
        ({"a": (1, 38, 84), "b": (1, 32, 16, 16)}, ["yolo"]),
        ({"a": (1, 21, 64, 64), "b": (1, 21, 64, 64)}, ["semantic"]),
        ({"a": (3, 7)}, ["boxes"]),
        ({"a": (3, 6)}, ["boxes"]),
        ({"a": (1, 7)}, ["classifier", "embedding"]),
        ({"a": (8, 57)}, []),  # rows of poses
    ],
)
def test_several_outputs_and_rows_are_never_a_classifier(
    outputs: dict[str, tuple[int, ...]], heads: list[str], tmp_path: Path
) -> None:
    kinds = {"whole": np.int64}
    put(tmp_path, {name: np.zeros(shape, kinds.get(name, np.float32)) for name, shape in outputs.items()}, labels="")
    assert [head for _, head in candidates_of(open_export(tmp_path))] == heads


def test_the_lines_that_decide_read_rows(tmp_path: Path) -> None:
    folder = put(tmp_path / "net", {"detections": ROWS})
    lines = deciding_lines(open_export(folder)).replace("[postprocess]", "[postprocess]\nconfidence_threshold = 0.25")
    (folder / "model.toml").write_text(lines.replace('"stretch"', '"letterbox"'), "utf-8")
    assert boxes(Registry([tmp_path]).model("net").run(WIDE)[0]) == FOUND


# ---- channels


GREY: dict[str, Any] = {"x": ("float32", [1, 1, 64, 64])}


@pytest.mark.parametrize("metadata", [{"stride": "32", "names": "['cat', 'dog']"}, {**ULTRALYTICS, "task": "classify"}])
def test_a_classifier_of_one_channel_is_fed_with_grey(metadata: dict[str, str], tmp_path: Path) -> None:
    put(tmp_path, {"output0": floats([0.1, 0.9])}, GREY, "", metadata=metadata)
    _, manifest, predicted = answer(tmp_path)
    assert manifest.preprocess.color_order == "gray" and isinstance(predicted, Classes)
    three = any("mean and deviation have 3" in guess for guess in examine(tmp_path)[1].assumed)
    assert three == ("author" not in metadata)  # YOLOv5 normalises


def test_timm_of_one_channel_is_fed_with_grey(tmp_path: Path) -> None:
    config = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [1, 64, 64], "mean": [0.5], "std": [0.5]}}
    put(tmp_path, {"logits": floats([0.1, 0.9])}, GREY)
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    assert answer(tmp_path)[1].preprocess.color_order == "gray" and not examine(tmp_path)[1].assumed


@pytest.mark.parametrize("shape", [[1, 4, 64, 64], [1, 64, 64, 8], [1, 12, "h", "w"]])
@pytest.mark.parametrize("metadata", [{}, {**ULTRALYTICS, "task": "detect", "channels": "8"}])
def test_more_than_three_channels_are_refused_in_words(
    shape: list[Any], metadata: dict[str, str], tmp_path: Path
) -> None:
    put(tmp_path, {"y": np.zeros((1, 6, 84), np.float32)}, {"x": ("float32", shape)}, metadata=metadata)
    with pytest.raises(BadManifest, match=r"its input has (4|8|12) channels .* pictures here have 1 or 3"):
        recognize(tmp_path)
