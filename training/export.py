"""From a trained network to the files of a starter model: ONNX, checked against PyTorch, and its int8 twin."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from training.recipe import Predict, Recipe

OPSET, IR_VERSION = 17, 10
PARITY = 1e-4
SMALLEST_HALVED = 1024


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def predictor(path: Path) -> Predict:
    """A callable from pictures (N, 3, H, W) to the file's outputs."""
    opened = session(path)
    name = opened.get_inputs()[0].name
    return lambda pictures: list(opened.run(None, {name: pictures}))


def torch_predictor(network: nn.Module) -> Predict:
    """The same from the network as it shall be exported, in evaluation mode."""

    def predict(pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            outputs = network(torch.from_numpy(pictures))
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return predict


def to_onnx(recipe: Recipe, network: nn.Module, path: Path) -> None:
    """Write `path`, opset 17, with the dynamic axes that the recipe names."""
    height, width = recipe.example
    torch.onnx.export(
        network.cpu().eval(),
        (torch.rand(1, 3, height, width) * 255,),
        str(path),
        input_names=["image"],
        output_names=recipe.outputs,
        dynamic_axes={"image": dict(recipe.input_axes)} | {name: dict(recipe.output_axes) for name in recipe.outputs},
        opset_version=OPSET,
        dynamo=False,
    )
    _settle(path)


def _settle(path: Path) -> None:
    """Check the file, and mark it as one that IR_VERSION can read."""
    model = onnx.load(path)
    model.ir_version = min(model.ir_version, IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def check_parity(network: nn.Module, path: Path, pictures: Sequence[NDArray[np.float32]]) -> float:
    """The largest difference between PyTorch and the file, over the size of the output; raises above 1e-4."""
    worst, expect, predict = 0.0, torch_predictor(network), predictor(path)
    for picture in pictures:
        for expected, output in zip(expect(picture), predict(picture), strict=True):
            worst = max(worst, float(np.abs(expected - output).max() / max(1.0, np.abs(expected).max())))
    if worst > PARITY:
        raise ValueError(f"{path}: differs from PyTorch by {worst:.2e} of the output's size, {PARITY:.0e} is allowed")
    return worst


class _Pictures(CalibrationDataReader):
    def __init__(self, pictures: Sequence[NDArray[np.float32]]) -> None:
        self.rows = iter([{"image": picture} for picture in pictures])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.rows, None)


def to_int8(source: Path, target: Path, pictures: Sequence[NDArray[np.float32]], keep: Sequence[str] = ()) -> None:
    """Static QDQ quantisation, weights per channel, of every convolution and product but those named in `keep`."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(target),
            _Pictures(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "Add", "Concat", "Relu", "AveragePool"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_nodes_using(ready, keep),
            calibrate_method=CalibrationMethod.MinMax,
        )
    _settle(target)


def to_half(source: Path, target: Path) -> None:
    """The same network, with its large weights stored in half precision and widened again when it is loaded."""
    model = onnx.load(source)
    graph = model.graph
    for weight in list(graph.initializer):
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= SMALLEST_HALVED:
            graph.initializer.remove(weight)
            name = f"{weight.name}.half"
            graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), name))
            widen = onnx.helper.make_node("Cast", [name], [weight.name], to=onnx.TensorProto.FLOAT)
            graph.node.insert(0, widen)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _nodes_using(path: Path, weights: Sequence[str]) -> list[str]:
    """Names of the nodes that stay in floating point: convolutions whose weight's name ends like one of `weights`,
    and everything after them, where quantising would only add noise to the answer."""
    if not weights:
        return []
    graph = onnx.load(path).graph
    starts = [n for n in graph.node if any(i.endswith(tuple(weights)) for i in n.input)]
    if not starts:
        raise ValueError(f"{path}: no node uses a weight that ends in one of {list(weights)}")
    tainted, names = {o for n in starts for o in n.output}, [n.name for n in starts]
    for node in graph.node:
        if tainted.intersection(node.input):
            tainted.update(node.output)
            names.append(node.name)
    return names


def describe(recipe: Recipe, path: Path, metrics: Mapping[str, object]) -> None:
    """Write who the file is into the file: name, version, task, labels, data, licence, metrics."""
    model = onnx.load(path)
    del model.metadata_props[:]
    facts = {
        "name": recipe.name,
        "version": recipe.version,
        "task": recipe.task,
        "labels": json.dumps(recipe.labels),
        "data": recipe.source,
        "licence": recipe.licence,
        "metrics": json.dumps(metrics),
        "producer": "Dropsight training",
    }
    onnx.helper.set_model_props(model, facts)
    model.producer_name = "dropsight"
    model.graph.name = recipe.name
    onnx.save(model, path)


def publish(recipe: Recipe, network: nn.Module, out: Path) -> dict[str, object]:
    """Write `out/model.onnx` and its metrics: the smaller form if its main figure is within the recipe's tolerance.

    Smaller is int8, or weights in half precision where the recipe says that quantising spoils the picture.
    """
    form = recipe.export_form(network).cpu().eval()
    kind = "int8" if recipe.quantise else "half"
    whole, small = out / "float.onnx", out / f"{kind}.onnx"
    samples = recipe.calibration(min(32, recipe.limit or 32))
    to_onnx(recipe, form, whole)
    parity = check_parity(form, whole, samples[:3])
    figures = {"float": recipe.measure(predictor(whole))}
    if recipe.quantise:
        to_int8(whole, small, samples, recipe.keep)
    else:
        to_half(whole, small)
    figures[kind] = recipe.measure(predictor(small))
    loss = figures["float"][recipe.main] - figures[kind][recipe.main]
    best = kind if (-loss if recipe.less_is_better else loss) <= recipe.tolerance else "float"
    shutil.copyfile(out / f"{best}.onnx", out / "model.onnx")
    metrics: dict[str, object] = {"parity": parity, "shipped": best, **figures}
    describe(recipe, out / "model.onnx", {"shipped": best, **{k: round(v, 4) for k, v in figures[best].items()}})
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics
