"""R-CNNs share their outputs; what the graph subtracts from its picture tells whose they are and how they are fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from PIL import Image as Pillow

from inference.engine.model import Model
from inference.errors import BadManifest
from inference.image.media import Picture
from inference.image.preprocess import prepare
from inference.recognize import examine, manifest_of
from inference.recognize._export import open_export
from inference.recognize.candidates import candidates_of
from inference.recognize.deciding import deciding_lines
from tests.inference.recognize.support import answer, boxes, floats
from tests.inference.recognize.test_opening import FREE, NORMALISED, RCNN, Step, begins_with, channels


def test_torchvision_is_fed_what_its_graph_normalises(tmp_path: Path) -> None:
    begins_with(tmp_path / "net.onnx", "image.1", [3, "h", "w"], NORMALISED, RCNN, FREE)
    family, manifest, predicted = answer(tmp_path)
    how = manifest.preprocess
    assert (family, how.do_rescale, how.do_normalize, how.color_order) == ("torchvision detection", True, False, "rgb")
    assert boxes(predicted) == [("person", 0.9, [10.0, 8.0, 30.0, 16.0])]


@pytest.mark.parametrize(
    "weights", [{"rpn.head.cls_logits.bias": (3,)}, {"proposal_generator.rpn_head.conv.bias": (3,)}]
)
def test_a_wrapper_that_divides_by_255_is_torchvision_s_only_where_its_weights_are(
    weights: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    steps = [("Div", np.float32(255)), *NORMALISED]
    begins_with(tmp_path / "net.onnx", "image", [3, "h", "w"], steps, RCNN, FREE, weights)
    if "rpn.head.cls_logits.bias" not in weights:
        with pytest.raises(BadManifest, match=r"takes 0\.\.255, less \[123\.675"):
            examine(tmp_path)
        return
    how = answer(tmp_path)[1].preprocess
    assert (how.do_rescale, how.do_normalize) == (False, False)


@pytest.mark.parametrize(
    "steps", [[], [("Sub", channels([103.53, 116.28, 123.675])), ("Div", channels([1.0, 1.0, 1.0]))]]
)
def test_the_same_outputs_without_torchvision_s_normalisation_are_refused_with_what_decides(
    steps: list[Step], tmp_path: Path
) -> None:
    begins_with(tmp_path / "net.onnx", "image", [3, "h", "w"], steps, RCNN, FREE)
    with pytest.raises(BadManifest, match=r'states its preprocessing.*head = "rcnn".*background'):
        examine(tmp_path)
    export = open_export(tmp_path)
    assert candidates_of(export) == [("object-detection", "rcnn")]
    lines = deciding_lines(export)
    assert "label_offset = -1" in lines and "shortest_edge = 800" in lines
    assert ('color_order = "bgr"\n' in lines and "do_rescale = false\n" in lines) is bool(steps)


@pytest.mark.parametrize("masks", [False, True])
def test_the_model_zoo_s_rcnn_is_fed_bgr_less_its_mean_at_800_padded_with_the_mean(masks: bool, tmp_path: Path) -> None:
    names = ("6568", "6570", "6572", "6887") if masks else ("6379", "6381", "6383")
    values = [floats([80, 80, 800, 400]), np.asarray([3]), floats(0.9), np.ones((1, 1, 28, 28), np.float32)]
    free = [["n", 4], ["n"], ["n"], ["n", 1, 28, 28]]
    outputs = dict(zip(names, values, strict=False))
    shapes = dict(zip(names, free, strict=False))
    begins_with(tmp_path / "FasterRCNN-10.onnx", "image", [3, "height", "width"], [], outputs, shapes)
    picture = Picture(Pillow.new("RGB", (100, 80), (10, 20, 130)), (100, 80))
    family, manifest, predicted = answer(tmp_path, picture)
    # class 3 of __background__, person, bicycle, car; 80 -> 800 is 10 times, so boxes are a tenth
    assert family == "R-CNN of the ONNX Model Zoo" and boxes(predicted) == [("car", 0.9, [8.0, 8.0, 80.0, 40.0])]
    assert (manifest.task == "image-segmentation") is masks
    export, draft = examine(tmp_path)
    model = Model(manifest_of(export, draft), export.session, "")
    tensor, _ = prepare(picture, model.manifest.preprocess, model.spec)
    assert tensor.shape == (3, 800, 1024)  # 1000 up to a multiple of 32
    np.testing.assert_allclose(tensor[:, 0, 0], [130 - 102.9801, 20 - 115.9465, 10 - 122.7717], rtol=1e-5)
    np.testing.assert_allclose(tensor[:, -1, -1], [0, 0, 0], atol=0.3)  # whole numbers stand for the mean
    long = Picture(Pillow.new("RGB", (400, 100)), (400, 100))
    assert prepare(long, model.manifest.preprocess, model.spec)[0].shape == (3, 352, 1344)  # 333 x 1333


def test_the_model_zoo_s_ssd_in_another_opset_or_quantised(tmp_path: Path) -> None:
    outputs = {"bboxes": floats([[0, 0, 0.5, 1]]), "labels": np.asarray([[3]]), "scores": floats([0.9])}
    begins_with(tmp_path / "ssd-10.onnx", "image", [1, 3, 1200, 1200], [], outputs)
    family, manifest, predicted = answer(tmp_path)
    assert family == "R-CNN of the ONNX Model Zoo" and manifest.preprocess.do_normalize
    assert boxes(predicted) == [("car", 0.9, [0.0, 0.0, 64.0, 64.0])]


def test_torchvision_behind_bytes(tmp_path: Path) -> None:
    steps = [("Cast", None), ("Div", np.float32(255)), *NORMALISED]
    path = begins_with(tmp_path / "net.onnx", "image", [3, 64, 64], steps, RCNN, FREE, {"rpn.head.conv.bias": (3,)})
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, str(path))
    assert answer(tmp_path)[0] == "torchvision detection"
