"""Which line of a label list a class index means: families differ in where ids begin, lists in their first line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.errors import BadManifest, BadModel
from inference.image.media import decode
from inference.manifest import LABEL_SETS
from inference.placeholders import is_placeholder
from inference.predictions import Classes, LabelMap, Objects
from inference.recognize import examine, manifest_of
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import WIDE, answer, boxes, floats

Dims = dict[str, tuple[int, ...]]
FREE: dict[str, Any] = {"boxes": ["n", 4], "labels": ["n"], "scores": ["n"]}
TWO = floats([10, 8, 30, 16], [40, 8, 60, 16])


def with_weights(path: Path, weights: Dims) -> None:
    model = onnx.load(str(path))
    for name, dims in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(dims, np.float32), name))
    onnx.save(model, str(path))


def labelled(folder: Path, text: str) -> None:
    (folder / "labels.txt").write_text(text, "utf-8")


def names_of(folder: Path) -> list[str]:
    return [name for name, _, _ in boxes(answer(folder)[2])]


def assumed(folder: Path) -> str:
    return " | ".join(examine(folder)[1].assumed)


def torchvision(folder: Path, ids: list[int], weights: Dims | None = None) -> None:
    values = {"boxes": TWO, "labels": np.asarray(ids), "scores": floats(0.9, 0.8)}
    save(folder / "net.onnx", picture_input("image", (None, None)), values, FREE)
    with_weights(folder / "net.onnx", weights or {})


# Of 2 own classes and the background, as torchvision exports them.
RCNN: Dims = {"roi_heads.box_predictor.cls_score.weight": (3, 1024), "roi_heads.box_predictor.bbox_pred.bias": (12,),
              "rpn.head.cls_logits.weight": (15, 256, 1, 1)}  # fmt: skip
RETINANET: Dims = {"head.classification_head.cls_logits.bias": (27,), "head.regression_head.bbox_reg.bias": (36,)}
SSD: Dims = {"head.classification_head.module_list.0.1.weight": (18, 672, 1, 1),
             "head.regression_head.module_list.0.1.weight": (24, 672, 1, 1)}  # fmt: skip


@pytest.mark.parametrize("weights", [{}, RCNN, RETINANET, SSD])
@pytest.mark.parametrize(
    ("lines", "line"),
    [("apple\nbanana\n", "label_offset = 0"), ("__BACKGROUND__\napple\nbanana\n", "label_offset = -1")],
)
def test_own_classes_of_torchvision_begin_at_1(lines: str, line: str, weights: Dims, tmp_path: Path) -> None:
    torchvision(tmp_path, [1, 2], weights)
    labelled(tmp_path, lines)
    assert names_of(tmp_path) == ["apple", "banana"]
    assert line in assumed(tmp_path)


def test_a_box_of_the_class_that_has_no_line_is_left_out_and_said(tmp_path: Path) -> None:
    torchvision(tmp_path, [0, 2])
    labelled(tmp_path, "apple\nbanana\n")
    predicted = answer(tmp_path)[2]
    assert [name for name, _, _ in boxes(predicted)] == ["banana"]
    assert isinstance(predicted, Objects) and "1 boxes of class 0" in predicted.notes[0]


def test_a_line_for_each_class_needs_no_known_word_for_the_background(tmp_path: Path) -> None:
    torchvision(tmp_path, [1, 2], RCNN)
    labelled(tmp_path, "nichts\napple\nbanana\n")
    assert names_of(tmp_path) == ["apple", "banana"]
    assert "class 0 is 'nichts'" in assumed(tmp_path)


@pytest.mark.parametrize("transposed", [False, True])
def test_renamed_weights_are_known_by_their_layers(transposed: bool, tmp_path: Path) -> None:
    torchvision(tmp_path, [1, 2])
    model = onnx.load(str(tmp_path / "net.onnx"))
    for name, size in (("a", 3), ("b", 12)):
        dims = (size, 8) if transposed else (8, size)
        weight = numpy_helper.from_array(np.zeros(dims, np.float32), f"onnx::MatMul_{name}")
        model.graph.initializer.append(weight)
        inputs, outputs = ["features", weight.name], [f"{name}_out"]
        layer = helper.make_node("Gemm", inputs, outputs, transB=1) if transposed else None
        model.graph.node.append(layer or helper.make_node("MatMul", inputs, outputs))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 8), np.float32), "features"))
    onnx.save(model, str(tmp_path / "net.onnx"))
    labelled(tmp_path, "zero\napple\nbanana\n")
    assert names_of(tmp_path) == ["apple", "banana"]
    labelled(tmp_path, "a\nb\nc\nd\n")
    with pytest.raises(BadManifest, match="2 classes and a background"):
        examine(tmp_path)


@pytest.mark.parametrize("lines", ["a\n", "a\nb\nc\nd\n", "background\na\n"])
def test_a_list_that_does_not_fit_the_weights_is_refused(lines: str, tmp_path: Path) -> None:
    torchvision(tmp_path, [1, 2], RCNN)
    labelled(tmp_path, lines)
    with pytest.raises(BadManifest, match="2 classes and a background, the label list beside it .* put the 2 names"):
        examine(tmp_path)


@pytest.mark.parametrize(("count", "named"), [(91, "builtin:coco91"), (3, None)])
def test_names_of_coco_are_only_assumed_for_as_many_classes(count: int, named: str | None, tmp_path: Path) -> None:
    torchvision(tmp_path, [1, 2], {"roi_heads.box_predictor.cls_score.bias": (count,)})
    _, draft = examine(tmp_path)
    assert draft.table.get("labels") == named
    assert ("2 classes are named by their numbers" in assumed(tmp_path)) == (named is None)


def tensorflow(folder: Path, ids: list[int], weights: Dims | None = None, lite: bool = False) -> None:
    names = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
    if lite:
        names = ("TFLite_Detection_PostProcess", *(f"TFLite_Detection_PostProcess:{i}" for i in (1, 2, 3)))  # type: ignore[assignment]
    values = (floats([[0, 0, 0.5, 0.5], [0, 0.5, 1, 1]]), floats(ids)[None], floats([0.9, 0.8]), floats(2))
    save(folder / "detect.onnx", {"input": ("uint8", [1, 300, 300, 3])}, dict(zip(names, values, strict=True)))
    with_weights(folder / "detect.onnx", weights or {})


@pytest.mark.parametrize("first", ["", "???\n", "background\n", "__background__\n", "unlabeled\n", "N/A\n", "dummy\n"])
@pytest.mark.parametrize("lite", [False, True])
def test_tensorflow_s_ids_begin_at_1_and_tflite_s_at_0(first: str, lite: bool, tmp_path: Path) -> None:
    tensorflow(tmp_path, [0, 1] if lite else [1, 2], lite=lite)
    labelled(tmp_path, f"{first}person\nbicycle\n")
    assert names_of(tmp_path) == ["person", "bicycle"]
    assert bool(first) <= ("label_offset = " in assumed(tmp_path))


SSD_COCO: Dims = {
    "BoxPredictor_0/ClassPredictor/Conv2D_bias": (273,),
    "BoxPredictor_0/BoxEncodingPredictor/Conv2D_bias": (12,),
}


@pytest.mark.parametrize("lite", [False, True])
def test_80_names_beside_tensorflow_s_90_ids_are_refused(lite: bool, tmp_path: Path) -> None:
    tensorflow(tmp_path, [0, 1] if lite else [1, 2], SSD_COCO, lite)
    labelled(tmp_path, "".join(f"n{i}\n" for i in range(80)))
    with pytest.raises(BadManifest, match="the model has 90 classes.* 80 names.*COCO's ids have gaps"):
        examine(tmp_path)
    labelled(tmp_path, "".join(f"n{i}\n" for i in range(90)))
    assert names_of(tmp_path) == ["n0", "n1"]


@pytest.mark.parametrize("lite", [False, True])
def test_tensorflow_s_own_label_map_is_read(lite: bool, tmp_path: Path) -> None:
    tensorflow(tmp_path, [0, 2] if lite else [1, 3], lite=lite)
    text = """item {
  id: 1
  name: '/m/01g317'
  display_name: 'person'
}
item { name: "cat" id: 3 }
"""
    (tmp_path / "my_label_map.pbtxt").write_text(text, "utf-8")
    assert names_of(tmp_path) == ["person", "cat"]


def test_coral_s_numbered_lines_are_read_by_their_numbers(tmp_path: Path) -> None:
    tensorflow(tmp_path, [0, 12], lite=True)
    labelled(tmp_path, "0  person\n1  bicycle\n12  stop sign\n")
    assert names_of(tmp_path) == ["person", "stop sign"]
    labelled(tmp_path, "1 euro\n2 euro\n5 euro\n")  # coins
    assert names_of(tmp_path)[0] == "1 euro"


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("first", ["???\n", ""])
def test_the_real_ssd_with_coral_s_label_map(first: str, tmp_path: Path, shared: Path) -> None:
    (tmp_path / "detect.onnx").symlink_to(shared / "models/det-ssd-mobilenetv1-tf/model.onnx")
    lines = (shared / "models/_labels/coco91_labelmap.txt").read_text("utf-8").split("\n", 1)[1]
    labelled(tmp_path, first + lines)
    photo = decode((Path(__file__).parents[3] / "samples/photographer.jpg").read_bytes())
    assert "person" in [name for name, _, _ in boxes(answer(tmp_path, photo)[2])]
    labelled(tmp_path, "\n".join(lines.split("\n")[:80]))
    with pytest.raises(BadManifest, match="90 classes, the label list beside it 80 names"):
        examine(tmp_path)


def rfdetr(folder: Path, best: int, slots: int) -> None:
    logits = np.full((1, 4, slots), -9, np.float32)
    logits[0, 0, best] = 3
    values = {"dets": np.full((1, 4, 4), 0.5, np.float32), "labels": logits}
    save(folder / "inference_model.onnx", picture_input("input"), values)


def test_rfdetr_s_slot_that_is_none_is_asked_for(tmp_path: Path) -> None:
    rfdetr(tmp_path, 1, 3)
    labelled(tmp_path, "cat\ndog\n")
    with pytest.raises(BadManifest, match=r"3 class slots.*before release 1\.6.*`background` first or last.*no_object"):
        examine(tmp_path)


@pytest.mark.parametrize(
    ("lines", "best", "name"),
    [
        ("background\ncat\ndog\n", 1, "cat"),
        ("background_class83422\ncat\ndog\n", 2, "dog"),
        ("cat\ndog\nbackground\n", 0, "cat"),
        ("cat\ndog\nbackground_class83422\n", 2, None),
        ("background\ncat\ndog\n", 0, None),
    ],
)
def test_rfdetr_with_a_line_for_each_slot_never_answers_background(
    lines: str, best: int, name: str | None, tmp_path: Path
) -> None:
    rfdetr(tmp_path, best, 3)
    labelled(tmp_path, lines)
    assert names_of(tmp_path) == ([name] if name else [])


def dfine(folder: Path, label: int, classes: int | None) -> None:
    outputs = {"labels": np.asarray([[label]]), "boxes": floats([[16, 32, 32, 48]]), "scores": floats([0.9])}
    save(folder / "net.onnx", {**picture_input("images"), "orig_target_sizes": ("int64", [1, 2])}, outputs)
    if classes:
        with_weights(folder / "net.onnx", {"model.decoder.dec_score_head.5.bias": (classes,)})


def test_dfine_s_ids_begin_at_0_and_its_weights_say_how_many(tmp_path: Path) -> None:
    dfine(tmp_path, 1, 2)
    labelled(tmp_path, "cat\ndog\n")
    assert names_of(tmp_path) == ["dog"]
    dfine(tmp_path, 1, 3)
    with pytest.raises(BadManifest, match="3 classes.* 2 names.*if its ids begin at 1, a first line `background`"):
        examine(tmp_path)
    labelled(tmp_path, "background\ncat\ndog\n")
    assert names_of(tmp_path) == ["cat"]


def test_dfine_of_another_data_set_is_not_named_after_coco(tmp_path: Path) -> None:
    dfine(tmp_path, 1, 366)
    assert names_of(tmp_path) == ["1"] and "366 classes are named by their numbers" in assumed(tmp_path)
    dfine(tmp_path, 1, 80)
    assert names_of(tmp_path) == ["bicycle"]


def test_a_placeholder_before_as_many_names_as_classes_is_skipped_in_every_family(tmp_path: Path) -> None:
    rows = np.zeros((1, 84, 7), np.float32)
    rows[0, 27, :6] = [0.5, 0.5, 0, 0, 1, 0.9]
    save(tmp_path / "yolox.onnx", picture_input("images"), {"output": rows})
    labelled(tmp_path, "__ignore__\ncat\ndog\n")
    with pytest.raises(BadModel, match="2 classes, the label list 3 names"):
        Model(manifest_of(*examine(tmp_path)), examine(tmp_path)[0].session, "")
    labelled(tmp_path, "background\ncat\ndog\n")
    assert names_of(tmp_path) == ["cat"] and "label_offset = 0" in assumed(tmp_path)


def test_ids_that_are_given_are_not_moved_past_a_placeholder(tmp_path: Path) -> None:
    """id2label: class 1 is the person, whatever else does not add up; three logits of DETR are two classes and none."""
    outputs = {"logits": floats([[-8, 8, -8]]), "pred_boxes": floats([[0.5, 0.5, 0.2, 0.2]])}
    save(tmp_path / "net/model.onnx", picture_input("pixel_values"), outputs)
    names = {"0": "N/A", "1": "person", "2": "bicycle"}
    config = {"model_type": "detr", "architectures": ["DetrForObjectDetection"], "id2label": names}
    (tmp_path / "net/config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "net/preprocessor_config.json").write_text('{"image_processor_type": "DetrImageProcessor"}', "utf-8")
    with pytest.raises(BadModel, match="2 classes, the label list 3 names.*label_offset = 1"):
        Registry([tmp_path]).model("net")


def test_a_classifier_s_class_called_background_stays(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", picture_input("input1"), {"output1": floats([3, 0])})
    (tmp_path / "labels.json").write_text('["background", "cat"]', "utf-8")
    _, manifest, predicted = answer(tmp_path)
    assert isinstance(predicted, Classes) and predicted.names[0] == "background" and manifest.label_offset == 0


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ('["cat"]', r"say label_offset = -1 if class 0 is a background"),
        ('["???", "cat", "dog"]', r"say label_offset = 1 if the first line, '\?\?\?', stands for no class"),
        ('["a", "b", "c"]', r"trained with$"),
    ],
)
def test_a_count_one_off_is_refused_with_the_offset_that_would_fit(labels: str, line: str, tmp_path: Path) -> None:
    save(tmp_path / "net/model.onnx", picture_input("x"), {"y": floats([3, 0])})
    manifest = f'task = "image-classification"\nhead = "classifier"\nlabels = {labels}\n'
    (tmp_path / "net/model.toml").write_text(manifest, "utf-8")
    with pytest.raises(BadModel, match=f"the model has 2 classes, the label list .*{line}"):
        Registry([tmp_path]).model("net")


def test_rfdetr_of_a_package_with_one_label_less_than_slots_is_told_of_both_ends(tmp_path: Path) -> None:
    """Before release 1.6 the first slot is none, now the last: naming only the first would move all names by one."""
    scores = np.full((1, 5, 3), -9, np.float32)
    scores[0, 0, 1] = 4
    values = {"dets": np.full((1, 5, 4), 0.5, np.float32), "labels": scores}
    net = save(tmp_path / "net/weights.onnx", picture_input("input"), values).parent
    (net / "inference_config.json").write_text('{"network_input": {"resize_mode": "stretch"}}', "utf-8")
    model = '{"model_architecture": "rfdetr", "task_type": "object-detection"}'
    (net / "model_config.json").write_text(model, "utf-8")
    (net / "class_names.txt").write_text("cat\ndog\n", "utf-8")
    both = r"3 classes, the label list 2 names.*label_offset = -1 if class 0 .*no_object = true if the last class is"
    with pytest.raises(BadModel, match=both):
        Registry([tmp_path]).model("net")
    (net / "class_names.txt").write_text("cat\ndog\nbackground\n", "utf-8")
    assert [name for name, *_ in boxes(answer(net)[2])] == ["dog"]


def test_a_map_s_labels_are_counted_with_the_offset(tmp_path: Path) -> None:
    scores = np.zeros((1, 3, 4, 4), np.float32)
    scores[0, 2] = 1
    save(tmp_path / "net/model.onnx", picture_input("x"), {"y": scores})
    manifest = 'task = "image-segmentation"\nhead = "semantic"\nlabels = ["cat", "dog"]\nlabel_offset = -1\n'
    (tmp_path / "net/model.toml").write_text(manifest, "utf-8")
    predicted = Registry([tmp_path]).model("net").run(WIDE)[0]
    assert isinstance(predicted, LabelMap)
    assert [predicted.names[i] for i, _ in predicted.areas()] == ["dog"] and predicted.background == 0


@pytest.mark.parametrize("first", ["", "background\n"])
def test_80_names_of_coco_are_refused_where_ids_have_gaps(first: str, tmp_path: Path) -> None:
    """Of torchvision's and TensorFlow's ids 13 is the stop sign; of the 80 names the 13th is the parking meter."""
    values = {"boxes": floats([4, 4, 28, 60]), "labels": np.asarray([13]), "scores": floats(0.9)}
    save(tmp_path / "model.onnx", picture_input("images"), values)
    names = (LABEL_SETS / "coco80.txt").read_text("utf-8")
    (tmp_path / "labels.txt").write_text(first + names, "utf-8")
    with pytest.raises(BadManifest, match="COCO's ids have gaps: without the list"):
        examine(tmp_path)
    (tmp_path / "labels.txt").unlink()
    assert [name for name, *_ in boxes(answer(tmp_path)[2])] == ["stop sign"]


def test_a_placeholder_is_told_from_a_class() -> None:
    assert all(map(is_placeholder, ("???", " Background ", "BG", "N/A", "", "__background__", "_background_")))
    assert not any(map(is_placeholder, ("person", "none", "unknown", "other", "back ground", "0")))
