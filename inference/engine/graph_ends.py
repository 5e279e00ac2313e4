"""What a graph begins and ends with: the scales of its whole numbers, and whether its scores are probabilities already.

Read from the file without the onnx package, once, when a model is loaded. ONNX's protobuf definition: ModelProto.graph
= 7; GraphProto.node = 1, initializer = 5; NodeProto.input = 1, output = 2, op_type = 4, attribute = 5; AttributeProto.t
= 5; TensorProto.data_type = 2, float_data = 4, int32_data = 5, name = 8, raw_data = 9.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from inference.engine.protobuf import Broken, FileBytes, fields, varint
from inference.heads import LOGITS, PROBABILITIES
from inference.image.values import Quantization

T = TypeVar("T")
Span = tuple[int, int]

# Operations that leave the range of the values as it is: what comes out is what went in, in another order or less.
_MOVES = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice", "Gather", "Dropout", "Expand"}
# ... and those that take means or maxima of it, or another type for it.
_KEEPS = _MOVES | {
    "Cast", "QuantizeLinear", "DequantizeLinear", "Resize", "Upsample", "MaxPool", "AveragePool", "GlobalAveragePool",
    "GlobalMaxPool", "ReduceMean", "ReduceMax",
}  # fmt: skip
_ACTIVATIONS = {"Softmax", "Sigmoid", "HardSigmoid", "QLinearSoftmax", "QLinearSigmoid"}
# Layers with weights: whatever leaves them has no bounds. A softmax of LogSoftmax is the softmax.
_LAYERS = {
    "Gemm", "MatMul", "Conv", "ConvTranspose", "BatchNormalization", "LogSoftmax", "Einsum", "QGemm", "QLinearMatMul",
    "QLinearConv", "QLinearAdd", "MatMulInteger", "ConvInteger", "FusedMatMul", "FusedGemm", "FusedConv",
}  # fmt: skip
# Where an operation has the scale and, after it, the zero point of its output among its inputs (ONNX, and the
# com.microsoft domain of onnxruntime).
_SCALE_OF_OUTPUT = {
    "QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QLinearAdd": 6, "QLinearMul": 6, "QGemm": 7,
    "QLinearSigmoid": 3, "QLinearSoftmax": 3, "QLinearLeakyRelu": 3, "QLinearGlobalAveragePool": 3,
    "QLinearAveragePool": 3, "QLinearConcat": 0,
}  # fmt: skip
_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}
_MAX_STEPS = 64
_INPUT = "input"  # what is computed from the picture without a layer in between


class Node(NamedTuple):
    """constant: where the tensor of a Constant stands, else (0, 0)."""

    inputs: list[str]
    outputs: list[str]
    op: str
    constant: Span


class GraphEnds:
    """The first and last nodes of an ONNX file; a context manager. The file is opened where something is asked.

    Every answer is None where the file does not say so in a way that is read here.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._graph: _Graph | None = None

    def __enter__(self) -> GraphEnds:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._graph is not None:
            self._graph.view.close()

    def of_input(self, name: str) -> Quantization | None:
        """What the whole numbers of an input stand for: where it is dequantised, or taken by a quantised layer."""
        return self._ask(lambda graph: graph.of_input(name))

    def of_output(self, name: str) -> Quantization | None:
        """What the whole numbers of an output stand for."""
        return self._ask(lambda graph: graph.of_output(name, _MAX_STEPS))

    def step_of_output(self, name: str) -> float | None:
        """By how much the numbers of an output, floats or whole, differ at least where quantisation rounded them."""
        return self._ask(lambda graph: graph.step_of_output(name))

    def ending(self, name: str) -> str | None:
        """PROBABILITIES of a sigmoid or softmax, LOGITS as they leave a layer with weights."""
        kind = self._ask(lambda graph: graph.ending(name, _MAX_STEPS))
        return None if kind == _INPUT else kind

    def _ask(self, question: Callable[[_Graph], T | None]) -> T | None:
        try:
            if self._graph is None:
                self._graph = self._opened()
            return question(self._graph) if self._graph else None
        except (OSError, ValueError, struct.error, IndexError, Broken):
            return None  # what cannot be read so is onnxruntime's to judge

    def _opened(self) -> _Graph | None:
        return None if self._path is None else _Graph(FileBytes(self._path))


