"""Tiny ONNX files with an exporter's exact signature, whose outputs are what the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "uint16": TensorProto.UINT16,
    "int16": TensorProto.INT16,
    "bool": TensorProto.BOOL,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}
Shape = Sequence[int | str | None]


def save(
    path: Path,
    inputs: Mapping[str, tuple[str, Shape]],
    outputs: Mapping[str, Any],
    shapes: Mapping[str, Shape] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A graph that answers `outputs` whatever it is fed; `shapes` are declared where the exporter leaves axes free."""
    nodes, infos = [], []
    for name, value in outputs.items():
        array = np.asarray(value)
        nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array)))
        shape = (shapes or {}).get(name, array.shape)
        infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape))
    feeds = [helper.make_tensor_value_info(n, KINDS[kind], shape) for n, (kind, shape) in inputs.items()]
    graph = helper.make_graph(nodes, "g", feeds, infos)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def build(
    path: Path,
    inputs: Mapping[str, tuple[str, Shape]],
    nodes: Sequence[tuple[str, str, str] | tuple[str, str, str, Mapping[str, Any]]],
    outputs: Mapping[str, tuple[str, Shape]],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
) -> Path:
    """A graph of nodes (operation, "inputs", "outputs", attributes) and named constants; names are parted by spaces.

    QLinear operations that ONNX does not have are onnxruntime's own.
    """
    made = []
    for op, taken, given, *attributes in nodes:
        own = op.startswith("QLinear") and op not in ("QLinearConv", "QLinearMatMul") or op == "QGemm"
        domain = "com.microsoft" if own else ""
        made.append(helper.make_node(op, taken.split(), given.split(), domain=domain, **dict(*attributes)))
    infos = [
        [helper.make_tensor_value_info(name, KINDS[kind], shape) for name, (kind, shape) in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(made, "g", infos[0], infos[1], tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def picture_input(name: str, size: Any = 64, kind: str = "float32") -> dict[str, tuple[str, Shape]]:
    """One NCHW input of a side (or of height and width)."""
    height, width = size if isinstance(size, tuple) else (size, size)
    return {name: (kind, [1, 3, height, width])}
