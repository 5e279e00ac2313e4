"""Inputs and outputs of whole numbers: what a pixel becomes, and what an answer means, worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.errors import BadManifest, BadModel
from inference.image.media import Picture
from inference.predictions import Classes, Embedding, LabelMap, Objects, OutputImage
from tests.inference.graphs import build, save

F = np.float32
PIXELS = Picture.of(np.asarray([[[0] * 3, [1] * 3, [200] * 3, [255] * 3]] * 2, np.uint8))
IMAGENET = "do_normalize = true\n"  # mean 0.485, 0.456, 0.406; std 0.229, 0.224, 0.225
PLAIN = "do_normalize = true\nimage_mean = [0]\nimage_std = [1]\n"
HUNDREDS = "do_rescale = false\ndo_normalize = true\nimage_mean = [100]\nimage_std = [2]\n"
HALVES = "do_normalize = true\nimage_mean = [0.5]\nimage_std = [0.5]\n"


def whole_input(folder: Path, kind: str, quantization: tuple[float, int] | None, preprocess: str) -> Model:
    """A vector model that takes two rows of four pixels."""
    constants: dict[str, Any] = {"c": np.zeros((1, 4), F)}
    nodes: list[Any] = [("Identity", "c", "y")]
    if quantization:
        constants |= {"s": F(quantization[0]), "z": np.asarray(quantization[1], kind)}
        nodes.append(("DequantizeLinear", "x s z", "unused"))
    # onnxruntime dequantises 16 bits from opset 21 on
    build(folder / "m/model.onnx", {"x": (kind, [1, 2, 4, 3])}, nodes, {"y": ("float32", [1, 4])}, constants, 21)
    text = f'task = "image-feature-extraction"\nhead = "embedding"\n[preprocess]\n{preprocess}'
    (folder / "m/model.toml").write_text(text, "utf-8")
    return Registry([folder]).model("m")


def fed(model: Model) -> list[int]:
    """What the first channel of the pixels 0, 1, 200 and 255 becomes."""
    from inference.image.preprocess import prepare

    tensor, _ = prepare(PIXELS, model.manifest.preprocess, model.spec)
    assert tensor.dtype == model.session.inputs[0].dtype and tensor.shape == (1, 2, 4, 3)
    row: list[int] = tensor[0, 0, :, 0].tolist()
    return row


@pytest.mark.parametrize(
    ("kind", "quantization", "preprocess", "expected"),
    [
        ("uint8", None, "", [0, 1, 200, 255]),
        ("uint8", (1 / 128, 128), "", [0, 1, 200, 255]),
        ("uint8", (1 / 128, 128), HALVES, [0, 1, 201, 255]),  # (p / 127.5 - 1) * 128 + 128: 200.78, and 256 ends at 255
        ("int32", None, "", [0, 1, 200, 255]),
        ("int64", None, IMAGENET, [0, 1, 200, 255]),
        ("int8", None, "", [-128, -127, 72, 127]),
        ("int8", None, HALVES, [-128, -127, 72, 127]),  # the same range for all channels, spread over int8
        ("int8", (1 / 255, -128), "", [-128, -127, 72, 127]),  # 0..1
        ("int8", (1 / 127.5, -1), "", [-128, -127, 72, 127]),  # -1..1, which TFLite calls (p - 127.5) / 127.5
        ("int8", (1.0, -128), "do_rescale = false\n", [-128, -127, 72, 127]),  # 0..255
        ("int8", (0.0078125, 0), "", [-128, -127, 72, 127]),  # TFLite's own scale of -1..1
        ("int8", (1 / 127, 0), HALVES, [-127, -126, 72, 127]),  # (p / 127.5 - 1) * 127
        ("int8", (1 / 127, 0), PLAIN, [0, 0, 100, 127]),  # p / 255 * 127
        # (0 - 0.485) / 0.229 = -2.1179, / 0.0187 = -113.26, - 14 = -127.26; and so on, to 2.2489 / 0.0187 - 14 = 106.26
        ("int8", (0.0187, -14), IMAGENET, [-127, -126, 56, 106]),
        ("int8", None, HUNDREDS, [-50, -50, 50, 78]),
        ("uint16", None, "", [0, 257, 51400, 65535]),
        ("uint16", (1 / 65535, 0), "", [0, 257, 51400, 65535]),  # Qualcomm AI Hub, w8a16
        ("uint16", (2 / 65535, 32768), "", [0, 257, 51400, 65535]),  # -1..1
        ("int16", (1 / 32767, 0), HALVES, [-32767, -32510, 18632, 32767]),  # (p / 127.5 - 1) * 32767
        ("int16", None, "do_rescale = false\n" + PLAIN, [0, 1, 200, 255]),
    ],
)  # fmt: skip
def test_a_pixel_becomes_the_number_that_the_file_means(
    tmp_path: Path, kind: str, quantization: tuple[float, int] | None, preprocess: str, expected: list[int]
) -> None:
    assert fed(whole_input(tmp_path, kind, quantization, preprocess)) == expected


@pytest.mark.parametrize(
    ("kind", "quantization", "preprocess", "words"),
    [
        ("int8", (1 / 127, 0), "", r"int8, whose numbers stand for -1.01 to 1.*gives 0 to 1: say.*image_mean"),
        ("int8", (0.0187, -14), "", r"stand for -2.13 to 2.64.*gives 0 to 1"),
        ("int8", (1 / 255, -128), IMAGENET, r"stand for 0 to 1.*gives -2.12 to 2.64"),
        ("int8", None, IMAGENET, r"int8, and the file does not say.*do_normalize = false gives pixel - 128"),
        ("uint16", None, IMAGENET, "do_normalize = false gives 0..65535"),
        ("int16", None, "", r"image_std = \[1\] give 0..255"),
        ("bool", None, "", "of a type that holds no picture"),
    ],
)
def test_numbers_that_nothing_decides_are_refused_at_load_with_the_lines(
    tmp_path: Path, kind: str, quantization: tuple[float, int] | None, preprocess: str, words: str
) -> None:
    with pytest.raises(BadModel, match=words):
        whole_input(tmp_path, kind, quantization, preprocess)


def answering(
    folder: Path,
    task: str,
    head: str,
    outputs: Mapping[str, Any],
    scale: tuple[float, int] | None = None,
    more: str = "",
) -> Any:
    """The answer of a model whose outputs are constants, quantised by the graph where a scale is given."""
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    for name, value in arrays.items():
        if scale is None:
            nodes.append(("Identity", f"{name}_c", name))
            constants[f"{name}_c"] = value
        else:
            nodes.append(("QuantizeLinear", f"{name}_f s z", name))
            constants |= {"s": F(scale[0]), "z": np.asarray(scale[1], value.dtype)}
            constants[f"{name}_f"] = ((value.astype(F) - scale[1]) * scale[0]).astype(F)
    infos = {name: (value.dtype.name, list(value.shape)) for name, value in arrays.items()}
    build(folder / "m/model.onnx", {"x": ("float32", [1, 3, 8, 8])}, nodes, infos, constants, 21)
    (folder / "m/model.toml").write_text(f'task = "{task}"\nhead = "{head}"\n{more}', "utf-8")
    return Registry([folder]).model("m").run(Picture.of(np.zeros((8, 8, 3), np.uint8)))[0]


def scores_of(found: Any) -> dict[str, float]:
    assert isinstance(found, Classes)
    return {name: round(score, 4) for name, score in zip(found.names, found.scores.tolist(), strict=True)}


CLASSIFY = ("image-classification", "classifier")


def test_quantised_scores_of_a_classifier_have_their_zero_point(tmp_path: Path) -> None:
    """TFLite's softmax: (q + 128) / 256. Logits at the scale 0.5 and zero point 10: the softmax of 3, 1 and 0."""
    q = np.asarray([[64, -64, -128]], np.int8)
    for i, scale in enumerate(((1 / 256, -128), None)):
        assert scores_of(answering(tmp_path / str(i), *CLASSIFY, {"y": q}, scale)) == {"0": 0.75, "1": 0.25, "2": 0.0}
    assert scores_of(answering(tmp_path / "u", *CLASSIFY, {"y": np.asarray([[192, 64]], np.uint8)})) == {
        "0": 0.75, "1": 0.25,
    }  # fmt: skip
    logits = answering(tmp_path / "l", *CLASSIFY, {"y": np.asarray([[16, 12, 10]], np.int8)}, (0.5, 10))
    assert scores_of(logits) == {"0": 0.8438, "1": 0.1142, "2": 0.042}


