"""Files whose batch is fixed at N: run with the picture repeated, or refused at load with what to export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.engine.clip import ClipModel
from inference.engine.image_to_image import ImageToImage
from inference.engine.registry import Registry
from inference.errors import BadModel
from inference.image.media import Picture
from inference.predictions import Classes, Embedding, Objects, OutputImage
from tests.inference.graphs import build, save

F = np.float32
ROWS = np.zeros((8, 1, 6), F)
ROWS[:, 0] = 8, 8, 40, 24, 0.9, 1  # x1, y1, x2, y2, score, class
ROWS[1:, 0, 4] = 0.1  # of pictures that are not there
METADATA = {"author": "Ultralytics", "task": "detect", "stride": "32", "names": "{0: 'cat', 1: 'dog'}"}
PICTURE = Picture.of(np.full((64, 64, 3), 102, np.uint8))  # 0.4


def declared(folder: Path, task: str, head: str, more: str = "") -> Any:
    (folder / "m/model.toml").write_text(f'task = "{task}"\nhead = "{head}"\n{more}', "utf-8")
    return Registry([folder]).load("m")


def test_a_recognised_detector_answers_for_the_first_row_and_says_what_it_costs(tmp_path: Path) -> None:
    save(tmp_path / "m/best.onnx", {"images": ("float32", [8, 3, 64, 64])}, {"output0": ROWS}, metadata=METADATA)
    registry = Registry([tmp_path])
    found, _ = registry.model("m").run(PICTURE)
    assert isinstance(found, Objects) and found.names == ("dog",) and found.boxes.tolist() == [[8, 8, 40, 24]]
    assert registry.list()[0].assumed == (
        "its batch is fixed at 8: a picture is run 8 times over, which takes as much longer; export it again with "
        "batch=1 or dynamic=True",
    )


def test_the_picture_is_in_every_place_and_side_inputs_are_repeated(tmp_path: Path) -> None:
    """The mean over the whole batch is the picture's, and scale_factor [8, 2] is 1 everywhere: 0.4 + 1."""
    nodes: list[Any] = [
        ("ReduceMean", "image", "m", {"axes": [0, 1, 2, 3], "keepdims": 0}),
        ("ReduceMean", "scale_factor", "s", {"axes": [0, 1], "keepdims": 0}),
        ("Add", "m s", "sum"), ("Expand", "sum shape", "y"),
    ]  # fmt: skip
    inputs = {"image": ("float32", [8, 3, 4, 4]), "scale_factor": ("float32", [8, 2])}
    build(tmp_path / "m/model.onnx", inputs, nodes, {"y": ("float32", [8, 2])}, {"shape": np.asarray([8, 2])})
    model = declared(tmp_path, "image-feature-extraction", "embedding", "postprocess.params.normalize = false\n")
    found, _ = model.run(PICTURE)
    assert isinstance(found, Embedding) and found.vector.tolist() == pytest.approx([1.4, 1.4], abs=1e-3)


def test_a_detr_of_four_with_its_mask(tmp_path: Path) -> None:
    """A batch of 4 with pixel_mask [4, 2, 2]: of a picture twice as wide as high, the lower half is padding.

    The mask's sum over a picture, 2 of 4 cells, is the logit of the first class; its sigmoid is 0.8808.
    """
    nodes: list[Any] = [
        ("Cast", "pixel_mask", "f", {"to": 1}), ("ReduceSum", "f axes", "n", {"keepdims": 1}),
        ("Concat", "n low", "logits", {"axis": 2}), ("Identity", "boxes", "pred_boxes"),
    ]  # fmt: skip
    inputs = {"pixel_values": ("float32", [4, 3, 32, 32]), "pixel_mask": ("int64", [4, 2, 2])}
    constants = {"axes": np.asarray([1, 2]), "low": np.full((4, 1, 1), -9, F),
                 "boxes": np.tile(np.asarray([0.5, 0.25, 1, 0.5], F), (4, 1, 1))}  # fmt: skip
    outputs = {"logits": ("float32", [4, 1, 2]), "pred_boxes": ("float32", [4, 1, 4])}
    build(tmp_path / "m/model.onnx", inputs, nodes, outputs, constants)
    how = "[preprocess]\nsize = { shortest_edge = 32, longest_edge = 60 }\n"
    found, _ = declared(tmp_path, "object-detection", "detr", how).run(Picture.of(np.zeros((50, 100, 3), np.uint8)))
    assert isinstance(found, Objects) and found.scores.tolist() == pytest.approx([0.8808], abs=1e-4)
    assert found.boxes[0].tolist() == pytest.approx([0, 0, 100, 50], abs=1e-4)  # what was not padding


