"""What a graph does to its picture before anything else: exports that divide by 255 or subtract a mean themselves
would be fed twice as dark, or wrongly coloured, if it were done outside, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.engine.graph import Graph, Node, Values

# Operations that leave the values as they are; Gather, Slice, Split and Concat do where they take a picture of a batch.
_THROUGH = ("Cast", "Transpose", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Resize", "Upsample")
_MAX_STEPS = 24
# Mean colours of photos, red, green, blue, in 0..1: ImageNet's, and those that other frameworks rounded or measured.
_MEAN_RGB = (0.485, 0.456, 0.406)
_MEAN_OF_PIXELS = 16  # a smaller one may be of normalised values, which reach 3 and more
_OUTSIDE = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


@dataclass(frozen=True)
class Opening:
    """value = pixel * factor + shift, by channel, with which the network proper begins.

    used: whether any operation reads the picture. swapped: whether the graph reverses its channels.
    """

    used: bool = True
    factor: Values = (1.0,)
    shift: Values = (0.0,)
    swapped: bool = False
    kernel: int = 0

    @property
    def mean(self) -> Values | None:
        """What is subtracted, in the range of the input; None where nothing is."""
        if not any(self.shift) or not all(self.factor):
            return None
        count = max(len(self.shift), len(self.factor))
        pairs = zip(self.factor * (count // len(self.factor)), self.shift * (count // len(self.shift)), strict=True)
        return tuple(-s / f for f, s in pairs)

    @property
    def takes(self) -> str:
        """The range that the input then must have: "0..255" or "0..1"; empty where the graph does not tell."""
        mean, factor = self.mean, self.factor[0]
        if mean is not None:
            known = min(mean) >= 0 and max(mean) < 200
            return "" if not known else "0..255" if max(mean) > 1.5 else "0..1"
        if 1 / 300 < factor < 1 / 100:  # 1/256, 1/255, 1/128, 1/127.5
            return "0..255"
        return "0..1" if 100 < factor < 300 else ""

    @property
    def color_order(self) -> str:
        """ "rgb" or "bgr" where the mean shows it."""
        if self.mean is None or len(self.mean) != 3:
            return ""
        scale = 255 if self.takes == "0..255" else 1
        for order, known in (("rgb", _MEAN_RGB), ("bgr", _MEAN_RGB[::-1])):
            if all(abs(own / scale - k) < 0.015 for own, k in zip(self.mean, known, strict=True)):
                return {"rgb": "bgr", "bgr": "rgb"}[order] if self.swapped else order
        return ""

    def in_words(self) -> str:
        mean = f", less [{', '.join(f'{v:.6g}' for v in self.mean)}]" if self.mean else ""
        return f"the graph scales its input itself: it takes {self.takes}{mean}"


def opening_of(graph: Graph, name: str) -> Opening:
    """What happens first to the input `name`."""
    factor: Values = (1.0,)
    shift: Values = (0.0,)
    swapped = False
    for step in range(_MAX_STEPS):
        nodes = [node for node in graph.users.get(name, ()) if node.op not in ("Shape", "Size")]
        if not nodes and step == 0 and graph.weights and not graph.operations & {"If", "Loop", "Scan"}:
            return Opening(used=False)
        if len(nodes) != 1 or not nodes[0].outputs:
            return Opening(True, factor, shift, swapped, max((_kernel(graph, n) for n in nodes), default=0))
        node = nodes[0]
        constant = next((v for i in node.inputs if i != name and (v := graph.values(i)) is not None), None)
        computes = node.op in ("Add", "Mul") or (node.op in ("Sub", "Div") and node.inputs[0] == name)
        if computes and constant is not None:
            factor, shift = _after(node.op, constant, factor, shift)
        elif _reverses(graph, node):
            swapped = not swapped
        elif node.op not in _THROUGH and not _takes_one(graph, node) and not _of_a_pair(graph, node):
            return Opening(True, factor, shift, swapped, _kernel(graph, node))
        name = node.outputs[0]
    return Opening(True, factor, shift, swapped)


def _after(op: str, constant: Values, factor: Values, shift: Values) -> tuple[Values, Values]:
    """Factor and shift after one more operation with a constant, by channel."""
    if any(len(c) not in (1, len(constant)) for c in (factor, shift)) and len(constant) != 1:
        return (0.0,), (0.0,)  # constants that do not fit each other: nothing is known
    if op in ("Sub", "Add"):
        sign = 1 if op == "Add" else -1
        return factor, _each(lambda s, c: s + sign * c, shift, constant)
    if op == "Div" and not all(constant):
        return (0.0,), (0.0,)
    scale = tuple(1 / c for c in constant) if op == "Div" else constant
    return _each(lambda f, c: f * c, factor, scale), _each(lambda s, c: s * c, shift, scale)


def _each(combine: Any, first: Values, second: Values) -> Values:
    count = max(len(first), len(second))
    pairs = zip(first * (count // len(first)), second * (count // len(second)), strict=True)
    return tuple(combine(a, b) for a, b in pairs)


def _takes_one(graph: Graph, node: Node) -> bool:
    """Whether it takes one picture out of a batch, or makes a batch of one."""
    if node.op == "Gather":
        return node.numbers.get("axis", 0) == 0 and graph.values(node.inputs[1]) == (0.0,)
    if node.op == "Slice":  # data, starts, ends, axes, steps
        return [graph.values(name) for name in node.inputs[1:5:2]] == [(0.0,), (0.0,)]
    lists = ("Split", "Concat", "SplitToSequence", "SequenceAt")
    return node.op in lists and len(node.outputs) == 1 and node.numbers.get("axis", 0) == 0


def _of_a_pair(graph: Graph, node: Node) -> bool:
    """Whether it is half of QuantizeLinear and DequantizeLinear, which quantisation (QDQ) puts around all that follows,
    and which together only round."""
    if node.op == "QuantizeLinear":
        return all(user.op == "DequantizeLinear" for user in graph.users.get(node.outputs[0], ()))
    maker = graph.makers.get(node.inputs[0])
    return node.op == "DequantizeLinear" and maker is not None and maker.op == "QuantizeLinear"


def _reverses(graph: Graph, node: Node) -> bool:
    """Whether it reverses the channels."""
    if node.op == "Gather" and len(node.inputs) > 1:
        return graph.values(node.inputs[1]) == (2.0, 1.0, 0.0)
    return node.op == "Slice" and len(node.inputs) == 5 and graph.values(node.inputs[4]) == (-1.0,)


def _kernel(graph: Graph, node: Node) -> int:
    """The side of a convolution's kernel; 0 for other operations."""
    dims = graph.weights[node.inputs[1]].dims if len(node.inputs) > 1 and node.inputs[1] in graph.weights else ()
    return dims[-1] if node.op == "Conv" and len(dims) == 4 else 0