def test_whole_numbers_that_are_no_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="add up to 1.56 as 256ths.*export it with float outputs"):
        answering(tmp_path / "a", *CLASSIFY, {"y": np.asarray([[5, 10, 0]], np.int8)})
    ids: list[Any] = [np.asarray([[3]], np.int64), np.asarray([[300, 2]], np.uint16)]
    for i, value in enumerate(ids):
        with pytest.raises(BadModel, match=f"holds {value.dtype} without a scale.*float outputs"):
            answering(tmp_path / f"b{i}", *CLASSIFY, {"y": value})
    vector = ("image-feature-extraction", "embedding")
    with pytest.raises(BadModel, match="holds whole numbers, and no QuantizeLinear before it states their scale"):
        answering(tmp_path / "c", *vector, {"y": np.asarray([[3, 4]], np.int8)})
    detector = ("object-detection", "rcnn")
    rows = {"boxes": np.zeros((1, 4), F), "labels": np.zeros(1, np.int64), "scores": np.asarray([1], np.uint8)}
    with pytest.raises(BadModel, match=r"'scores' \(scores\) holds uint8 without a scale"):
        answering(tmp_path / "d", *detector, rows)
    with pytest.raises(BadModel, match="holds int8 without a scale, expected a picture"):
        answering(tmp_path / "e", "image-to-image", "image", {"y": np.zeros((1, 3, 8, 8), np.int8)})


