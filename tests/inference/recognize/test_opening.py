"""What a graph does to its picture first decides how it is fed: families that share shapes do not share that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow

from inference.engine.graph import Constant, Graph, Node
from inference.engine.model import Model
from inference.image.media import Picture
from inference.image.preprocess import prepare
from inference.recognize import examine, manifest_of
from inference.recognize._export import open_export
from inference.recognize._opening import opening_of
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import floats

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
Step = tuple[str, Any]  # an operation, and the constant with which it is done


def begins_with(
    path: Path,
    name: str,
    shape: Sequence[int | str],
    steps: Sequence[Step],
    outputs: dict[str, Any],
    shapes: dict[str, Any] | None = None,
    weights: Mapping[str, tuple[int, ...]] | None = None,
) -> Path:
    """A graph that does the steps to its input, and then answers `outputs` whatever comes of it."""
    save(path, {name: ("float32", shape)}, outputs, shapes)
    model, nodes = onnx.load(str(path)), []
    for i, (op, constant) in enumerate(steps):
        inputs = [name if i == 0 else f"step{i - 1}"]
        if constant is not None:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(constant), f"constant{i}"))
            inputs.append(f"constant{i}")
        extra = {"to": TensorProto.FLOAT} if op == "Cast" else {"axis": 0} if op in ("Gather", "Concat") else {}
        nodes.append(helper.make_node(op, inputs, [f"step{i}"], **extra))
    nodes.append(helper.make_node("GlobalMaxPool", [f"step{len(steps) - 1}" if steps else name], ["rest"]))
    model.graph.node.extend(nodes)
    for weight, dims in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(dims, np.float32), weight))
    onnx.save(model, str(path))
    return path


def channels(values: Sequence[float]) -> Any:
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


NORMALISED: list[Step] = [("Sub", channels(IMAGENET[0])), ("Div", channels(IMAGENET[1]))]
RCNN: dict[str, Any] = {
    "boxes": floats([10, 8, 30, 16]),
    "labels": np.asarray([1]),
    "scores": floats(0.9),
}
FREE: dict[str, Any] = {"boxes": ["n", 4], "labels": ["n"], "scores": ["n"]}


@pytest.mark.parametrize(
    ("steps", "takes", "mean", "order"),
    [
        (NORMALISED, "0..1", IMAGENET[0], "rgb"),
        ([("Cast", None), ("Gather", np.asarray(0)), *NORMALISED], "0..1", IMAGENET[0], "rgb"),
        # folded: x / 0.25 - 2 is (x - 0.5) / 0.25
        ([("Mul", channels([4] * 3)), ("Add", channels([-2] * 3))], "0..1", [0.5] * 3, ""),
        ([("Div", np.float32(255))], "0..255", None, ""),
        ([("Mul", np.float32(1 / 255))], "0..255", None, ""),
        ([("Div", np.float32(255)), *NORMALISED], "0..255", [123.675, 116.28, 103.53], "rgb"),
        ([("Sub", channels([102.9801, 115.9465, 122.7717]))], "0..255", [102.9801, 115.9465, 122.7717], "bgr"),
        ([("Sub", channels([103.53, 116.28, 123.675])), ("Div", channels([57, 57, 58]))], "0..255",
         [103.53, 116.28, 123.675], "bgr"),
        ([("Sub", np.float32(127.5)), ("Div", np.float32(127.5))], "0..255", [127.5], ""),
        ([("Mul", np.float32(255)), ("Sub", np.float32(127.5))], "0..1", [0.5], ""),
        ([("Sub", np.float32(32768))], "", [32768], ""),  # another kind of number than a pixel
        ([("Mul", np.float32(2))], "", None, ""),
        ([("Relu", None), ("Div", np.float32(255))], "", None, ""),
        ([], "", None, ""),
    ],
)  # fmt: skip
def test_what_the_graph_does_to_its_input(
    steps: list[Step], takes: str, mean: list[float] | None, order: str, tmp_path: Path
) -> None:
    begins_with(tmp_path / "net.onnx", "image", [1, 3, 64, 64], steps, RCNN)
    opening = open_export(tmp_path).opening
    assert (opening.takes, opening.color_order, opening.used) == (takes, order, True)
    if mean is None:
        assert opening.mean is None
    else:
        assert opening.mean is not None
        np.testing.assert_allclose(opening.mean, mean, rtol=1e-4)


NUMBERS = st.floats(-300, 300).filter(lambda v: abs(v) > 1e-2)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from(("Add", "Sub", "Mul", "Div")), st.lists(NUMBERS, min_size=3, max_size=3)), max_size=5
    )
)
def test_a_chain_of_operations_is_one_factor_and_one_shift_by_channel(steps: list[tuple[str, list[float]]]) -> None:
    names = [f"t{i}" for i in range(len(steps) + 1)]
    nodes = [
        Node(op, (a, f"c{i}"), (b,), {}) for i, ((op, _), a, b) in enumerate(zip(steps, names, names[1:], strict=False))
    ]
    graph = Graph((*nodes, Node("Conv", (names[-1],), ("y",), {})),
                  {f"c{i}": Constant((3, 1, 1), tuple(values)) for i, (_, values) in enumerate(steps)})  # fmt: skip
    opening = opening_of(graph, "t0")
    for pixel in (0.0, 1.0, 200.0):
        expected = np.full(3, pixel)
        for op, values in steps:
            constant = np.asarray(values)
            done = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[op]
            expected = done(expected, constant)
        got = np.asarray(opening.factor) * pixel + np.asarray(opening.shift)
        np.testing.assert_allclose(got * np.ones(3), expected, rtol=1e-6, atol=1e-6 * (1 + np.abs(expected).max()))


def test_one_picture_sliced_out_of_a_batch_is_followed() -> None:
    """As torch.onnx.export(dynamo=True) has it."""
    ends = {
        "s": Constant((1,), (0.0,)),
        "e": Constant((1,), (1.0,)),
        "a": Constant((1,), (0.0,)),
        "k": Constant((), (255.0,)),
    }
    nodes = (Node("Slice", ("image", "s", "e", "a", "e"), ("x",), {}), Node("Squeeze", ("x", "a"), ("y",), {}),
             Node("Div", ("y", "k"), ("z",), {}), Node("Conv", ("z",), ("c",), {}))  # fmt: skip
    assert opening_of(Graph(nodes, ends), "image").takes == "0..255"


def test_a_graph_that_reverses_its_channels_shows_the_mean_in_the_other_order(tmp_path: Path) -> None:
    path = begins_with(tmp_path / "net.onnx", "image", ["n", 3, "h", "w"], [("Gather", np.asarray([2, 1, 0]))], RCNN)
    model = onnx.load(str(path))
    model.graph.node[3].attribute[0].i = 1  # of the channels
    model.graph.node[4].input[0] = "normalised"
    mean = numpy_helper.from_array(channels([123.675, 116.28, 103.53]), "mean")
    model.graph.initializer.append(mean)
    model.graph.node.append(helper.make_node("Sub", ["step0", "mean"], ["normalised"]))
    model.graph.node.append(model.graph.node.pop(4))
    onnx.save(model, str(path))
    assert open_export(tmp_path).opening.color_order == "bgr"


def test_what_a_normalisation_alone_does_not_show_is_said(tmp_path: Path) -> None:
    steps = [("Sub", channels([0.5] * 3)), ("Div", channels([0.5] * 3))]
    begins_with(tmp_path / "net.onnx", "image", [3, "h", "w"], steps, RCNN, FREE)
    said = " | ".join(examine(tmp_path)[1].assumed)
    assert 'color_order = "bgr"' in said and "size under [preprocess]" in said
    weights = {"head.classification_head.module_list.0.1.weight": (18, 8, 1, 1)}  # torchvision's SSDlite
    begins_with(tmp_path / "net.onnx", "image", [3, "h", "w"], steps, RCNN, FREE, weights)
    assert "color_order" not in " | ".join(examine(tmp_path)[1].assumed)


def picodet(path: Path, steps: list[Step]) -> None:
    cells = [64, 16, 4, 1]
    scores = {f"s{n}": np.zeros((1, n, 2), np.float32) for n in cells}
    begins_with(path, "image", [1, 3, 64, 64], steps, {**scores, **{f"d{n}": np.zeros((1, n, 32)) for n in cells}})


@pytest.mark.parametrize(
    ("steps", "fed"),
    [
        ([], (130 - 103.53) / 57.375),  # blue is the last of RGB: less its mean, by its deviation
        ([("Div", np.float32(255)), *NORMALISED], 130.0),
        ([("Div", np.float32(255))], 130.0),
        (NORMALISED, 130 / 255),
    ],
)
def test_what_the_graph_does_itself_is_not_done_twice(steps: list[Step], fed: float, tmp_path: Path) -> None:
    picodet(tmp_path / "net.onnx", steps)
    export, draft = examine(tmp_path)
    assert draft.family == "PicoDet"
    model = Model(manifest_of(export, draft), export.session, "")
    picture = Picture(Pillow.new("RGB", (64, 64), (10, 20, 130)), (64, 64))
    tensor, _ = prepare(picture, model.manifest.preprocess, model.spec)
    np.testing.assert_allclose(tensor[0, 2, 5, 5], fed, rtol=1e-4)
    assert bool(steps) == any("scales its input itself" in reason for reason in draft.reasons)


def test_a_mean_in_the_order_of_bgr_turns_the_colours_round(tmp_path: Path) -> None:
    picodet(tmp_path / "net.onnx", [("Sub", channels([103.53, 116.28, 123.675]))])
    how = manifest_of(*examine(tmp_path)).preprocess
    assert (how.color_order, how.do_rescale, how.do_normalize) == ("bgr", False, False)


def dfine(path: Path, weights: dict[str, tuple[int, ...]]) -> None:
    outputs = {"labels": np.asarray([[1]]), "boxes": floats([[16, 32, 32, 48]]), "scores": floats([0.9])}
    save(path, {**picture_input("images"), "orig_target_sizes": ("int64", [1, 2])}, outputs)
    model = onnx.load(str(path))
    for name, dims in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(dims, np.float32), name))
    onnx.save(model, str(path))


def test_deim_with_a_dinov3_backbone_is_fed_less_imagenet_s_mean(tmp_path: Path) -> None:
    dfine(tmp_path / "a/net.onnx", {"model.backbone.stem.weight": (16, 3, 3, 3)})
    assert not manifest_of(*examine(tmp_path / "a")).preprocess.do_normalize
    dfine(tmp_path / "b/net.onnx", {"model.backbone.dinov3.cls_token": (1, 1, 192)})
    assert manifest_of(*examine(tmp_path / "b")).preprocess.do_normalize
    assert any("do_normalize = false" in guess for guess in examine(tmp_path / "b")[1].assumed)


def test_nanodet_s_mean_is_that_of_its_backbone(tmp_path: Path) -> None:
    outputs = {f"{kind}_pred_stride_{s}": np.zeros((1, (64 // s) ** 2, n), np.float32)
               for kind, n in (("cls", 2), ("dis", 32)) for s in (8, 16, 32)}  # fmt: skip
    for name, steps, mean in (("m", [], 103.53), ("lite", [("Relu", None), ("Clip", None)], 127.0)):
        begins_with(tmp_path / f"{name}/net.onnx", "input.1", [1, 3, 64, 64], list(steps), outputs)
        _, draft = examine(tmp_path / name)
        assert draft.table["preprocess"]["image_mean"][0] == mean
        assert any("image_mean" in guess for guess in draft.assumed)


def test_what_yolox_s_tensors_do_not_tell_is_said(tmp_path: Path) -> None:
    save(tmp_path / "yolox.onnx", picture_input("images"), {"output": np.zeros((1, 84, 7), np.float32)})
    _, draft = examine(tmp_path)
    assert any('color_order = "rgb"' in guess and "do_normalize = true" in guess for guess in draft.assumed)


@pytest.mark.parametrize("exp", [True, False])
def test_ultraface_without_its_post_processing_has_no_exponential(exp: bool, tmp_path: Path) -> None:
    outputs = {"scores": np.zeros((1, 4420, 2), np.float32), "boxes": np.zeros((1, 4420, 4), np.float32)}
    steps: list[Step] = [("Exp", None)] if exp else []
    begins_with(tmp_path / "net.onnx", "input", [1, 3, 240, 320], steps, outputs)
    params = manifest_of(*examine(tmp_path)).postprocess.params
    assert params.get("decoded", True) is exp


@pytest.mark.parametrize(
    ("steps", "fed"),
    [
        ([("Mul", np.float32(1 / 255))], (200 - 0.5 * 255) / 0.25),  # what is left for the graph to divide by 255
        ([("Sub", np.float32(127.5)), ("Div", np.float32(127.5))], 200.0),  # the graph's own mean is enough
        ([("Mul", np.float32(2))], (200 / 255 - 0.5) / 0.25),  # nothing that is done twice
        ([("Sub", np.float32(2))], (200 / 255 - 0.5) / 0.25),  # no mean of 0..255
    ],
)
def test_a_side_file_s_rescaling_is_not_done_twice(steps: list[Step], fed: float, tmp_path: Path) -> None:
    """preprocessor_config.json states pixel / 255, less 0.5, through 0.25: 200 is 1.137, however it comes about."""
    begins_with(tmp_path / "model.onnx", "pixel_values", [1, 3, 8, 8], steps, {"logits": floats([0, 1])})
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    how = {"image_processor_type": "ViTImageProcessor", "size": 8, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(how), "utf-8")
    export, draft = examine(tmp_path)
    model = Model(manifest_of(export, draft), export.session, "")
    image = Pillow.new("RGB", (8, 8), (200, 200, 200))
    tensor, _ = prepare(Picture(image, image.size), model.manifest.preprocess, model.spec, None)
    assert np.allclose(tensor, fed, atol=1e-3)
    assert any("do_rescale = true under [preprocess]" in said for said in draft.assumed) == (steps[0][1] != 2)
