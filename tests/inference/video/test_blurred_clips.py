"""What a clip's files show of a thing that is to be unrecognisable and that the detector misses at times: nothing, in
one piece and in parts."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from inference.analysis import analyze
from inference.draw.privacy import boxes_of
from inference.engine.registry import Registry
from inference.results.result import Source
from inference.routes import Draw, Route, Step
from inference.video.frames import Pixels
from inference.video.options import VideoOptions
from inference.video.outputs import Drawing, TrialDrawing
from inference.video.places import LOOKS_BACK_S
from inference.video.read import VideoReader, probe, scan
from inference.video.render import draw_part
from inference.video.split import detect_part, merge, plan, prepare
from inference.video.summary import RouteFacts
from inference.video.write import VideoWriter
from tests.inference.video.blobs import SIZE, blob_detector

pytestmark = pytest.mark.slow
FRAMES, FPS = 60, 10
# On these frames the field is too dark to be found: before it is first seen, between, up to a part's border, from one
# on, and after it was last seen.
MISSED = {*range(4), *range(10, 20), 25, 26, *range(40, 50), *range(56, 60)}


def scene(i: int) -> Pixels:
    """A striped field that goes to the right, over a grey ground."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)
    stripes = np.where(np.arange(48) // 4 % 2, 150 if i in MISSED else 255, 0 if i in MISSED else 150)
    pixels[60:108, 60 + 2 * i : 108 + 2 * i] = stripes[:, None, None]
    return pixels


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds, a keyframe every second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, fps=FPS / 10, preset="ultrafast", crf=6) as writer:
        for i in range(FRAMES):
            writer.write(scene(i), i / FPS)
    return path


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The detector, and a model that gives the picture back."""
    folder = tmp_path_factory.mktemp("models")
    blob_detector(folder / "fields")
    (folder / "same").mkdir()
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, SIZE[1], SIZE[0]]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "same/model.onnx"))
    (folder / "same/model.toml").write_text('name = "same"\ntask = "image-to-image"\nhead = "image"\n')
    return Registry([folder])


def route(*steps: str, **video: Any) -> Route:
    draw = Draw(labels=False, boxes=False, blur=("field",), crops=("field",), quality=95)
    options = VideoOptions(heat_map=True, thumbnails=40, **video)
    return Route("r", tuple(map(Step, ("fields", *steps))), draw=draw, video=options)


def stripes(pixels: Pixels, i: int, scale: float = 1.0) -> float:
    """How much the middle of the field of frame `i` changes from row to row."""
    y, x = (slice(round(a * scale), round(b * scale)) for a, b in ((66, 102), (68 + 2 * i, 100 + 2 * i)))
    return float(np.abs(np.diff(pixels[y, x].mean(axis=2).astype(float), axis=0)).mean())


def in_parts(clip: Path, chosen: Route, registry: Registry, folder: Path) -> dict[str, list[Path] | bytes]:
    """The files of the clip in three parts; of videos, those of the parts."""
    parts = plan(scan(clip), chosen.video_options, 2.0, LOOKS_BACK_S, 2.0)
    assert [part.start.index for part in parts] == [0, 20, 40]
    facts = prepare(clip, probe(clip), chosen, registry, 1.0).facts
    facts = RouteFacts.from_json(json.loads(json.dumps(asdict(facts))))
    lines: dict[int, list[str]] = {part.number: [] for part in parts}
    for name in ("files", *(f"{kind}{part.number}" for kind in "dp" for part in parts)):
        (folder / name).mkdir()
    stored = [(p, [*detect_part(clip, p, chosen, registry, folder / f"d{p.number}", FPS, SIZE)]) for p in parts]
    summary = merge(stored, chosen, facts, SIZE, Source(), folder / "files", lambda n, text: lines[n].append(text))
    files: dict[str, list[Path] | bytes] = {}
    for part in parts:
        drawn = draw_part(clip, part, lines[part.number], chosen, summary, folder / f"p{part.number}", FPS)
        for path in (folder / f"d{part.number}").iterdir():
            drawn[path.name] = path
        for name, content in drawn.items():
            if isinstance(content, bytes):
                files[name] = content
            else:
                files.setdefault(name, []).append(content)  # type: ignore[union-attr]
    return files


def check_covered(videos: list[Path]) -> None:
    frames = [frame.pixels for video in videos for frame in VideoReader(video)]
    seen = [stripes(pixels, i, pixels.shape[0] / SIZE[1]) for i, pixels in enumerate(frames)]
    assert len(seen) == FRAMES and min(stripes(scene(i), i) for i in range(FRAMES)) > 25 and max(seen) < 8, seen


def test_no_frame_shows_it_whole_and_in_parts_nor_does_what_a_step_makes_of_it(
    clip: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    draw = Drawing.__call__

    def note(self: Drawing, pixels: Any, shown: Any, size: Any) -> Any:
        drawn.append(boxes_of([*shown.steps.items()], ("field",)).tolist())
        return draw(self, pixels, shown, size)

    monkeypatch.setattr(Drawing, "__call__", note)
    monkeypatch.setattr(TrialDrawing, "__call__", lambda *_: None)
    whole = analyze(clip, route("same"), registry)
    expected, drawn[:] = list(drawn), []
    parts = in_parts(clip, route("same"), registry, tmp_path)
    assert drawn == expected and len(expected) == FRAMES
    for name, content in whole.artifacts.items():
        if name.endswith(".mp4"):
            check_covered([Path(str(content))])
            videos = parts[name]
            assert isinstance(videos, list) and len(videos) == 3
            check_covered(videos)
        elif name.endswith(".jpg"):
            assert parts[name] == content
    assert {"annotated.mp4", "same.mp4", "poster.jpg", "heat.jpg", "crops/track-1.jpg"} <= whole.artifacts.keys()


def test_stills_are_as_covered_as_the_video(clip: Path, registry: Registry) -> None:
    """All frames are thumbnails, without an annotated video: the field is missed on some."""
    analysis = analyze(clip, route(annotated=False), registry)
    for i in range(FRAMES):
        content = analysis.artifacts[f"thumbnails/{i:03}.jpg"]
        assert isinstance(content, bytes)
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert stripes(pixels, i, pixels.shape[0] / SIZE[1]) < 8, i


def faint(found: bool) -> Pixels:
    """A striped field that is found, or so dark that only its track tells what it is."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)
    light, dark = (255, 180) if found else (110, 0)
    pixels[64:96, 64:96] = np.where(np.arange(32) // 4 % 2, light, dark)[:, None, None]
    return pixels


@pytest.mark.parametrize(("gap_s", "frames", "found", "keyframes"), [(5.0, 8, 3, 1), (0.1, 60, 10, 10)])
def test_what_steps_make_is_covered_in_parts_where_only_a_track_from_long_before_tells_of_it(
    gap_s: float, frames: int, found: int, keyframes: int, tmp_path: Path, registry: Registry
) -> None:
    """Parts begin at every keyframe: five seconds, or one, after the part before."""
    clip, chosen = tmp_path / "clip.mp4", route("same")
    with VideoWriter(clip, fps=keyframes / 10, preset="ultrafast", crf=6) as writer:
        for i in range(frames):
            writer.write(faint(i < found), gap_s * i)
    whole = analyze(clip, chosen, registry)
    parts = prepare(clip, probe(clip), chosen, registry, 1e-9).parts
    assert len(parts) >= frames / keyframes - 1
    made: list[Pixels] = []
    for part in parts:
        (folder := tmp_path / str(part.number)).mkdir()
        assert [*detect_part(clip, part, chosen, registry, folder, 1.0, SIZE)]
        made += [frame.pixels for frame in VideoReader(folder / "same.mp4")]
    in_one = [frame.pixels for frame in VideoReader(Path(str(whole.artifacts["same.mp4"])))]
    for pictures in (in_one, made):
        shown = [float(np.abs(np.diff(p[66:94, 68:92].mean(axis=2).astype(float), axis=0)).mean()) for p in pictures]
        assert len(shown) == frames and max(shown) < 8, shown
