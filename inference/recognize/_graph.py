"""The nodes of a graph and the shapes of its weights, where its tensors do not tell, read without the onnx package.

Only the fields needed are read (ONNX's protobuf definition: ModelProto.graph = 7; GraphProto.node = 1, initializer = 5;
NodeProto.input = 1, output = 2, op_type = 4, attribute = 5; AttributeProto.name = 1, f = 2, i = 3, t = 5, floats = 7;
TensorProto.dims = 1, data_type = 2, float_data = 4, int64_data = 7, name = 8, raw_data = 9); everything else is
stepped over. Subgraphs are not looked into.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from inference.engine.protobuf import Broken, Bytes, FileBytes, fields, varint

_MAX_BYTES = 128  # of a constant whose values are of interest: a mean, a factor, a few indices
_FORMATS = {1: "f", 2: "B", 3: "b", 6: "i", 7: "q", 10: "e", 11: "d"}  # TensorProto.DataType to struct's letters
# Operations that change the shape or the type of a constant and not its values.
_SAME_VALUES = ("Identity", "Unsqueeze", "Squeeze", "Reshape", "Cast")
Values = tuple[float, ...]
Span = tuple[int, int]


@dataclass(frozen=True)
class Weights:
    """The shape of a constant, and its values where they are few numbers."""

    dims: tuple[int, ...]
    values: Values | None = None


@dataclass(frozen=True)
class Node:
    """An operation: names of its inputs and outputs, its whole-number attributes, the constant that it holds."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, int]
    constant: Weights | None = None


@dataclass(frozen=True)
class Graph:
    """weights: initializers and constants by name."""

    nodes: tuple[Node, ...] = ()
    weights: Mapping[str, Weights] = field(default_factory=dict)

    @cached_property
    def operations(self) -> frozenset[str]:
        return frozenset(node.op for node in self.nodes)

    @cached_property
    def users(self) -> Mapping[str, list[Node]]:
        """The nodes that read a tensor."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def makers(self) -> Mapping[str, Node]:
        """The node that writes a tensor."""
        return {name: node for node in self.nodes for name in node.outputs}

    def values(self, name: str) -> Values | None:
        """The few numbers of a constant, also where it is reshaped or dequantised first; None where it is none."""
        for _ in range(8):
            if name in self.weights:
                return self.weights[name].values
            maker = self.makers.get(name)
            if maker is not None and maker.op == "DequantizeLinear":
                return self._dequantised(maker)
            if maker is None or maker.op not in _SAME_VALUES or not maker.inputs:
                return None
            name = maker.inputs[0]
        return None

    def _dequantised(self, node: Node) -> Values | None:
        numbers, scale, *zero = (self.values(name) for name in node.inputs if name)
        if numbers is None or scale is None or len(scale) != 1:
            return None
        origin = zero[0][0] if zero and zero[0] else 0.0
        return tuple((number - origin) * scale[0] for number in numbers)


def read_graph(path: Path) -> Graph:
    """The graph of a file; an empty one where it cannot be read so: that is onnxruntime's to judge."""
    with FileBytes(path) as view:
        try:
            return _graph(view)
        except (struct.error, IndexError, UnicodeDecodeError, Broken):
            return Graph()


def _graph(view: Bytes) -> Graph:
    nodes: list[Node] = []
    weights: dict[str, Weights] = {}
    start, end = next((span for number, span in fields(view, 0, len(view)) if number == 7), (0, 0))
    for number, span in fields(view, start, end):
        if number == 1:
            node = _node(view, span)
            if node.constant is not None and node.outputs:
                weights[node.outputs[0]] = node.constant
            else:
                nodes.append(node)
        elif number == 5:
            name, tensor = _tensor(view, span)
            weights[name] = tensor
    return Graph(tuple(nodes), weights)


def _node(view: Bytes, span: Span) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    numbers: dict[str, int] = {}
    op, constant = "", None
    for number, part in fields(view, *span):
        if number == 1:
            inputs.append(_text(view, part))
        elif number == 2:
            outputs.append(_text(view, part))
        elif number == 4:
            op = _text(view, part)
        elif number == 5:
            name, whole, value = _attribute(view, part)
            if whole is not None:
                numbers[name] = whole
            constant = value or constant
    return Node(op, tuple(inputs), tuple(outputs), numbers, constant if op == "Constant" else None)


def _attribute(view: Bytes, span: Span) -> tuple[str, int | None, Weights | None]:
    """(name, its whole number, its tensor or floats), each where it has one."""
    name, whole, value = "", None, None
    for number, (start, end) in fields(view, *span):
        if number == 1:
            name = _text(view, (start, end))
        elif number == 3:
            whole = start - (1 << 64) if start >> 63 else start
        elif number == 5:
            value = _tensor(view, (start, end))[1]
        elif number in (2, 7) and end - start <= _MAX_BYTES and (end - start) % 4 == 0:
            floats = struct.unpack(f"<{(end - start) // 4}f", view[start:end])
            value = Weights((len(floats),), floats)
    return name, whole, value


def _tensor(view: Bytes, span: Span) -> tuple[str, Weights]:
    """(name, weights) of a TensorProto."""
    name, kind, raw = "", 0, b""
    dims: list[int] = []
    values: Values | None = None
    for number, (start, end) in fields(view, *span):
        if number == 1:
            dims += [start] if start == end else _whole(view, (start, end))
        elif number == 2:
            kind = start  # a number: its value stands in place of a span
        elif number in (4, 9) and end - start <= _MAX_BYTES:
            raw += bytes(view[start:end])
        elif number == 7 and end - start <= _MAX_BYTES:
            values = tuple(float(v) for v in ([start] if start == end else _whole(view, (start, end))))
        elif number == 8:
            name = _text(view, (start, end))
    letter = _FORMATS.get(kind)
    if letter and raw and len(raw) % struct.calcsize(letter) == 0:
        values = tuple(float(v) for v in struct.unpack(f"<{len(raw) // struct.calcsize(letter)}{letter}", raw))
    return name, Weights(tuple(dims), values)


def _text(view: Bytes, span: Span) -> str:
    return bytes(view[span[0] : span[1]]).decode()


def _whole(view: Bytes, span: Span) -> list[int]:
    """Signed whole numbers of a packed field."""
    numbers, at = [], span[0]
    while at < span[1]:
        value, at = varint(view, at)
        numbers.append(value - (1 << 64) if value >> 63 else value)
    return numbers
