"""The nodes of a graph, and the shapes and few numbers of its constants, read without the onnx package.

Only the fields needed are read (ONNX's protobuf definition: ModelProto.graph = 7; GraphProto.node = 1, initializer = 5;
NodeProto.input = 1, output = 2, op_type = 4, attribute = 5; AttributeProto.name = 1, f = 2, i = 3, t = 5, floats = 7,
ints = 8; TensorProto.dims = 1, data_type = 2, float_data = 4, int32_data = 5, int64_data = 7, name = 8, raw_data = 9,
double_data = 10, uint64_data = 11); everything else is stepped over. Subgraphs are not looked into;
engine/external_data.py does, and looks for nothing but the names of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.engine.protobuf import Broken, Bytes, FileBytes, Span, fields, varint

_MAX_BYTES = 128  # of a constant whose values are of interest: a mean, a factor, a scale, a few indices
_SMALL = 1 << 13
# TensorProto.DataType to numpy's types.
_DTYPES = {
    1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8",
}  # fmt: skip
_HALF = 10
# Operations that change the shape or the type of a constant and not its values.
_SAME_VALUES = ("Identity", "Unsqueeze", "Squeeze", "Reshape", "Cast")
Values = tuple[float, ...]


class Constant(NamedTuple):
    """The shape of an initializer or of a Constant node, and its values where they are few numbers."""

    dims: tuple[int, ...]
    values: Values | None = None


class Node(NamedTuple):
    """An operation: names of its inputs and outputs, its whole-number attributes, the constant that it holds."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, int]
    constant: Constant | None = None


@dataclass(frozen=True)
class Graph:
    """nodes: in the file's order, without those that only hold a constant. weights: initializers and constants by
    name. Both are empty where the file cannot be read."""

    nodes: tuple[Node, ...] = ()
    weights: Mapping[str, Constant] = field(default_factory=dict)

    @cached_property
    def operations(self) -> frozenset[str]:
        return frozenset(node.op for node in self.nodes)

    @cached_property
    def users(self) -> Mapping[str, list[Node]]:
        """The nodes that read a tensor, in the file's order."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def makers(self) -> Mapping[str, Node]:
        """The node that writes a tensor."""
        return {name: node for node in self.nodes for name in node.outputs}

    def constant(self, name: str) -> Constant | None:
        """The constant behind a tensor, also where it is reshaped, cast or dequantised; None where there is none."""
        for _ in range(8):
            if name in self.weights:
                return self.weights[name]
            maker = self.makers.get(name)
            if maker is not None and maker.op == "DequantizeLinear":
                return self._dequantised(maker)
            if maker is None or maker.op not in _SAME_VALUES or not maker.inputs:
                return None
            name = maker.inputs[0]
        return None

    def _dequantised(self, node: Node) -> Constant | None:
        """As quantisers store weights and biases. Of a scale by channel the values stay unknown."""
        numbers, scale, *zero = (self.weights.get(name) for name in node.inputs if name)
        if numbers is None or scale is None:
            return None
        values, steps = numbers.values, scale.values or ()
        if values is None or len(steps) != 1:
            return Constant(numbers.dims)
        origin = zero[0].values[0] if zero and zero[0] and zero[0].values else 0.0
        return Constant(numbers.dims, tuple((value - origin) * steps[0] for value in values))

    def values(self, name: str) -> Values | None:
        """The few numbers of a constant; None where it is none, or has more."""
        constant = self.constant(name)
        return constant.values if constant else None


def read_graph(path: Path) -> Graph:
    """The graph of a file; an empty one where it cannot be read so: that is onnxruntime's to judge."""
    try:
        with FileBytes(path) as view:
            return _graph(view)
    except (OSError, ValueError, IndexError, Broken):
        return Graph()


def _graph(view: Bytes) -> Graph:
    nodes: list[Node] = []
    weights: dict[str, Constant] = {}
    start, end = next((span for number, span in fields(view, 0, len(view)) if number == 7), (0, 0))
    for number, span in fields(view, start, end):
        if number == 1:
            node = _node(*_apart(view, span))
            if node.constant is not None and node.outputs:
                weights[node.outputs[0]] = node.constant
            else:
                nodes.append(node)
        elif number == 5:
            name, tensor = _tensor(*_apart(view, span))
            weights[name] = tensor
    return Graph(tuple(nodes), weights)


def _apart(view: Bytes, span: Span) -> tuple[Bytes, Span]:
    """A small message by itself: bytes are looked up several times faster than those of a file."""
    start, end = span
    return (view[start:end], (0, end - start)) if end - start <= _SMALL else (view, span)


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


def _attribute(view: Bytes, span: Span) -> tuple[str, int | None, Constant | None]:
    """(name, its whole number, what it holds where it is a Constant's), each where it has one."""
    name, whole, value = "", None, None
    ints: list[int] = []
    for number, (start, end) in fields(view, *span):
        if number == 1:
            name = _text(view, (start, end))
        elif number == 3:
            (whole,) = _whole(view, (start, end))
            value = Constant((), (float(whole),))
        elif number == 5:
            value = _tensor(view, (start, end))[1]
        elif number in (2, 7) and end - start <= _MAX_BYTES:
            floats = tuple(np.frombuffer(view[start:end], "<f4").tolist())
            value = Constant((len(floats),), floats)
        elif number == 8 and end - start <= _MAX_BYTES:
            ints += _whole(view, (start, end))
            value = Constant((len(ints),), tuple(map(float, ints)))
    return name, whole, value


def _tensor(view: Bytes, span: Span) -> tuple[str, Constant]:
    """(name, constant) of a TensorProto."""
    name, kind, raw = "", 0, b""
    dims: list[int] = []
    whole: list[int] = []
    for number, (start, end) in fields(view, *span):
        if number == 1:
            dims += _whole(view, (start, end))
        elif number == 2:
            kind = start  # a number: its value stands in place of a span
        elif number in (4, 9, 10) and end - start <= _MAX_BYTES:
            raw += bytes(view[start:end])
        elif number in (5, 7, 11) and end - start <= _MAX_BYTES:
            whole += _whole(view, (start, end))
        elif number == 8:
            name = _text(view, (start, end))
    if whole and kind == _HALF:  # int32_data has the bits of half floats
        raw, whole = np.asarray(whole, "<u2").tobytes(), []
    values = tuple(map(float, whole)) if whole else None
    if raw and kind in _DTYPES and len(raw) <= _MAX_BYTES:
        values = tuple(map(float, np.frombuffer(raw, _DTYPES[kind]).tolist()))
    return name, Constant(tuple(dims), values)


def _text(view: Bytes, span: Span) -> str:
    return bytes(view[span[0] : span[1]]).decode()


def _whole(view: Bytes, span: Span) -> list[int]:
    """Signed whole numbers of a packed field, or the one of a field that is not packed."""
    at, end = span
    values = [at] if at == end else []
    while at < end:
        value, at = varint(view, at)
        values.append(value)
    return [value - (1 << 64) if value >> 63 else value for value in values]
