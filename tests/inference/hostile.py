"""Models that a trial must contain: that never end, that take all memory, that bring the process down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from tests.inference.engine.test_time_limits import MANIFEST, endless
from tests.inference.graphs import build, picture_input, save

SIDE = 8
_OUT: dict[str, tuple[str, list[int]]] = {"scores": ("float32", [1, 2])}


def healthy(folder: Path) -> Path:
    """Answers 0.5 and 0.5."""
    save(folder / "model.onnx", picture_input("x", SIDE), {"scores": np.full((1, 2), 0.5, np.float32)})
    return _declared(folder)


def loop(folder: Path) -> Path:
    """A Loop of 2^62 rounds: it is ended between two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    endless(folder / "model.onnx", always=True)
    return _declared(folder)


def suppression(folder: Path) -> Path:
    """One NonMaxSuppression over 4 million boxes that do not overlap: a single node, which no flag ends."""
    build(
        folder / "model.onnx",
        picture_input("x", SIDE),
        [
            ("ReduceMean", "x", "mean", {"keepdims": 0}),
            ("Range", "zero count one", "rows"),
            ("Add", "rows mean", "shifted"),
            ("Unsqueeze", "shifted last", "left"),
            ("Add", "left half", "right"),
            ("Concat", "left left right right", "corners", {"axis": 1}),
            ("Unsqueeze", "corners first", "boxes"),
            ("Unsqueeze", "shifted both", "marks"),
            ("NonMaxSuppression", "boxes marks most", "chosen"),
            ("Cast", "chosen", "floats", {"to": 1}),
            ("ReduceMean", "floats", "score", {"keepdims": 0}),
            ("Add", "score halves", "scores"),
        ],
        _OUT,
        {
            "zero": np.float32(0), "count": np.float32(4e6), "one": np.float32(1), "half": np.float32(0.5),
            "last": np.asarray([1]), "first": np.asarray([0]), "both": np.asarray([0, 1]),
            "most": np.asarray([2**31]), "halves": np.full((1, 2), 0.5, np.float32),
        },
    )  # fmt: skip
    return _declared(folder)


def laughs(folder: Path, depth: int = 30) -> Path:
    """A function that calls another twice, which calls another twice ...: 2^depth nodes in 2 KB, when it is loaded."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    names = [f"F{i}" for i in range(depth)]
    functions = [
        helper.make_function("f", name, ["a"], ["b"], [_call(after, "a", "c"), _call(after, "c", "b")], opsets)
        for name, after in zip(names, names[1:], strict=False)
    ]
    functions.append(
        helper.make_function("f", names[-1], ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opsets)
    )
    x = helper.make_tensor_value_info("x", 1, [1, 3, SIDE, SIDE])
    y = helper.make_tensor_value_info("scores", 1, [1, 2])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "halves"], ["a"]),
        _call("F0", "a", "scores"),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], [helper.make_tensor("halves", 1, [1, 2], [0.5, 0.5])])
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8), folder / "model.onnx")
    return _declared(folder)


def hungry(folder: Path, numbers: int = 1 << 36) -> Path:
    """Makes a tensor of so many zeros."""
    build(
        folder / "model.onnx",
        picture_input("x", SIDE),
        [
            ("Shape", "x", "sides"),
            ("Mul", "sides many", "size"),
            ("ConstantOfShape", "size", "zeros"),
            ("ReduceSum", "zeros", "sum", {"keepdims": 0}),
            ("Add", "half sum", "scores"),
        ],
        _OUT,
        {"many": np.asarray([numbers // 192, 1, 1, 1]), "half": np.full((1, 2), 0.5, np.float32)},
    )
    return _declared(folder)


def _call(name: str, taken: str, given: str) -> onnx.NodeProto:
    return helper.make_node(name, [taken], [given], domain="f")


def _declared(folder: Path) -> Path:
    (folder / "model.toml").write_text(MANIFEST)
    return folder
