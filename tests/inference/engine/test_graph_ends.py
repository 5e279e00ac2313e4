"""What is read of a graph's first and last nodes, from files as exporters write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from inference.engine.graph_ends import GraphEnds
from inference.engine.session import Session
from inference.image.values import Quantization
from tests.inference.graphs import build

F = np.float32
WEIGHTS = {"w": np.ones((4, 2), F), "one": F(1), "half": F(0.5), "zero": F(0), "s": F(1 / 256), "z": np.int8(-128)}
LAYER = [("MatMul", "x w", "m")]
SOFTMAX = [*LAYER, ("Softmax", "m", "p")]
SIGMOID = [*LAYER, ("Sigmoid", "m", "p")]


def ending(path: Path, nodes: Sequence[Any], kind: str = "float32", shape: Sequence[int] = (1, 2)) -> str | None:
    """Of a graph that onnxruntime loads, whose last node puts out `y`."""
    build(path, {"x": ("float32", [1, 4])}, nodes, {"y": (kind, shape)}, WEIGHTS)
    Session(path)
    with GraphEnds(path) as graph:
        return graph.ending("y")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([("MatMul", "x w", "y")], "logits"),
        ([*LAYER, ("Add", "m half", "y")], "logits"),
        ([("Gemm", "x w", "m"), ("Identity", "m", "y")], "logits"),
        ([*LAYER, ("LogSoftmax", "m", "y")], "logits"),
        ([*LAYER, ("Mul", "m half", "y")], "logits"),
        ([("ReduceMean", "x", "m", {"axes": [1]}), ("Mul", "m half", "n"), ("Sub", "n half", "y")], "logits"),
        ([*SOFTMAX, ("Identity", "p", "y")], "probabilities"),
        ([*SIGMOID, ("Clip", "p zero half", "y")], "probabilities"),
        ([*LAYER, ("Clip", "m zero one", "y")], "probabilities"),
        ([*SIGMOID, ("Sub", "one p", "y")], "probabilities"),
        ([*SIGMOID, ("Sub", "one p", "n"), ("Concat", "n p", "y", {"axis": 1})], "probabilities"),
        ([*SOFTMAX, ("QuantizeLinear", "p s z", "q"), ("DequantizeLinear", "q s z", "y")], "probabilities"),
        ([*LAYER, ("Neg", "m", "n"), ("Exp", "n", "e"), ("Add", "e one", "d"), ("Div", "one d", "y")], "probabilities"),
        ([*LAYER, ("Exp", "m", "e"), ("Add", "one e", "d"), ("Reciprocal", "d", "y")], "probabilities"),
        ([*LAYER, ("Exp", "m", "e"), ("ReduceSum", "e", "d"), ("Div", "e d", "y")], "probabilities"),
        # what moves a probability out of 0..1, or is bounded otherwise, is not decided
        ([*SIGMOID, ("Add", "p half", "y")], None),
        ([*LAYER, ("Tanh", "m", "t"), ("Add", "t one", "a"), ("Mul", "a half", "y")], None),
        ([*LAYER, ("Relu", "m", "y")], None),
        ([*LAYER, ("Clip", "m zero half", "c"), ("Div", "c half", "y")], None),
        ([*LAYER, ("Sigmoid", "m", "p"), ("Mul", "m p", "y")], None),
        ([("ReduceMean", "x", "y", {"axes": [1]})], None),
    ],
)
def test_the_end_of_a_graph_is_told(tmp_path: Path, nodes: Sequence[Any], expected: str | None) -> None:
    assert ending(tmp_path / "m.onnx", nodes) == expected


@pytest.mark.parametrize("packed", [True, False], ids=["raw bytes", "typed fields"])
@pytest.mark.parametrize(("zero", "kind"), [(np.int8(-3), "int8"), (np.uint8(7), "uint8"), (np.int8(0), "int8")])
def test_scales_are_read_however_they_are_stored(tmp_path: Path, packed: bool, zero: Any, kind: str) -> None:
    nodes = [("Transpose", "x", "t"), ("DequantizeLinear", "t s z", "f"), ("QuantizeLinear", "f s z", "q"),
             ("Flatten", "q", "y")]  # fmt: skip
    path = build(tmp_path / "m.onnx", {"x": (kind, [2, 2])}, nodes, {"y": (kind, [2, 2])}, {"s": F(0.25), "z": zero})
    if not packed:
        model = onnx.load(str(path))
        del model.graph.initializer[:]
        model.graph.initializer.append(helper.make_tensor("s", onnx.TensorProto.FLOAT, [], [0.25]))
        constant = helper.make_tensor("z", helper.np_dtype_to_tensor_dtype(zero.dtype), [1], [int(zero)])
        constant.dims.pop()
        model.graph.node.insert(0, helper.make_node("Constant", [], ["z"], value=constant))
        onnx.save(model, str(path))
    Session(path)
    with GraphEnds(path) as graph:
        assert graph.of_input("x") == graph.of_output("y") == Quantization(0.25, int(zero))


def test_quantised_layers_carry_the_scales_themselves(tmp_path: Path) -> None:
    """As onnxruntime's own quantisation writes them: no QuantizeLinear at the ends."""
    constants = {"a": F(0.5), "b": np.uint8(3), "c": F(0.125), "d": np.uint8(9), "w": np.ones((4, 2), np.uint8)}
    nodes = [("QLinearMatMul", "x a b w a b c d", "m"), ("QLinearSigmoid", "m c d a b", "y")]
    path = build(tmp_path / "m.onnx", {"x": ("uint8", [1, 4])}, nodes, {"y": ("uint8", [1, 2])}, constants)
    Session(path)
    with GraphEnds(path) as graph:
        assert graph.of_input("x") == Quantization(0.5, 3) and graph.of_output("m") == Quantization(0.125, 9)
        assert graph.of_output("y") == Quantization(0.5, 3) and graph.ending("y") == "probabilities"


def test_a_scale_for_each_channel_and_a_plain_type_change_say_nothing(tmp_path: Path) -> None:
    constants = {"s": np.asarray([0.5, 0.25], F), "z": np.zeros(2, np.int8)}
    nodes: list[Any] = [("DequantizeLinear", "x s z", "f"), ("Cast", "f", "y", {"to": onnx.TensorProto.INT8})]
    path = build(tmp_path / "m.onnx", {"x": ("int8", [1, 2])}, nodes, {"y": ("int8", [1, 2])}, constants)
    with GraphEnds(path) as graph:
        assert graph.of_input("x") is None and graph.of_output("y") is None


def test_a_file_that_is_not_read_says_nothing(tmp_path: Path) -> None:
    for content in (b"", b"\xff" * 200, b"\x3a\x7fabc"):
        (tmp_path / "m.onnx").write_bytes(content)
        with GraphEnds(tmp_path / "m.onnx") as graph:
            assert graph.ending("y") is None and graph.of_output("y") is None and graph.of_input("x") is None
    with GraphEnds(None) as graph:
        assert graph.ending("y") is None
    loop = helper.make_graph([helper.make_node("Identity", ["y"], ["y"])], "g", [], [])  # onnxruntime would refuse it
    onnx.save(helper.make_model(loop), str(tmp_path / "m.onnx"))
    with GraphEnds(tmp_path / "m.onnx") as graph:
        assert graph.ending("y") is None