def test_clips_and_images_come_in_batches_too(tmp_path: Path) -> None:
    mean = ("ReduceMean", "x", "m", {"axes": [1, 2, 3, 4], "keepdims": 0})
    nodes: list[Any] = [mean, ("Unsqueeze", "m a", "u"), ("Concat", "u u", "y", {"axis": 1})]
    build(tmp_path / "c/m/model.onnx", {"x": ("float32", [2, 4, 3, 8, 8])}, nodes, {"y": ("float32", [2, 2])},
          {"a": np.asarray([1])})  # fmt: skip
    clip = declared(tmp_path / "c", "video-classification", "classifier", 'postprocess.params.activation = "none"\n')
    assert isinstance(clip, ClipModel)
    scores = clip.run([clip.frame(np.full((8, 8, 3), 102, np.uint8))] * 4)
    assert scores.tolist() == pytest.approx([0.4, 0.4], abs=1e-3)

    shape = ("float32", [3, 3, 16, 16])
    build(tmp_path / "i/m/model.onnx", {"x": shape}, [("Identity", "x", "y")], {"y": shape})
    model = declared(tmp_path / "i", "image-to-image", "image")
    assert isinstance(model, ImageToImage)
    made, _ = model.run(Picture.of(np.full((40, 30, 3), (10, 20, 30), np.uint8)))  # in tiles
    assert isinstance(made, OutputImage) and made.pixels.shape == (40, 30, 3)
    assert (made.pixels == (10, 20, 30)).all()


@pytest.mark.parametrize(
    ("shape", "outputs", "words"),
    [
        (
            [8, 3, 64, 64],
            {"y": np.zeros((20, 7), F)},
            r"its batch is fixed at 8, and y float32 \[20, 7\].*batch=1 or dyn",
        ),
        ([8, 3, 64, 64], {"y": np.zeros((1, 8, 6), F)}, "its batch is fixed at 8"),
        ([0, 3, 64, 64], {"y": np.zeros((1, 5, 6), F)}, "has an axis of size 0, which nothing fits; export it again"),
        ([1, 3, 0, 64], {"y": np.zeros((1, 5, 6), F)}, "has an axis of size 0"),
    ],
)
def test_what_cannot_be_run_is_refused_at_load_and_in_the_listing(
    tmp_path: Path, shape: list[int | str | None], outputs: dict[str, Any], words: str
) -> None:
    """Rows over the whole batch, as NMS in the graph writes them, do not tell whose they are."""
    save(tmp_path / "m/model.onnx", {"images": ("float32", shape)}, outputs)
    with pytest.raises(BadModel, match=words):
        declared(tmp_path, "object-detection", "yolo")


def test_the_listing_shows_what_no_upload_could_be_run_with(tmp_path: Path) -> None:
    inputs = {"images": ("float32", [8, 3, 64, 64])}
    save(tmp_path / "m/best.onnx", inputs, {"output0": np.zeros((1, 300, 6), F)}, metadata=METADATA)
    entry = Registry([tmp_path]).list()[0]
    assert entry.reason is not None and "its batch is fixed at 8" in entry.reason and "dynamic=True" in entry.reason


def test_a_free_batch_and_a_batch_of_one_are_run_as_they_are(tmp_path: Path) -> None:
    for name, first in (("a", 1), ("b", "batch")):
        nodes: list[Any] = [("Shape", "x", "s", {"start": 0, "end": 1}), ("Cast", "s", "f", {"to": 1})]
        nodes += [("Div", "f four", "q"), ("Unsqueeze", "q axis", "u"), ("Concat", "u u", "y", {"axis": 1})]
        build(tmp_path / name / "m/model.onnx", {"x": ("float32", [first, 3, 8, 8])}, nodes, {"y": ("float32", [1, 2])},
              {"four": F(4), "axis": np.asarray([1])})  # fmt: skip
        model = declared(
            tmp_path / name, "image-classification", "classifier", 'postprocess.params.activation = "none"\n'
        )
        found, _ = model.run(PICTURE)
        assert isinstance(found, Classes) and found.scores.tolist() == [0.25, 0.25]  # a batch of 1, of 4


def test_a_config_beside_the_file_changes_nothing_of_it(tmp_path: Path) -> None:
    """A Hugging Face classifier of a batch of two: the first row's answer."""
    rows = np.asarray([[2, 0], [0, 5]], F)
    save(tmp_path / "m/model.onnx", {"pixel_values": ("float32", [2, 3, 8, 8])}, {"logits": rows})
    config = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "id2label": {"0": "a", "1": "b"}}
    (tmp_path / "m/config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "m/preprocessor_config.json").write_text('{"size": {"height": 8, "width": 8}}', "utf-8")
    found, _ = Registry([tmp_path]).model("m").run(PICTURE)
    assert isinstance(found, Classes) and found.names == ("a", "b")
    assert found.scores.tolist() == pytest.approx([0.8808, 0.1192], abs=1e-4)
