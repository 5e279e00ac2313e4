"""Clip models: every layout gets the frames it wants, windows overlap, neighbours become one range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference.engine.clip import ClipModel
from inference.engine.session import Session
from inference.errors import BadModel
from inference.manifest import Manifest, Postprocess, Preprocess
from inference.video.actions import ActionWatch, ClipFacts, Window, actions, overall
from inference.video.read import VideoReader
from inference.video.time_range import TimeRange

LABELS = ("dark", "bright")


def manifest(window_s: float = 1.0, overlap: float = 0.5, **preprocess: object) -> Manifest:
    return Manifest(
        "clips", "video-classification", "classifier", labels=LABELS,
        preprocess=Preprocess(**preprocess),  # type: ignore[arg-type]
        postprocess=Postprocess(confidence_threshold=0.6, params={"window_s": window_s, "overlap": overlap,
                                                                  "activation": "none"}),
    )  # fmt: skip


def brightness_model(path: Path, *shapes: list[int | str]) -> Session:
    """(1 - m, m), where m is the mean of the first input times the mean of the others."""
    inputs = [helper.make_tensor_value_info(f"clip{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(shapes)]
    nodes = [helper.make_node("ReduceMean", [f"clip{i}"], [f"m{i}"], axes=[1, 2, 3, 4], keepdims=0)
             for i in range(len(shapes))]  # fmt: skip
    last = "m0"
    for i in range(1, len(shapes)):
        nodes.append(helper.make_node("Mul", [last, f"m{i}"], [f"p{i}"]))
        last = f"p{i}"
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes += [helper.make_node("Sub", ["one", last], ["dark"]),
              helper.make_node("Unsqueeze", ["dark", "axis"], ["dark1"]),
              helper.make_node("Unsqueeze", [last, "axis"], ["bright1"]),
              helper.make_node("Concat", ["dark1", "bright1"], ["scores"], axis=1)]  # fmt: skip
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph(nodes, "g", inputs, [output], [one, axis])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return Session(path, 1)


@pytest.mark.parametrize(
    ("shapes", "sent"),
    [
        ([[1, 3, 4, 8, 10]], {"clip0": (1, 3, 4, 8, 10)}),
        ([[1, 4, 3, 8, 10]], {"clip0": (1, 4, 3, 8, 10)}),
        ([[1, 4, 8, 10, 3]], {"clip0": (1, 4, 8, 10, 3)}),
        ([[1, 3, 2, 8, 10], [1, 3, 8, 8, 10]], {"clip0": (1, 3, 2, 8, 10), "clip1": (1, 3, 8, 8, 10)}),
    ],
)
def test_every_layout_gets_its_frames_in_order(
    tmp_path: Path, shapes: list[list[int | str]], sent: dict[str, tuple[int, ...]]
) -> None:
    model = ClipModel(manifest(), brightness_model(tmp_path / "m.onnx", *shapes), "")
    frames = [model.frame(np.full((20, 30, 3), 10 * i, np.uint8)) for i in range(model.count)]
    for clip in model.inputs:
        stacked = clip.stack(frames)
        assert stacked.shape == sent[clip.name]
        time_axis = clip.layout.index("t")
        levels = np.moveaxis(stacked, time_axis, 0).reshape(clip.count, -1).mean(axis=1) * 255
        wanted = 10 * np.linspace(0, model.count - 1, clip.count).round()
        assert np.allclose(levels, wanted, atol=1e-3)
    assert model.run(frames).shape == (2,)


def test_a_picture_model_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    tensors = [helper.make_tensor_value_info(*t) for t in (("x", TensorProto.FLOAT, [1, 2, 8, 8]),
                                                           ("y", TensorProto.FLOAT, [1, 2]))]  # fmt: skip
    model = helper.make_model(
        helper.make_graph([node], "g", tensors[:1], tensors[1:]), opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )  # fmt: skip
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(BadModel, match="no clip"):
        ClipModel(manifest(), Session(tmp_path / "m.onnx", 1), "")


def finish(watcher: ActionWatch, duration_s: float) -> list[TimeRange]:
    watcher.close()
    return actions(watcher.windows, watcher.facts, duration_s)


def watch(model: ClipModel, levels: list[int], fps: float) -> ActionWatch:
    watcher = ActionWatch(model)
    for i, level in enumerate(levels):
        watcher.update(i / fps, np.full((8, 10, 3), level, np.uint8))
    return watcher


def test_a_clip_that_changes_becomes_two_ranges(tmp_path: Path) -> None:
    model = ClipModel(manifest(window_s=1.0), brightness_model(tmp_path / "m.onnx", [1, 4, 8, 10, 3]), "")
    watcher = watch(model, [20] * 100 + [235] * 100, fps=25)
    ranges = finish(watcher, 8.0)
    assert [action.label for action in ranges] == ["dark", "bright"]
    assert ranges[0].start_s == 0 and ranges[1].end_s == 8.0
    assert ranges[0].end_s == pytest.approx(4.0, abs=0.51) and ranges[1].start_s == pytest.approx(4.0, abs=0.51)
    # Windows of a second, each starting half a second after the one before.
    assert [window.start_s for window in watcher.windows[:4]] == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("fps", [4, 9, 60])
def test_windows_follow_the_clock_not_the_frames(tmp_path: Path, fps: int) -> None:
    model = ClipModel(manifest(window_s=1.0), brightness_model(tmp_path / "m.onnx", [1, 4, 8, 10, 3]), "")
    watcher = watch(model, [235] * 4 * fps, fps)
    assert [window.start_s for window in watcher.windows] == [i / 2 for i in range(7)]


def test_a_clip_shorter_than_a_window_is_named_all_the_same(tmp_path: Path) -> None:
    model = ClipModel(manifest(window_s=5.0), brightness_model(tmp_path / "m.onnx", [1, 4, 8, 10, 3]), "")
    ranges = finish(watch(model, [235], 25), 0.04)
    assert [(action.label, action.start_s, action.end_s) for action in ranges] == [("bright", 0.0, 0.04)]


def test_one_odd_window_is_smoothed_away() -> None:
    scores = [[0.1, 0.9]] * 4 + [[0.6, 0.4]] + [[0.1, 0.9]] * 4
    windows = [Window(i / 2, i / 2 + 1, np.array(s, np.float32)) for i, s in enumerate(scores)]
    clip = ClipFacts(LABELS, 0, topk=5, threshold=0.5, rate=25.0)
    assert [(a.label, a.start_s, a.end_s) for a in actions(windows, clip, 5.0)] == [("bright", 0.0, 5.0)]


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("clip", ["v_Basketball_g01_c02", "v_Fencing_g01_c06", "v_SkateBoarding_g02_c01"])
def test_real_clips_are_named_right(shared: Path, clip: str) -> None:
    labels = tuple((shared / "models/_labels/ucf50_31.txt").read_text().split())
    said = Manifest(
        "ucf50", "video-classification", "classifier", labels=labels,
        preprocess=Preprocess(color_order="bgr", antialias=False),
        postprocess=Postprocess(confidence_threshold=0.4, params={"window_s": 5.0}),
    )  # fmt: skip
    watcher = ActionWatch(ClipModel(said, Session(shared / "models/action-ucf50-convlstm/model.onnx"), ""))
    reader = VideoReader(shared / f"media/action/{clip}.mp4")
    for frame in reader:
        watcher.update(frame.pts_s, frame.pixels)
    assert reader.report is not None
    ranges = finish(watcher, reader.report.duration_s)
    assert [action.label for action in ranges] == [clip.split("_")[1]]
    assert ranges[0].start_s == 0.0 and ranges[0].end_s == pytest.approx(reader.report.duration_s)
    assert overall(watcher.windows, watcher.facts).names[0] == clip.split("_")[1]
