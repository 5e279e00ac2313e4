"""Static quantisation as onnxruntime does it: one scale for boxes and scores; pairs around every operation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image as Pillow

from inference.engine.registry import Registry
from inference.engine.session import Session
from inference.errors import BadModel
from inference.image.media import Picture
from tests.inference.graphs import build
from tests.inference.recognize.support import WIDE, answer, boxes

TABLE = 'task = "object-detection"\nhead = "yolo"\nlabels = ["cat", "dog"]\n[preprocess]\nresize_mode = "letterbox"\n'


def quantised(folder: Path, step: float, operator: bool) -> Registry:
    """A grid [1, 6, 84] of a 64 x 64 input, whose end holds a dog of 0.8, in QOperator or QDQ format."""
    grid = np.zeros((1, 6, 84), np.float32)
    grid[0, :, 7] = 32, 32, 20, 10, 0, 0.8
    constants = {"s": np.float32(step), "z": np.uint8(0), "grid": grid, "none": np.float32(0)}
    nodes: list[Any] = [
        ("ReduceMean", "images", "mean", {"keepdims": 1, "axes": [1, 2, 3]}), ("Reshape", "mean shape", "flat"),
        ("Mul", "flat none", "nothing"), ("Add", "grid nothing", "joined"), ("QuantizeLinear", "joined s z", "whole"),
    ]  # fmt: skip
    if operator:
        nodes += [("QLinearConcat", "s z whole s z", "last", {"axis": 1}), ("DequantizeLinear", "last s z", "output0")]
    else:
        nodes += [("DequantizeLinear", "whole s z", "again"), ("Identity", "again", "output0")]
    build(folder / "net/model.onnx", {"images": ("float32", [1, 3, 64, 64])}, nodes,
          {"output0": ("float32", [1, 6, 84])}, {**constants, "shape": np.asarray([1, 1, 1])})  # fmt: skip
    (folder / "net/model.toml").write_text(TABLE, "utf-8")
    return Registry([folder])


@pytest.mark.parametrize("operator", [False, True])
def test_scores_that_share_the_scale_of_boxes_are_refused_and_not_all_zero(operator: bool, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"steps of 2\.51, .* leaves nothing of scores .* \(nodes_to_exclude"):
        quantised(tmp_path, 640 / 255, operator).model("net")


def test_a_scale_that_leaves_scores_is_as_good_as_floats(tmp_path: Path) -> None:
    """255 steps of 0.08 end at 20.4, which the box does not fit into, but the score does."""
    ((name, score, _),) = boxes(quantised(tmp_path, 0.08, False).model("net").run(WIDE)[0])
    assert (name, score) == ("dog", 0.8)


def test_what_a_quantised_graph_does_to_its_picture_is_seen_through_the_pairs(tmp_path: Path) -> None:
    """D-FINE's outputs, and a division by 255 inside, whose factor is a quantised constant: it is fed 0..255."""
    nodes = [
        ("QuantizeLinear", "images s z", "whole"), ("DequantizeLinear", "whole s z", "again"),
        ("DequantizeLinear", "number small z", "factor"), ("Mul", "again factor", "share"),
        ("ReduceMax", "share", "top", {"keepdims": 0, "axes": [1, 2]}), ("ReduceMax", "top", "scores", {"axes": [1]}),
        ("Identity", "one", "labels"), ("Identity", "box", "boxes"),
    ]  # fmt: skip
    constants = {
        "s": np.float32(1), "z": np.uint8(0), "number": np.uint8(255), "small": np.float32(1 / 255**2),
        "one": np.asarray([[1]]), "box": np.asarray([[[22, 27, 42, 37]]], np.float32),
    }  # fmt: skip
    inputs = {"images": ("float32", [1, 3, 64, 64]), "orig_target_sizes": ("int64", [1, 2])}
    outputs = {"labels": ("int64", [1, 1]), "boxes": ("float32", [1, 1, 4]), "scores": ("float32", [1, 1])}
    build(tmp_path / "net.onnx", inputs, nodes, outputs, constants)  # type: ignore[arg-type]
    (tmp_path / "labels.txt").write_text("cat\ndog\n", "utf-8")
    _, manifest, predicted = answer(tmp_path, Picture(Pillow.new("RGB", (64, 64), (204, 0, 0)), (64, 64)))
    assert not manifest.preprocess.do_rescale
    assert boxes(predicted) == [("dog", 0.8, [22, 27, 42, 37])]  # 204 / 255


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
def test_numbers_that_numpy_does_not_have_are_refused_by_name(kind: int, tmp_path: Path) -> None:
    tensors = [helper.make_tensor_value_info(name, k, [1, 3]) for name, k in (("x", TensorProto.FLOAT), ("y", kind))]
    graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=kind)], "g", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(BadModel, match="y holds (bfloat16|float8e4m3fn), .* export it with float32"):
        Session(tmp_path / "m.onnx")


def test_sixteen_bits_under_an_old_opset_are_refused_with_the_one_that_has_them(tmp_path: Path) -> None:
    file = build(tmp_path / "m.onnx", {"x": ("uint16", [1, 3, 8, 8])}, [("DequantizeLinear", "x s z", "y")],
                 {"y": ("float32", [1, 3, 8, 8])}, {"s": np.float32(1), "z": np.uint16(0)})  # fmt: skip
    with pytest.raises(BadModel, match="its DequantizeLinear works on 16 bits, .* with opset 21"):
        Session(file)
