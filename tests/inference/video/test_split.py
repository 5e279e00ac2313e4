"""A video in parts gives what it gives as a whole: the same tracks to the number, the same events, the same frames."""

from __future__ import annotations

import io
import json
import math
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.errors import LimitExceeded
from inference.results.result import Cost, Source
from inference.routes import Draw, Route, Step
from inference.routes_file import parse_routes
from inference.steps import Analysis
from inference.video import split, table
from inference.video.detect import FrameDetector
from inference.video.frames import View
from inference.video.join import join
from inference.video.outputs import Drawing, TrialDrawing
from inference.video.overlay import Shown
from inference.video.read import VideoReader, probe, scan
from inference.video.render import draw_part
from inference.video.split import Pace, Part, detect_part, merge, plan, prepare
from inference.video.summary import RouteFacts, Summary
from inference.video.write import VideoWriter
from tests.inference.video.blobs import SIZE, blob_detector, scene
from tests.inference.video.test_actions import brightness_model
from tests.inference.video.test_scenes import red_or_blue

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("models")
    blob_detector(folder / "fields")
    (folder / "light").mkdir()
    brightness_model(folder / "light/model.onnx", [1, 4, 8, 10, 3])
    (folder / "light/model.toml").write_text(
        'name = "light"\ntask = "video-classification"\nhead = "classifier"\nlabels = ["dark", "bright"]\n'
        '[postprocess]\nconfidence_threshold = 0.3\nparams = { window_s = 0.9, activation = "none" }\n'
    )
    red_or_blue(folder / "colour", threshold=0.25)
    return Registry([folder, ROOT / "models"])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds, a keyframe every two thirds of one, with an uneven clock."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, fps=7.5, preset="ultrafast", crf=12) as writer:
        for i in range(200):
            writer.write(scene(i), i / 25 + (0.007 if i % 3 == 1 else 0.0))
    return path


VIDEOS = [
    "{}",
    "{ stride = 3, tracker = 'sort' }",
    "{ fps = 9.0, camera_motion = true }",
    "{ fps = 6.0, reid = 'embed', reid_s = 6.0, lost_s = 0.3 }",
    "{ fps = 4.0, start_s = 1.3, end_s = 6.1, metres_per_pixel = 0.01 }",
]
AREA = "{name = 'left', points = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}"
ZONES = f"zones = [{AREA}, {{name = 'line', points = [[0.5, 0], [0.5, 1]]}}]"


def route(video: str, annotated: bool = False, more: str = "") -> Route:
    zones = "" if "'none'" in video else f" {ZONES},"
    video = video.replace("{", f"{{ annotated = {str(annotated).lower()},{zones}", 1).replace(",}", "}")
    steps = f'[{{ model = "fields" }}, {{ model = "light" }}, {{ model = "colour" }}{more}]'
    return parse_routes(f"[[route]]\nname = 'r'\nsteps = {steps}\nvideo = {video}\n", "r").routes[0]


