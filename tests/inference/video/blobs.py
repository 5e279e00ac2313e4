"""A clip of moving blobs, and a detector of them that needs no weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

SIZE = (320, 192)


def blob_detector(folder: Path) -> None:
    """A YOLOX-shaped model that finds bright fields: a cell of 32 pixels scores as bright as it is."""
    folder.mkdir()
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE[1], SIZE[0]])
    cells = (SIZE[0] // 32) * (SIZE[1] // 32)
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cells, 6])
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1, 1, cells])
    half = helper.make_tensor("half", TensorProto.FLOAT, [1, 2, cells], [0.5] * 2 * cells)
    size = helper.make_tensor("size", TensorProto.FLOAT, [1, 2, cells], [0.2] * 2 * cells)
    one = helper.make_tensor("one", TensorProto.FLOAT, [1, 1, cells], [1.0] * cells)
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[32, 32], strides=[32, 32]),
        helper.make_node("ReduceMean", ["pooled"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Reshape", ["mean", "shape"], ["score"]),
        helper.make_node("Concat", ["half", "size", "score", "one"], ["rows"], axis=1),
        helper.make_node("Transpose", ["rows"], ["output"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(nodes, "g", [picture], [output], [shape, half, size, one])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(folder / "model.onnx")
    )
    (folder / "model.toml").write_text(
        'name = "fields"\ntask = "object-detection"\nhead = "yolox"\nlabels = ["field"]\n'
        "[postprocess]\nconfidence_threshold = 0.5\nparams = { strides = [32] }\n"
    )


def scene(i: int) -> NDArray[np.uint8]:
    """Bright squares that walk, flicker and meet, over a dark textured ground that shakes."""
    rng = np.random.default_rng(5)
    ground = rng.integers(0, 40, (SIZE[1] // 8 + 8, SIZE[0] // 8 + 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    shake = int(6 * np.sin(i * 1.7))
    pixels = ground[8 + shake : 8 + shake + SIZE[1], 8 : 8 + SIZE[0]].copy()
    places = [(10 + 2 * i % 300, 20), (280 - int(1.5 * i) % 260, 70 if i % 40 < 33 else 500), (90, 130)]
    for number, (x, y) in enumerate(places):
        level = 250 if number < 2 or i % 29 > 4 else 110
        pixels[y : y + 44, x : x + 44] = level
    return pixels
