"""Exports that nothing proves: the candidates, and the lines of a manifest that decide between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.registry import Registry
from inference.errors import BadManifest
from inference.predictions import Classes, LabelMap
from inference.recognize import recognize
from inference.recognize._export import open_export
from inference.recognize.candidates import candidates_of
from inference.recognize.deciding import deciding_lines
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import WIDE, boxes, floats


@pytest.mark.slow
def test_models_check_prints_the_lines_that_would_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from inference.__main__ import main

    save(tmp_path / "net.onnx", picture_input("input"), {"output": floats([0.1, 0.9])})
    assert main(["models", "check", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert 'head = "classifier"' in text and 'head = "embedding"' in text and "image_mean" in text


def test_the_lines_that_would_decide_fit_the_tensors_they_are_for(tmp_path: Path) -> None:
    """Grey input, whole numbers, free sizes: what is printed must load once the labels are there."""
    grey: dict[str, tuple[str, Any]] = {"x": ("float32", [1, 1, 28, 28])}
    save(tmp_path / "grey/net.onnx", grey, {"y": np.zeros((1, 10), np.float32)})
    whole: dict[str, tuple[str, Any]] = {"x": ("uint8", [1, 32, 32, 3])}
    save(tmp_path / "whole/net.onnx", whole, {"y": np.zeros((1, 10), np.float32)})
    free: dict[str, tuple[str, Any]] = {"x": ("float32", [1, 3, "h", "w"])}
    save(tmp_path / "free/net.onnx", free, {"y": np.zeros((1, 10), np.float32)})
    luma: dict[str, tuple[str, Any]] = {"x": ("float32", [1, 1, 28, 28])}
    save(tmp_path / "luma/net.onnx", luma, {"y": np.zeros((1, 1, 28, 28), np.float32)})
    for name in ("grey", "whole", "free", "luma"):
        lines = deciding_lines(open_export(tmp_path / name))
        (tmp_path / name / "model.toml").write_text(lines, "utf-8")
        (tmp_path / name / "labels.txt").write_text("\n".join(f"kind {i}" for i in range(10)), "utf-8")
        assert ('"gray"' in lines) == (name in ("grey", "luma")) and ("do_rescale" in lines) == (name != "whole")
        Registry([tmp_path]).model(name).run(WIDE)


@pytest.mark.parametrize(
    ("inputs", "outputs", "pair"),
    [
        (("image", "scale_factor"), {"rows": (5, 6), "count": (1,)}, ("object-detection", "paddle")),
        (("input",), {"dets": (1, 9, 5), "labels": (1, 9)}, ("object-detection", "mmdeploy")),
        (("input",), {"dets": (1, 9, 5), "keypoints": (1, 9, 17, 3)}, ("keypoint-detection", "mmdeploy")),
        (("x",), {"detection_boxes": (1, 9, 4), "num_detections": (1,)}, ("object-detection", "tf_detection")),
        (("x",), {"a": (1, 195), "b": (1, 1), "c": (1, 117)}, ("keypoint-detection", "mediapipe_pose")),
        (("x",), {"scores": (1, 99, 2), "boxes": (1, 99, 4)}, ("object-detection", "ultraface")),
    ],
)
def test_names_that_one_head_reads_leave_one_candidate(
    inputs: tuple[str, ...], outputs: dict[str, tuple[int, ...]], pair: tuple[str, str], tmp_path: Path
) -> None:
    feeds: dict[str, tuple[str, Any]] = {
        n: ("float32", [1, 2] if n == "scale_factor" else [1, 3, 64, 64]) for n in inputs
    }
    save(tmp_path / "net.onnx", feeds, {n: np.zeros(s, np.float32) for n, s in outputs.items()})
    assert candidates_of(open_export(tmp_path)) == [pair]


# ---- names of labels that are only likely


@pytest.mark.parametrize(
    ("outputs", "lines"),
    [
        ({"y": (1, 1000)}, ['labels = "builtin:imagenet1000"']),
        ({"y": (1, 1001)}, ['labels = "builtin:imagenet1000"', "label_offset = -1", "params = { skip_first = 1 }"]),
        ({"y": (1, 300, 85)}, ['labels = "builtin:coco80"']),
        ({"logits": (1, 100, 91), "pred_boxes": (1, 100, 4)}, ['labels = "builtin:coco91"']),
        ({"y": (1, 21, 64, 64)}, ['labels = "builtin:voc21"']),
    ],
)
def test_a_number_of_classes_that_a_known_set_has_proposes_its_names(
    outputs: dict[str, tuple[int, ...]], lines: list[str], tmp_path: Path
) -> None:
    values = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    save(tmp_path / "net/net.onnx", picture_input("input"), values)
    text = deciding_lines(open_export(tmp_path / "net"))
    assert all(line in text for line in lines) and 'labels = "labels.txt"' not in text
    with pytest.raises(BadManifest, match=lines[0]):
        recognize(tmp_path / "net")
    # completed by nobody, they load: 85 columns are YOLOX's, which the first candidate is not
    (tmp_path / "net/model.toml").write_text(text.replace('head = "yolo"\n', 'head = "yolox"\n'), "utf-8")
    Registry([tmp_path]).model("net")


def test_other_numbers_of_classes_propose_no_names(tmp_path: Path) -> None:
    save(tmp_path / "net.onnx", picture_input("input"), {"y": np.zeros((1, 999), np.float32)})
    assert 'labels = "labels.txt"' in deciding_lines(open_export(tmp_path))


def test_the_background_of_a_thousand_and_one_classes_has_no_name(tmp_path: Path) -> None:
    scores = np.full((1, 1001), 1e-6, np.float32)
    scores[0, 0], scores[0, 1] = 0.5, 0.4
    save(tmp_path / "net/net.onnx", picture_input("input"), {"y": scores})
    (tmp_path / "net/model.toml").write_text(deciding_lines(open_export(tmp_path / "net")), "utf-8")
    predictions = Registry([tmp_path]).model("net").run(WIDE)[0]
    assert isinstance(predictions, Classes) and predictions.names[0] == "tench"


# ---- what the refusal offers


def offered(folder: Path, inputs: Any, outputs: dict[str, Any], **more: Any) -> Any:
    """(the model that is printed as lines to be completed, run on a wide picture; the refusal)."""
    save(folder / "net/net.onnx", inputs, outputs, **more)
    (folder / "net/labels.txt").write_text("cat\ndog\n", "utf-8")
    with pytest.raises(BadManifest) as refused:
        recognize(folder / "net")
    lines = deciding_lines(open_export(folder / "net"))
    (folder / "net/model.toml").write_text(lines.replace('"stretch"', '"letterbox"'), "utf-8")
    return boxes(Registry([folder]).model("net").run(WIDE)[0]), str(refused.value)


def test_the_lines_for_efficientdet_read_its_rows(tmp_path: Path) -> None:
    """google/automl: picture, y1, x1, y2, x2 in pixels, score, label from 1 on; the rest is padding."""
    rows = np.zeros((1, 100, 7), np.float32)
    rows[0, :2] = (0, 27, 22, 37, 42, 0.9, 2), (0, 20, 10, 30, 20, 0.6, 1)
    found, said = offered(tmp_path, {"image_arrays:0": ("uint8", [1, 64, 64, 3])}, {"detections:0": rows})
    assert found == [("dog", 0.9, [44, 22, 84, 42]), ("cat", 0.6, [20, 8, 40, 28])]
    assert 'candidates: task = "object-detection", head = "boxes", label_offset = -1' in said


def test_the_lines_for_detection_output_read_its_rows(tmp_path: Path) -> None:
    """Caffe's SSD and OpenVINO's: picture, label, score, x1, y1, x2, y2 in 0..1; -1 ends the rows."""
    rows = np.zeros((1, 1, 200, 7), np.float32)
    rows[0, 0, :2] = (0, 1, 0.9, 0.25, 0.5, 0.5, 0.75), (-1, 0, 0, 0, 0, 0, 0)
    found, said = offered(tmp_path, picture_input("data"), {"detection_out": rows})
    assert found == [("dog", 0.9, [32, 32, 64, 64])]  # a square of 64 shows 128 x 64 pixels in its middle
    assert 'candidates: task = "object-detection", head = "boxes", postprocess.params.columns = ["batch"' in said


def test_the_lines_for_yolo_letterbox_and_subtract_nothing(tmp_path: Path) -> None:
    grid = np.zeros((1, 252, 7), np.float32)  # three anchors in each cell
    grid[0, 5] = 32, 32, 20, 10, 0.9, 0, 1
    found, _ = offered(tmp_path, picture_input("images"), {"out": grid})
    assert found == [("dog", 0.9, [44, 22, 84, 42])]
    lines = (tmp_path / "net/model.toml").read_text("utf-8")
    assert "do_rescale = true" in lines and "do_normalize" not in lines and 'resize_mode = "letterbox"' in lines


def test_the_size_of_the_picture_that_detectron_puts_out_is_no_second_list_of_labels(tmp_path: Path) -> None:
    values = {"value": floats([22, 27, 42, 37]), "value.3": np.asarray([1]), "value.7": floats(0.9),
              "6": np.asarray([64, 64])}  # fmt: skip
    shapes: dict[str, Any] = {"value": ["n", 4], "value.3": ["n"], "value.7": ["n"]}
    save(tmp_path / "net.onnx", {"image": ("float32", [3, "h", "w"])}, values, shapes)
    assert candidates_of(open_export(tmp_path)) == [("object-detection", "rcnn")]
    assert "shortest_edge = 800" in deciding_lines(open_export(tmp_path))


@pytest.mark.parametrize(
    ("outputs", "way"),
    [
        ({"age": (1, 9), "kind": (1, 2)}, r'postprocess\.outputs = { scores = "age" or "kind" } for head "classifier"'),
        (
            {"loc": (1, 168, 4), "conf": (1, 168, 2), "landms": (1, 168, 10)},
            "RetinaFace.*export it with these computed",
        ),
        ({"a": (1, 3, 8, 8, 7), "b": (1, 3, 4, 4, 7)}, "YOLOv5 and v7 without --grid"),
        ({"y": (3,)}, r"without squeezing it: \[1, C\]"),
    ],
)
def test_without_candidates_there_is_still_a_way_on(outputs: dict[str, Any], way: str, tmp_path: Path) -> None:
    values = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    save(tmp_path / "net.onnx", picture_input("x"), values)
    with pytest.raises(BadManifest, match=way):
        recognize(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [{}, {"x": ("float32", [None, 784])}, {"x": ("bool", [1, 3, 8, 8])}])
def test_a_model_that_takes_no_picture_is_refused_in_words(
    inputs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from inference.__main__ import main

    file = save(tmp_path / "net.onnx", inputs, {"y": floats([0.1, 0.9])})
    assert main(["models", "check", str(file)]) == 1
    said = capsys.readouterr().out
    assert "no input takes a picture" in said and "model.toml" not in said


@pytest.mark.parametrize("masked", [True, False])
def test_the_lines_for_anomalib_read_the_map_that_it_puts_out(masked: bool, tmp_path: Path) -> None:
    """to_onnx of its ExportMixin: a number, a flag, and beside the map the mask of what is over its own threshold."""
    heat = np.zeros((1, 1, 64, 64), np.float32)
    heat[0, 0, :, 48:] = 0.9  # a quarter of the picture
    values = {"pred_score": floats(0.9), "pred_label": np.asarray([True]), "anomaly_map": heat}
    if masked:
        values["pred_mask"] = np.concatenate([heat[..., 32:], heat[..., 32:]], axis=3) > 0.5  # half of it
    save(tmp_path / "net/net.onnx", {"input": ("float32", ["n", 3, 64, 64])}, values)
    with pytest.raises(BadManifest, match='task = "image-segmentation", head = "semantic".*outputs = { map = "'):
        recognize(tmp_path / "net")
    (tmp_path / "net/model.toml").write_text(deciding_lines(open_export(tmp_path / "net")), "utf-8")
    answer = Registry([tmp_path]).model("net").run(WIDE)[0]
    assert isinstance(answer, LabelMap)
    assert answer.names[1] == "anomaly" and (answer.ids == 1).mean() == (0.5 if masked else 0.25)