def in_parts(
    clip: Path, chosen: Route, registry: Registry, part_s: float, folder: Path, most_s: float
) -> tuple[list[Part], Summary, dict[int, list[str]]]:
    """(the parts, what merging them gives, their lines for drawing); they are detected in any order, and merged
    from what the plan says of the models."""
    options = chosen.video_options
    planned = plan(scan(clip), options, part_s, 2.0, most_s)
    parts = [Part.from_json(json.loads(json.dumps(asdict(part)))) for part in planned]
    order = list(parts)
    random.Random(1).shuffle(order)
    lines = {}
    for part in order:
        made = _made(folder / f"detected{part.number}")
        lines[part.number] = list(detect_part(clip, part, chosen, registry, made, 8.0, SIZE))
    facts = prepare(clip, probe(clip), chosen, registry, budget_s=1.0).facts
    facts = RouteFacts.from_json(json.loads(json.dumps(asdict(facts))))
    merged: dict[int, list[str]] = {part.number: [] for part in parts}
    source = Source("uploads", str(clip), "e", clip.stat().st_size, probe(clip).media_type)
    stored = ((part, lines[part.number]) for part in parts)
    summary = merge(
        stored, chosen, facts, SIZE, source, _made(folder / "files"), lambda number, line: merged[number].append(line)
    )
    return parts, Summary.from_line(summary.to_line()), merged


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def from_parts(
    clip: Path, chosen: Route, registry: Registry, part_s: float, folder: Path, most_s: float = math.inf
) -> Analysis:
    """The analysis of a clip in parts: detected, merged, drawn and joined."""
    parts, summary, lines = in_parts(clip, chosen, registry, part_s, folder, most_s)
    files: dict[str, bytes | Path] = {path.name: path for path in (folder / "files").iterdir()}
    videos: dict[str, list[Path]] = {}
    for part in parts:
        drawn = draw_part(clip, part, lines[part.number], chosen, summary, _made(folder / f"part{part.number}"), 8.0)
        for video in (folder / f"detected{part.number}").iterdir():
            drawn[video.name] = video
        for name, made in drawn.items():
            if isinstance(made, Path):
                videos.setdefault(name, []).append(made)
            else:
                files[name] = made
    for name, pieces in videos.items():
        join(pieces, folder / name)
        files[name] = folder / name
    return summary.analysis(files, Route("r", (Step("m"),)), "", Cost(0.0, None, 0.0), None)


SAME = ("source", "route", "status", "artifacts", "tracks", "timeline", "zones", "summary", "analysed_frames")


def check_same(analysis: Analysis, whole: Analysis) -> None:
    """The document and every file are those of one piece; of videos, the times of their frames."""
    document, expected = analysis.result.to_json(), whole.result.to_json()
    source = expected["source"] | {key: document["source"][key] for key in ("container", "etag")}
    assert {key: document[key] for key in SAME} == {**{key: expected[key] for key in SAME}, "source": source}
    masked = [[{**step, "ms": None} for step in steps] for steps in (document["steps"], expected["steps"])]
    assert masked[0] == masked[1]
    assert document.get("thumbnails") == expected.get("thumbnails")
    assert analysis.artifacts.keys() == whole.artifacts.keys()
    for name, content in analysis.artifacts.items():
        mine, other = (c if isinstance(c, bytes) else c.read_bytes() for c in (content, whole.artifacts[name]))
        if not name.endswith(".mp4"):
            assert mine == other, name
            continue
        assert isinstance(content, Path)
        times = [[frame.pts_s for frame in VideoReader(io.BytesIO(data))] for data in (mine, other)]
        assert times[0] == times[1] != [], name


@pytest.mark.parametrize("video", VIDEOS)
def test_a_clip_in_parts_gives_what_it_gives_in_one(clip: Path, registry: Registry, video: str, tmp_path: Path) -> None:
    chosen = route(video)
    whole = analyze(clip, chosen, registry)
    document = whole.result.to_json()
    assert len(document["tracks"]) >= 3
    assert any(item["kind"] == "action" for item in document["timeline"])
    for part_s, least in ((0.0, 8), (2.5, 2)):
        folder = tmp_path / str(least)
        check_same(from_parts(clip, chosen, registry, part_s, folder), whole)
        assert len(list(folder.glob("part*"))) >= least


@pytest.mark.parametrize(("tracker", "expected"), [("bytetrack", True), ("sort", False), ("none", False)])
def test_detections_of_a_low_score_go_on_with_a_track_where_the_tracker_uses_them(
    clip: Path, registry: Registry, tracker: str, expected: bool
) -> None:
    analysis = analyze(clip, route(f"{{ tracker = '{tracker}' }}"), registry)
    lines = analysis.artifacts["frames.jsonl"]
    assert isinstance(lines, Path)
    scores = [
        (prediction["score"], prediction.get("track"))
        for line in lines.read_text().splitlines()
        for prediction in json.loads(line)["predictions"]["fields"]
    ]
    assert scores and any(score < 0.5 for score, _ in scores) == expected
    assert all(track is not None for score, track in scores if score < 0.5)


