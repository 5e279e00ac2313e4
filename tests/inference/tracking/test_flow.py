"""Optical flow: one object followed over a moving background, and how the camera moved."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.errors import BadRoute, MissingPackage
from inference.predictions import Objects
from inference.routes import Route, Step
from inference.routes_file import parse_routes
from inference.tracking.assignment import iou
from inference.tracking.flow import CameraMotion
from inference.video.follow import Follower, FollowStep
from inference.video.frames import Frame
from inference.video.options import Follow, VideoOptions
from inference.video.write import VideoWriter

pytestmark = pytest.mark.slow


def texture(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height)).filter(ImageFilter.GaussianBlur(1)))


BACKGROUND, THING = texture(900, 600, 1), texture(80, 60, 2)


def scene(i: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Frame i of a thing that goes right while the camera goes down; and the thing's box."""
    pixels = BACKGROUND[2 * i : 2 * i + 360, i : i + 640].copy()
    x, y = 100 + 4 * i, 150 + int(20 * np.sin(i / 10))
    pixels[y : y + 60, x : x + 80] = THING
    return pixels, np.array([x, y, x + 80, y + 60], float)


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(iou(a[None], b[None])[0, 0])


def test_a_thing_is_followed_over_a_moving_background() -> None:
    pixels, box = scene(0)
    follower = Follower(pixels, box, 0.0)
    for i in range(1, 80):
        pixels, box = scene(i)
        place = follower.update(pixels, i / 25)
        assert place.seen and overlap(place.box, box) > 0.75, i


def test_what_is_hidden_is_predicted_and_said_to_be() -> None:
    pixels, box = scene(0)
    follower = Follower(pixels, box, 0.0)
    for i in range(1, 30):
        follower.update(scene(i)[0], i / 25)
    for i in range(30, 34):
        hidden = BACKGROUND[300 + 2 * i : 660 + 2 * i, 250 : 250 + 640][:300]
        place = follower.update(np.ascontiguousarray(np.resize(hidden, (360, 640, 3))), i / 25)
    assert not place.seen and place.score == 0


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_what_was_hidden_is_found_where_it_should_be_by_now(frames: int) -> None:
    pixels, box = scene(0)
    follower = Follower(pixels, box, 0.0)
    for i in range(1, 30):
        pixels, box = scene(i)
        hidden = 15 <= i < 15 + frames
        if hidden:
            x1, y1, x2, y2 = box.astype(int)
            pixels = pixels.copy()
            pixels[max(y1 - 10, 0) : y2 + 10, max(x1 - 10, 0) : x2 + 10] = 128
        place = follower.update(pixels, i / 25)
        assert not (hidden and place.seen)
    assert place.seen and overlap(place.box, box) > 0.85


def test_a_detection_that_fits_corrects_it() -> None:
    pixels, box = scene(0)
    follower = Follower(pixels, box + 15, 0.0)
    others = np.array([[400.0, 200.0, 440.0, 300.0]])
    for i in range(1, 20):
        pixels, box = scene(i)
        place = follower.update(pixels, i / 25, np.concatenate([others, box[None]]))
    assert overlap(place.box, box) > 0.85


@pytest.mark.parametrize("label", ["", "cat"])
def test_the_step_starts_with_the_most_confident_detection(label: str) -> None:
    step = FollowStep(Follow(label=label))
    _, box = scene(3)
    for i in range(10):
        pixels, box = scene(i)
        boxes = np.stack([box, box + [200, 100, 200, 100]]).astype(np.float32)
        seen = Objects(boxes, np.array([0.9, 0.5], np.float32), np.array([1, 2]), ("cat", "dog"))
        place = step.update(Frame(i, i / 25, pixels), seen if i >= 2 else Objects.empty())
        assert len(place) == (1 if i >= 2 else 0)
    assert place.names == ("cat",) and overlap(place.boxes[0].astype(float), box) > 0.8
    assert step.timeline() == [{"kind": "follow", "label": "cat", "start_s": 0.08, "end_s": 0.36}]


def test_a_box_ends_with_the_picture() -> None:
    step = FollowStep(Follow(box=(480 / 640, 100 / 360, 560 / 640, 160 / 360)))
    for i in range(24):
        pixels = BACKGROUND[:360, :640].copy()
        x = 480 + 10 * i
        if x < 640:
            pixels[100:160, x : x + 80] = THING[:, : 640 - x]
        place = step.update(Frame(i, i / 25, pixels), Objects.empty())
        if x + 80 <= 640:
            assert overlap(place.boxes[0].astype(float), np.array([x, 100, x + 80, 160], float)) > 0.75
        assert (place.boxes >= 0).all() and (place.boxes[:, 2] <= 640).all()
    assert len(place) == 0  # it has left, though points at the edge may still be held on to


def test_a_route_without_any_model_follows_a_box(tmp_path: Path) -> None:
    text = '[[route]]\nname = "r"\nsteps = []\nvideo = {{ follow = {{ {} }} }}'
    with pytest.raises(BadRoute, match="no steps"):
        parse_routes(text.format('label = "dog"'), "routes.toml")
    route = parse_routes(text.format(f"box = {[100 / 640, 150 / 360, 180 / 640, 210 / 360]}"), "routes.toml").routes[0]
    with VideoWriter(tmp_path / "a.mp4", fps=25) as writer:
        for i in range(20):
            writer.write(scene(i)[0], i / 25)
    analysis = analyze(tmp_path / "a.mp4", route, Registry([]))
    document = analysis.result.to_json()
    assert document["timeline"] == [
        {"kind": "track", "id": 1, "label": "followed", "start_s": 0.0, "end_s": 0.76},
        {"kind": "follow", "label": "followed", "start_s": 0.0, "end_s": 0.76},
    ]
    assert [track["frames"] for track in document["tracks"]] == [20]
    assert document["summary"] == {"objects": {"followed": 1}, "scene": {}, "guesses": {}}
    last = json.loads(Path(str(analysis.artifacts["frames.jsonl"])).read_text().splitlines()[-1])
    assert overlap(np.array(last["predictions"]["follow"][0]["box"]), scene(19)[1]) > 0.75


def test_camera_motion_is_that_of_the_background() -> None:
    camera = CameraMotion()
    for i in range(6):
        pixels, box = scene(i)
        warp = camera.update(pixels, box[None])
        expected = [0, 0] if i == 0 else [-1, -2]
        assert np.allclose(warp[:, 2], expected, atol=0.35)
        assert np.allclose(warp[:, :2], np.eye(2), atol=0.01)


def test_a_blank_picture_has_no_motion() -> None:
    camera, blank = CameraMotion(), np.zeros((90, 160, 3), np.uint8)
    camera.update(blank)
    assert np.array_equal(camera.update(blank), [[1, 0, 0], [0, 1, 0]])


@pytest.mark.slow
@pytest.mark.parametrize("video", [VideoOptions(camera_motion=True), VideoOptions(follow=Follow(label="cat"))])
def test_without_opencv_a_route_that_needs_flow_says_what_to_install(
    video: VideoOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=25) as writer:
        for i in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8), i / 25)
    monkeypatch.setitem(sys.modules, "cv2", None)
    steps = (Step("faces"),)
    with pytest.raises(MissingPackage, match="requirements-flow.txt"):
        analyze(tmp_path / "a.mp4", Route("r", steps, video=video), Registry())
    assert analyze(tmp_path / "a.mp4", Route("r", steps), Registry()).result.status == "ok"
