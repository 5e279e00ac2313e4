"""Builds model.onnx: a pencil sketch by colour dodge. No weights: grey, Gaussian blur, grey / blur.

python models/sketch/build.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIGMA, RADIUS = 8.0, 20
DARKEN = 1.3  # pencil strokes come out paler than a pencil makes them


def constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def build() -> onnx.ModelProto:
    """RGB 0..255 float [1, 3, H, W] -> grey drawing 0..255 float [1, 1, H, W]; any size above the blur's radius."""
    taps = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2)).astype(np.float32)
    taps /= taps.sum()
    weights = [
        constant("luma", np.asarray([0.299, 0.587, 0.114], np.float32).reshape(1, 3, 1, 1)),
        constant("across", taps.reshape(1, 1, 1, -1)),
        constant("down", taps.reshape(1, 1, -1, 1)),
        constant("margins", np.asarray([0, 0, RADIUS, RADIUS, 0, 0, RADIUS, RADIUS], np.int64)),
        constant("least", np.asarray(1.0, np.float32)),
        constant("one", np.asarray(1.0, np.float32)),
        constant("zero", np.asarray(0.0, np.float32)),
        constant("white", np.asarray(255.0, np.float32)),
        constant("gamma", np.asarray(DARKEN, np.float32)),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "luma"], ["grey"]),
        helper.make_node("Pad", ["grey", "margins"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "across"], ["blurred_across"]),
        helper.make_node("Conv", ["blurred_across", "down"], ["blurred"]),
        helper.make_node("Max", ["blurred", "least"], ["base"]),
        helper.make_node("Div", ["grey", "base"], ["dodge"]),
        helper.make_node("Clip", ["dodge", "zero", "one"], ["paper"]),
        helper.make_node("Pow", ["paper", "gamma"], ["stroke"]),
        helper.make_node("Mul", ["stroke", "white"], ["sketch"]),
    ]
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "sketch",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("sketch", TensorProto.FLOAT, ["batch", 1, "height", "width"])],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="dropsight"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    onnx.save(build(), Path(__file__).with_name("model.onnx"))
