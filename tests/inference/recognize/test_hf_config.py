"""config.json of Hugging Face: heads, labels, odd values, and tensors that say something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.session import Session
from inference.errors import BadManifest, Permanent
from inference.predictions import Classes, OutputImage
from inference.recognize import huggingface, manifest_of
from inference.recognize._export import Draft, Export
from tests.inference.graphs import save
from tests.inference.recognize.support import answer, boxes, floats

PLAIN = {"size": {"height": 64, "width": 64}, "resample": 2, "do_normalize": False}
LABELS = {"id2label": {"0": "cat", "1": "dog"}}


def folder_of(
    folder: Path, config: Any, outputs: dict[str, Any], shape: Any = (1, 3, 64, 64), how: Any = PLAIN
) -> Path:
    save(folder / "model.onnx", {"pixel_values": ("float32", list(shape))}, outputs)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(how), "utf-8")
    return folder


def draft_of(folder: Path) -> Draft:
    draft = huggingface.recognize(Export(folder, folder / "model.onnx", Session(folder / "model.onnx")))
    assert draft is not None
    return draft


def classifier(**more: Any) -> dict[str, Any]:
    return {"model_type": "vit", "architectures": ["ViTForImageClassification"], **LABELS, **more}


# A map that grows from left to right: metres are then near on the left, inverse depth on the right.
GROWING = np.tile(np.linspace(1, 10, 64, dtype=np.float32), (1, 64, 1))
DEPTH: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"model_type": "depth_anything"}, {}, "right"),
    ({"model_type": "depth_anything", "depth_estimation_type": "relative"}, {}, "right"),
    ({"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 20}, {}, "left"),
    ({"model_type": "dpt"}, {}, "right"),
    ({"model_type": "dpt", "backbone_config": {"model_type": "dinov2"}}, {}, "left"),
    ({"model_type": "zoedepth"}, {}, "left"),
    ({"architectures": ["ZoeDepthForDepthEstimation"]}, {}, "left"),
    ({"model_type": "glpn"}, {}, "left"),
    ({"model_type": "depth_pro"}, {}, "left"),
    # Apple's own export has metres; that of transformers the inverse, which its image processor turns over
    ({"model_type": "depth_pro"}, {"focallength_px": floats(1000)}, "left"),
    ({"model_type": "depth_pro"}, {"field_of_view": floats(60)}, "right"),
]


@pytest.mark.parametrize(("config", "others", "near"), DEPTH)
def test_near_is_bright(config: dict[str, Any], others: dict[str, Any], near: str, tmp_path: Path) -> None:
    config = {"architectures": ["XForDepthEstimation"], **config}
    folder = folder_of(tmp_path, config, {**others, "predicted_depth": GROWING})
    _, _, predicted = answer(folder)
    assert isinstance(predicted, OutputImage)
    left, right = int(predicted.pixels[32, 2, 0]), int(predicted.pixels[32, -3, 0])
    assert (left > right + 200) if near == "left" else (right > left + 200)


def test_what_a_depth_may_mean_is_said(tmp_path: Path) -> None:
    config = {"model_type": "depth_pro", "architectures": ["DepthProForDepthEstimation"]}
    assert 'near = "high"' in draft_of(folder_of(tmp_path, config, {"predicted_depth": GROWING})).assumed[0]


@pytest.mark.parametrize("kind", [None, "single_label_classification", "multi_label_classification"])
def test_one_logit_is_a_sigmoid(kind: str | None, tmp_path: Path) -> None:
    config = classifier(id2label={"0": "nsfw"}, problem_type=kind)
    _, _, predicted = answer(folder_of(tmp_path, config, {"logits": floats([-5])}))
    assert isinstance(predicted, Classes) and predicted.names == ("nsfw",)
    assert predicted.scores[0] == pytest.approx(1 / (1 + np.exp(5)), abs=1e-6)
    assert 'activation = "none"' in draft_of(tmp_path).assumed[0]


def test_several_labels_are_scored_each_by_itself(tmp_path: Path) -> None:
    config = classifier(problem_type="multi_label_classification")
    _, _, predicted = answer(folder_of(tmp_path, config, {"logits": floats([0, 2])}))
    assert isinstance(predicted, Classes)
    assert predicted.scores.tolist() == pytest.approx([1 / (1 + np.exp(-2)), 0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "config", "found"),
    [
        # a class more than labels: the last is "no object"
        ([[0, 4, 0]], {"model_type": "new_detr", **LABELS}, [("dog", round(np.exp(4) / (np.exp(4) + 2), 4))]),
        ([[0, 4, 0]], {"architectures": ["NewForObjectDetection"], **LABELS}, [("dog", 0.9647)]),
        ([[-4, 4]], {"model_type": "new_detr", **LABELS}, [("dog", round(1 / (1 + np.exp(-4)), 4))]),
    ],
)
def test_an_unknown_detector_is_read_by_its_counts(
    logits: Any, config: dict[str, Any], found: Any, tmp_path: Path
) -> None:
    outputs = {"logits": floats(logits), "pred_boxes": floats([[0.5, 0.5, 0.5, 0.5]])}
    config = {"architectures": ["XForObjectDetection"], **config}
    how = {**PLAIN, "do_rescale": True, "image_processor_type": "DetrImageProcessor"}
    _, _, predicted = answer(folder_of(tmp_path, config, outputs, how=how))
    assert [(n, s) for n, s, _ in boxes(predicted)] == found
    assert "is not known here: activation" in draft_of(tmp_path).assumed[0]


def test_a_label_that_training_left_out_is_left_out(tmp_path: Path) -> None:
    """do_reduce_labels: label 0 of the data set is no class, so class 0 is label 1."""
    config = {
        "model_type": "segformer",
        "architectures": ["SegformerForSemanticSegmentation"],
        "id2label": {"0": "background", "1": "wall", "2": "sky"},
    }
    folder = folder_of(tmp_path, config, {"logits": np.zeros((1, 2, 16, 16), np.float32)}, how={"reduce_labels": True})
    draft = draft_of(folder)
    assert draft.table["labels"] == ["wall", "sky"] and "class 0 is 'wall'" in str(draft.assumed)


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"id2label": ["cat", "dog"]}, r"id2label is \['cat', 'dog'\], expected a table of ids and names"),
    ({}, {"id2label": {"cat": 0, "dog": 1}}, r"id2label is .*\(ids first\)"),
    ({}, {"id2label": {"99999999": "cat"}}, "id2label"),
    ({}, {"id2label": {"0": None}}, "id2label"),
    ({}, {"architectures": "ViT"}, "architectures is 'ViT', expected a list of texts"),
    ({}, {"model_type": 3}, "model_type is 3, expected a text"),
    ({}, {"problem_type": "regression"}, "its output is a value"),
    ({"one": True}, {}, r"id2label has 2 names \(cat, dog\), but the output is a single number"),
    ({}, {"problem_type": "several"}, "problem_type is 'several', expected single_label"),
    ({}, {"num_channels": 1}, "num_channels is 1, but the file's input .* has 3"),
    ({}, {"num_labels": 7, "id2label": None}, "num_labels is 7, the outputs have 2 classes"),
    ({"resample": "cubic"}, {}, "resample is 'cubic', expected a number from 0 to 5"),
    ({"resample": True}, {}, "resample is True"),
    ({"size": {"height": 64}}, {}, r"size is \{'height': 64\}, expected a side"),
    ({"size": {"height": None, "width": None}}, {}, "size is"),
    ({"size": [64]}, {}, "size is"),
    ({"size": "64"}, {}, "size is '64'"),
    ({"size": 10**9}, {}, "size is"),
    ({"size": 0}, {}, "size is 0"),
    ({"do_center_crop": True, "crop_size": {"height": 64}}, {}, "crop_size is"),
    ({"do_center_crop": True}, {}, "crop_size is None, expected a side"),
    ({"do_resize": "yes"}, {}, "do_resize is 'yes', expected true or false"),
    ({"do_rescale": 1}, {}, "do_rescale is 1, expected true or false"),
    ({"rescale_factor": 0}, {}, "rescale_factor is 0, expected a number above 0"),
    ({"rescale_factor": "1/255"}, {}, "rescale_factor"),
    ({"rescale_factor": float("nan")}, {}, "rescale_factor is nan"),
    ({"do_normalize": True, "image_mean": [0.5, 0.5]}, {}, "image_mean is .* expected 3 numbers"),
    ({"do_normalize": True, "image_mean": None, "image_std": [1, 0, 1]}, {}, "image_std is .* above 0"),
    ({"do_normalize": True, "image_mean": "0.5"}, {}, "image_mean"),
    ({"image_processor_type": ["ViTImageProcessor"]}, {}, "image_processor_type"),
]


@pytest.mark.parametrize(("how", "config", "words"), REFUSED)
def test_odd_values_are_refused_by_name(
    how: dict[str, Any], config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    how = {**PLAIN, **how}
    logits = floats([0] if how.pop("one", False) else [0, 2])
    folder = folder_of(tmp_path, classifier(**config), {"logits": logits}, how=how)
    with pytest.raises(BadManifest, match=words) as refusal:
        draft_of(folder)
    assert "config.json" in str(refusal.value) and "model.toml" in str(refusal.value)


@pytest.mark.parametrize("how", [[], "ViT", 3])
def test_a_side_file_that_is_no_table_is_refused(how: Any, tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match=r"preprocessor_config\.json: found .* expected a table"):
        draft_of(folder_of(tmp_path, classifier(), {"logits": floats([0, 2])}, how=how))


@pytest.mark.parametrize(
    ("architecture", "outputs", "words"),
    [
        ("ViTForImageClassification", {"output0": np.zeros((1, 84, 99), np.float32)}, r"found \[1, 84, 99\]"),
        ("DetrForObjectDetection", {"output0": np.zeros((1, 84, 99), np.float32)}, "no output for 'scores'"),
        ("SegformerForSemanticSegmentation", {"logits": np.zeros((1, 2), np.float32)}, r"found \[1, 2\]"),
        ("SwinForMaskedImageModeling", {"x": np.zeros((1, 3, 8, 8), np.float32)}, "its task is not known here"),
    ],
)
def test_outputs_of_another_task_are_refused(architecture: str, outputs: Any, words: str, tmp_path: Path) -> None:
    config = {"model_type": "detr" if "Detr" in architecture else "vit", "architectures": [architecture], **LABELS}
    with pytest.raises(BadManifest, match=words) as refusal:
        draft_of(folder_of(tmp_path, config, outputs))
    assert architecture in str(refusal.value) and "model.toml" in str(refusal.value)


def test_channels_last_are_another_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, classifier(), {"logits": floats([0, 2])}, shape=(1, 64, 64, 3))
    with pytest.raises(BadManifest, match="channels first, but the file's input is pixel_values"):
        draft_of(folder)


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 10**12), st.floats(), st.text(max_size=8), st.just(10**400),
    st.lists(st.one_of(st.none(), st.integers(-1, 999), st.floats(), st.text(max_size=3)), max_size=4),
    st.dictionaries(
        st.sampled_from(["height", "width", "shortest_edge", "longest_edge", "max_height", "max_width", "0", "cat"]),
        st.one_of(st.none(), st.integers(-1, 999), st.floats(), st.text(max_size=3)), max_size=3,
    ),
)  # fmt: skip
PROCESSOR_FIELDS = (
    "size", "crop_size", "crop_pct", "resample", "do_resize", "do_center_crop", "do_rescale", "rescale_factor",
    "do_normalize", "image_mean", "image_std", "do_flip_channel_order", "rescale_offset", "offset", "include_top",
    "do_pad", "pad_size", "size_divisor", "keep_aspect_ratio", "ensure_multiple_of", "max_size", "default_to_square",
    "do_reduce_labels", "image_processor_type", "do_grayscale", "something",
)  # fmt: skip
CONFIG_FIELDS = (
    "model_type", "architectures", "id2label", "num_labels", "problem_type", "num_channels", "depth_estimation_type",
    "backbone_config", "num_frames",
)  # fmt: skip
TIMM_FIELDS = (
    "input_size", "test_input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std", "num_classes",
    "label_names",
)  # fmt: skip
KINDS = st.sampled_from(
    ["vit", "convnext", "poolformer", "levit", "perceiver", "dpt", "zoedepth", "glpn", "detr", "efficientnet", "eomt",
     "swin2sr", "textnet", "vivit", "mobilevit", "?"]
)  # fmt: skip


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    file = tmp_path_factory.mktemp("odd") / "model.onnx"
    return Session(save(file, {"x": ("float32", [1, 3, "h", "w"])}, {"logits": floats([0, 2])}))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    kind=KINDS,
    how=st.dictionaries(st.sampled_from(PROCESSOR_FIELDS), ODD, max_size=4),
    config=st.dictionaries(st.sampled_from(CONFIG_FIELDS), ODD, max_size=2),
    facts=st.none() | st.dictionaries(st.sampled_from(TIMM_FIELDS), ODD, max_size=3),
)
def test_whatever_the_side_files_hold_the_answer_is_a_manifest_or_a_refusal(
    session: Session, kind: str, how: Any, config: Any, facts: Any
) -> None:
    table = {"model_type": kind, "architectures": ["XForImageClassification"], **config}
    if facts is not None:
        table = {**table, "pretrained_cfg": facts}
    export = Export(Path("odd"), Path("odd/model.onnx"), session)
    export._texts.update({"config.json": json.dumps(table), "preprocessor_config.json": json.dumps(how)})
    try:
        draft = huggingface.recognize(export)
        assert draft is not None
        manifest_of(export, draft)
    except Permanent as refusal:
        assert str(refusal).startswith("odd")
