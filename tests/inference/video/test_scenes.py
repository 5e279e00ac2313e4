"""Scenes: labels over time, smoothed and cut, worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.predictions import Classes
from inference.routes import Route, Step
from inference.routes_file import parse_routes
from inference.video.options import VideoOptions
from inference.video.scenes import SceneWatch
from inference.video.time_range import TimeRange
from inference.video.write import VideoWriter

IDS = {"beach": 0, "street": 1, "kitchen": 2}


def labels(scores: Mapping[str, float]) -> Classes:
    names = tuple(scores)
    return Classes(
        np.array([IDS[name] for name in names], np.int64), np.array(list(scores.values()), np.float32), names
    )


def scenes(samples: Sequence[Mapping[str, float]], fps: float, sure: float = 0.5) -> list[tuple[str, float, float]]:
    """(label, start, end) of the scenes of a clip with these labels at every sample."""
    return [(s.label, s.start_s, s.end_s) for s in watch(samples, fps, sure).finish(len(samples) / fps)]


def watch(samples: Sequence[Mapping[str, float]], fps: float, sure: float = 0.5) -> SceneWatch:
    result = SceneWatch("name", sure)
    for i, scores in enumerate(samples):
        result.update(i / fps, labels(scores))
    return result


BEACH, STREET, NOTHING = {"beach": 0.9}, {"street": 0.9, "beach": 0.05}, dict[str, float]()


def test_a_clip_is_cut_where_its_label_changes() -> None:
    # At 2 a second five samples are near. The third of the street is the first in whose mean it is 0.9 * 3 / 5 = 0.54.
    assert scenes([BEACH] * 10 + [STREET] * 10, 2.0) == [("beach", 0.0, 5.0), ("street", 5.0, 10.0)]


def test_a_scene_has_the_mean_score_of_its_samples() -> None:
    (scene,) = watch([{"beach": 0.6}, {"beach": 0.8}] * 6, 2.0).finish(6.0)
    assert replace(scene, score=round(scene.score, 6)) == TimeRange("scene", "name", "beach", 0, 0.0, 6.0, 0.7)
    assert scene.to_json() == {"kind": "scene", "label": "beach", "label_id": 0, "start_s": 0.0, "end_s": 6.0,
                               "score": 0.7, "step": "name"}  # fmt: skip


def test_a_flicker_makes_no_scene_and_ends_none() -> None:
    assert scenes([NOTHING] * 8 + [BEACH] + [NOTHING] * 8, 4.0) == []
    assert scenes([BEACH] * 12 + [NOTHING] * 2 + [BEACH] * 12, 4.0) == [("beach", 0.0, 6.5)]


def test_nothing_sure_is_no_scene() -> None:
    assert scenes([{"beach": 0.45, "street": 0.4}] * 20, 4.0) == []
    assert scenes([{"beach": 0.45, "street": 0.4}] * 20, 4.0, sure=0.42) == [("beach", 0.0, 5.0)]


def test_a_scene_that_has_begun_bears_a_little_less() -> None:
    # 0.42 is above 0.8 * 0.5: the scene goes on; its mean is sure still.
    assert scenes([BEACH] * 12 + [{"beach": 0.42}] * 8, 4.0) == [("beach", 0.0, 5.0)]
    # With as much of it as this the mean would not be.
    assert scenes([{"beach": 0.52}] * 8 + [{"beach": 0.42}] * 40, 4.0) == []


def test_a_clip_shorter_than_a_scene_may_be_one() -> None:
    assert scenes([BEACH] * 2, 4.0) == [("beach", 0.0, 0.5)]
    assert scenes([BEACH], 4.0) == [("beach", 0.0, 0.25)]


def test_rare_samples_are_smoothed_over_their_neighbours() -> None:
    assert scenes([NOTHING, BEACH, NOTHING, NOTHING], 0.2) == []
    assert scenes([BEACH, BEACH, NOTHING, NOTHING], 0.2) == [("beach", 0.0, 10.0)]


def test_what_is_drawn_is_the_scene_that_goes_on() -> None:
    watching = SceneWatch("name", 0.5)
    shown = []
    for i, scores in enumerate([BEACH] * 12 + [STREET] * 2 + [BEACH] * 12):
        watching.update(i / 4, labels(scores))
        shown.append(watching.now().names)
    # A second of samples after the first decides about it; two samples of another label are only a flicker.
    assert shown == [()] * 5 + [("beach",)] * 21


def test_no_more_than_two_seconds_are_kept() -> None:
    watching = SceneWatch("name", 0.5)
    for i in range(3000):
        watching.update(i / 30, labels(BEACH))
    assert len(watching._samples) <= 2 * 30 + 3


def red_or_blue(folder: Path, threshold: float = 0.6) -> None:
    """A classifier without weights: the mean red, green and blue are the scores."""
    folder.mkdir()
    picture = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    nodes = [helper.make_node("ReduceMean", ["image"], ["scores"], axes=[2, 3], keepdims=0)]
    graph = helper.make_graph(nodes, "g", [picture], [scores])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(folder / "model.onnx")
    )
    (folder / "model.toml").write_text(
        'name = "colour"\ntask = "image-classification"\nhead = "classifier"\nlabels = ["red", "green", "blue"]\n'
        f'[postprocess]\nconfidence_threshold = {threshold}\nparams = {{ activation = "none" }}\n'
    )


@pytest.fixture
def colours(tmp_path: Path) -> tuple[Path, Registry]:
    """Six seconds at 10 a second: three of red, three of a pale blue; and the model that says so."""
    red_or_blue(tmp_path / "colour")
    with VideoWriter(tmp_path / "a.mp4", fps=10, preset="ultrafast") as writer:
        for i in range(60):
            pixels = np.zeros((64, 96, 3), np.uint8)
            pixels[:] = (230, 0, 0) if i < 30 else (60, 60, 128)
            writer.write(pixels, i / 10)
    return tmp_path / "a.mp4", Registry([tmp_path])


def test_the_document_has_scenes_in_timeline_chapters_and_summary(colours: tuple[Path, Registry]) -> None:
    clip, registry = colours
    route = Route("r", (Step("colour", threshold=0.3),), video=VideoOptions(fps=5.0))
    analysis = analyze(clip, route, registry)
    document = analysis.result.to_json()
    (scene,) = document["timeline"]
    assert (scene["kind"], scene["label"], scene["step"]) == ("scene", "red", "colour")
    assert scene["start_s"] == 0.0 and scene["end_s"] == pytest.approx(3.0, abs=0.41)
    # Blue is there to see, but never sure; red is, so that no guess is needed.
    assert document["summary"] == {"objects": {}, "scene": {"red": scene["score"]}, "guesses": {}}
    assert "red" in Path(str(analysis.artifacts["tracks.vtt"])).read_text()


def test_without_a_scene_the_best_label_is_a_guess(colours: tuple[Path, Registry]) -> None:
    clip, registry = colours
    video = "{ start_s = 3.5, annotated = false }"
    text = f'[[route]]\nname = "r"\nsteps = [{{ model = "colour", threshold = 0.3 }}]\nvideo = {video}\n'
    document = analyze(clip, parse_routes(text, "r").routes[0], registry).result.to_json()
    assert document["timeline"] == [] and document["summary"]["scene"] == {}
    assert document["summary"]["guesses"] == {"blue": pytest.approx(0.5, abs=0.03)}
    assert json.dumps(document["summary"])
