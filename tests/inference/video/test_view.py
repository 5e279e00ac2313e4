"""What the annotated video shows: every frame, of which size, with boxes on their way from sample to sample."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from inference.analysis import analyze
from inference.draw.scaling import scaled
from inference.engine.registry import Registry
from inference.predictions import Classes, LabelMap, Masks, Objects
from inference.results.result import Source
from inference.routes import Draw, Route, Step
from inference.video.frames import Between, Frame, Sampling, VideoInfo, View
from inference.video.options import VideoOptions
from inference.video.outputs import Drawing
from inference.video.overlay import Shown
from inference.video.read import VideoReader, probe
from inference.video.stills import Stills
from inference.video.summary import Summary
from inference.video.view import Tween, between, view_of
from inference.video.write import VideoWriter
from tests.inference.video.blobs import blob_detector, scene
from tests.inference.video.clips import make, number_of, picture

PIXELS = np.zeros((4, 4, 3), np.uint8)


def objects(boxes: list[list[float]], tracks: list[int], name: str = "cat") -> Objects:
    n = len(boxes)
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), np.full(n, 0.9, np.float32), np.zeros(n, np.int64),
                   (name,) * n, tracks=np.array(tracks, np.int64))  # fmt: skip


def left(shown: Shown) -> float:
    """The left edge of the first box."""
    detections = shown.steps["d"]
    assert isinstance(detections, Objects)
    return float(detections.boxes[0, 0])


def info(fps: float = 30.0, size: tuple[int, int] = (1280, 720)) -> VideoInfo:
    return VideoInfo("mov", "h264", *size, fps, 10.0, None, False, None, "video/mp4")


def test_boxes_of_a_track_are_on_their_way_and_others_as_in_the_nearer_sample() -> None:
    before = objects([[0, 0, 10, 10], [50, 50, 60, 60], [80, 0, 90, 10]], [7, 8, -1])
    after = objects([[200, 0, 210, 10], [20, 0, 30, 10]], [9, 7])
    early, late = between(before, after, 0.25), between(before, after, 0.75)
    assert isinstance(early, Objects) and isinstance(late, Objects)
    assert early.boxes.tolist() == [[5, 0, 15, 10], [50, 50, 60, 60], [80, 0, 90, 10]]
    assert early.tracks is not None and early.tracks.tolist() == [7, 8, -1]
    assert late.boxes.tolist() == [[15, 0, 25, 10], [200, 0, 210, 10]]
    assert late.tracks is not None and late.tracks.tolist() == [7, 9]


def test_what_has_no_place_and_what_has_masks_is_as_in_the_nearer_sample() -> None:
    first, second = (Classes(np.zeros(1, np.int64), np.ones(1, np.float32), (name,)) for name in "ab")
    assert between(first, second, 0.4) is first and between(first, second, 0.6) is second
    masked = replace(
        objects([[0, 0, 2, 2]], [1]), masks=Masks((4, 4), np.array([[0, 0, 2, 2]]), (np.ones((2, 2), bool),))
    )
    assert between(masked, objects([[2, 2, 4, 4]], [1]), 0.4) is masked


def test_frames_wait_for_the_next_sample_and_the_last_keep_its_predictions() -> None:
    tween = Tween(View(720, 1, 30.0, most=2))
    tween.hold(Between(0, 0.0, PIXELS))  # before the first sample nothing is known
    assert list(tween.sample(1.0, Shown({"d": objects([[0, 0, 1, 1]], [1])}))) == []
    for index in (4, 5, 6):  # no more than two may wait
        tween.hold(Between(index, 1.0 + index / 10, PIXELS))
    shown = [(f.index, left(s)) for f, s in tween.sample(2.0, Shown({"d": objects([[10, 0, 11, 1]], [1])}))]
    assert [index for index, _ in shown] == [4, 5] and [x for _, x in shown] == pytest.approx([4.0, 5.0])
    tween.hold(Between(9, 2.1, PIXELS))
    assert [(f.index, left(s)) for f, s in tween.rest()] == [(9, 10.0)]


@pytest.mark.parametrize(
    ("options", "clip", "every", "fps"),
    [
        (VideoOptions(fps=4.0), info(), 1, 30.0),
        (VideoOptions(fps=4.0), info(60.0), 2, 30.0),
        (VideoOptions(fps=4.0), info(50.0), 2, 25.0),
        (VideoOptions(stride=10), info(), 1, 30.0),
        (VideoOptions(fps=1.0), info(), 2, 15.0),  # no more than 17 frames of 720p may wait
        (VideoOptions(fps=1.0), info(size=(320, 240)), 1, 30.0),
        (VideoOptions(fps=0.5), info(), 0, 0.5),
        (VideoOptions(), info(60.0), 0, 60.0),
        (VideoOptions(fps=30.0), info(25.0), 0, 25.0),
        (VideoOptions(fps=4.0, between=False), info(), 0, 4.0),
        (VideoOptions(fps=4.0, annotated=False), info(), 0, 4.0),
        (VideoOptions(keyframes_only=True), info(), 0, 30.0),
    ],
)
def test_which_frames_are_shown(options: VideoOptions, clip: VideoInfo, every: int, fps: float) -> None:
    view = view_of(Route("r", (Step("fields"),), video=options), clip)
    assert (view.every, view.fps) == (every, fps)


def test_of_an_avi_of_which_every_second_chunk_is_empty_all_pictures_are_shown(tmp_path: Path) -> None:
    """As recorders of H.264 write it: by its header, it has twice as many pictures as it shows."""
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream: Any = output.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = 2 * number, Fraction(1, 50)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    found, options = probe(tmp_path / "a.avi"), VideoOptions(fps=4.0)
    assert found.claimed_frames is not None and found.claimed_frames > 45
    assert found.nominal_fps == 25 and found.expected_frames(options.sampling()) == 4
    view = view_of(Route("r", (Step("d"),), video=options), found)
    assert (view.every, view.fps) == (1, 25.0)


def test_frames_that_nobody_looked_at_are_not_shown_where_faces_are_blurred() -> None:
    route = Route("r", (Step("faces"),), draw=Draw(blur=("face",)), video=VideoOptions(fps=4.0))
    assert view_of(route, info()).every == 0
    assert view_of(replace(route, draw=Draw()), info()).every == 1


@pytest.mark.parametrize(
    ("size", "shown"),
    [((1920, 1080), (1280, 720)), ((1080, 1920), (720, 1280)), ((640, 361), (640, 361)), ((1919, 1079), (1280, 720))],
)
def test_what_is_larger_than_the_view_is_scaled_down(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert View(720).size(*size) == shown


def test_predictions_are_scaled_with_the_picture() -> None:
    bits = np.zeros((4, 4), bool)
    bits[:2] = True
    whole = replace(
        objects([[2, 4, 6, 8]], [3]), keypoints=np.array([[[2, 4, 0.7]]], np.float32),
        masks=Masks((8, 8), np.array([[2, 4, 6, 8]]), (bits,)), attributes=({"face": objects([[4, 4, 8, 8]], [-1])},),
    )  # fmt: skip
    half = scaled(whole, (8, 8), (4, 4))
    assert isinstance(half, Objects) and half.masks is not None and half.keypoints is not None
    assert half.boxes.tolist() == [[1, 2, 3, 4]] and half.keypoints[0, 0].tolist() == pytest.approx([1, 2, 0.7])
    assert half.masks.full(0).tolist() == [[False] * 4, [False] * 4, [False, True, True, False], [False] * 4]
    assert half.attributes[0]["face"].boxes.tolist() == [[2, 2, 4, 4]]
    ids = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 4, 0), 4, 1)
    smaller = scaled(LabelMap(ids, ("a", "b", "c", "d")), (8, 8), (2, 2))
    assert isinstance(smaller, LabelMap) and smaller.ids.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(("every", "drawn"), [(0, True), (1, False)])
def test_between_samples_only_tracks_are_drawn(every: int, drawn: bool) -> None:
    grey = np.full((240, 320, 3), 128, np.uint8)
    draw = Drawing(Draw(), View(720, every))
    assert (draw(grey, Shown({"d": objects([[20, 20, 90, 90]], [-1])}), (320, 240)) != grey).any() == drawn
    assert (draw(grey, Shown({"d": objects([[20, 20, 90, 90]], [5])}), (320, 240)) != grey).any()


@pytest.mark.parametrize("size", [(160, 96), (96, 160)])
def test_a_reader_gives_the_frames_between_in_the_size_of_the_view(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = make(tmp_path / "a.mp4", [i / 25 for i in range(20)], size=size)
    reader = VideoReader(clip, Sampling(fps=5.0), view=View(48, every=2))
    frames = list(reader.shown())
    assert [frame.index for frame in frames if isinstance(frame, Frame)] == [0, 5, 10, 15]
    shown = [frame for frame in frames if isinstance(frame, Between)]
    assert [frame.index for frame in shown] == [2, 4, 6, 8, 12, 14, 16, 18]
    small = (80, 48) if size[0] > size[1] else (48, 80)
    assert all(frame.pixels.shape == (small[1], small[0], 3) for frame in shown)
    assert [number_of(frame.pixels) for frame in shown] == [frame.index for frame in shown]


@pytest.mark.slow
def test_a_sampled_clip_is_annotated_frame_by_frame(tmp_path: Path) -> None:
    blob_detector(tmp_path / "fields")
    with VideoWriter(tmp_path / "a.mp4", preset="ultrafast", crf=12) as writer:
        for i in range(50):
            writer.write(scene(i), i / 25)
    options = VideoOptions(fps=5.0, annotated_side=96)
    analysis = analyze(tmp_path / "a.mp4", Route("r", (Step("fields"),), video=options), Registry([tmp_path]))
    assert analysis.result.extra["analysed_frames"] == 10
    frames = list(VideoReader(Path(str(analysis.artifacts["annotated.mp4"]))))
    assert [round(25 * frame.pts_s) for frame in frames] == list(range(50))
    assert all(frame.pixels.shape == (96, 160, 3) for frame in frames)


def test_what_a_heat_map_is_painted_over_is_blurred_too() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    frame, steps = Frame(3, 0.1, pixels), {"d": objects([[16, 16, 80, 80]], [1], "face")}
    summary = Summary(Source(), (), "ok", {}, 3, [], np.zeros((4, 4)))
    spread = []
    for blur in ((), ("face",)):
        stills = Stills(Draw(blur=blur), heat=True)
        stills.take(frame, steps, None, summary, stills.cut(frame, steps, summary))
        heat = np.asarray(Image.open(io.BytesIO(stills.files(summary)["heat.jpg"])).convert("L"), float)
        spread.append(heat[28:68, 28:68].std())
    assert spread[0] > 25 and spread[1] < 10