def outside(how: Mapping[str, Any], opening: Opening) -> tuple[dict[str, Any], str]:
    """(a family's preprocessing without what the graph does itself, a sentence on that; empty where it does nothing).

    A mean that the graph subtracts shows the colour order, too.
    """
    if not opening.takes:
        return dict(how), ""
    rest = {key: value for key, value in how.items() if key not in _OUTSIDE}
    if opening.takes == "0..255":
        rest["do_rescale"] = False
    if opening.color_order:
        rest["color_order"] = opening.color_order
    words = f"{opening.in_words()}; it is fed so"
    if how.get("do_normalize") and opening.mean is None:
        words += ", without the family's mean (do_normalize, image_mean and image_std under [preprocess] add one)"
    return rest, words


def not_twice(how: Mapping[str, Any], opening: Opening) -> tuple[dict[str, Any], str]:
    """(a stated preprocessing without the division by 255 that the graph does, too; a sentence on that).

    A mean of the side file then is one of 0..255: the graph divides what is left. Empty where nothing is done twice.
    """
    rescaled = how.get("do_rescale", True) and how.get("rescale_factor", 1 / 255) < 1 / 100
    small = opening.mean is not None and max(opening.mean) < _MEAN_OF_PIXELS
    if not rescaled or opening.takes != "0..255" or small:
        return dict(how), ""
    words = f"{opening.in_words()}; it is fed so, although do_rescale is stated, too"
    words += "; do_rescale = true under [preprocess] of model.toml does both"
    if opening.mean is not None or abs(255 * opening.factor[0] - 1) > 0.01 or "rescale_factor" in how:
        return outside(how, opening)[0], words
    mean = {"image_mean": [255 * value for value in how["image_mean"]]} if how.get("do_normalize") else {}
    return {**how, "do_rescale": False, **mean}, words
