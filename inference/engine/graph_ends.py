"""What a graph begins and ends with: the scales of its whole numbers, and whether its scores are probabilities already.

Every answer is None where the file does not say so in a way that is read here.
"""

from __future__ import annotations

from inference.engine.graph import Graph, Node
from inference.heads import LOGITS, PROBABILITIES
from inference.image.values import Quantization

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
_MAX_STEPS = 64
_INPUT = "input"  # what is computed from the picture without a layer in between


def scale_of_input(graph: Graph, name: str) -> Quantization | None:
    """What the whole numbers of an input stand for: where it is dequantised, or taken by a quantised layer."""
    for _ in range(_MAX_STEPS):
        node = next(iter(graph.users.get(name, ())), None)
        if node is None or not node.outputs:
            return None
        if node.op == "DequantizeLinear" or node.op.startswith("QLinear") or node.op == "QGemm":
            return _quantization(graph, node, 1) if node.inputs[0] == name else None
        if node.op not in _MOVES:
            return None
        name = node.outputs[0]
    return None


def scale_of_output(graph: Graph, name: str, steps: int = _MAX_STEPS) -> Quantization | None:
    """What the whole numbers of an output stand for. steps: how many nodes to go back; a bad graph may be a circle."""
    node = graph.makers.get(name)
    if node is None or not node.inputs or not steps:
        return None
    if node.op in _SCALE_OF_OUTPUT:
        return _quantization(graph, node, _SCALE_OF_OUTPUT[node.op])
    if node.op in _MOVES or node.op in ("MaxPool", "Resize"):
        return scale_of_output(graph, node.inputs[0], steps - 1)
    if node.op == "Concat":
        parts = [scale_of_output(graph, part, steps - 1) for part in node.inputs]
        return parts[0] if all(part == parts[0] for part in parts) else None
    return None


def step_of_output(graph: Graph, name: str) -> float | None:
    """By how much the numbers of an output, floats or whole, differ at least where quantisation rounded them."""
    for _ in range(_MAX_STEPS):
        node = graph.makers.get(name)
        if node is None or not node.inputs:
            return None
        if node.op == "DequantizeLinear" or node.op in _SCALE_OF_OUTPUT:
            found = _quantization(graph, node, _SCALE_OF_OUTPUT.get(node.op, 1))
            return found.scale if found else None
        if node.op not in _MOVES:
            return None
        name = node.inputs[0]
    return None


def ending(graph: Graph, name: str) -> str | None:
    """PROBABILITIES of a sigmoid or softmax, LOGITS as they leave a layer with weights."""
    kind = _kind(graph, name, _MAX_STEPS) if graph.nodes else None
    return None if kind == _INPUT else kind


def _kind(graph: Graph, name: str, steps: int) -> str | None:
    """As `ending`, or _INPUT."""
    node = graph.makers.get(name)
    if node is None or not node.inputs or not steps:
        return _INPUT if steps else None
    if node.op in _ACTIVATIONS or (node.op == "Clip" and [_number(graph, n) for n in node.inputs[1:]] == [0, 1]):
        return PROBABILITIES
    if node.op in _LAYERS:
        return LOGITS
    if node.op in _KEEPS:
        return _kind(graph, node.inputs[0], steps - 1)
    if node.op == "Clip":  # of a probability, away from 0 and 1; others may be the middle of a hard sigmoid
        return PROBABILITIES if _kind(graph, node.inputs[0], steps - 1) == PROBABILITIES else None
    if node.op in ("Div", "Reciprocal") and _spelt_out(graph, node):
        return PROBABILITIES
    if node.op in ("Add", "Sub", "Mul", "Div", "Neg", "Concat", "Max", "Min", "Mean"):
        return _joined(graph, node, steps)
    return None


def _joined(graph: Graph, node: Node, steps: int) -> str | None:
    """Of values put together: probabilities where all of them are and nothing moves them out of 0..1."""
    moving = [name for name in node.inputs if graph.constant(name) is None]
    kinds = {_kind(graph, name, steps // 2) for name in moving}
    if kinds == {LOGITS}:
        return LOGITS
    if kinds == {PROBABILITIES}:
        counted_from_one = node.op == "Sub" and _number(graph, node.inputs[0]) == 1
        product = node.op == "Mul" and len(moving) == len(node.inputs)
        return PROBABILITIES if counted_from_one or product or node.op in ("Concat", "Max", "Min", "Mean") else None
    if kinds == {_INPUT}:  # a bias makes a layer of it, but 1 - x may be the other side of a probability
        bias = node.op in ("Add", "Sub") and len(moving) < len(node.inputs)
        return LOGITS if bias and _number(graph, node.inputs[0]) != 1 else _INPUT
    return None


def _spelt_out(graph: Graph, node: Node) -> bool:
    """exp / sum, or 1 / (1 + exp): how some exporters write softmax and sigmoid."""
    above = graph.makers.get(node.inputs[0]) if node.op == "Div" else None
    below = graph.makers.get(node.inputs[-1])
    if above is not None and above.op == "Exp" and below is not None:
        return below.op in ("ReduceSum", "Clip", "Max")
    parts = [graph.makers.get(name) for name in below.inputs] if below is not None and below.op == "Add" else []
    one = above is None and (node.op == "Reciprocal" or _number(graph, node.inputs[0]) == 1)
    return one and any(part is not None and part.op == "Exp" for part in parts)


def _quantization(graph: Graph, node: Node, place: int) -> Quantization | None:
    """From the scale at a place among the inputs and the zero point after it, which is 0 where it is left out."""
    scale, zero = (_number(graph, name) if name else 0.0 for name in (*node.inputs, "", "")[place : place + 2])
    return Quantization(scale, int(zero)) if scale and scale > 0 and zero is not None else None


def _number(graph: Graph, name: str) -> float | None:
    """The value of a constant of a single element; else None."""
    values = graph.values(name)
    return values[0] if values is not None and len(values) == 1 else None