@pytest.mark.parametrize(
    ("video", "more", "files"),
    [
        ("{ fps = 5.0, heat_map = true }", "", {"heat.jpg", "poster.jpg"}),
        ("{ keyframes_only = true, heat_map = true, lost_s = 3.0 }", "", {"heat.jpg", "tracks.csv"}),
        ("{ keyframes_only = true, fps = 1.0 }", "", {"tracks.csv"}),
        ("{ fps = 5.0 }", ', { model = "sketch" }', {"sketch.mp4"}),
    ],
)
def test_so_do_heat_maps_keyframes_and_steps_that_make_pictures(
    clip: Path, registry: Registry, video: str, more: str, files: set[str], tmp_path: Path
) -> None:
    chosen = route(video, more=more)
    whole, analysis = analyze(clip, chosen, registry), from_parts(clip, chosen, registry, 1.0, tmp_path)
    assert files <= analysis.artifacts.keys() and len(list(tmp_path.glob("part*"))) >= 4
    check_same(analysis, whole)


def test_so_do_the_tracks_that_are_saved_as_pictures(clip: Path, registry: Registry, tmp_path: Path) -> None:
    draw = Draw(crops=("field",), quality=70, longest_side=200, annotated=False)
    chosen = replace(route("{ fps = 5.0, heat_map = true }", annotated=True), draw=draw)
    whole = analyze(clip, chosen, registry)
    assert {"crops/track-1.jpg", "crops/track-2.jpg", "heat.jpg"} <= whole.artifacts.keys()
    assert not {"annotated.mp4", "poster.jpg"} & whole.artifacts.keys()
    check_same(from_parts(clip, chosen, registry, 1.0, tmp_path), whole)


def test_parts_are_drawn_and_joined_to_the_frames_of_the_whole(clip: Path, registry: Registry, tmp_path: Path) -> None:
    chosen = route("{ fps = 8.0 }", annotated=True)
    analysis, whole = from_parts(clip, chosen, registry, 2.0, tmp_path), analyze(clip, chosen, registry)
    check_same(analysis, whole)
    videos = (analysis.artifacts["annotated.mp4"], whole.artifacts["annotated.mp4"])
    joined, expected = (list(VideoReader(video)) for video in videos if isinstance(video, Path))
    for i, frame in enumerate(joined):
        # Coded twice, they differ a little; from the frame before and the one after they differ more.
        difference = [np.abs(frame.pixels.astype(int) - e.pixels).mean() for e in expected[max(i - 1, 0) : i + 2]]
        assert int(np.argmin(difference)) == min(i, 1) and min(difference) < 5.0


@pytest.mark.parametrize(("video", "part_s"), [("{ fps = 3.0 }", 0.0), ("{ stride = 20, start_s = 0.5 }", 2.0)])
def test_between_samples_parts_draw_what_the_whole_draws(
    clip: Path, registry: Registry, video: str, part_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[Any]] = []

    def note(self: Drawing, pixels: Any, shown: Shown, size: Any) -> Any:
        fields: Any = shown.steps["fields"]
        colour: Any = shown.steps["colour"]
        picture = draw(self, pixels, shown, size)
        facts = [fields.boxes.tolist(), fields.tracks.tolist(), colour.scores.tolist(), shown.overlay]
        drawn.append([*facts, hash(picture.tobytes())])
        return picture

    draw = Drawing.__call__
    monkeypatch.setattr(Drawing, "__call__", note)
    chosen = route(video, annotated=True)
    whole = analyze(clip, chosen, registry)
    expected, drawn[:] = list(drawn), []
    monkeypatch.setattr(TrialDrawing, "__call__", lambda *_: None)
    check_same(from_parts(clip, chosen, registry, part_s, tmp_path), whole)
    assert drawn == expected and len(expected) >= 180
    overlays = [overlay for *_, overlay, _ in drawn]
    assert all(any(getattr(o, name) for o in overlays) for name in ("zones", "trails", "actions"))


