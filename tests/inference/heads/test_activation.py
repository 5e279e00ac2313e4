"""Which activation is still to be applied: what the graph ends in decides, and no result holds other than 0..1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.registry import Registry
from inference.errors import BadManifest, BadModel, DropsightError
from inference.heads import find_head
from inference.heads._detection import objects
from inference.image.media import Picture
from inference.predictions import Classes, LabelMap, Objects, OutputImage
from tests.inference.graphs import build
from tests.inference.heads.decoding import fit, manifest

F = np.float32
GREY = Picture.of(np.full((8, 8, 3), 51, np.uint8))  # 0.2


def weights(*row: float) -> Any:
    """Of a layer whose answer for GREY is the row."""
    return np.repeat(np.asarray(row, F)[None] / 3 / F(0.2), 3, axis=0)


def network(folder: Path, row: Sequence[float], end: str = "", post: str = "", labels: Sequence[str] = ()) -> Any:
    """A classifier of one layer, and an activation where `end` names one."""
    nodes: list[Any] = [
        ("ReduceMean", "x", "m", {"axes": [2, 3], "keepdims": 0}),
        ("MatMul", "m w", "l" if end else "y"),
    ]
    if end:
        nodes.append((end, "l", "y"))
    shapes = {"x": ("float32", [1, 3, 8, 8])}, {"y": ("float32", [1, len(row)])}
    build(folder / "m/model.onnx", shapes[0], nodes, shapes[1], {"w": weights(*row)})
    text = f'task = "image-classification"\nhead = "classifier"\nlabels = {list(labels)}\n[postprocess]\n{post}\n'
    (folder / "m/model.toml").write_text(text, "utf-8")
    return Registry([folder]).model("m")


def answer(*given: Any, **more: Any) -> dict[str, float]:
    found, _ = network(*given, **more).run(GREY)
    assert isinstance(found, Classes)
    return {name: round(score, 4) for name, score in zip(found.names, found.scores.tolist(), strict=True)}


def sigmoid(x: float) -> float:
    return round(1 / (1 + math.exp(-x)), 4)


SOFTMAX = {"a": 0.8808, "b": 0.1192}  # of 3 and 1: 1 / (1 + exp(-2))
EACH = {"a": sigmoid(3), "b": sigmoid(1)}


@pytest.mark.parametrize(
    ("row", "end", "post", "labels", "expected"),
    [
        ([-5.0], "", "", ["nsfw"], {"nsfw": 0.0067}),
        ([-5.0], "Sigmoid", "", ["defect"], {"defect": 0.0067}),
        ([-5.0], "Sigmoid", "multilabel = true", ["defect"], {"defect": 0.0067}),
        ([-5.0], "Sigmoid", 'params.activation = "sigmoid"', ["defect"], {"defect": 0.0067}),
        ([-5.0], "", "", [], {"0": 0.0067}),
        ([-1.0], "", "", ["cat", "dog"], {"cat": 0.7311, "dog": 0.2689}),  # of the second, as Keras numbers two classes
        ([2.0], "Sigmoid", "", ["cat", "dog"], {"dog": 0.8808, "cat": 0.1192}),
        ([3.0, 1.0], "", "", "ab", SOFTMAX),
        ([3.0, 1.0], "Softmax", "", "ab", SOFTMAX),
        ([3.0, 1.0], "Softmax", 'params.activation = "softmax"', "ab", SOFTMAX),
        ([3.0, 1.0], "LogSoftmax", "", "ab", SOFTMAX),
        ([3.0, 1.0], "", "multilabel = true", "ab", EACH),
        ([3.0, 1.0], "Sigmoid", "multilabel = true", "ab", EACH),
        ([3.0, 1.0], "Sigmoid", "", "ab", EACH),
        # logits that look like a distribution: exp(0.5) / (exp(0.5) + exp(0.5)) each, and 0.7 and 0.3
        ([0.7, 0.3], "", "", "ab", {"a": 0.5987, "b": 0.4013}),
    ],
)
def test_what_the_graph_ends_in_decides(
    tmp_path: Path, row: list[float], end: str, post: str, labels: Sequence[str], expected: dict[str, float]
) -> None:
    assert answer(tmp_path, row, end, post, labels) == expected


@pytest.mark.parametrize(
    ("row", "end", "post", "labels", "words"),
    [
        (
            [-5.0],
            "Relu",
            "",
            ["a"],
            "whether its single output 'y' is a logit or a probability: say postprocess.params.act",
        ),
        ([1.0], "", 'params.activation = "softmax"', ["a"], "a softmax over the single output 'y' is always 1"),
        ([1.0], "", "", ["a", "b", "c"], "the model has 1 classes, the label list 3 names"),
        ([1.0], "", "params.skip_first = 1", ["a"], "skip_first is 1, which leaves none of 1 classes"),
    ],
)
def test_what_nothing_decides_is_refused_at_load(
    tmp_path: Path, row: list[float], end: str, post: str, labels: list[str], words: str
) -> None:
    with pytest.raises((BadManifest, BadModel), match=words):
        network(tmp_path, row, end, post, labels)


def test_values_outside_0_to_1_never_leave_as_probabilities(tmp_path: Path) -> None:
    model = network(tmp_path, [3.0, -1.0], "", 'params.activation = "none"', "ab")
    with pytest.raises(BadManifest, match=r"scores from -1 to 3, expected probabilities.*activation = \"sigmoid\" or"):
        model.run(GREY)


def recognised(folder: Path, row: Sequence[float], end: str, config: str) -> tuple[str | None, tuple[str, ...]]:
    network(folder, row, end)
    (folder / "m/model.toml").unlink()
    text = '{"architectures": ["ViTForImageClassification"], "model_type": "vit", ' + config + "}"
    (folder / "m/config.json").write_text(text, "utf-8")
    (folder / "m/preprocessor_config.json").write_text('{"size": {"height": 8, "width": 8}}', "utf-8")
    entry = next(e for e in Registry([folder]).list() if e.name == "m")
    return entry.reason, entry.assumed


def test_what_a_single_output_is_taken_for_is_said(tmp_path: Path) -> None:
    one, two = '"id2label": {"0": "nsfw"}', '"id2label": {"0": "cat", "1": "dog"}'
    assert recognised(tmp_path / "1", [1.0], "", one) == (None, (
        "its single logit is taken through a sigmoid as the score of 'nsfw', as transformers does; "
        'postprocess.params.activation = "none" takes it as it is',
    ))  # fmt: skip
    reason, assumed = recognised(tmp_path / "5", [1.0], "Sigmoid", one)
    assert reason is None and "its single output is taken for the probability of 'nsfw'" in assumed[0]
    reason, _ = recognised(tmp_path / "2", [1.0], "Sigmoid", two)
    assert reason is not None and "id2label has 2 names (cat, dog), but the output is a single number" in reason
    assert recognised(tmp_path / "3", [1.0, 2.0], "", two) == (None, ())
    reason, _ = recognised(tmp_path / "4", [1.0], "", one + ', "problem_type": "regression"')
    assert reason is not None and "problem_type is regression" in reason and "model.toml" in reason


@pytest.mark.parametrize(("end", "right"), [("", 1), ("Sigmoid", 1), ("Relu", None)])
def test_one_channel_of_a_segmentation(tmp_path: Path, end: str, right: int | None) -> None:
    """Logits of -3 and 3: probabilities of 0.05 and 0.95, and not values of which the threshold 0.5 is asked."""
    kernel = np.zeros((1, 3, 1, 1), F)
    kernel[:] = 1 / 3
    nodes: list[Any] = [("Conv", "x k b", "c"), ("Resize", "c r r2", "l" if end else "y", {"mode": "nearest"})]
    nodes += [(end, "l", "y")] if end else []
    constants = {"k": kernel * 6, "b": np.asarray([-3], F), "r": np.zeros(0, F), "r2": np.asarray([1, 1, 2, 2], F)}
    build(
        tmp_path / "m/model.onnx",
        {"x": ("float32", [1, 3, 8, 8])},
        nodes,
        {"y": ("float32", [1, 1, 16, 16])},
        constants,
    )
    (tmp_path / "m/model.toml").write_text('task = "image-segmentation"\nhead = "semantic"\n', "utf-8")
    model = Registry([tmp_path]).model("m")
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, 4:] = 191  # 0.75 * 6 - 3 = 1.5: a probability of 0.82
    if right is None:
        with pytest.raises(
            DropsightError, match=r"values up to 1.49.*activation = \"sigmoid\" for logits, or foreground"
        ):
            model.run(Picture.of(pixels))
        return
    found, _ = model.run(Picture.of(pixels))
    assert isinstance(found, LabelMap) and found.ids[0].tolist() == [0] * 4 + [right] * 4


@pytest.mark.parametrize(
    ("activation", "end", "scores"),
    [("sigmoid", "", [sigmoid(2), sigmoid(1)]), ("sigmoid", "Sigmoid", [sigmoid(2), sigmoid(1)]),
     ("softmax", "Softmax", [0.6652])],
)  # fmt: skip
def test_a_detector_s_own_activation_is_not_applied_again(
    tmp_path: Path, activation: str, end: str, scores: list[float]
) -> None:
    """Logits 2, 1 and 0. With softmax the last class is "no object": exp(2) / (exp(2) + exp(1) + 1) = 0.6652."""
    nodes: list[Any] = [("ReduceMean", "x", "m", {"axes": [2, 3], "keepdims": 0}), ("MatMul", "m w", "r"),
                        ("Unsqueeze", "r a", "l" if end else "logits"), ("Identity", "b", "pred_boxes")]  # fmt: skip
    nodes += [(end, "l", "logits")] if end else []
    constants = {"w": weights(2, 1, 0), "a": np.asarray([1]), "b": np.asarray([[[0.5, 0.5, 0.5, 0.5]]], F)}
    outputs = {"logits": ("float32", [1, 1, 3]), "pred_boxes": ("float32", [1, 1, 4])}
    build(tmp_path / "m/model.onnx", {"x": ("float32", [1, 3, 8, 8])}, nodes, outputs, constants)
    post = f'confidence_threshold = 0.55\nparams.activation = "{activation}"\n'
    text = f'task = "object-detection"\nhead = "detr"\n[postprocess]\n{post}'
    (tmp_path / "m/model.toml").write_text(text, "utf-8")
    found, _ = Registry([tmp_path]).model("m").run(GREY)
    assert isinstance(found, Objects) and found.scores.tolist() == pytest.approx(scores, abs=1e-4)


def test_a_head_without_a_graph_goes_by_the_values() -> None:
    """What is decoded without having been loaded: the row tells, where it can."""
    head = find_head("classifier")
    for row, expected in (([0.2, 0.8], [0.8, 0.2]), ([0.0, 1.0], [1.0, 0.0]), ([3.0, 1.0], [0.8808, 0.1192])):
        found = head.decode({"y": np.asarray([row], F)}, fit(8, 8), manifest("classifier", "image-classification"))
        assert isinstance(found, Classes) and found.scores.tolist() == pytest.approx(expected, abs=1e-4)


def test_label_ids_may_be_floats() -> None:
    ids = np.asarray([[[[0, 2], [1, 0]]]], F)  # of an ArgMax that the exporter cast
    found = find_head("semantic").decode({"y": ids}, fit(2, 2), manifest("semantic", "image-segmentation", 3))
    assert isinstance(found, LabelMap) and found.ids.tolist() == [[0, 2], [1, 0]]


def test_rounding_of_a_quantised_probability_is_no_reason_to_refuse() -> None:
    head = find_head("classifier")
    found = head.decode(
        {"y": np.asarray([[1.004, -0.004]], F)}, fit(8, 8),
        manifest("classifier", "image-classification", params={"activation": "none"}),
    )  # fmt: skip
    assert isinstance(found, Classes) and found.scores.tolist() == [1, 0]


def test_a_detector_of_logits_is_refused_in_words() -> None:
    """A box whose score is a logit of 5.3: none is 530 % sure."""
    boxes, scores, classes = np.asarray([[1, 1, 5, 5]], F), np.asarray([5.3], F), np.zeros(1, F)
    with pytest.raises(BadManifest, match=r"scores up to 5.3, expected 0..1.*head 'yolo', or hold logits"):
        objects(boxes, scores, classes, fit(8, 8), manifest("yolo"))


@pytest.mark.parametrize(("end", "post"), [("", ""), ("Sigmoid", ""), ("Sigmoid", 'params.activation = "sigmoid"')])
def test_a_grid_of_scores_gets_its_sigmoid_once(tmp_path: Path, end: str, post: str) -> None:
    """GFL on an input of 8 x 8 at stride 8: one cell, whose class scores are the logits 2 and 1."""
    nodes: list[Any] = [("ReduceMean", "x", "m", {"axes": [2, 3], "keepdims": 0}), ("MatMul", "m w", "r"),
                        ("Unsqueeze", "r a", "l" if end else "cls"), ("Identity", "d", "dis")]  # fmt: skip
    nodes += [(end, "l", "cls")] if end else []
    constants = {"w": weights(2, 1), "a": np.asarray([1]), "d": np.zeros((1, 1, 32), F)}
    outputs = {"cls": ("float32", [1, 1, 2]), "dis": ("float32", [1, 1, 32])}
    build(tmp_path / "m/model.onnx", {"x": ("float32", [1, 3, 8, 8])}, nodes, outputs, constants)
    text = 'task = "object-detection"\nhead = "gfl"\n[postprocess]\nparams.strides = [8]\n'
    (tmp_path / "m/model.toml").write_text(f"{text}{post}\n", "utf-8")
    found, _ = Registry([tmp_path]).model("m").run(GREY)
    assert isinstance(found, Objects) and found.scores.tolist() == pytest.approx([sigmoid(2)], abs=1e-4)


@pytest.mark.parametrize("end", ["", "Sigmoid"])
def test_a_plane_gets_its_sigmoid_once(tmp_path: Path, end: str) -> None:
    """A logit of 2 everywhere, 0.8808 of white: 225."""
    kernel = np.full((1, 3, 1, 1), 10 / 3, F)  # of 0.2
    nodes: list[Any] = [("Conv", "x k", "l" if end else "y")] + ([(end, "l", "y")] if end else [])
    build(
        tmp_path / "m/model.onnx",
        {"x": ("float32", [1, 3, 8, 8])},
        nodes,
        {"y": ("float32", [1, 1, 8, 8])},
        {"k": kernel},
    )
    text = 'task = "image-to-image"\nhead = "image"\npostprocess.params = { kind = "gray", activation = "sigmoid" }\n'
    (tmp_path / "m/model.toml").write_text(text, "utf-8")
    found, _ = Registry([tmp_path]).model("m").run(GREY)
    assert isinstance(found, OutputImage) and (found.pixels == 225).all()


def test_a_map_of_other_than_probabilities_is_refused() -> None:
    head, how = find_head("classifier_map"), manifest("classifier_map", "image-classification")
    outputs: Any = {"loss": [{"a": 0.75, "b": 0.25}]}
    found = head.decode(outputs, fit(8, 8), how)
    assert isinstance(found, Classes) and found.names == ("a", "b") and found.scores.tolist() == [0.75, 0.25]
    with pytest.raises(BadManifest, match="scores from 1 to 3, expected probabilities"):
        outputs["loss"] = [{"a": 3.0, "b": 1.0}]
        head.decode(outputs, fit(8, 8), how)
