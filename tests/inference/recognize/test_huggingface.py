"""Hugging Face folders: config.json and preprocessor_config.json.

A tiny graph stands in for the file, with the exporter's exact names, shapes and side files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import BadManifest
from inference.predictions import Classes, Embedding, LabelMap, Objects
from inference.recognize import recognize
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import answer, boxes, floats


def hugging_face(
    folder: Path, config: dict[str, Any], how: dict[str, Any] | None, outputs: dict[str, Any], size: int = 64
) -> Path:
    save(folder / "onnx/model.onnx", picture_input("pixel_values", size), outputs)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    if how is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(how), "utf-8")
    return folder


NAMES = {"id2label": {"0": "cat", "1": "dog"}}
SQUARE = {
    "do_resize": True,
    "size": {"height": 64, "width": 64},
    "resample": 3,
    "do_rescale": True,
    "do_normalize": False,
}


def test_hugging_face_detr_drops_its_last_class(tmp_path: Path) -> None:
    outputs = {
        "logits": floats([[0, 4, 0], [0, 0, 9]]),
        "pred_boxes": floats([[0.5, 0.5, 0.5, 0.25], [0.5, 0.5, 1, 1]]),
    }
    config = {"model_type": "detr", "architectures": ["DetrForObjectDetection"], **NAMES}
    family, manifest, predicted = answer(hugging_face(tmp_path, config, SQUARE, outputs))
    assert family == "Hugging Face" and manifest.preprocess.resample == 3
    score = np.exp(4) / (np.exp(4) + 2)
    assert boxes(predicted) == [("dog", round(float(score), 4), [32.0, 24.0, 96.0, 40.0])]


@pytest.mark.parametrize("kind", ["rt_detr", "rt_detr_v2", "d_fine"])
def test_hugging_face_rt_detr_scores_each_class_by_itself(kind: str, tmp_path: Path) -> None:
    outputs = {"logits": floats([[2, 3], [-9, -9]]), "pred_boxes": floats([[0.5, 0.5, 0.5, 0.25], [0.5, 0.5, 1, 1]])}
    config = {"model_type": kind, "architectures": ["RTDetrForObjectDetection"], **NAMES}
    _, _, predicted = answer(hugging_face(tmp_path, config, SQUARE, outputs))
    assert [(n, s) for n, s, _ in boxes(predicted)] == [("dog", 0.9526), ("cat", 0.8808)]


def test_hugging_face_classifier_takes_every_field(tmp_path: Path) -> None:
    how = {
        "do_resize": True,
        "size": {"shortest_edge": 72},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 64, "width": 64},
        "do_rescale": True,
        "rescale_factor": 0.00392156862745098,
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"], **NAMES}
    _, manifest, predicted = answer(hugging_face(tmp_path, config, how, {"logits": floats([0, 2])}))
    ours = manifest.preprocess
    assert (ours.size, ours.crop_size, ours.resample) == ({"shortest_edge": 72}, {"height": 64, "width": 64}, 3)
    assert (ours.image_mean, ours.image_std, ours.do_normalize) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), True)
    assert isinstance(predicted, Classes) and predicted.names == ("dog", "cat")
    assert predicted.scores[0] == pytest.approx(np.exp(2) / (1 + np.exp(2)), abs=1e-5)


def test_hugging_face_convnext_crops_by_its_share(tmp_path: Path) -> None:
    how = {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 224},
        "crop_pct": 0.875,
        "resample": 3,
    }
    config = {"model_type": "convnext", "architectures": ["ConvNextForImageClassification"], **NAMES}
    ours = recognize(hugging_face(tmp_path, config, how, {"logits": floats([0, 2])}, 224)).preprocess
    assert ours.size == {"shortest_edge": 256} and ours.crop_size == {"height": 224, "width": 224}


def test_hugging_face_segformer(tmp_path: Path) -> None:
    logits = np.zeros((1, 2, 16, 16), np.float32)
    logits[0, 1, :, 8:] = 5
    config = {"model_type": "segformer", "architectures": ["SegformerForSemanticSegmentation"], **NAMES}
    _, _, predicted = answer(hugging_face(tmp_path, config, {**SQUARE, "do_reduce_labels": True}, {"logits": logits}))
    assert isinstance(predicted, LabelMap) and predicted.ids.shape == (64, 128)
    assert predicted.ids[:, 70:].min() == 1 and predicted.ids[:, :56].max() == 0 and predicted.background is None


def test_hugging_face_maskformer(tmp_path: Path) -> None:
    classes, masks = np.full((1, 2, 3), -8, np.float32), np.full((1, 2, 16, 16), -8, np.float32)
    classes[0, 0, 0], classes[0, 1, 1], masks[0, 0, :, :8], masks[0, 1, :, 8:] = 8, 8, 8, 8
    config = {"model_type": "maskformer", "architectures": ["MaskFormerForInstanceSegmentation"], **NAMES}
    outputs = {"class_queries_logits": classes, "masks_queries_logits": masks}
    _, _, predicted = answer(hugging_face(tmp_path, config, SQUARE, outputs))
    assert isinstance(predicted, Objects) and sorted(predicted.names) == ["cat", "dog"] and predicted.masks is not None


def test_hugging_face_vitpose(tmp_path: Path) -> None:
    maps = np.zeros((1, 17, 16, 16), np.float32)
    maps[0, :, 8, 4] = 0.9
    config = {"model_type": "vitpose", "architectures": ["VitPoseForPoseEstimation"]}
    _, manifest, predicted = answer(hugging_face(tmp_path, config, SQUARE, {"heatmaps": maps}))
    assert manifest.preprocess.crop_scale == 1.25 and isinstance(predicted, Objects) and predicted.keypoints is not None
    np.testing.assert_allclose(predicted.keypoints[0, 3], [32, 32, 0.9], atol=0.01)


def test_hugging_face_without_its_processor_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"], **NAMES}
    with pytest.raises(BadManifest, match=r"preprocessor_config\.json is missing"):
        recognize(hugging_face(tmp_path, config, None, {"logits": floats([0, 2])}))


@pytest.mark.slow
def test_hugging_face_video_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from inference.__main__ import main

    save(tmp_path / "model.onnx", {"pixel_values": ("float32", [1, 8, 3, 32, 32])}, {"logits": floats([0, 2])})
    config = {"model_type": "videomae", "architectures": ["VideoMAEForVideoClassification"], "num_frames": 8, **NAMES}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    how = {**SQUARE, "size": {"shortest_edge": 32}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(how), "utf-8")
    manifest = recognize(tmp_path)
    assert (manifest.task, manifest.preprocess.num_frames) == ("video-classification", 8)
    assert manifest.labels == ("cat", "dog") and manifest.preprocess.do_center_crop
    assert main(["models", "check", str(tmp_path)]) == 0
    assert "it wants clips" in capsys.readouterr().out


def test_hugging_face_detr_asks_which_pixels_are_picture(tmp_path: Path) -> None:
    """The graph answers with the share of the mask that is set: everything is, as nothing is padded."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["pixel_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["mask"], ["share"], axes=[0, 1, 2], keepdims=0),
        helper.make_node("Mul", ["share", "box"], ["pred_boxes"]),
        helper.make_node("Identity", ["score"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("box", TensorProto.FLOAT, [1, 1, 4], [0.5, 0.5, 0.5, 0.25]),
        helper.make_tensor("score", TensorProto.FLOAT, [1, 1, 3], [0, 9, 0]),
    ]
    feeds = [
        helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["b", "c", "h", "w"]),
        helper.make_tensor_value_info("pixel_mask", TensorProto.INT64, ["b", 64, 64]),
    ]
    answers = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("logits", [1, 1, 3]), ("pred_boxes", [1, 1, 4]))
    ]
    graph = helper.make_graph(nodes, "g", feeds, answers, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(tmp_path / "model.onnx"),
    )
    config = {"model_type": "detr", "architectures": ["DetrForObjectDetection"], **NAMES}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SQUARE), "utf-8")
    _, _, predicted = answer(tmp_path)
    assert [(n, b) for n, _, b in boxes(predicted)] == [("dog", [32.0, 24.0, 96.0, 40.0])]


@pytest.mark.parametrize("name", ["image_embeds", "pooler_output"])
def test_hugging_face_without_a_head_gives_the_vector_of_the_picture(name: str, tmp_path: Path) -> None:
    outputs = {"last_hidden_state": np.zeros((1, 5, 2), np.float32), name: floats([3, 4])}
    config = {"model_type": "dinov2", "architectures": ["Dinov2Model"], **NAMES}
    _, manifest, predicted = answer(hugging_face(tmp_path, config, SQUARE, outputs))
    assert isinstance(predicted, Embedding) and predicted.vector.tolist() == pytest.approx([0.6, 0.8])
    assert (manifest.task, manifest.labels) == ("image-feature-extraction", ())