def test_scenes_are_those_of_the_whole(registry: Registry, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=7.5, preset="ultrafast", crf=12) as writer:
        for i in range(150):
            writer.write(np.maximum(scene(i), 200 if 50 <= i < 110 else 0), i / 25)
    chosen = route("{ fps = 5.0 }")
    whole = analyze(tmp_path / "a.mp4", chosen, registry)
    found = [item for item in whole.result.to_json()["timeline"] if item["kind"] == "scene"]
    assert {item["label"] for item in found} == {"red", "green", "blue"}
    assert all(abs(item["start_s"] - 2.0) < 0.7 and abs(item["end_s"] - 4.4) < 0.7 for item in found)
    check_same(from_parts(tmp_path / "a.mp4", chosen, registry, 0.5, tmp_path), whole)


def test_parts_of_another_size_are_scaled_to_the_first(registry: Registry, tmp_path: Path) -> None:
    clip = tmp_path / "mixed.ts"
    for number, (width, height, frames) in enumerate(((*SIZE, range(50)), (480, 288, range(50, 150)))):
        with av.open(str(tmp_path / f"{number}.ts"), "w") as output:
            stream: Any = output.add_stream("libx264", rate=25, options={"x264-params": "bframes=0"})
            stream.width, stream.height = width, height
            stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", 25
            for i in frames:
                frame = av.VideoFrame.from_ndarray(scene(i), format="rgb24").reformat(width, height, "yuv420p")
                frame.pts = i
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    clip.write_bytes(b"".join((tmp_path / f"{number}.ts").read_bytes() for number in range(2)))
    chosen = route("{ fps = 5.0 }", annotated=True)
    whole = analyze(clip, chosen, registry)
    assert whole.result.source.frames == 150 and len(whole.result.extra["tracks"]) >= 3
    check_same(from_parts(clip, chosen, registry, 0.5, tmp_path), whole)


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds whose first picture is the only keyframe."""
    path = tmp_path_factory.mktemp("rare") / "rare.mp4"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"x264-params": "scenecut=0:bframes=2"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", 1000
        for i in range(150):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(scene(i), format="rgb24")))
        output.mux(stream.encode(None))
    assert np.flatnonzero(scan(path).keyframe).tolist() == [0]
    return path


@pytest.mark.parametrize("video", ["{}", "{ fps = 9.0, camera_motion = true, heat_map = true }", "{ stride = 4 }"])
def test_parts_between_keyframes_give_what_one_piece_gives(
    rare: Path, registry: Registry, video: str, tmp_path: Path
) -> None:
    chosen = route(video, annotated=True)
    analysis = from_parts(rare, chosen, registry, 0.5, tmp_path, most_s=1.5)
    assert len(list(tmp_path.glob("part*"))) == 4
    check_same(analysis, analyze(rare, chosen, registry))


def test_damage_before_a_part_counts_once(rare: Path, registry: Registry, tmp_path: Path) -> None:
    data = bytearray(rare.read_bytes())
    with av.open(str(rare)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][30]
        assert packet.pos is not None
        data[packet.pos + 4 : packet.pos + packet.size] = bytes(packet.size - 4)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    chosen = route("{ fps = 5.0 }")
    whole = analyze(damaged, chosen, registry).result.to_json()["broken"]
    parts = from_parts(damaged, chosen, registry, 0.5, tmp_path, most_s=1.5).result.to_json()["broken"]
    assert parts == whole and whole["damaged_frames"] == 1 and whole["at_s"] < 1.5


def test_pictures_that_a_plan_counts_and_damage_costs_are_not_numbered(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long clip is planned by its packets; two pictures of the second part turn out to be lost."""
    monkeypatch.setattr(table, "_LOOKED_AT", 0)
    lost = tmp_path / "lost.mkv"
    with av.open(str(lost), "w") as output:
        stream: Any = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for i in range(100):
            for packet in stream.encode(av.VideoFrame.from_ndarray(scene(i), format="rgb24")):
                if i in (40, 41):
                    packet.update(bytes(packet.size))
                output.mux(packet)
    assert len(scan(lost).pts_s) == 100
    chosen = route("{ heat_map = true }", annotated=True)
    whole = analyze(lost, chosen, registry)
    assert whole.result.source.frames == 98
    check_same(from_parts(lost, chosen, registry, 1.0, tmp_path), whole)


