"""Ultralytics exports of every task, raw, end to end and with suppression embedded; YOLOv5.

A tiny graph stands in for the file, with the exporter's exact names, shapes and side files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.errors import BadManifest
from inference.image.media import Picture
from inference.predictions import Classes, LabelMap, Objects
from inference.recognize import examine
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import answer, boxes, floats

ULTRALYTICS = {
    "author": "Ultralytics",
    "description": "Ultralytics YOLO11n model",
    "version": "8.4.190",
    "stride": "32",
    "license": "AGPL-3.0 License",
    "batch": "1",
    "imgsz": "[64, 64]",
    "names": "{0: 'cat', 1: 'dog'}",
    "args": "{'batch': 1, 'nms': None}",
    "channels": "3",
}


def ultralytics(path: Path, task: str, outputs: dict[str, Any], **more: str) -> Path:
    metadata = {**ULTRALYTICS, "task": task, **more}
    return save(path / "best.onnx", picture_input("images"), outputs, metadata=metadata).parent


def test_ultralytics_raw_grid(tmp_path: Path) -> None:
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 3] = 32, 32, 20, 10, 0.1, 0.9
    raw[0, :, 4] = 33, 32, 20, 10, 0.1, 0.8  # suppressed by the first
    family, manifest, predicted = answer(ultralytics(tmp_path, "detect", {"output0": raw}, end2end="False"))
    assert (family, manifest.head, manifest.preprocess.resize_mode) == ("Ultralytics", "yolo", "letterbox")
    assert boxes(predicted) == [("dog", 0.9, [44.0, 22.0, 84.0, 42.0])]  # scale 2, 16 rows of padding above


@pytest.mark.parametrize(("said", "arguments"), [("True", "{'nms': None}"), ("False", "{'nms': True}")])
def test_ultralytics_end_to_end_and_embedded_nms(said: str, arguments: str, tmp_path: Path) -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = 22, 27, 42, 37, 0.9, 1
    rows[0, 1] = 23, 27, 43, 37, 0.8, 1  # stays: suppression is done
    _, manifest, predicted = answer(ultralytics(tmp_path, "detect", {"output0": rows}, end2end=said, args=arguments))
    assert manifest.postprocess.params["layout"] == "end2end"
    assert boxes(predicted) == [("dog", 0.9, [44.0, 22.0, 84.0, 42.0]), ("dog", 0.8, [46.0, 22.0, 86.0, 42.0])]


def test_ultralytics_segments(tmp_path: Path) -> None:
    raw, prototypes = np.zeros((1, 6 + 32, 84), np.float32), np.zeros((1, 32, 16, 16), np.float32)
    raw[0, :6, 0], raw[0, 6, 0] = (32, 32, 32, 32, 0.9, 0), 1
    prototypes[0, 0] = -1
    prototypes[0, 0, :, :8] = 1  # the left half
    folder = ultralytics(tmp_path, "segment", {"output0": raw, "output1": prototypes})
    _, manifest, predicted = answer(folder, Picture(Pillow.new("RGB", (64, 64)), (64, 64)))
    assert manifest.task == "image-segmentation" and boxes(predicted) == [("cat", 0.9, [16.0, 16.0, 48.0, 48.0])]
    assert isinstance(predicted, Objects) and predicted.masks is not None
    full = predicted.masks.full(0)
    assert full[16:48, 16:32].all() and full.sum() == 32 * 16


def test_ultralytics_segments_end_to_end(tmp_path: Path) -> None:
    rows, prototypes = np.zeros((1, 300, 6 + 32), np.float32), np.ones((1, 32, 16, 16), np.float32)
    rows[0, 0, :6], rows[0, 0, 6] = (16, 24, 48, 40, 0.9, 1), 1
    _, _, predicted = answer(ultralytics(tmp_path, "segment", {"output0": rows, "output1": prototypes}, end2end="True"))
    assert boxes(predicted) == [("dog", 0.9, [32.0, 16.0, 96.0, 48.0])]
    assert isinstance(predicted, Objects) and predicted.masks is not None and predicted.masks.area(0) == 64 * 32


@pytest.mark.parametrize("done", [False, True])
def test_ultralytics_pose(done: bool, tmp_path: Path) -> None:
    points = np.stack([np.arange(17) + 20, np.full(17, 32), np.full(17, 0.75)], axis=1).ravel()
    if done:
        output = np.zeros((1, 300, 6 + 51), np.float32)
        output[0, 0] = *(20, 26, 40, 38, 0.9, 0), *points
    else:
        output = np.zeros((1, 5 + 51, 84), np.float32)
        output[0, :, 7] = *(30, 32, 20, 12, 0.9), *points
    folder = ultralytics(
        tmp_path, "pose", {"output0": output}, names="{0: 'person'}", kpt_shape="[17, 3]", end2end=str(done)
    )
    _, manifest, predicted = answer(folder)
    assert boxes(predicted) == [("person", 0.9, [40.0, 20.0, 80.0, 44.0])]
    assert isinstance(predicted, Objects) and predicted.keypoints is not None and predicted.skeleton == "coco17"
    np.testing.assert_allclose(predicted.keypoints[0, 5], [50, 32, 0.75], atol=0.01)
    assert manifest.task == "keypoint-detection"


@pytest.mark.parametrize("done", [False, True])
def test_ultralytics_oriented_boxes(done: bool, tmp_path: Path) -> None:
    if done:
        output = np.zeros((1, 300, 7), np.float32)
        output[0, 0] = 32, 32, 20, 10, 0.9, 1, np.pi / 2
    else:
        output = np.zeros((1, 7, 84), np.float32)
        output[0, :, 0] = 32, 32, 20, 10, 0, 0.9, np.pi / 2
    _, _, predicted = answer(ultralytics(tmp_path, "obb", {"output0": output}, end2end=str(done)))
    assert boxes(predicted) == [("dog", 0.9, [54.0, 12.0, 74.0, 52.0])]
    assert isinstance(predicted, Objects) and predicted.corners is not None and predicted.corners.shape == (1, 4, 2)


def test_ultralytics_classifies_with_softmax_done(tmp_path: Path) -> None:
    _, manifest, predicted = answer(ultralytics(tmp_path, "classify", {"output0": floats([0.3, 0.7])}))
    assert isinstance(predicted, Classes) and predicted.names == ("dog", "cat")
    np.testing.assert_allclose(predicted.scores, [0.7, 0.3], atol=1e-6)
    assert manifest.preprocess.size == {"shortest_edge": 64} and manifest.preprocess.do_center_crop


def test_ultralytics_semantic(tmp_path: Path) -> None:
    ids = np.zeros((1, 64, 64), np.uint8)
    ids[0, :, 32:] = 1
    _, _, predicted = answer(ultralytics(tmp_path, "semantic", {"output0": ids}))
    assert isinstance(predicted, LabelMap) and predicted.areas() == [(0, 64 * 64), (1, 64 * 64)]


@pytest.mark.parametrize("head", ["RTDETRDecoder", ""])
def test_ultralytics_rtdetr(head: str, tmp_path: Path) -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = 0.5, 0.5, 0.25, 0.5, 0.9, 0
    more = {"head": head, "description": "Ultralytics RTDETR-L model", "names": "{0: 'cat', 1: 'dog', 2: 'cow'}"}
    _, manifest, predicted = answer(ultralytics(tmp_path, "detect", {"output0": rows}, **more))
    assert manifest.preprocess.resize_mode == "stretch"
    assert boxes(predicted) == [("cat", 0.9, [48.0, 16.0, 80.0, 48.0])]


def test_ultralytics_without_author_but_with_its_three_keys(tmp_path: Path) -> None:
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 3] = 32, 32, 20, 10, 0.1, 0.9
    metadata = {k: v for k, v in {**ULTRALYTICS, "task": "detect"}.items() if k in ("task", "names", "stride")}
    save(tmp_path / "best.onnx", picture_input("images"), {"output0": raw}, metadata=metadata)
    assert answer(tmp_path)[0] == "Ultralytics"


def test_yolov5(tmp_path: Path) -> None:
    raw = np.zeros((1, 252, 7), np.float32)
    raw[0, 9] = 32, 32, 20, 10, 0.9, 0.1, 0.8
    metadata = {"stride": "32", "names": "{0: 'cat', 1: 'dog'}"}
    save(tmp_path / "best.onnx", picture_input("images"), {"output0": raw}, metadata=metadata)
    family, _, predicted = answer(tmp_path)
    assert family == "YOLOv5" and boxes(predicted) == [("dog", 0.72, [44.0, 22.0, 84.0, 42.0])]


def test_half_floats_go_in_and_come_out(tmp_path: Path) -> None:
    """Exports with half = True: the input is float16, and so are the boxes."""
    raw = np.zeros((1, 6, 84), np.float16)
    raw[0, :, 3] = 32, 32, 20, 10, 0.1, 0.9
    metadata = {**ULTRALYTICS, "task": "detect"}
    save(tmp_path / "best.onnx", {"images": ("float16", [1, 3, 64, 64])}, {"output0": raw}, metadata=metadata)
    (name, score, box), *rest = boxes(answer(tmp_path)[2])
    assert (name, box, rest) == ("dog", [44.0, 22.0, 84.0, 42.0], [])
    assert score == pytest.approx(0.9, abs=1e-3)


# ---- layouts that metadata does not name


V5 = {"stride": "32", "names": "{0: 'cat', 1: 'dog'}"}
FREE: dict[str, Any] = {"images": ("float32", ["batch", 3, "height", "width"])}
FOUND = ("dog", 0.9, [44.0, 22.0, 84.0, 42.0])


def raw_grid(box: tuple[float, ...] = (32, 32, 20, 10), score: float = 0.9) -> Any:
    """[1, 4 + 2 classes, 84 cells] with a dog."""
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 3] = *box, 0.1, score
    return raw


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_yolov9_has_the_metadata_of_yolov5_and_no_objectness(free: bool, transposed: bool, tmp_path: Path) -> None:
    """WongKinYiu/yolov9, export.py; with --dynamic it calls axis 1 "anchors", which it is not."""
    raw = raw_grid().transpose(0, 2, 1) if transposed else raw_grid()
    shapes = {"output0": ["batch", "anchors", "n"]} if free else None
    save(tmp_path / "gelan-c.onnx", picture_input("images"), {"output0": raw}, shapes=shapes, metadata=V5)
    assert boxes(answer(tmp_path)[2]) == [FOUND]


def test_yolov9_of_free_size_says_which_one_is_assumed(tmp_path: Path) -> None:
    save(tmp_path / "gelan-c.onnx", FREE, {"output0": raw_grid((320, 320, 200, 100))}, metadata=V5)
    family, manifest, predicted = answer(tmp_path)
    assert family == "YOLOv9" and manifest.preprocess.size == {"height": 640, "width": 640}
    assert boxes(predicted) == [FOUND]  # 128 pixels on 640, the same share of it
    assert "640x640 is assumed" in examine(tmp_path)[1].assumed[0]


@pytest.mark.parametrize("branches", [2, 3])
def test_of_the_branches_of_yolov9_the_last_is_the_main_one(branches: int, tmp_path: Path) -> None:
    outputs = {str(i): raw_grid((10, 10, 4, 4), 0.99) for i in range(branches - 1)} | {"main": raw_grid()}
    save(tmp_path / "yolov9-c.onnx", picture_input("images"), outputs, metadata=V5)
    assert boxes(answer(tmp_path)[2]) == [FOUND]


def test_segments_of_yolov9(tmp_path: Path) -> None:
    raw, prototypes = np.zeros((1, 6 + 32, 84), np.float32), np.ones((1, 32, 16, 16), np.float32)
    raw[0, :6, 0], raw[0, 6, 0] = (32, 32, 32, 16, 0.9, 0), 1
    save(tmp_path / "gelan-c-seg.onnx", picture_input("images"), {"output0": raw, "output1": prototypes}, metadata=V5)
    _, manifest, predicted = answer(tmp_path)
    assert manifest.task == "image-segmentation" and boxes(predicted) == [("cat", 0.9, [32.0, 16.0, 96.0, 48.0])]
    assert isinstance(predicted, Objects) and predicted.masks is not None and predicted.masks.area(0) == 64 * 32


@pytest.mark.parametrize("free", [False, True])
def test_yolov5_of_free_axes(free: bool, tmp_path: Path) -> None:
    rows = np.zeros((1, 252, 7), np.float32)
    rows[0, 9] = 32, 32, 20, 10, 0.9, 0.1, 0.8
    shapes: dict[str, Any] = {"output0": ["batch", "anchors", "n" if free else 7]}
    save(tmp_path / "best.onnx", picture_input("images"), {"output0": rows}, shapes=shapes, metadata=V5)
    assert boxes(answer(tmp_path)[2]) == [("dog", 0.72, [44.0, 22.0, 84.0, 42.0])]


def test_names_that_do_not_fit_are_refused_and_not_read_as_another_layout(tmp_path: Path) -> None:
    """[1, 252, 7] could be 3 classes without an objectness; three boxes per cell say that it is not."""
    metadata = {**V5, "names": "['a', 'b', 'c']"}
    rows = np.zeros((1, 252, 7), np.float32)
    save(tmp_path / "best.onnx", picture_input("images"), {"output0": rows}, metadata=metadata)
    with pytest.raises(BadManifest, match=r"fits no layout of head yolo with 3 labels: expected 8 numbers"):
        examine(tmp_path)


@pytest.mark.parametrize("columns", [False, True])
def test_one_box_for_each_cell_has_no_objectness(columns: bool, tmp_path: Path) -> None:
    """YOLOv9 of 3 classes, of which the metadata names 2: 7 numbers are not YOLOv5's 5 + 2."""
    grid = np.zeros((1, 7, 84), np.float32)  # 64 + 16 + 4 cells of 64 x 64 pixels
    rows = grid.transpose(0, 2, 1) if columns else grid
    save(tmp_path / "best.onnx", picture_input("images"), {"output0": rows}, metadata=V5)
    with pytest.raises(BadManifest, match=r"names 2 classes.*one box for each cell.*7 numbers are those of 3 classes"):
        examine(tmp_path)


