"""What a graph does, where its tensors do not tell, read from the file without the onnx package.

Some exports divide by 255 themselves; fed with 0..1 they would see black. Only the fields needed are read (ONNX's
protobuf definition: ModelProto.graph = 7; GraphProto.node = 1, initializer = 5; NodeProto.input = 1, output = 2,
op_type = 4, attribute = 5; AttributeProto.t = 5; TensorProto.dims = 1, data_type = 2, float_data = 4, name = 8,
raw_data = 9); everything else is stepped over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from inference.engine.protobuf import Broken, Bytes, FileBytes, fields

# Operations that leave the range of the values as it is.
_THROUGH = ("Cast", "Transpose", "Identity", "Unsqueeze", "Squeeze", "Reshape")
_MAX_STEPS = 8
_FLOAT = 1

Node = tuple[list[str], list[str], str, float | None]  # names of inputs and outputs, operation, a constant's value


def scaled_by_255(path: Path, name: str) -> bool:
    """Whether the first thing that happens to the input `name` is a division by 255."""
    return _answered(path, lambda view: _scaled(view, name))


def has_operation(path: Path, op: str) -> bool:
    """Whether the graph has a node of this type (not looking into subgraphs)."""
    return _answered(path, lambda view: any(_node(view, *span)[2] == op for span in _nodes(view)))


def _answered(path: Path, question: Callable[[Bytes], bool]) -> bool:
    with FileBytes(path) as view:
        try:
            return question(view)
        except (struct.error, IndexError, UnicodeDecodeError, Broken):
            return False  # what cannot be read so is onnxruntime's to judge


def _graph(view: Bytes) -> tuple[int, int]:
    return next((span for number, span in fields(view, 0, len(view)) if number == 7), (0, 0))


def _nodes(view: Bytes) -> Iterator[tuple[int, int]]:
    return (span for number, span in fields(view, *_graph(view)) if number == 1)


def _scaled(view: Bytes, name: str) -> bool:
    nodes: list[Node] = []
    constants: dict[str, float] = {}
    for number, (start, end) in fields(view, *_graph(view)):
        if number == 1:
            inputs, outputs, op, value = _node(view, start, end)
            if op == "Constant" and value is not None and outputs:
                constants[outputs[0]] = value
            else:
                nodes.append((inputs, outputs, op, value))
        elif number == 5:
            label, value = _tensor(view, start, end)
            if value is not None:
                constants[label] = value
    return _divides(nodes, constants, name)


def _divides(nodes: list[Node], constants: dict[str, float], name: str) -> bool:
    for _ in range(_MAX_STEPS):
        inputs, outputs, op, _ = next((node for node in nodes if name in node[0]), ([], [], "", None))
        factor = next((constants[i] for i in inputs if i in constants), None)
        if op in ("Div", "Mul"):
            wanted = 255.0 if op == "Div" else 1 / 255
            return factor is not None and abs(factor / wanted - 1) < 1e-3
        if op not in _THROUGH or not outputs:
            return False
        name = outputs[0]
    return False


def _node(view: Bytes, start: int, end: int) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    op, value = "", None
    for number, (first, last) in fields(view, start, end):
        if number == 1:
            inputs.append(bytes(view[first:last]).decode())
        elif number == 2:
            outputs.append(bytes(view[first:last]).decode())
        elif number == 4:
            op = bytes(view[first:last]).decode()
        elif number == 5:
            for inner, span in fields(view, first, last):
                if inner == 5:
                    value = _tensor(view, *span)[1]
    return inputs, outputs, op, value


def _tensor(view: Bytes, start: int, end: int) -> tuple[str, float | None]:
    """(name, the value of a float tensor whose elements, at most 16, are all the same; else None)."""
    name, kind, raw = "", 0, b""
    for number, (first, last) in fields(view, start, end):
        if number == 2:
            kind = first  # a number: its value stands in place of a span
        elif number in (4, 9) and last - first <= 64:
            raw = bytes(view[first:last])
        elif number == 8:
            name = bytes(view[first:last]).decode()
    if kind != _FLOAT or not raw or len(raw) % 4:
        return name, None
    values = struct.unpack(f"<{len(raw) // 4}f", raw)
    return name, values[0] if len(set(values)) == 1 else None
