"""Builds model.onnx: a cartoon without weights. Smooth the areas, level the shades, ink the edges.

python models/cartoon/build.py
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SPACINGS = (1, 2, 4, 2)  # pixels between the nine samples of each round of smoothing
TOLERANCE = 24.0  # levels of brightness that count as the same area
SHADES = 7
SATURATION = 1.35
LUMA = (0.299, 0.587, 0.114)


class Graph:
    """Nodes and constants as they come; every method returns the name of what it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def value(self, number: float | NDArray[np.generic]) -> str:
        array = np.asarray(number, np.float32) if isinstance(number, float) else number
        name = f"c_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def grey(self, colour: str) -> str:
        return self.add("Conv", colour, self.value(np.asarray(LUMA, np.float32).reshape(1, 3, 1, 1)))

    def pad(self, picture: str, margin: int) -> str:
        edges = np.asarray([0, 0, margin, margin, 0, 0, margin, margin], np.int64)
        return self.add("Pad", picture, self.value(edges), mode="edge")

    def shifted(self, padded: str, margin: int, down: int, right: int) -> str:
        """The picture inside `padded`, moved."""
        begin = np.asarray([margin + down, margin + right], np.int64)
        # an end of zero would mean the beginning, so the last row and column are named by a large number
        end = np.asarray([down - margin or 2**31, right - margin or 2**31], np.int64)
        return self.add("Slice", padded, self.value(begin), self.value(end), self.value(np.asarray([2, 3], np.int64)))


def smooth(graph: Graph, colour: str, spacing: int) -> str:
    """Mean of nine samples, each weighted by how near its brightness is (edge-avoiding a-trous filter,
    Dammertz et al., 2010)."""
    centre, padded = graph.grey(colour), graph.pad(colour, spacing)
    total, weights = colour, ""
    falloff = graph.value(-1.0 / (2 * TOLERANCE**2))
    for down, right in product((-spacing, 0, spacing), repeat=2):
        if (down, right) == (0, 0):
            continue
        sample = graph.shifted(padded, spacing, down, right)
        difference = graph.add("Sub", graph.grey(sample), centre)
        squared = graph.add("Mul", difference, difference)
        weight = graph.add("Exp", graph.add("Mul", squared, falloff))
        total = graph.add("Add", total, graph.add("Mul", sample, weight))
        weights = graph.add("Add", weights, weight) if weights else graph.add("Add", weight, graph.value(1.0))
    return graph.add("Div", total, weights)


def level(graph: Graph, colour: str) -> str:
    """Brightness in SHADES steps with short ramps between them; the colour keeps its hue and gains strength."""
    grey = graph.grey(colour)
    step = 255.0 / SHADES
    place = graph.add("Div", grey, graph.value(step))
    floor = graph.add("Floor", place)
    ramp = graph.add("Sub", graph.add("Sub", place, floor), graph.value(0.5))
    eased = graph.add("Sigmoid", graph.add("Mul", ramp, graph.value(9.0)))
    levelled = graph.add("Mul", graph.add("Add", floor, eased), graph.value(step))
    strength = graph.add("Mul", graph.add("Sub", colour, grey), graph.value(SATURATION))
    return graph.add("Add", levelled, strength)


def blur(graph: Graph, grey: str, sigma: float) -> str:
    radius = int(3 * sigma) + 1
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2)).astype(np.float32)
    taps /= taps.sum()
    across = graph.add("Conv", graph.pad(grey, radius), graph.value(taps.reshape(1, 1, 1, -1)))
    return graph.add("Conv", across, graph.value(taps.reshape(1, 1, -1, 1)))


def ink(graph: Graph, colour: str) -> str:
    """1 on paper and towards 0 on dark lines: a soft threshold on the difference of two Gaussians
    (XDoG, Winnemoeller et al., 2012)."""
    grey = graph.grey(colour)
    fine, coarse = blur(graph, grey, 1.0), blur(graph, grey, 1.8)
    lines = graph.add("Add", graph.add("Sub", fine, coarse), graph.value(4.0))
    return graph.add("Sigmoid", graph.add("Mul", lines, graph.value(0.9)))


def build() -> onnx.ModelProto:
    """RGB 0..255 float [1, 3, H, W] -> the same; any size from 8 pixels."""
    graph, colour = Graph(), "image"
    for spacing in SPACINGS:
        colour = smooth(graph, colour, spacing)
    drawn = graph.add("Mul", level(graph, colour), ink(graph, colour))
    graph.nodes.append(helper.make_node("Clip", [drawn, graph.value(0.0), graph.value(255.0)], ["cartoon"]))
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    made = helper.make_graph(
        graph.nodes,
        "cartoon",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("cartoon", TensorProto.FLOAT, shape)],
        list(graph.constants.values()),
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="dropsight"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    onnx.save(build(), Path(__file__).with_name("model.onnx"))