@pytest.mark.parametrize("seed", range(4))
def test_a_part_that_begins_in_damage_is_drawn_as_it_was_analysed(
    seed: int, registry: Registry, tmp_path: Path
) -> None:
    """It was analysed from its lead on: a decoder that begins with the damage gives other frames."""
    damaged = tmp_path / "damaged.mkv"
    with av.open(str(damaged), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"x264-params": "scenecut=0:bframes=3:open-gop=1"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", 12
        for i in range(100):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(scene(i), format="rgb24")))
        output.mux(stream.encode(None))
    data = bytearray(damaged.read_bytes())
    with av.open(str(damaged)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size and packet.is_keyframe][4]
    assert packet.pos is not None
    noise = random.Random(seed).randbytes(min(packet.size, 5000) - 30)
    data[packet.pos + 30 : packet.pos + 30 + len(noise)] = noise
    damaged.write_bytes(data)
    chosen = route("{ fps = 6.0, between = false }", annotated=True)
    analysis = from_parts(damaged, chosen, registry, 0.7, tmp_path, most_s=1.1)
    video = analysis.artifacts["annotated.mp4"]
    assert analysis.result.status == "partial" and isinstance(video, Path)
    times = [round(json.loads(line)["t_s"], 4) for line in _text(analysis, "frames.jsonl").splitlines()]
    assert [frame.pts_s for frame in VideoReader(video)] == pytest.approx(times, abs=1e-3)


def _text(analysis: Analysis, name: str) -> str:
    content = analysis.artifacts[name]
    return content.decode() if isinstance(content, bytes) else content.read_text()


def paced(monkeypatch: pytest.MonkeyPatch, decode: float, analyse: float) -> None:
    """Lets the trial find that a second of the clip takes so many seconds."""
    monkeypatch.setattr(split, "trial", lambda *_: (Pace(decode, analyse), SIZE))


@pytest.mark.parametrize(("limit_s", "parts"), [(math.inf, 1), (124.0, 1), (40.0, 3), (20.0, 6)])
def test_no_part_takes_more_than_the_limit_by_estimate(
    rare: Path, registry: Registry, limit_s: float, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six seconds at ten times their length: a single part of 60 s.
    paced(monkeypatch, decode=1.0, analyse=10.0)
    prepared = prepare(rare, probe(rare), route("{}"), registry, 30.0, limit_s)
    assert len(prepared.parts) == parts
    assert all(Pace(1.0, 10.0).work_s(part, route("{}").video_options, 6.0) <= limit_s for part in prepared.parts)


@pytest.mark.parametrize("video", ["{}", "{ end_s = 5.0 }"])
def test_a_clip_whose_keyframes_are_too_rare_is_refused_with_what_to_do(
    rare: Path, registry: Registry, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced(monkeypatch, decode=5.0, analyse=10.0)
    with pytest.raises(LimitExceeded, match="up to 6 s apart.*encode it again with a keyframe every 10 s"):
        prepare(rare, probe(rare), route(video), registry, 30.0, 20.0)
    prepare(rare, probe(rare), route("{ end_s = 1.5 }"), registry, 30.0, 20.0)


def test_a_clip_of_many_keyframes_is_cut_at_them_alone(
    clip: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced(monkeypatch, decode=1.0, analyse=10.0)
    prepared = prepare(clip, probe(clip), route("{}"), registry, 10.0, 40.0)
    assert len(prepared.parts) > 3 and all(part.start.keyframe_s is None for part in prepared.parts)


def test_the_trial_ends_where_the_frames_of_a_minute_do(clip: Path, registry: Registry) -> None:
    chosen = route("{ fps = 0.01 }")
    detector, view = FrameDetector(chosen, registry, chosen.video_options, None), View(720, fps=20.0)
    with TrialDrawing(chosen, view) as drawing:
        pace, size = split.trial(clip, detector, chosen.video_options, 0.0, drawing)
    assert size == SIZE and 0 < pace.decode <= min(pace.analyse, pace.draw) <= pace.step < math.inf
