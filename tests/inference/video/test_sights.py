"""Tracks of a clip saved as pictures: of which frame, how many, and what is drawn beside them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.predictions import Objects
from inference.results.result import Source
from inference.routes import Draw, Route, Step
from inference.video.frames import Frame, View
from inference.video.options import VideoOptions
from inference.video.sights import Sights
from inference.video.stills import Choice, Stills
from inference.video.summary import Summary
from inference.video.write import VideoWriter
from tests.inference.video.blobs import blob_detector, scene


def tracked(*rows: tuple[int, str, float], box: tuple[float, ...] = (10, 10, 30, 50)) -> Objects:
    """Objects at the same place: (track, label, score)."""
    count = len(rows)
    return Objects(
        np.asarray([box] * count, np.float32),
        np.asarray([score for *_, score in rows], np.float32),
        np.zeros(count, np.int64),
        tuple(label for _, label, _ in rows),
        tracks=np.asarray([track for track, *_ in rows], np.int64),
    )


def test_a_track_is_saved_where_its_score_is_highest() -> None:
    sights = Sights(("car",))
    sights.take(0, {"d": tracked((1, "car", 0.5), (2, "dog", 0.9), (-1, "car", 0.9))})
    sights.take(1, {"d": tracked((1, "car", 0.75), (3, "car", 0.25))})
    sights.take(2, {"d": tracked((1, "car", 0.75), (3, "truck", 0.9))})
    assert [sights.frame(track) for track in (1, 2, 3)] == [1, None, 1]
    labels = {1: "car", 2: "dog", 3: "truck"}
    assert sights.of(labels) == [[1, 1]] and list(sights.notes(labels)) == []


def test_of_many_tracks_the_best_are_saved_whenever_they_were_best() -> None:
    """Every track is best in another frame; in every order the same 200 remain."""
    scores = {track: 0.1 + 0.003 * track for track in range(250)}
    for order in (range(250), range(249, -1, -1)):
        sights = Sights(("car",))
        for frame, track in enumerate(order):
            sights.take(frame, {"d": tracked((track, "car", scores[track]), ((track + 1) % 250, "car", 0.05))})
        kept = sights.of(dict.fromkeys(range(250), "car"))
        assert [track for track, _ in kept] == list(range(50, 250))
        assert [list(order)[frame] for _, frame in kept] == list(range(50, 250))
        assert "the 200 with the highest scores" in next(sights.notes({}))


def test_what_has_no_track_is_said() -> None:
    sights = Sights(("face", "car"))
    people = replace(tracked((1, "car", 0.5)), attributes=({"f": replace(tracked((0, "face", 0.5)), tracks=None)},))
    sights.take(0, {"d": people})
    (note,) = sights.notes({1: "car"})
    assert note.endswith("not so face")


def test_the_crop_of_a_track_is_blurred_where_it_has_to_be() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    people, faces = tracked((4, "person", 0.8), box=(16, 16, 66, 76)), tracked((-1, "face", 0.8), box=(20, 20, 60, 70))
    steps = {"d": people, "f": faces}
    spread = []
    for blur in ((), ("face",)):
        stills, choice = Stills(Draw(crops=("person",), blur=blur, quality=95)), Choice(0, ("person",))
        choice.take(3, people.scores, steps)
        frame = Frame(3, 0.1, pixels)
        stills.take(frame, steps, None, choice, stills.cut(frame, steps, choice))
        worse = tracked((4, "person", 0.5))
        choice.take(4, worse.scores, {"d": worse})
        summary = Summary(Source(), (), "ok", {}, None, [], sights=[[4, 3]])
        (crop,) = stills.files(summary).values()
        image = Image.open(io.BytesIO(crop))
        assert image.size == (60, 72)  # 50 x 60 and a tenth on each side
        spread.append(np.asarray(image.convert("L"), float)[15:55, 15:45].std())
        assert stills.files(replace(summary, sights=[[4, 2]])) == {}  # of another frame than the merge says
    assert spread[0] > 25 and spread[1] < 10


def test_the_poster_shows_what_is_sure_rather_than_many_guesses() -> None:
    choice = Choice(0)
    for index, scores in enumerate(([], [0.41, 0.4, 0.4, 0.3], [0.93, 0.48], [0.93, 0.5], [0.9], [])):
        choice.take(index, np.array(scores, np.float32), {})
    assert choice.poster == 2  # and not the next, which hardly has more
    alone = Choice(0)
    alone.take(0, np.zeros(0, np.float32), {})
    assert alone.poster == 0


def test_the_longest_side_holds_for_videos_too() -> None:
    view = View(720, longest=501)
    assert view.size(1920, 1080) == (500, 282) and view.size(400, 300) == (400, 300)
    assert View(100, longest=501).size(1920, 1080) == (178, 100)


@pytest.mark.slow
def test_a_clip_has_the_crops_of_its_tracks_and_nothing_annotated(tmp_path: Path) -> None:
    blob_detector(tmp_path / "fields")
    with VideoWriter(tmp_path / "a.mp4", preset="ultrafast", crf=12) as writer:
        for i in range(20):
            writer.write(scene(i), i / 25)
    draw = Draw(annotated=False, crops=("field",), longest_side=40)
    route = Route("r", (Step("fields"),), draw=draw, video=VideoOptions(fps=5.0, thumbnails=0))
    analysis = analyze(tmp_path / "a.mp4", route, Registry([tmp_path]))
    document = analysis.result.to_json()
    names = {track["crop"] for track in document["tracks"]}
    assert names == {f"crops/track-{track['id']}.jpg" for track in document["tracks"]} != set()
    assert set(analysis.artifacts) == {*names, "frames.jsonl", "tracks.csv", "tracks.mot.txt", "tracks.vtt"}
    for name in names:
        image = Image.open(io.BytesIO(bytes(analysis.artifacts[name])))
        assert max(image.size) <= 40 and np.asarray(image).max() > 200  # the bright field is there
    assert "notes" not in document
    assert analyze(tmp_path / "a.mp4", route, Registry([tmp_path]), artifacts=False).artifacts == {}
