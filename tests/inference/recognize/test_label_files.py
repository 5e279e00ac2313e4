"""Class names beside a file, in the files that tools write them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.label_lists import read_labels
from inference.manifest import manifest_from
from inference.recognize import examine
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import answer

THREE = ["cat", "dog", "cow"]


def _yolox(folder: Path, classes: int = 3) -> None:
    """A detector whose only box is of class 1."""
    grid = np.zeros((1, 84, 5 + classes), np.float32)
    grid[0, 0, 4], grid[0, 0, 5 + 1] = 0.9, 0.95
    save(folder / "model.onnx", picture_input("images"), {"output": grid})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.json", '["cat", "dog", "cow"]'),
        ("labels.json", '{"labels": ["cat", "dog", "cow"]}'),
        ("id2label.json", '{"2": "cow", "0": "cat", "1": "dog"}'),
        ("class_indices.json", '{"cow": 2, "cat": 0, "dog": 1}'),
        ("labels.json", '{"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "cow"]}'),
        (
            "labels.json",
            '[{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}, {"id": 2, "name": "cow"}]',
        ),
        ("labels.txt", '["cat", "dog", "cow"]'),
        ("data.yaml", "train: images\nnc: 3\nnames: [cat, dog, cow]\n"),
        ("data.yaml", "names:\n  0: cat\n  1: dog\n  2: cow\n"),
        ("obj.names", "cat\ndog\ncow\n"),
        ("labelmap.txt", "cat\ndog\ncow\n"),
        ("labels.csv", "id,name\n2,cow\n0,cat\n1,dog\n"),
        ("labels.csv", "Name;Colour\ncat;red\ndog;blue\ncow;red\n"),
        ("labels.txt", '"cat",\n"dog",\n"cow"\n'),
        ("labels.txt", "0 cat\n1 dog\n2 cow\n"),
        ("labels.txt", "2: cow\n0: cat\n1: dog\n"),
        ("labels.txt", "1. cat\n2. dog\n3. cow\n"),
    ],
)
def test_names_are_read_from_what_tools_write(name: str, text: str, tmp_path: Path) -> None:
    """Class 1 is the dog, and of a detector with three classes; the ids of a file come before its order."""
    _yolox(tmp_path)
    (tmp_path / name).write_text(text, "utf-8")
    _, manifest, found = answer(tmp_path)
    assert (list(manifest.labels), found.names) == (THREE, ("dog",))  # type: ignore[union-attr]
    declared = {"name": "own", "task": "object-detection", "head": "yolox", "labels": name}
    assert list(manifest_from(declared, "", tmp_path).labels) == THREE


@pytest.mark.parametrize("name", ["labels.json", "coco128.yaml"])
def test_eighty_own_classes_are_not_named_after_coco(name: str, tmp_path: Path) -> None:
    _yolox(tmp_path, 80)
    own = [f"part {i}" for i in range(80)]
    (tmp_path / name).write_text(json.dumps(own if name.endswith("json") else {"names": own}), "utf-8")
    assert answer(tmp_path)[2].names == ("part 1",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        ("0 background\n1 cat\n2 dog\n", ["background", "cat", "dog"], "class ids"),
        ("0 person\n2 car\n", ["person", "N/A", "car"], "class ids"),
        ("1 cent\n2 cent\n5 cent\n", ["1 cent", "2 cent", "5 cent"], ""),  # not a count: names
        ("1 person\n2 person\n", ["1 person", "2 person"], ""),  # without the numbers they would be the same
        ("1 euro\n", ["1 euro"], ""),
        ("3 mm\n4 inch\n", ["3 mm", "4 inch"], ""),
    ],
)
def test_numbers_before_names_are_ids_only_where_they_count(text: str, labels: list[str], said: str) -> None:
    found, sentence = read_labels("labels.txt", text)
    assert (found, said in sentence, bool(sentence)) == (labels, True, bool(said))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.json", '{"a": {"b": 1}}', "table of class ids"),
        ("labels.json", "[1, 2]", "no names of classes"),
        ("labels.json", '{"cat": 0, "dog": 0}', "count its names"),
        ("labels.json", "cat\ndog", "valid JSON"),
        ("labels.txt", "{\\rtf1 cat}", "label per line"),
    ],
)
def test_what_is_no_list_is_refused_in_words(name: str, text: str, words: str, tmp_path: Path) -> None:
    _yolox(tmp_path)
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(Exception, match=words):
        examine(tmp_path)


def test_what_was_read_is_said(tmp_path: Path) -> None:
    _yolox(tmp_path)
    assert any("numbers stand in their place" in said for said in examine(tmp_path)[1].assumed)
    (tmp_path / "data.yaml").write_text("names: [cat, dog, cow]", "utf-8")
    assert any("labels are those of data.yaml" in said for said in examine(tmp_path)[1].assumed)
    (tmp_path / "classes.txt").write_text("1 a\n2 b\n3 c\n", "utf-8")
    (tmp_path / "labels.txt").write_text("1 cat\n2 dog\n3 cow\n", "utf-8")
    said = " ".join(examine(tmp_path)[1].assumed)
    assert "those of labels.txt, not of classes.txt" in said and "count from 1 ('cat' is the first class)" in said


def test_a_yaml_of_something_else_is_passed_over(tmp_path: Path) -> None:
    _yolox(tmp_path)
    (tmp_path / "args.yaml").write_text("names: 3\n", "utf-8")
    (tmp_path / "broken.yaml").write_text("names: [", "utf-8")
    assert "labels" not in examine(tmp_path)[1].table


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, ("cow",)),
        ({}, ("cow",)),
        ({"label2id": {"x": 0, "z": 2, "y": 1}}, ("z",)),
        ({"id2label": {"0": "x", "1": "y", "2": "z"}}, ("z",)),
    ],
)
def test_hugging_face_without_names_of_its_own(config: dict[str, Any], names: tuple[str], tmp_path: Path) -> None:
    """transformers writes LABEL_0, LABEL_1 ... where nobody gave names."""
    logits = np.array([[0, 1, 9]], np.float32)
    save(tmp_path / "model.onnx", picture_input("pixel_values"), {"logits": logits})
    table = {"model_type": "vit", "architectures": ["ViTForImageClassification"], **config}
    (tmp_path / "config.json").write_text(json.dumps(table), "utf-8")
    how = {"image_processor_type": "ViTImageProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(how), "utf-8")
    (tmp_path / "labels.txt").write_text("cat\ndog\ncow\n", "utf-8")
    assert answer(tmp_path)[2].names[:1] == names  # type: ignore[union-attr]


def _suppressed(folder: Path, classes: list[int]) -> None:
    """A detector that runs NMS itself and does not show how many classes it has."""
    count = len(classes)
    boxes = np.tile(np.asarray([8, 8, 24, 24], np.float32), (1, count, 1))
    outputs = {
        "num_dets": np.asarray([[count]], np.int32),
        "boxes": boxes,
        "scores": np.linspace(0.9, 0.8, count, dtype=np.float32)[None],
        "labels": np.asarray([classes], np.int32),
    }
    save(folder / "model.onnx", picture_input("images"), outputs)


def test_a_class_that_the_list_does_not_reach_is_said(tmp_path: Path) -> None:
    _suppressed(tmp_path, [1, 5])
    (tmp_path / "labels.txt").write_text("cat\ndog\n", "utf-8")
    found = answer(tmp_path)[2]
    assert found.names == ("dog", "5")  # type: ignore[union-attr]
    assert found.notes == (  # type: ignore[union-attr]
        "label 5 has no name: the list has 2, from 0; correct labels or label_offset",
    )


def test_a_detector_whose_classes_do_not_show_never_answers_background(tmp_path: Path) -> None:
    _suppressed(tmp_path, [0, 1])
    (tmp_path / "labels.txt").write_text("background\ncat\ndog\n", "utf-8")
    assert answer(tmp_path)[2].names == ("cat", "dog")  # type: ignore[union-attr]
    assert any("label_offset = 0 in model.toml" in said for said in examine(tmp_path)[1].assumed)