class _Graph:
    def __init__(self, view: FileBytes) -> None:
        self.view = view
        graph = next((span for number, span in fields(view, 0, len(view)) if number == 7), (0, 0))
        parts = [(number, span) for number, span in fields(view, *graph) if number in (1, 5)]
        self._nodes = [span for number, span in parts if number == 1]
        self._unread = list(self._nodes)
        self._makers: dict[str, Node] = {}
        self._tensors = [span for number, span in parts if number == 5]
        self._constants: dict[str, Span] | None = None

    def of_input(self, name: str) -> Quantization | None:
        for _ in range(_MAX_STEPS):
            node = next((n for n in map(self._node, self._nodes) if name in n.inputs), None)
            if node is None or not node.outputs:
                return None
            if node.op == "DequantizeLinear" or node.op.startswith("QLinear") or node.op == "QGemm":
                return self._quantization(node, 1) if node.inputs[0] == name else None
            if node.op not in _MOVES:
                return None
            name = node.outputs[0]
        return None

    def step_of_output(self, name: str) -> float | None:
        for _ in range(_MAX_STEPS):
            node = self._maker(name)
            if node is None:
                return None
            if node.op == "DequantizeLinear" or node.op in _SCALE_OF_OUTPUT:
                found = self._quantization(node, _SCALE_OF_OUTPUT.get(node.op, 1))
                return found.scale if found else None
            if node.op not in _MOVES:
                return None
            name = node.inputs[0]
        return None

    def of_output(self, name: str, steps: int) -> Quantization | None:
        node = self._maker(name)
        if node is None or not steps:
            return None
        if node.op in _SCALE_OF_OUTPUT:
            return self._quantization(node, _SCALE_OF_OUTPUT[node.op])
        if node.op in _MOVES or node.op in ("MaxPool", "Resize"):
            return self.of_output(node.inputs[0], steps - 1)
        if node.op == "Concat":
            parts = [self.of_output(part, steps - 1) for part in node.inputs]
            return parts[0] if all(part == parts[0] for part in parts) else None
        return None

    def ending(self, name: str, steps: int) -> str | None:
        node = self._maker(name)
        if node is None or not steps:
            return _INPUT if steps else None
        if node.op in _ACTIVATIONS or (node.op == "Clip" and [self._number(n) for n in node.inputs[1:]] == [0, 1]):
            return PROBABILITIES
        if node.op in _LAYERS:
            return LOGITS
        if node.op in _KEEPS:
            return self.ending(node.inputs[0], steps - 1)
        if node.op == "Clip":  # of a probability, away from 0 and 1; others may be the middle of a hard sigmoid
            return PROBABILITIES if self.ending(node.inputs[0], steps - 1) == PROBABILITIES else None
        if node.op in ("Div", "Reciprocal") and self._spelt_out(node):
            return PROBABILITIES
        if node.op in ("Add", "Sub", "Mul", "Div", "Neg", "Concat", "Max", "Min", "Mean"):
            return self._joined(node, steps)
        return None

    def _joined(self, node: Node, steps: int) -> str | None:
        """Of values put together: probabilities where all of them are and nothing moves them out of 0..1."""
        moving = [name for name in node.inputs if not self._is_constant(name)]
        kinds = {self.ending(name, steps // 2) for name in moving}
        if kinds == {LOGITS}:
            return LOGITS
        if kinds == {PROBABILITIES}:
            counted_from_one = node.op == "Sub" and self._number(node.inputs[0]) == 1
            product = node.op == "Mul" and len(moving) == len(node.inputs)
            return PROBABILITIES if counted_from_one or product or node.op in ("Concat", "Max", "Min", "Mean") else None
        if kinds == {_INPUT}:  # a bias makes a layer of it, but 1 - x may be the other side of a probability
            bias = node.op in ("Add", "Sub") and len(moving) < len(node.inputs)
            return LOGITS if bias and self._number(node.inputs[0]) != 1 else _INPUT
        return None

    def _spelt_out(self, node: Node) -> bool:
        """exp / sum, or 1 / (1 + exp): how some exporters write softmax and sigmoid."""
        above = self._maker(node.inputs[0]) if node.op == "Div" else None
        below = self._maker(node.inputs[-1])
        if above is not None and above.op == "Exp" and below is not None:
            return below.op in ("ReduceSum", "Clip", "Max")
        parts = [self._maker(name) for name in below.inputs] if below is not None and below.op == "Add" else []
        one = above is None and (node.op == "Reciprocal" or self._number(node.inputs[0]) == 1)
        return one and any(part is not None and part.op == "Exp" for part in parts)

    def _maker(self, name: str) -> Node | None:
        """The node that puts out this tensor; nodes are read from the last on, as outputs are made at the end."""
        while name not in self._makers and self._unread:
            node = self._node(self._unread.pop())
            self._makers.update(dict.fromkeys(node.outputs, node))
        return self._makers.get(name)

    def _node(self, span: Span) -> Node:
        inputs: list[str] = []
        outputs: list[str] = []
        op, constant = "", (0, 0)
        for number, (first, last) in fields(self.view, *span):
            if number in (1, 2):
                (inputs if number == 1 else outputs).append(bytes(self.view[first:last]).decode())
            elif number == 4:
                op = bytes(self.view[first:last]).decode()
            elif number == 5:
                constant = next((s for inner, s in fields(self.view, first, last) if inner == 5), constant)
        return Node(inputs, outputs, op, constant)

    def _initializers(self) -> dict[str, Span]:
        if self._constants is None:
            self._constants = {}
            for span in self._tensors:
                name = next((s for number, s in fields(self.view, *span) if number == 8), (0, 0))
                self._constants[bytes(self.view[name[0] : name[1]]).decode()] = span
        return self._constants

    def _is_constant(self, name: str) -> bool:
        if name in self._initializers():
            return True
        maker = self._maker(name)
        return maker is not None and maker.op == "Constant"

    def _quantization(self, node: Node, place: int) -> Quantization | None:
        """From the scale at a place among the inputs and the zero point after it, which is 0 where it is left out."""
        scale = self._number(node.inputs[place])
        zero = self._number(node.inputs[place + 1]) if len(node.inputs) > place + 1 and node.inputs[place + 1] else 0.0
        return Quantization(scale, int(zero)) if scale and scale > 0 and zero is not None else None

    def _number(self, name: str) -> float | None:
        """The value of a constant of a single element, through the nodes that only move it; else None."""
        span = self._initializers().get(name)
        if span is None:
            maker = self._maker(name)
            if maker is None or maker.op != "Constant":
                return None
            span = maker.constant
        kind, parts = 0, b""
        values: list[float] = []
        for number, (first, last) in fields(self.view, *span):
            if number == 2:
                kind = first  # a number: its value stands in place of a span
            elif number in (4, 9):
                parts += bytes(self.view[first : min(last, first + 64)])
            elif number == 5:
                values += self._whole(first, last)
        if parts and kind in _DTYPES:
            values = [float(v) for v in np.frombuffer(parts, _DTYPES[kind])]
        return float(values[0]) if len(values) == 1 else None

    def _whole(self, first: int, last: int) -> Iterator[float]:
        """Packed numbers, or a single one, of int32_data; negative ones are stored in 64 bits."""
        if first == last:
            yield float(first - (1 << 64) if first >> 63 else first)
        while first < last:
            value, first = varint(self.view, first)
            yield float(value - (1 << 64) if value >> 63 else value)
