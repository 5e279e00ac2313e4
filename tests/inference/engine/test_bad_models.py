"""What is not a model, or not what its manifest says, is refused in a plain sentence, and the others still serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.engine.registry import Registry
from inference.engine.session import Session
from inference.errors import BadModel, DropsightError
from inference.heads import check_params, find_head
from inference.manifest import Manifest, read_manifest
from tests.inference.graphs import picture_input, save

WEIGHTS = 2000


def adder(path: Path, *, ir: int = 8, opset: int = 17, op: str = "Add", location: str = "") -> None:
    """x + w; w in an external file at `location` where that is given."""
    w = numpy_helper.from_array(np.ones(WEIGHTS, np.float32), "w")
    if location:
        w.ClearField("raw_data")
        w.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(4 * WEIGHTS))):
            w.external_data.add(key=key, value=value)
    row = [WEIGHTS]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, row)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, row)], [w],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    path.write_bytes(model.SerializeToString())


def outside(path: Path) -> None:
    (path.parent.parent / "secret.bin").write_bytes(bytes(4 * WEIGHTS))
    adder(path, location="../secret.bin")


def linked(path: Path) -> None:
    (path.parent.parent / "secret.bin").write_bytes(bytes(4 * WEIGHTS))
    (path.parent / "w.bin").symlink_to("../secret.bin")
    adder(path, location="w.bin")


def short(path: Path) -> None:
    (path.parent / "w.bin").write_bytes(b"123")
    adder(path, location="w.bin")


def truncated(path: Path) -> None:
    save(path, picture_input("images"), {"output0": np.zeros((1, 84, 84), np.float32)})
    path.write_bytes(path.read_bytes()[:9000])


def code_page(path: Path) -> None:
    save(path, picture_input("images"), {"output0": np.zeros((1, 6, 84), np.float32)}, None, {"names": "L@we"})
    path.write_bytes(path.read_bytes().replace(b"L@we", b"L\xf6we"))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "the file is empty"),
    "lfs pointer": (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
    "web page": (lambda p: p.write_bytes(b"\n<!DOCTYPE html><html>"), "web page"),
    "picture": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), "not a complete ONNX file"),
    "metadata in a code page": (code_page, "its names or metadata are not UTF-8 text"),
    "cut off": (truncated, "not a complete ONNX file"),
    "IR version": (lambda p: adder(p, ir=99), "of ONNX IR version 99, this onnxruntime reads up to"),
    "opset": (lambda p: adder(p, opset=99), "opset 99 is newer than this onnxruntime"),
    "operator": (lambda p: adder(p, op="Foo"), "it needs the operator Foo"),
    "old opset": (lambda p: adder(p, opset=3), "no implementation of its operator Add"),
    "no external data": (lambda p: adder(p, location="w.bin"), "external data file w.bin is missing"),
    "external data outside": (outside, "lies outside the model's folder"),
    "external data by a link": (linked, "lies outside the model's folder"),
    "external data, absolute": (lambda p: adder(p, location="/etc/passwd"), "absolute path, which is not allowed"),
    "external data too short": (short, "too short (3 bytes)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_in_one_sentence_and_the_others_serve(kind: str, tmp_path: Path) -> None:
    make, sentence = BROKEN[kind]
    for name in ("broken", "sound"):
        (tmp_path / "models" / name).mkdir(parents=True)
        text = 'task = "object-detection"\nhead = "yolo"\nlabels = ["a", "b"]\n'
        (tmp_path / "models" / name / "model.toml").write_text(text, "utf-8")
    make(tmp_path / "models/broken/model.onnx")
    save(tmp_path / "models/sound/model.onnx", picture_input("images"), {"output0": np.zeros((1, 6, 84), np.float32)})
    registry = Registry([tmp_path / "models"])
    with pytest.raises(DropsightError) as refused:
        registry.model("broken")
    plain(str(refused.value), sentence, tmp_path)
    assert registry.model("sound").manifest.name == "sound"


def plain(message: str, sentence: str, folder: Path) -> None:
    """One line; the file named once; nothing of onnxruntime's sources."""
    assert sentence in message and "\n" not in message and len(message) < 400
    assert message.count(str(folder)) <= 1
    assert not any(word in message for word in (".cc:", ".h:", "ONNXRuntimeError", "onnxruntime_src", "::"))


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("git-lfs-pointer", "Git LFS pointer"),
        ("html-page-saved-as", "web page"),
        ("needs-onnxruntime-extensions", "it needs the operator com.microsoft.extensions:DecodeImage"),
        ("too-old-irversion1", "it names no opset"),
        ("truncated-yolox-nano", "not a complete ONNX file"),
        ("zero-bytes", "the file is empty"),
        ("official-but-useless-pphumanseg_2023mar_int8", "nothing in it or beside it states its preprocessing"),
    ],
)
def test_the_odd_files(name: str, sentence: str, shared: Path) -> None:
    folder = shared / "models/_odd"
    (reason,) = [e.reason for e in Registry([folder]).list() if e.name == name]
    assert reason and reason.count(str(folder)) == 1 and sentence in reason and "\n" not in reason
    assert "onnxruntime_src" not in reason


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ('["a", "b", "c"]', "the model has 2 classes, the label list 3 names"),
        ('["a"]', "the model has 2 classes, the label list 1 names"),
    ],
)
def test_labels_that_do_not_fit_are_refused_at_load(labels: str, sentence: str, tmp_path: Path) -> None:
    save(tmp_path / "m/model.onnx", picture_input("images"), {"output0": np.zeros((1, 6, 84), np.float32)})
    text = f'task = "object-detection"\nhead = "yolo"\nlabels = {labels}\npostprocess.params.layout = "raw"\n'
    (tmp_path / "m/model.toml").write_text(text, "utf-8")
    with pytest.raises(DropsightError) as refused:
        Registry([tmp_path]).model("m")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("head", "task", "outputs"),
    [
        ("yolox", "object-detection", {"output": (1, 10)}),
        ("yolo", "object-detection", {"output0": (1, 10)}),
        ("gfl", "object-detection", {"a": (1, 100, 80), "b": (1, 100, 31)}),
        ("yunet", "object-detection", {"cls_8": (1, 64, 1)}),
        ("ultraface", "object-detection", {"scores": (1, 10), "boxes": (1, 10, 4)}),
        ("rcnn", "object-detection", {"boxes": (3, 4), "labels": (3,)}),
        ("detr", "object-detection", {"logits": (1, 10), "pred_boxes": (1, 10, 4)}),
        ("mmdeploy", "object-detection", {"dets": (1, 10, 4), "labels": (1, 10)}),
        ("custom_vision", "object-detection", {"detected_boxes": (1, 10, 5)}),
        ("paddle", "object-detection", {"rows": (10, 5), "count": (1,)}),
        ("yolo_grid", "object-detection", {"grid": (1, 21, 13, 13)}),
        ("yolov3", "object-detection", {"boxes": (1, 10, 4)}),
        ("semantic", "image-segmentation", {"output": (1, 10)}),
        ("maskformer", "image-segmentation", {"class_queries_logits": (1, 10), "masks_queries_logits": (1, 10, 4, 4)}),
        ("movenet", "keypoint-detection", {"output": (1, 10)}),
        ("simcc", "keypoint-detection", {"simcc_x": (1, 10), "simcc_y": (1, 10)}),
        ("heatmaps", "keypoint-detection", {"output": (1, 10)}),
        ("mediapipe_pose", "keypoint-detection", {"output": (1, 195)}),
        ("depth", "depth-estimation", {"output": (1, 10)}),
        ("classifier", "image-classification", {"output": (1, 10, 4, 4)}),
    ],
)
def test_every_head_says_when_the_outputs_are_not_its_family(
    head: str, task: str, outputs: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    values = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    save(tmp_path / "m/model.onnx", picture_input("images"), values)
    (tmp_path / "m/model.toml").write_text(f'task = "{task}"\nhead = "{head}"\n', "utf-8")
    with pytest.raises(DropsightError) as refused:
        Registry([tmp_path]).model("m")
    message = str(refused.value)
    assert f"head {head} " in message and "the file's outputs are" in message


def test_a_failing_run_is_told_without_the_insides_of_onnxruntime(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    adder(path)
    with pytest.raises(DropsightError) as refused:
        Session(path).run({"x": np.zeros(7, np.float32)})
    assert "the model failed on x float32 [7]" in str(refused.value) and "ONNXRuntimeError" not in str(refused.value)
    onnx.checker.check_model(str(path))


def test_a_misspelt_parameter_of_a_head_is_named_with_the_nearest_right_one(tmp_path: Path) -> None:
    save(tmp_path / "m/model.onnx", picture_input("images"), {"output": np.zeros((1, 84, 7), np.float32)})
    text = 'task = "object-detection"\nhead = "yolox"\npostprocess.params.strids = [8, 16, 32]\n'
    (tmp_path / "m/model.toml").write_text(text, "utf-8")
    with pytest.raises(DropsightError, match="unknown key 'strids' in postprocess.params; did you mean 'strides'"):
        Registry([tmp_path]).model("m")


@pytest.mark.parametrize(
    ("head", "post", "sentence"),
    [
        ("rcn", "", "unknown head 'rcn'; did you mean 'rcnn'?"),
        (
            "rcnn",
            "params.normalised = true",
            "unknown key 'normalised' in postprocess.params; did you mean 'normalized'",
        ),
        ("boxes", 'params.order = "yx"', "postprocess.params.order is 'yx', expected xyxy or yxyx"),
        (
            "detr",
            'params.activation = "Softmax"',
            "postprocess.params.activation is 'Softmax', expected softmax or sig",
        ),
        (
            "gfl",
            'params.activation = "Sigmoid"',
            "postprocess.params.activation is 'Sigmoid', expected none or sigmoid",
        ),
        ("rcnn", 'params.columns = ["scores"]', "postprocess.params.columns is ['scores'], expected a list with boxes"),
        ("yolov3", 'params.roles = "boxes"', "postprocess.params.roles is 'boxes', expected a list with boxes"),
        ("rcnn", 'outputs.boxes = "boxs"', "postprocess.outputs.boxes = 'boxs'; did you mean 'boxes'?"),
    ],
)
def test_a_head_checks_its_name_and_parameters(head: str, post: str, sentence: str, tmp_path: Path) -> None:
    outputs = {"boxes": np.zeros((3, 4)), "labels": np.zeros(3, np.int64), "scores": np.zeros(3, np.float32)}
    save(tmp_path / "m/model.onnx", picture_input("images"), outputs)
    text = f'task = "object-detection"\nhead = "{head}"\n[postprocess]\n{post}\n'
    (tmp_path / "m/model.toml").write_text(text, "utf-8")
    with pytest.raises(DropsightError) as refused:
        Registry([tmp_path]).model("m")
    assert sentence in str(refused.value)


def every_manifest() -> list[Manifest]:
    from inference.engine.catalog import load_catalog

    root = Path(__file__).resolve().parents[3]
    files = [*root.glob("models/*/model.toml"), *root.glob("tests/models/*/model.toml")]
    return [read_manifest(f) for f in files] + [m.full_manifest() for m in load_catalog().model if not m.obstacle()]


def test_every_manifest_of_the_project_uses_only_what_its_head_reads() -> None:
    manifests = every_manifest()
    assert len(manifests) > 40
    for manifest in manifests:
        check_params(manifest, find_head(manifest.head))


@pytest.mark.parametrize(
    ("inputs", "order", "sentence"),
    [
        ({"x": [1, 1, 28, 28]}, "rgb", "has 1 channels, color_order 'rgb' gives 3"),
        ({"x": [1, 3, 28, 28]}, "gray", "has 3 channels, color_order 'gray' gives 1"),
        ({"x": [1, 28, 28, 4]}, "bgr", "has 4 channels, a picture gives 3"),
        ({"x": [1, 3, 28, 28], "input_ids": [1, 7]}, "rgb", "it also asks for input_ids float32 [1, 7]"),
    ],
)
def test_inputs_that_no_picture_can_fill_are_refused_at_load(
    inputs: dict[str, list[int | str | None]], order: str, sentence: str, tmp_path: Path
) -> None:
    feeds: dict[str, tuple[str, Sequence[int | str | None]]] = {n: ("float32", shape) for n, shape in inputs.items()}
    save(tmp_path / "m/model.onnx", feeds, {"y": np.zeros((1, 10), np.float32)})
    text = f'task = "image-classification"\nhead = "classifier"\npreprocess.color_order = "{order}"\n'
    (tmp_path / "m/model.toml").write_text(text, "utf-8")
    with pytest.raises(BadModel) as refused:
        Registry([tmp_path]).model("m")
    assert sentence in str(refused.value)