def test_an_output_that_somebody_transposed(tmp_path: Path) -> None:
    _, _, predicted = answer(ultralytics(tmp_path, "detect", {"output0": raw_grid().transpose(0, 2, 1)}))
    assert boxes(predicted) == [FOUND]


@pytest.mark.parametrize("said", [{"head": "RTDETRDecoder"}, {"description": "Ultralytics rtdetr-l model"}, {}])
@pytest.mark.parametrize("scored", [False, True])
def test_rtdetr_of_two_classes(scored: bool, said: dict[str, str], tmp_path: Path) -> None:
    """[1, 300, 6] either way: a score and a class, of which a class of 1 is no probability, or two probabilities."""
    random = np.random.default_rng(0)
    rows = random.uniform(0.01, 0.1, (1, 300, 6)).astype(np.float32)
    rows[0, :, 5] = random.integers(0, 2, 300) if scored else rows[0, :, 5]
    rows[0, 0] = 0.5, 0.5, 0.25, 0.25, *((0.9, 1) if scored else (0.1, 0.9))
    _, manifest, predicted = answer(ultralytics(tmp_path, "detect", {"output0": rows}, **said))
    assert manifest.preprocess.resize_mode == ("stretch" if said else "letterbox")
    height = (24.0, 40.0) if said else (16.0, 48.0)  # of the picture's 64 lines, a quarter of the input's height
    assert boxes(predicted) == [("dog", 0.9, [48.0, height[0], 80.0, height[1]])]


