"""timm's config.json: pretrained_cfg, believed as far as the tensors agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.session import Session
from inference.errors import BadManifest
from inference.image.plan import plan
from inference.image.preprocess import input_spec
from inference.manifest import Preprocess
from inference.predictions import Classes, Embedding
from inference.recognize import huggingface, manifest_of
from inference.recognize._export import Draft, Export
from tests.inference.graphs import save
from tests.inference.recognize.support import answer, floats

FACTS = {
    "mean": [0.1, 0.2, 0.3],
    "std": [0.4, 0.5, 0.6],
    "input_size": [3, 64, 64],
    "interpolation": "bicubic",
    "crop_pct": 0.8,
    "crop_mode": "center",
    "num_classes": 2,
    "label_names": ["cat", "dog"],
}


def folder_of(
    folder: Path, facts: Any, shape: Any = (1, 3, 64, 64), scores: Any = (1, 3), **config: Any
) -> tuple[Path, Path]:
    file = save(folder / "model.onnx", {"x": ("float32", list(shape))}, {"logits": floats(list(scores))})
    (folder / "config.json").write_text(
        json.dumps({"architecture": "resnet10t", "pretrained_cfg": facts, **config}), "utf-8"
    )
    return folder, file


def read(folder: Path, facts: Any, **more: Any) -> tuple[Preprocess, Draft]:
    _, file = folder_of(folder, facts, **more)
    export = Export(folder, file, Session(file))
    draft = huggingface.recognize(export)
    assert draft is not None
    return manifest_of(export, draft).preprocess, draft


def planned(how: Preprocess, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """((width, height) of the input, of the resized picture) for a picture of 1000 x 500."""
    return plan(1000, 500, how, input_spec("x", np.dtype(np.float32), [1, 3, *size], how))[:2]


def test_timm_through_optimum(tmp_path: Path) -> None:
    family, manifest, predicted = answer(folder_of(tmp_path, FACTS)[0])
    assert family == "timm" and manifest.preprocess.size == {"shortest_edge": 80}
    assert isinstance(predicted, Classes) and predicted.names[0] == "dog"


@pytest.mark.parametrize(
    ("facts", "size", "resized"),
    [
        ({"crop_mode": "center"}, (64, 64), (160, 80)),
        ({"crop_mode": "squash"}, (64, 64), (80, 80)),
        ({"crop_mode": "border"}, (64, 64), (80, 40)),
        ({"crop_mode": "border", "crop_pct": 1.0}, (64, 64), (64, 32)),
        ({"crop_pct": None}, (64, 64), (146, 73)),  # 0.875
        ({"crop_pct": 1.0, "input_size": [3, 64, 32]}, (64, 32), (128, 64)),
        ({"crop_mode": "border", "crop_pct": 1.0, "input_size": [3, 64, 32]}, (64, 32), (32, 16)),
        ({"crop_mode": "squash", "input_size": [3, 64, 32]}, (64, 32), (40, 80)),
    ],
)
def test_crop_modes(facts: dict[str, Any], size: tuple[int, int], resized: tuple[int, int], tmp_path: Path) -> None:
    how, _ = read(tmp_path, {**FACTS, **facts}, shape=(1, 3, *size))
    assert planned(how, size) == (size[::-1], resized)


def test_a_border_has_the_colour_of_the_mean(tmp_path: Path) -> None:
    how, _ = read(tmp_path, {**FACTS, "crop_mode": "border"})
    assert how.pad_value == (26.0, 51.0, 76.0)  # 25.5, 51 and 76.5, rounded to even as timm does


def test_the_files_own_size_comes_first(tmp_path: Path) -> None:
    how, draft = read(tmp_path, FACTS, shape=(1, 3, 96, 96))
    assert planned(how, (96, 96)) == ((96, 96), (240, 120)) and "input_size is 64x64" in draft.assumed[0]
    test = {**FACTS, "test_input_size": [3, 96, 96], "test_crop_pct": 1.0}
    how, draft = read(tmp_path, test, shape=(1, 3, 96, 96))
    assert planned(how, (96, 96)) == ((96, 96), (192, 96)) and draft.assumed == ()
    how, draft = read(tmp_path, {**FACTS, "input_size": None}, shape=(1, 3, "h", "w"))
    assert how.crop_size == {"height": 224, "width": 224} and "224 is assumed" in draft.assumed[0]


def test_without_classes_it_is_a_vector(tmp_path: Path) -> None:
    _, manifest, predicted = answer(
        folder_of(tmp_path, {**FACTS, "label_names": None}, scores=(3, 4), num_classes=0)[0]
    )
    assert manifest.task == "image-feature-extraction" and isinstance(predicted, Embedding)
    assert predicted.vector.tolist() == pytest.approx([0.6, 0.8])


def test_eighty_classes_are_not_cocos(tmp_path: Path) -> None:
    facts = {"num_classes": 80, "input_size": [3, 64, 64]}
    assert "labels" not in read(tmp_path, facts, scores=[0.0] * 80)[1].table


def test_imagenet_is_assumed_for_a_thousand(tmp_path: Path) -> None:
    draft = read(tmp_path, {"num_classes": 1000, "input_size": [3, 64, 64]}, scores=[0.0] * 1000)[1]
    assert draft.table["labels"] == "builtin:imagenet1000" and "labels.txt" in draft.assumed[0]


@pytest.mark.parametrize(
    ("facts", "more", "words"),
    [
        # A tagger of SmilingWolf: the config.json beside it is that of the timm model it was made from.
        ({"num_classes": 2}, {"shape": (1, 64, 64, 3)}, 'layout = "nhwc", color_order = "bgr"'),
        ({}, {"shape": (1, "h", "w", 3)}, 'layout = "nhwc"'),
        ({}, {"shape": (1, 1, 64, 64)}, "input_size has 3 channels"),
        ({"input_size": [4, 64, 64]}, {"shape": (1, 4, 64, 64)}, "4 channels"),
        ({"num_classes": 5, "label_names": None}, {}, "num_classes is 5"),
        ({"input_size": [64, 64]}, {}, r"input_size is \[64, 64\], expected \[channels, height, width\]"),
        ({"input_size": "224"}, {}, "input_size is '224'"),
        ({"input_size": [3, 0, 64]}, {}, "input_size"),
        ({"mean": [0.5, 0.4]}, {}, r"mean is \[0.5, 0.4\], expected 3 numbers"),
        ({"std": [1, 0, 1]}, {}, "std is"),
        ({"interpolation": "random"}, {}, "interpolation is 'random'"),
        ({"crop_mode": 7}, {}, "crop_mode is 7"),
        ({"crop_mode": "corner"}, {}, "crop_mode is 'corner'"),
        ({"crop_pct": 0.001}, {}, "crop_pct"),
        ({"crop_pct": "0.9"}, {}, "crop_pct is '0.9', expected a number"),
        ({"num_classes": "2"}, {}, "num_classes is '2'"),
        ({"label_names": {"0": "cat"}}, {}, "label_names"),
        ({"crop_pct": 0.5, "input_size": [3, 64, 32]}, {"shape": (1, 3, 64, 32)}, "crop_mode center with crop_pct 0.5"),
        ({"crop_pct": 1.0, "input_size": [3, 64, 32]}, {"shape": (1, 3, "h", "w")}, "and a fixed input"),
    ],
)
def test_what_does_not_fit_is_refused(facts: dict[str, Any], more: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match=words) as refusal:
        read(tmp_path, {**FACTS, **facts}, **more)
    assert "config.json" in str(refusal.value) and "model.toml" in str(refusal.value)


@pytest.mark.parametrize("facts", [None, [], "resnet", 7])
def test_a_pretrained_cfg_that_is_no_table_is_refused(facts: Any, tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="pretrained_cfg: found .* expected a table"):
        read(tmp_path, facts)


def test_maps_are_no_classes(tmp_path: Path) -> None:
    file = save(tmp_path / "m.onnx", {"x": ("float32", [1, 3, 64, 64])}, {"f": np.zeros((1, 8, 2, 2), np.float32)})
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": FACTS}), "utf-8")
    with pytest.raises(BadManifest, match=r"the output is \[1, 8, 2, 2\]"):
        huggingface.recognize(Export(tmp_path, file, Session(file)))


def test_transformers_wrapper_has_the_facts_in_the_processors_file(tmp_path: Path) -> None:
    """TimmWrapperImageProcessor saves pretrained_cfg there, and config.json may be without."""
    folder, _ = folder_of(tmp_path, FACTS)
    (folder / "config.json").write_text('{"model_type": "timm_wrapper", "num_classes": 2}', "utf-8")
    how = {"image_processor_type": "TimmWrapperImageProcessor", "pretrained_cfg": FACTS}
    (folder / "preprocessor_config.json").write_text(json.dumps(how), "utf-8")
    family, manifest, _ = answer(folder)
    assert (family, manifest.labels, manifest.preprocess.image_mean) == ("timm", ("cat", "dog"), (0.1, 0.2, 0.3))
