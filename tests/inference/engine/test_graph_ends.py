"""What is read of a graph's first and last nodes, from files as exporters write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from inference.engine import graph_ends
from inference.engine.graph import Graph, read_graph
from inference.engine.graph_ends import scale_of_input, scale_of_output
from inference.engine.session import Session
from inference.image.values import Quantization
from tests.inference.graphs import build

F = np.float32
WEIGHTS = {"w": np.ones((4, 2), F), "one": F(1), "half": F(0.5), "zero": F(0), "s": F(1 / 256), "z": np.int8(-128),
           "bq": np.asarray([1, 2], np.int8)}  # fmt: skip
LAYER = [("MatMul", "x w", "m")]
SOFTMAX = [*LAYER, ("Softmax", "m", "p")]
SIGMOID = [*LAYER, ("Sigmoid", "m", "p")]


def ending(path: Path, nodes: Sequence[Any], kind: str = "float32", shape: Sequence[int] = (1, 2)) -> str | None:
    """Of a graph that onnxruntime loads, whose last node puts out `y`."""
    build(path, {"x": ("float32", [1, 4])}, nodes, {"y": (kind, shape)}, WEIGHTS)
    return graph_ends.ending(Session(path).graph, "y")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([("MatMul", "x w", "y")], "logits"),
        ([*LAYER, ("Add", "m half", "y")], "logits"),
        ([*LAYER, ("DequantizeLinear", "bq s", "b"), ("Add", "m b", "y")], "logits"),
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
    graph = Session(path).graph
    assert scale_of_input(graph, "x") == scale_of_output(graph, "y") == Quantization(0.25, int(zero))


def test_quantised_layers_carry_the_scales_themselves(tmp_path: Path) -> None:
    """As onnxruntime's own quantisation writes them: no QuantizeLinear at the ends."""
    constants = {"a": F(0.5), "b": np.uint8(3), "c": F(0.125), "d": np.uint8(9), "w": np.ones((4, 2), np.uint8)}
    nodes = [("QLinearMatMul", "x a b w a b c d", "m"), ("QLinearSigmoid", "m c d a b", "y")]
    path = build(tmp_path / "m.onnx", {"x": ("uint8", [1, 4])}, nodes, {"y": ("uint8", [1, 2])}, constants)
    graph = Session(path).graph
    assert scale_of_input(graph, "x") == Quantization(0.5, 3) and scale_of_output(graph, "m") == Quantization(0.125, 9)
    assert scale_of_output(graph, "y") == Quantization(0.5, 3)
    assert graph_ends.ending(graph, "y") == "probabilities"


def test_a_scale_for_each_channel_and_a_plain_type_change_say_nothing(tmp_path: Path) -> None:
    constants = {"s": np.asarray([0.5, 0.25], F), "z": np.zeros(2, np.int8)}
    nodes: list[Any] = [("DequantizeLinear", "x s z", "f"), ("Cast", "f", "y", {"to": onnx.TensorProto.INT8})]
    path = build(tmp_path / "m.onnx", {"x": ("int8", [1, 2])}, nodes, {"y": ("int8", [1, 2])}, constants)
    graph = read_graph(path)
    assert scale_of_input(graph, "x") is None and scale_of_output(graph, "y") is None


@pytest.mark.parametrize("content", [b"", b"\xff" * 200, b"\x3a\x7fabc", None], ids=["empty", "ff", "cut", "gone"])
def test_a_file_that_is_not_read_says_nothing(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    assert read_graph(path) == Graph()
    assert graph_ends.ending(Graph(), "y") is None and scale_of_output(Graph(), "y") is None
    assert scale_of_input(Graph(), "x") is None


def test_a_graph_that_is_a_circle_has_no_end(tmp_path: Path) -> None:
    """onnxruntime would refuse it."""
    loop = helper.make_graph([helper.make_node("Identity", ["y"], ["y"])], "g", [], [])
    onnx.save(helper.make_model(loop), str(tmp_path / "m.onnx"))
    assert graph_ends.ending(read_graph(tmp_path / "m.onnx"), "y") is None


def test_constants_are_read_from_every_field_that_may_hold_them(tmp_path: Path) -> None:
    """TensorProto has raw bytes and a field for each group of types; a Constant has attributes for plain numbers."""
    kinds = onnx.TensorProto
    tensors = [
        helper.make_tensor(name, kind, [2], [1, 3])
        for name, kind in [("f2", kinds.FLOAT16), ("f4", kinds.FLOAT), ("f8", kinds.DOUBLE), ("i1", kinds.INT8),
                           ("u2", kinds.UINT16), ("i4", kinds.INT32), ("i8", kinds.INT64), ("u8", kinds.UINT64)]
    ]  # fmt: skip
    plain: dict[str, Any] = {"value_int": -2, "value_ints": [1, 3], "value_float": 0.5, "value_floats": [1, 3]}
    nodes = [helper.make_node("Constant", [], [f"c_{name}"], **{name: value}) for name, value in plain.items()]
    nodes.append(helper.make_node("Cast", ["f2"], ["cast"], to=kinds.FLOAT))
    nodes.append(helper.make_node("Sigmoid", ["cast"], ["y"]))
    tensors.append(helper.make_tensor("long", kinds.FLOAT, [33], [0.0] * 33))
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], tensors)), str(tmp_path / "m.onnx"))
    graph = read_graph(tmp_path / "m.onnx")
    assert {name: graph.values(name) for name in graph.weights} == {
        **{tensor.name: (1.0, 3.0) for tensor in tensors[:-1]}, "long": None,
        "c_value_int": (-2.0,), "c_value_ints": (1.0, 3.0), "c_value_float": (0.5,), "c_value_floats": (1.0, 3.0),
    }  # fmt: skip
    assert graph.weights["long"].dims == (33,) and graph.values("cast") == (1.0, 3.0) and graph.values("y") is None
    assert [node.op for node in graph.nodes] == ["Cast", "Sigmoid"]
