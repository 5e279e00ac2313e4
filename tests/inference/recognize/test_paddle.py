"""Paddle's side files: infer_cfg.yml and inference.yml, what they say and what is odd about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.engine.model import Model
from inference.engine.session import Session
from inference.errors import BadManifest
from inference.image.media import Picture
from inference.image.preprocess import prepare
from inference.predictions import Classes, Embedding
from inference.recognize import examine, manifest_of, recognize
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import INFER_CFG, answer, boxes, floats

CLASSIFIER = """
Global: {model_name: PP-LCNet_x1_0}
PreProcess:
  transform_ops:
  - ResizeImage: {resize_short: 72}
  - CropImage: {size: 64}
  - NormalizeImage: {channel_num: 3, mean: [0.485, 0.456, 0.406], order: '', scale: 0.00392156862745098, std: [0.229, 0.224, 0.225]}
  - ToCHWImage: null
PostProcess:
  Topk:
    topk: 5
    label_list: [no, 007, cat]
"""  # noqa: E501
DETECTOR = "\nGlobal: {model_name: PicoDet-S}" + INFER_CFG


def classifier(folder: Path, text: str = CLASSIFIER, scores: Any = ((0.1, 0.7, 0.2),), name: str = "") -> Path:
    save(folder / "inference.onnx", picture_input("x"), {"fetch_name_0": np.asarray(scores, np.float32)})
    (folder / (name or "inference.yml")).write_text(text, "utf-8")
    return folder


def detector(folder: Path, text: str = DETECTOR, name: str = "inference.yml") -> Path:
    rows = floats([1, 0.9, 10, 8, 30, 16], [0, 0.3, 0, 0, 9, 9], [-1, 0, 0, 0, 0, 0])
    outputs = {"fetch_name_0": rows, "fetch_name_1": np.asarray([2], np.int32)}
    save(folder / "inference.onnx", {**picture_input("image"), "scale_factor": ("float32", [1, 2])}, outputs)
    (folder / name).write_text(text, "utf-8")
    return folder


def test_a_paddlex_classifier(tmp_path: Path) -> None:
    """Words of YAML that mean a truth value or a number elsewhere are labels in a list of labels."""
    family, manifest, predicted = answer(classifier(tmp_path))
    how = manifest.preprocess
    assert family == "PaddleX" and manifest.labels == ("no", "007", "cat")
    assert (how.size, how.crop_size) == ({"shortest_edge": 72}, {"height": 64, "width": 64}) and how.do_center_crop
    assert how.color_order == "rgb" and how.do_rescale and how.rescale_factor == pytest.approx(1 / 255)
    assert how.image_mean == (0.485, 0.456, 0.406) and how.image_std == (0.229, 0.224, 0.225) and not how.antialias
    assert isinstance(predicted, Classes) and predicted.names == ("007", "cat", "no")
    assert predicted.scores.tolist() == pytest.approx([0.7, 0.2, 0.1])


def test_the_pixels_that_a_paddlex_classifier_gets(tmp_path: Path) -> None:
    """(v * scale - mean) / std, by hand: 255 with mean 0.5 and std 0.25 is 2; 51 is (0.2 - 0.5) / 0.25 = -1.2."""
    text = CLASSIFIER.replace("[0.485, 0.456, 0.406]", "0.5").replace("[0.229, 0.224, 0.225]", "[0.25, 0.25, 0.25]")
    folder = classifier(tmp_path, text.replace("0.00392156862745098", "1./255."))
    export, draft = examine(folder)
    model = Model(manifest_of(export, draft), Session(export.file), "")
    tensor, _ = prepare(
        Picture(Pillow.new("RGB", (144, 72), (255, 51, 0)), (144, 72)), model.manifest.preprocess, model.spec
    )
    np.testing.assert_allclose(tensor[0, :, 32, 32], [2.0, -1.2, -2.0], atol=1e-6)
    assert tensor.shape == (1, 3, 64, 64)


def test_paddlex_tags_and_features(tmp_path: Path) -> None:
    """PaddleClas puts the sigmoid of several tags into the export: no second one."""
    text = CLASSIFIER.replace("Topk:", "MultiLabelThreshOutput:").replace("topk: 5", "threshold: 0.3")
    _, manifest, predicted = answer(classifier(tmp_path / "tags", text, [[0.9, 0.1, 0.4]]))
    assert manifest.postprocess.multilabel and isinstance(predicted, Classes)
    assert predicted.names == ("no", "cat") and predicted.scores.tolist() == pytest.approx([0.9, 0.4])
    text = CLASSIFIER[: CLASSIFIER.index("PostProcess")] + "PostProcess: {NormalizeFeatures: null}\n"
    _, _, vector = answer(classifier(tmp_path / "features", text, [[3.0, 4.0]]))
    assert isinstance(vector, Embedding) and vector.vector.tolist() == pytest.approx([0.6, 0.8])


def test_a_detector_reads_the_same_from_both_files(tmp_path: Path) -> None:
    for name in ("inference.yml", "infer_cfg.yml"):
        family, manifest, predicted = answer(detector(tmp_path / name, name=name))
        assert family == "PaddleDetection" and manifest.postprocess.confidence_threshold == 0.4
        assert manifest.preprocess.resample == 3 and not manifest.preprocess.antialias
        assert boxes(predicted) == [("dog", 0.9, [20.0, 8.0, 60.0, 16.0])]


def test_a_detector_that_pads(tmp_path: Path) -> None:
    step = "keep_ratio: true, target_size: [64, 64], type: Resize}\n"
    step += "- {fill_value: [114.0, 114.0, 114.0], size: [64, 64], type: Pad}"
    text = DETECTOR.replace("keep_ratio: false, target_size: [64, 64], type: Resize}", step)
    _, manifest, predicted = answer(detector(tmp_path, text))
    assert manifest.preprocess.resize_mode == "letterbox_top_left"
    assert manifest.preprocess.pad_value == (114.0, 114.0, 114.0)
    # 128 x 64 becomes 64 x 32 in the upper left corner: twice the size on the way back
    assert boxes(predicted) == [("dog", 0.9, [20.0, 16.0, 60.0, 32.0])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean: [0.485, 0.456, 0.406], ", "", "NormalizeImage with mean None, expected three numbers"),
        ("[0.229, 0.224, 0.225]", "[1, 2]", r"NormalizeImage with std \[1, 2\], expected three numbers"),
        ("[0.229, 0.224, 0.225]", "[1, 0, 1]", "of std none 0"),
        ("[0.485, 0.456, 0.406]", "{a: 1}", "NormalizeImage with mean"),
        ("type: Permute", "type: WarpAffine, keep_res: true", "the step 'WarpAffine', expected one that is known"),
        ("type: Permute", "type: Pad", "the step Pad, expected it after a Resize with keep_ratio"),
        ("- {type: Permute}", "- Permute", "the step 'Permute'"),
        ("[64, 64]", "null", "target_size None, expected a whole number"),
        ("[64, 64]", "[64, 64, 3]", r"target_size \[64, 64, 3\]"),
        ("[64, 64]", "[-1, .inf]", "target_size|unexpected"),
        ("interp: 2", "interp: best", "the interpolation 'best', expected one of NEAREST"),
        ("[cat, dog]", "{0: cat}", "a label_list of dict, expected a list of names"),
        ("[cat, dog]", "[[cat], dog]", "a label_list of list"),
        ("0.4", "high", "draw_threshold 'high', expected a number"),
        ("label_list:", "x: &x [*x]\nlabel_list:", "holds itself"),
        ("label_list:", "x: " + "[" * 3000 + "\nlabel_list:", "nested too deeply"),
        ("label_list:", "x: [\nlabel_list:", "is not valid YAML"),
        ("Preprocess:\n- {interp", "Preprocess: {}\nother:\n- {interp", r"Preprocess \{\}, expected a list of steps"),
    ],
)
def test_odd_values_are_refused_in_words(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in DETECTOR
    with pytest.raises(BadManifest, match=message):
        recognize(detector(tmp_path, DETECTOR.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scale: 0.00392156862745098", "scale: __import__('os')", "scale"),
        ("- ToCHWImage: null", "- RandFlipImage: {flip_code: 1}", "the step RandFlipImage"),
        ("- ToCHWImage: null", "- ToCHWImage", "the step 'ToCHWImage', expected a name and its options"),
        ("mean: [0.485, 0.456, 0.406], ", "", "NormalizeImage with mean None"),
        ("{resize_short: 72}", "null", "size None, expected a whole number"),
        ("channel_num: 3", "channel_num: 4", "channel_num 4, expected 3"),
        ("Topk:", "CTCLabelDecode:", "ends with CTCLabelDecode; of PaddleX's exports detectors, classifiers"),
        ("Topk:", "name:", "are read here; write a model.toml"),
        ("transform_ops:", "operations:", "transform_ops None, expected a list of steps"),
    ],
)
def test_odd_classifiers_are_refused_in_words(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in CLASSIFIER
    with pytest.raises(BadManifest, match=message):
        recognize(classifier(tmp_path, CLASSIFIER.replace(old, new, 1)))


def test_a_few_lines_of_aliases_are_not_written_out(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(BadManifest, match="stands for more than 200,000 values"):
        recognize(detector(tmp_path, DETECTOR.replace("[cat, dog]", "*i").replace("label_list", bomb + "label_list")))
    merged = bomb.replace("[x,", "[{k: 1},").replace(" x", " {k: 1}") + "m: {<<: *i}\n"
    with pytest.raises(BadManifest, match="stands for more than 200,000 values"):
        recognize(detector(tmp_path, merged + DETECTOR))


def test_an_inference_yml_of_somebody_else_is_not_paddles(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="nothing in it or beside it states its preprocessing"):
        recognize(classifier(tmp_path, "seed: 3\nbatch: [1, 2]\n"))