# ---- metadata that is odd


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ("['cat', 'dog']", ("cat", "dog")),
        ("{'1': 'dog', '0': 'cat'}", ("cat", "dog")),
        ("{1: 'dog'}", ("0", "dog")),
        ("None", ()),
    ],
)
def test_names_of_every_form(names: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    odd = {"stride": "None", "imgsz": "None", "args": "None", "batch": "None", "channels": "None"}
    _, manifest, predicted = answer(ultralytics(tmp_path, "detect", {"output0": raw_grid()}, names=names, **odd))
    assert manifest.labels == labels and boxes(predicted) == [(labels[1] if labels else "1", *FOUND[1:])]


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"names": "{'cat': 0}"}, r"names \"{'cat': 0}\", expected {0: 'cat', 1: 'dog'}"),
        ({"names": "cat, dog"}, "names 'cat, dog', expected"),
        ({"names": "{0: {'name': 'cat'}}"}, "names .*, expected"),
        ({"names": "7"}, "names '7', expected"),
        ({"imgsz": "None"}, r"imgsz 'None', expected \[640, 640\]"),
        ({"imgsz": "640x640"}, "imgsz '640x640', expected"),
        ({"task": "track"}, "task 'track', known are detect"),
        ({"task": "None"}, "task 'None', known are detect"),
        ({"task": "pose", "kpt_shape": "17"}, r"kpt_shape '17', expected \[17, 3\]"),
        ({"task": "pose", "kpt_shape": "[2, 1]"}, r"kpt_shape .\[2, 1\]., expected \[17, 3\]"),
    ],
)
def test_odd_metadata_is_refused_in_a_sentence(odd: dict[str, str], words: str, tmp_path: Path) -> None:
    metadata = {**ULTRALYTICS, "task": "detect", **odd}
    save(tmp_path / "best.onnx", FREE, {"output0": raw_grid()}, metadata=metadata)
    with pytest.raises(BadManifest, match=words) as refused:
        examine(tmp_path)
    assert "write a model.toml" in str(refused.value)