def test_a_mask_of_whole_numbers_below_zero_holds_no_label_ids(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="whole numbers down to -77, expected label ids"):
        answering(tmp_path, "image-segmentation", "semantic", {"y": np.full((1, 1, 8, 8), -77, np.int8)})


def test_only_what_a_head_reads_has_to_be_floats(tmp_path: Path) -> None:
    """An ArgMax that stands first in the file, beside the vector that the manifest names."""
    outputs: dict[str, Any] = {"id": np.asarray([[7]], np.int64), "vector": np.asarray([[3, 4]], F)}
    more = '[postprocess.outputs]\nembedding = "vector"\n'
    found = answering(tmp_path, "image-feature-extraction", "embedding", outputs, None, more)
    assert isinstance(found, Embedding) and found.vector.tolist() == pytest.approx([0.6, 0.8])


def test_every_head_gets_floats_where_the_graph_states_the_scale(tmp_path: Path) -> None:
    """By hand: (q - zero point) * scale."""
    vector = answering(tmp_path / "v", "image-feature-extraction", "embedding",
                       {"y": np.asarray([[13, 14]], np.int8)}, (0.5, 10))  # 1.5 and 2  # fmt: skip
    assert isinstance(vector, Embedding) and vector.vector.tolist() == pytest.approx([0.6, 0.8])

    # rows of an end-to-end YOLO at the scale 0.0625: x1, y1, x2, y2, score, class
    row = np.asarray([[[16, 32, 96, 128, 12, 16]]], np.int16)
    found = answering(tmp_path / "d", "object-detection", "yolo", {"y": row}, (0.0625, 0), 'labels = ["cat", "dog"]\n')
    assert isinstance(found, Objects)
    assert (found.names, found.scores.tolist(), found.boxes.tolist()) == (("dog",), [0.75], [[1, 2, 6, 8]])

    # a mask of one channel: 0.2 on the left, 0.8 on the right, as 256ths from -128 on
    mask = np.full((1, 1, 8, 8), -77, np.int8)
    mask[..., 4:] = 77
    found = answering(tmp_path / "s", "image-segmentation", "semantic", {"y": mask}, (1 / 256, -128))
    assert isinstance(found, LabelMap) and found.ids[0].tolist() == [0] * 4 + [1] * 4

    # scores of three labels, the same with or without a scale
    scores = np.full((1, 3, 8, 8), -100, np.int8)
    scores[:, 1, :, :4], scores[:, 2, :, 4:] = 50, -3
    for i, scale in enumerate(((0.1, 5), None)):
        found = answering(tmp_path / f"m{i}", "image-segmentation", "semantic", {"y": scores}, scale)
        assert isinstance(found, LabelMap) and found.ids[3].tolist() == [1] * 4 + [2] * 4

    grey = answering(tmp_path / "i", "image-to-image", "image",
                     {"y": np.full((1, 3, 8, 8), -28, np.int8)}, (1 / 255, -128))  # 100 / 255  # fmt: skip
    assert isinstance(grey, OutputImage) and (grey.pixels == 100).all()
    for i, scale in enumerate(((1 / 255, 0), None)):  # bytes are a picture
        plain = answering(
            tmp_path / f"u{i}", "image-to-image", "image", {"y": np.full((1, 3, 8, 8), 90, np.uint8)}, scale
        )
        assert isinstance(plain, OutputImage) and (plain.pixels == 90).all()


def test_labels_and_counts_stay_whole_numbers(tmp_path: Path) -> None:
    """As Qualcomm AI Hub exports detectors: class indices in bytes beside quantised boxes."""
    outputs = {
        "boxes": np.asarray([[[1.0, 2, 6, 8]]], F), "scores": np.asarray([[0.9]], F),
        "labels": np.asarray([[1]], np.uint8), "count": np.asarray([1], np.int32),
    }  # fmt: skip
    more = 'labels = ["cat", "dog"]\n[postprocess.outputs]\ncount = "count"\n'
    found = answering(tmp_path, "object-detection", "rcnn", outputs, None, more)
    assert isinstance(found, Objects) and found.names == ("dog",)


def test_a_recognised_file_says_what_its_whole_numbers_are_taken_for(tmp_path: Path) -> None:
    save(tmp_path / "q/model.onnx", {"x": ("int8", [1, 3, 8, 8])}, {"logits": np.asarray([[64, -64]], np.int8)})
    (tmp_path / "q/config.json").write_text(
        '{"architectures": ["ViTForImageClassification"], "model_type": "vit", "id2label": {"0": "a", "1": "b"}}'
    )
    (tmp_path / "q/preprocessor_config.json").write_text('{"size": {"height": 8, "width": 8}, "do_normalize": false}')
    entry = Registry([tmp_path]).list()[0]
    assert entry.reason is None
    assert [guess.split(";")[0] for guess in entry.assumed] == [
        "its int8 input is taken for pixel - 128", "its int8 scores are taken for 256ths, as TFLite's",
    ]  # fmt: skip
