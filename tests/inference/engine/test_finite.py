"""Numbers that are none in a model's answer: what rests on them is left out and said, the rest stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.__main__ import main
from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.errors import BadManifest, BadModel
from inference.image.media import Picture
from inference.predictions import Classes, Objects, OutputImage
from inference.results.words import line
from inference.routes import Route, Step
from tests.inference.graphs import picture_input, save
from tests.inference.video.clips import make

PICTURE = Picture(Pillow.new("RGB", (64, 64), (10, 20, 30)), (64, 64))
NAN, INF = float("nan"), float("inf")


def registry(folder: Path, table: str, outputs: dict[str, Any]) -> Registry:
    save(folder / "net/model.onnx", picture_input("x"), {k: np.asarray(v, np.float32) for k, v in outputs.items()})
    (folder / "net/model.toml").write_text(table, "utf-8")
    return Registry([folder])


def run(folder: Path, table: str, outputs: dict[str, Any]) -> Any:
    return registry(folder, table, outputs).model("net").run(PICTURE)[0]


END2END = 'task = "object-detection"\nhead = "yolo"\nlabels = ["cat", "dog"]\n'


def test_rows_with_such_numbers_are_left_out_and_said(tmp_path: Path) -> None:
    """Four numbers in a box: x1, y1, x2, y2 in pixels of the input, which is as large as the picture."""
    rows = [
        [10, 10, 20, 30, 0.9, 1],  # the only sound one
        [NAN, 10, 20, 30, 0.9, 0],
        [10, 10, INF, 30, 0.8, 0],  # clipping would make 64 of it
        [10, 10, 20, 30, INF, 0],
        [10, 10, 20, 30, NAN, 0],
        [40, 30, 10, 3, 0.7, 0],  # x2 < x1
        [10, 10, 20, 30, 0.9, NAN],
    ]
    found = run(tmp_path, END2END, {"output0": [rows]})
    assert isinstance(found, Objects)
    assert found.names == ("dog",) and found.boxes.tolist() == [[10, 10, 20, 30]]
    (note,) = found.notes
    assert "NaN or infinity in 'output0'" in note and "half precision" in note


def test_a_box_whose_right_edge_comes_first_is_said(tmp_path: Path) -> None:
    found = run(tmp_path, END2END, {"output0": [[[40, 30, 10, 3, 0.7, 0], [1, 2, 3, 4, 0.6, 0]]]})
    assert isinstance(found, Objects) and found.boxes.tolist() == [[1, 2, 3, 4]]
    assert found.notes == ("1 of its boxes have no size (NaN, infinity or x2 < x1), left out here",)


DETR = 'head = "detr"\nlabels = ["cat", "dog"]\n[postprocess]\nparams = { activation = "sigmoid" }\n'


@pytest.mark.parametrize(
    ("table", "outputs"),
    [
        (
            f'task = "object-detection"\n{DETR}',
            {"logits": [[[INF, -9], [-9, 4]]], "pred_boxes": [[[0.5, 0.5, 0.5, 0.5]] * 2]},
        ),
        (
            f'task = "image-segmentation"\n{DETR}',
            {"logits": [[[INF, -9], [-9, 4]]], "pred_boxes": [[[0.5] * 4] * 2], "pred_masks": [[[[9.0] * 4] * 4] * 2]},
        ),
        (
            'task = "image-classification"\nhead = "classifier"\nlabels = ["cat", "dog"]\n[postprocess]\n'
            'multilabel = true\nparams = { activation = "sigmoid" }\n',
            {"y": [[INF, 4]]},
        ),
    ],
)
def test_an_infinite_logit_is_no_certainty(table: str, outputs: dict[str, Any], tmp_path: Path) -> None:
    """sigmoid(4) = 0.982 is the only answer that rests on a number."""
    found = run(tmp_path, table, outputs)
    assert isinstance(found, Classes | Objects)
    assert found.names == ("dog",) and found.scores.tolist() == pytest.approx([0.982], abs=1e-3)
    assert "NaN or infinity" in found.notes[0]


@pytest.mark.parametrize(
    ("params", "rows"),
    [
        ("", [[4, 40, 20, 60, 0.9, 0], [4, 4, 20, 20, 0.6, 1]]),
        ("obb = true, ", [[12, 50, 16, 20, 0.9, 0, 0], [12, 12, 16, 16, 0.6, 1, 0]]),
    ],
    ids=["upright", "turned"],
)
def test_a_box_in_the_padding_is_no_object(params: str, rows: list[list[float]], tmp_path: Path) -> None:
    """A picture of 64 x 32 in a square of 64 has its pixels in the upper half: below lies padding."""
    table = END2END + '[preprocess]\nresize_mode = "letterbox_top_left"\n'
    table += f'[postprocess]\nparams = {{ {params}layout = "end2end" }}\n'
    picture = Picture(Pillow.new("RGB", (64, 32)), (64, 32))
    found = registry(tmp_path, table, {"output0": [rows]}).model("net").run(picture)[0]
    assert isinstance(found, Objects) and (found.names, found.notes) == (("dog",), ())
    assert found.boxes.tolist() == [[4, 4, 20, 20]]


def test_sound_answers_say_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, END2END, {"output0": [[[1, 2, 3, 4, 0.6, 0]]]})
    assert isinstance(found, Objects) and found.notes == ()


def test_masked_logits_are_no_fault(tmp_path: Path) -> None:
    """Minus infinity is how a graph says that a class cannot be: softmax gives it 0."""
    table = 'task = "image-classification"\nhead = "classifier"\nlabels = ["a", "b"]\n'
    found = run(tmp_path, table, {"y": [[2.0, -INF]]})
    assert isinstance(found, Classes) and found.notes == ()
    assert dict(zip(found.names, found.scores.tolist(), strict=True)) == {"a": 1.0, "b": 0.0}


def test_a_classifier_that_answers_none_says_so(tmp_path: Path) -> None:
    models = registry(tmp_path, 'task = "image-classification"\nhead = "classifier"\n', {"y": [[NAN, NAN]]})
    data = (Path(__file__).parents[3] / "samples/coffee.jpg").read_bytes()
    document = json.loads(json.dumps(analyze(data, Route("r", (Step("net"),)), models).result.to_json()))
    (step,) = document["steps"]
    assert step["predictions"] == [] and "NaN or infinity in 'y'" in step["notes"][0]
    assert "NaN or infinity" in line("coffee.jpg", document)


@pytest.mark.slow
def test_a_check_of_a_model_says_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry(tmp_path, 'task = "image-classification"\nhead = "classifier"\n', {"y": [[NAN, NAN]]})
    assert main(["models", "check", str(tmp_path / "net")]) == 0
    assert "NaN or infinity in 'y', left out here" in capsys.readouterr().out


def test_an_answer_that_is_refused_names_the_model(tmp_path: Path) -> None:
    """A route may have several models; 5.0 is no probability."""
    params = "[postprocess]\nparams = { activation = 'none' }\n"
    with pytest.raises(BadManifest, match=r"^net: scores from 0 to 5, expected probabilities"):
        run(tmp_path, 'task = "image-classification"\nhead = "classifier"\n' + params, {"y": [[0, 5]]})


@pytest.mark.parametrize(
    ("table", "output"),
    [
        ('task = "image-feature-extraction"\nhead = "embedding"\n', np.full((1, 8), NAN)),
        ('task = "image-segmentation"\nhead = "semantic"\n', np.full((1, 3, 64, 64), NAN)),
        ('task = "depth-estimation"\nhead = "depth"\n', np.full((1, 64, 64), NAN)),
        ('task = "image-to-image"\nhead = "image"\n', np.full((1, 3, 64, 64), NAN)),
    ],
)
def test_an_answer_without_any_number_is_refused(tmp_path: Path, table: str, output: Any) -> None:
    with pytest.raises(BadModel, match="half precision"):
        run(tmp_path, table, {"y": output})


def test_nan_wins_no_pixel_of_a_map(tmp_path: Path) -> None:
    scores = np.zeros((1, 2, 64, 64))
    scores[0, 1, :, 32:] = 1
    scores[0, 0, 40:44, 40:44] = NAN
    found = run(tmp_path, 'task = "image-segmentation"\nhead = "semantic"\nlabels = ["a", "b"]\n', {"y": scores})
    assert dict(found.areas()) == {0: 32 * 64, 1: 32 * 64}
    assert "NaN or infinity in 'y', left out here" in found.notes[0]


def test_a_hole_in_a_depth_map_leaves_the_others_their_contrast(tmp_path: Path) -> None:
    depth = np.tile(np.linspace(1, 3, 64), (64, 1))[None]
    depth[0, 0, 0], depth[0, 0, 63] = INF, NAN
    found = run(tmp_path, 'task = "depth-estimation"\nhead = "depth"\n', {"y": depth})
    assert "NaN or infinity in 'y', left out here" in found.notes[0]
    assert isinstance(found, OutputImage)
    assert found.pixels[32, 0, 0] == 0 and found.pixels[32, 63, 0] == 255


def test_a_picture_with_pixels_that_are_none_says_so(tmp_path: Path) -> None:
    values = np.full((1, 3, 64, 64), 0.5)
    values[0, :, :, :32] = NAN
    found = run(tmp_path, 'task = "image-to-image"\nhead = "image"\n', {"y": values})
    assert isinstance(found, OutputImage)
    assert found.pixels[0, 0].tolist() == [0, 0, 0] and found.pixels[0, -1].tolist() == [128, 128, 128]
    (note,) = found.notes
    assert "NaN or infinity in 'y'" in note


def test_a_clip_says_once_what_was_left_out_of_its_frames(tmp_path: Path) -> None:
    models = registry(tmp_path, END2END, {"output0": [[[10, 10, 20, 30, 0.9, 1], [NAN, 1, 2, 3, 0.9, 0]]]})
    clip = make(tmp_path / "clip.mp4", [i / 25 for i in range(12)])
    document = analyze(clip, Route("r", (Step("net"),)), models, artifacts=False).result.to_json()
    (step,) = document["steps"]
    assert len(step["notes"]) == 1 and "NaN or infinity" in step["notes"][0]
    assert document["summary"]["objects"] == {"dog": 1}