def test_outputs_that_ultralytics_does_not_write_are_refused_at_once(tmp_path: Path) -> None:
    maps = {"p3": np.zeros((1, 66, 8, 8), np.float32), "p4": np.zeros((1, 66, 4, 4), np.float32)}
    with pytest.raises(BadManifest, match=r"is not \[1, 4 \+ classes, anchors\].*p3 float32 \[1, 66, 8, 8\]"):
        examine(ultralytics(tmp_path, "detect", maps))


@pytest.mark.parametrize("channels", [1, "c"])
def test_ultralytics_of_one_channel(channels: int | str, tmp_path: Path) -> None:
    metadata = {**ULTRALYTICS, "task": "detect", "channels": "1"}
    inputs: dict[str, Any] = {"images": ("float32", [1, channels, 64, 64])}
    save(tmp_path / "best.onnx", inputs, {"output0": raw_grid()}, metadata=metadata)
    _, manifest, predicted = answer(tmp_path)
    assert manifest.preprocess.color_order == "gray" and boxes(predicted) == [FOUND]


def test_names_that_are_one_short_are_refused_and_not_taken_for_an_objectness(tmp_path: Path) -> None:
    """[1, 7, 84] is 4 + 3 classes; with two names it would be a YOLOv5's, which Ultralytics' own models never are."""
    grid = np.zeros((1, 7, 84), np.float32)
    meta = {"author": "Ultralytics", "task": "detect", "stride": "32", "names": "{0: 'cat', 1: 'dog'}"}
    save(tmp_path / "best.onnx", picture_input("images"), {"output0": grid}, metadata=meta)
    with pytest.raises(BadManifest, match=r"names 2 classes, which do not fit the output \[1, 7, 84\]: expected 6"):
        examine(tmp_path)


def test_an_id_without_a_name_is_said(tmp_path: Path) -> None:
    grid = np.zeros((1, 7, 84), np.float32)
    meta = {"author": "Ultralytics", "task": "detect", "stride": "32", "names": "{0: 'cat', 2: 'dog'}"}
    save(tmp_path / "best.onnx", picture_input("images"), {"output0": grid}, metadata=meta)
    assert any(said.startswith("its labels leave out 1:") for said in examine(tmp_path)[1].assumed)


def test_rtdetr_under_a_name_of_its_own_is_known_by_its_queries(tmp_path: Path) -> None:
    """300 rows of 4 + 3 numbers, boxes in 0..1 of the stretched picture; older exports do not name the head."""
    rows = np.full((1, 300, 7), 0.05, np.float32)
    rows[0, 0] = 0.5, 0.5, 0.1, 0.2, 0.1, 0.9, 0.1
    folder = ultralytics(tmp_path, "detect", {"output0": rows}, names="{0: 'cat', 1: 'dog', 2: 'cow'}")
    _, manifest, predicted = answer(folder)
    assert manifest.preprocess.resize_mode == "stretch"
    assert boxes(predicted) == [("dog", 0.9, [57.6, 25.6, 70.4, 38.4])]  # of 128 x 64
