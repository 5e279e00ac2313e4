"""Pictures of one to four pixels a side: what a graph answers for them has their size, whatever else is as short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference.engine.registry import Registry
from inference.image.media import Picture
from inference.predictions import OutputImage

SIDES = ((1, 1), (2, 2), (3, 3), (4, 4), (2, 300), (3, 1), (3, 300), (300, 3), (4, 300), (1, 300))


def network(folder: Path, channels: int, last: bool, nodes: list[onnx.NodeProto]) -> Path:
    """A graph over pictures of any size, NCHW or NHWC."""
    shape: list[str | int | None] = [1, "h", "w", channels] if last else [1, channels, "h", "w"]
    took: list[str | int | None] = [1, "h", "w", 3] if last else [1, 3, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, took)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("size", SIDES)
def test_channels_are_not_mistaken_for_a_side(tmp_path: Path, size: tuple[int, int], last: bool) -> None:
    """Given back as it came, and as the mean of its channels: the axis of the channels is the right one."""
    width, height = size
    axis = 3 if last else 1
    same = network(tmp_path / "same", 3, last, [helper.make_node("Identity", ["x"], ["y"])])
    grey = network(tmp_path / "grey", 1, last, [helper.make_node("ReduceMean", ["x"], ["y"], axes=[axis], keepdims=1)])
    table = 'task = "image-to-image"\nhead = "image"\n'
    (same / "model.toml").write_text(f'{table}[preprocess]\nlayout = "{"nhwc" if last else "nchw"}"\n', "utf-8")
    (grey / "model.toml").write_text(
        f'{table}[preprocess]\nlayout = "{"nhwc" if last else "nchw"}"\n[postprocess]\nparams = {{ kind = "gray" }}\n',
        "utf-8",
    )
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), np.uint8)
    registry = Registry([tmp_path])
    out, _ = registry.model("same").run(Picture.of(pixels))
    if not (last and width == height == 3):  # three by three by three: ONNX's own order is taken
        assert isinstance(out, OutputImage) and np.array_equal(out.pixels, pixels)
    out, _ = registry.model("grey").run(Picture.of(pixels))
    mean = np.rint(pixels.astype(np.float32).mean(axis=2, keepdims=True)).repeat(3, axis=2)
    assert isinstance(out, OutputImage) and np.abs(out.pixels.astype(int) - mean).max() <= 1


@pytest.mark.parametrize("size", SIDES)
def test_a_network_that_mirrors_its_rim_is_shown_enough(tmp_path: Path, size: tuple[int, int]) -> None:
    """Reflection by 9 pixels needs 10 of them; the graph pads and cuts off what it padded."""
    width, height = size
    nodes = [
        helper.make_node("Constant", [], ["pads"], value_ints=[0, 0, 9, 9, 0, 0, 9, 9]),
        helper.make_node("Pad", ["x", "pads"], ["wide"], mode="reflect"),
        helper.make_node("Constant", [], ["from"], value_ints=[9, 9]),
        helper.make_node("Constant", [], ["to"], value_ints=[-9, -9]),
        helper.make_node("Constant", [], ["axes"], value_ints=[2, 3]),
        helper.make_node("Slice", ["wide", "from", "to", "axes"], ["y"]),
    ]
    folder = network(tmp_path / "net", 3, False, nodes)
    (folder / "model.toml").write_text('task = "image-to-image"\nhead = "image"\n', "utf-8")
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    out, _ = Registry([tmp_path]).model("net").run(Picture.of(pixels))
    assert isinstance(out, OutputImage) and np.array_equal(out.pixels, pixels)
