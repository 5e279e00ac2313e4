"""What is kept of a video's predictions: tracks by their label's own score, and faces blurred that are left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from inference.analysis import analyze
from inference.draw.privacy import Redaction
from inference.engine.clip import ClipModel
from inference.engine.registry import Registry
from inference.predictions import Objects
from inference.results.result import Source
from inference.routes import Draw, Route, Step
from inference.video.actions import ActionWatch, actions, overall
from inference.video.options import VideoOptions
from inference.video.read import probe, scan
from inference.video.render import draw_part
from inference.video.split import detect_part, merge, plan, prepare
from inference.video.stored import from_line, to_line
from inference.video.summary import RouteFacts, Summary
from inference.video.tracks import Tracks, relative
from inference.video.write import VideoWriter
from tests.inference.video.test_actions import brightness_model, manifest

ROOT = Path(__file__).resolve().parents[3]
EVERYWHERE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
SIZE = (256, 256)


def seen(**scores: float) -> Objects:
    """An object of each label, far from the others."""
    boxes = [[100.0 * i, 0, 100 * i + 50, 50] for i in range(len(scores))]
    values = np.array([*scores.values()], np.float32)
    return Objects(np.array(boxes, np.float32), values, np.arange(len(scores)), tuple(scores))


@pytest.mark.parametrize("tracker", ["bytetrack", "sort", "none"])
def test_a_track_begins_from_the_score_of_its_label(tracker: str) -> None:
    tracks = Tracks(VideoOptions(tracker=tracker), 0.5, 320, 200, {"car": 0.3, "bus": 0.8})  # type: ignore[arg-type]
    for i in range(4):
        shown = tracks.update(i / 10, seen(car=0.35, bus=0.7, dog=0.6, cat=0.4))
    assert shown.names == ("car", "dog") and shown.left_out == {"threshold": 1}
    assert shown.hidden is not None and shown.hidden.names == ("bus",)
    assert shown.scores.tolist() == pytest.approx([0.35, 0.6]), "the scores are the model's"
    assert set(tracks.extra([])["objects"]) == {"car", "dog"}


def test_what_was_found_on_somebody_who_does_not_count_is_blurred_all_the_same() -> None:
    """A face is sure, the person whose crop shows it is not, and no track takes that person up."""
    tracks = Tracks(VideoOptions(), 0.5, 320, 200)
    found = replace(seen(person=0.3), attributes=({"faces": seen(face=0.9)},))
    shown = tracks.update(0.0, found)
    assert not len(shown) and not shown.left_out
    picture = Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (200, 320, 3), np.uint8))
    drawn = Redaction([("people", shown)], ("face", "person"), picture.size).picture(picture)
    changed = np.abs(np.asarray(drawn, int) - np.asarray(picture, int)).any(axis=2)
    assert changed[5:45, 5:45].mean() > 0.9 and not changed[60:, 60:].any()
    nobody = Redaction([("people", shown)], ("person",), picture.size).picture(picture)
    assert nobody.tobytes() == picture.tobytes(), "no person was found"


def test_scores_reach_the_trackers_threshold_where_they_reach_their_own() -> None:
    limits = np.array([0.2, 0.2, 0.8, 0.8, 0.5], np.float32)
    scores = relative(np.array([0.1, 0.2, 0.79, 0.9, 0.5], np.float32), limits, 0.5)
    assert scores.tolist() == pytest.approx([0.25, 0.5, 0.494, 0.75, 0.5], abs=1e-3)


def test_what_is_hidden_and_counted_survives_storage() -> None:
    found = replace(seen(car=0.9), left_out={"size": 2}, hidden=seen(face=0.7))
    again = from_line(to_line({"steps": {"s": found}}))["steps"]["s"]
    assert again.left_out == {"size": 2} and again.hidden.names == ("face",)
    assert again.hidden.boxes.tolist() == [[0, 0, 50, 50]]


def clip(path: Path) -> Path:
    """Four frames of a face that moves, one a second; every second is a keyframe."""
    photo = Pillow.open(ROOT / "samples" / "astronaut.jpg").crop((80, 0, 380, 300)).resize(SIZE)
    with VideoWriter(path, fps=1.0, preset="ultrafast", crf=10) as writer:
        for i in range(4):
            writer.write(np.roll(np.asarray(photo), 4 * i, axis=1), float(i))
    return path


def frames(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def video_route(**more: Any) -> Route:
    draw = Draw(labels=False, boxes=False, blur=("face",))
    options = VideoOptions(annotated_side=128, thumbnails=1, heat_map=True)
    return Route(
        "r", (Step("faces", rename={"face": "face"}, **more.pop("step", {})),), draw=draw, video=options, **more
    )


LEFT_OUT: list[Mapping[str, Any]] = [
    {"ignore": (EVERYWHERE,)},
    {"step": {"max_size": 1e-6}},
    {"step": {"thresholds": {"face": 1.0}}},
]


@pytest.mark.slow
def test_a_face_that_is_left_out_of_a_video_is_blurred_all_the_same(tmp_path: Path) -> None:
    registry, path = Registry([ROOT / "models"]), clip(tmp_path / "clip.mp4")
    usual = analyze(path, video_route(), registry)
    sharp = analyze(path, replace(video_route(), draw=Draw(labels=False, boxes=False)), registry)
    for options in LEFT_OUT:
        made = analyze(path, video_route(**options), registry)
        document = made.result.to_json()
        assert document["summary"]["objects"] == {} and sum(document["steps"][0]["left_out"].values()) == 4
        got, expected, bad = (frames(Path(str(a.artifacts["annotated.mp4"]))) for a in (made, usual, sharp))
        assert np.array_equal(got, expected) and not np.array_equal(got, bad)
        assert made.artifacts["poster.jpg"] == usual.artifacts["poster.jpg"]
    bare = analyze(path, replace(video_route(**options), draw=Draw(labels=False, boxes=False)), registry)
    assert made.artifacts["heat.jpg"] != bare.artifacts["heat.jpg"], "nothing is on it: they differ by what lies below"


@pytest.mark.slow
@pytest.mark.parametrize("options", LEFT_OUT[::2])
def test_a_long_video_in_parts_blurs_and_counts_it_too(tmp_path: Path, options: Mapping[str, Any]) -> None:
    registry, path, route = Registry([ROOT / "models"]), clip(tmp_path / "clip.mp4"), video_route(**options)
    parts = plan(scan(path), route.video_options, 2.0, 0.0, 2.0)
    assert len(parts) == 2
    facts = prepare(path, probe(path), route, registry, budget_s=1.0).facts
    facts = RouteFacts.from_json(json.loads(json.dumps(asdict(facts))))
    lines: dict[int, list[str]] = {part.number: [] for part in parts}
    for name in ("d0", "d1", "files", "p0", "p1"):
        (tmp_path / name).mkdir()
    stored = [(p, [*detect_part(path, p, route, registry, tmp_path / f"d{p.number}", 1.0, SIZE)]) for p in parts]
    summary = merge(stored, route, facts, SIZE, Source(), tmp_path / "files", lambda n, text: lines[n].append(text))
    summary = Summary.from_line(summary.to_line())
    step = summary.steps[0]
    assert isinstance(step.predictions, Objects) and sum(step.predictions.left_out.values()) == 4
    assert step.renamed == {"face": "face"}
    drawn: list[Any] = []
    for part in parts:
        made = draw_part(path, part, lines[part.number], route, summary, tmp_path / f"p{part.number}", 1.0)
        drawn += frames(Path(str(made["annotated.mp4"])))
    whole = analyze(path, video_route(), registry)
    usual = frames(Path(str(whole.artifacts["annotated.mp4"])))
    assert len(drawn) == 4 and np.abs(np.array(drawn, int) - usual).mean() < 2, "encoded in two parts"


def test_actions_have_the_names_that_the_route_gives_and_are_those_that_it_wants(tmp_path: Path) -> None:
    model = ClipModel(manifest(), brightness_model(tmp_path / "m.onnx", [1, 4, 8, 10, 3]), "")

    def watched(step: Step) -> tuple[list[tuple[str, float]], list[str]]:
        watcher = ActionWatch(model, step)
        for i in range(50):
            watcher.update(i / 25, np.full((8, 10, 3), 235, np.uint8))
        watcher.close()
        found = actions(watcher.windows, watcher.facts, 2.0)
        return [(a.label, round(a.score, 2)) for a in found], list(overall(watcher.windows, watcher.facts).names)

    ((usual, score),), names = watched(Step("m"))
    assert usual == "bright" and names == ["bright", "dark"]
    assert watched(Step("m", rename={"bright": "hell"})) == ([("hell", score)], ["hell", "dark"])
    assert watched(Step("m", rename={"bright": "any", "dark": "any"})) == ([("any", score)], ["any"])
    assert watched(Step("m", labels=("dark",))) == ([], ["dark"])
    assert watched(Step("m", labels=("dark",), threshold=0.0))[0][0][0] == "dark"
    assert watched(Step("m", thresholds={"bright": 1.0, "dark": 0.01}))[0][0][0] == "dark"
