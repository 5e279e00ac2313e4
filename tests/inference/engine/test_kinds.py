"""Models of every kind come through the same loader, with the same refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.models.canary import verify
from inference.engine.clip import ClipModel
from inference.engine.image_to_image import ImageToImage
from inference.engine.model import Loaded, Model
from inference.engine.registry import BUILT_IN, Registry
from inference.engine.weights import Weights
from inference.errors import BadManifest, BadModel
from inference.routes import Route, Step
from inference.video.detect import FrameDetector
from inference.video.options import VideoOptions
from tests.inference.video.test_actions import brightness_model


def light(folder: Path, extra: str = "", params: str = "window_s = 0.9", head: str = "classifier") -> Path:
    """A clip model in a folder of its own."""
    (folder / "light").mkdir(parents=True)
    brightness_model(folder / "light/model.onnx", [1, 4, 8, 10, 3])
    (folder / "light/model.toml").write_text(
        f'task = "video-classification"\nhead = "{head}"\nlabels = ["dark", "bright"]\n{extra}'
        f'[postprocess]\nparams = {{ activation = "none", {params} }}\n'
    )
    return folder


@pytest.mark.parametrize(("name", "kind"), [("light", ClipModel), ("sketch", ImageToImage), ("classify", Model)])
def test_the_task_decides_the_kind(tmp_path: Path, name: str, kind: type[Loaded]) -> None:
    assert type(Registry([light(tmp_path), BUILT_IN]).load(name)) is kind


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"extra": f'sha256 = "{64 * "0"}"\n'}, BadModel, "its sha256 is"),
        ({"params": "windows_s = 0.9"}, BadManifest, "unknown key 'windows_s'.*did you mean 'window_s'"),
        ({"params": "window_s = 'long'"}, BadManifest, "window_s is 'long', expected a number"),
        ({"params": "window_s = 0"}, BadManifest, "window_s is 0, expected more than 0"),
        (
            {"params": "overlap = 50"},
            BadManifest,
            "overlap is 50, expected a number from 0 to below 1; did you mean 0.5",
        ),
        ({"params": "skip_first = 1"}, BadModel, "skip_first is for pictures"),
        ({"head": "clasifier"}, BadManifest, "did you mean 'classifier'"),
        ({"head": "yolo"}, BadManifest, "head 'yolo' does .*, not video-classification"),
        ({"extra": "label_offset = 1\n"}, BadModel, "has 2 classes, the label list 2 names less an offset of 1"),
    ],
)
def test_a_clip_model_is_checked_like_any_other(
    tmp_path: Path, given: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        FrameDetector(Route("r", (Step("light"),)), Registry([light(tmp_path, **given)]), VideoOptions(), None)


def test_a_clip_model_counts_towards_the_memory(tmp_path: Path) -> None:
    registry = Registry([light(tmp_path), BUILT_IN], weights=Weights([]), memory=1)
    first = registry.load("light")
    assert registry.load("light") is first
    registry.model("classify")
    assert registry.load("light") is not first


def test_a_clip_model_reports_the_provider_that_was_asked_for_in_vain(tmp_path: Path) -> None:
    registry = Registry([light(tmp_path)], providers=["OpenVINOExecutionProvider"])
    detector = FrameDetector(Route("r", (Step("light"),)), registry, VideoOptions(), None)
    facts = detector.facts.steps[0].model
    assert (facts.provider, facts.provider_asked) == ("CPUExecutionProvider", "OpenVINOExecutionProvider")


def test_a_clip_model_may_come_by_the_container(tmp_path: Path) -> None:
    verify(light(tmp_path / "good"), "light")
    with pytest.raises(BadManifest, match="did you mean 'window_s'"):
        verify(light(tmp_path / "bad", params="windows_s = 0.9"), "light")


def test_a_clip_model_is_not_shown_a_picture(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="it takes clips; analyse a video with it"):
        Registry([light(tmp_path)]).model("light")
