"""What the console and the command line say about a file: a line for every kind of document, worked by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from inference.results.file_names import file_name
from inference.results.plurals import counted
from inference.results.words import clock, content, duration, line, several

ROOT = Path(__file__).resolve().parents[3]
PULL = ".venv/bin/python -m inference models pull --recommended"


def step(task: str, *predictions: dict[str, Any], name: str = "step", **members: Any) -> dict[str, Any]:
    return {"name": name, "task": task, "predictions": list(predictions), **members}


def picture(*steps: dict[str, Any], **summary: Mapping[str, float]) -> dict[str, Any]:
    return {
        "source": {"name": "a.jpg", "width": 100, "height": 50, "duration_s": None},
        "route": "mine",
        "status": "ok",
        "steps": list(steps),
        "artifacts": {},
        "summary": {"objects": {}, "scene": {}, "guesses": {}, **summary},
        "cost": {"wall_ms": 61.4},
    }


def video(*timeline: dict[str, Any], seconds: float = 42.0, **members: Any) -> dict[str, Any]:
    document = picture(step("object-detection"), step("image-classification"))
    document["source"]["duration_s"] = seconds
    return {**document, "timeline": list(timeline), **members}


def detected(label: str, **members: Any) -> dict[str, Any]:
    return {"label": label, "score": 0.9, "box": [0, 0, 10, 10], **members}


def scored(label: str, score: float) -> dict[str, Any]:
    return {"label": label, "score": score}


def span(kind: str, label: str, start: float, end: float) -> dict[str, Any]:
    return {"kind": kind, "label": label, "start_s": start, "end_s": end}


@pytest.mark.parametrize(
    ("label", "many"),
    [
        ("face", "faces"), ("person", "people"), ("mouse", "mice"), ("sheep", "sheep"), ("knife", "knives"),
        ("bus", "buses"), ("skis", "skis"), ("scissors", "scissors"), ("wine glass", "wine glasses"),
        ("bench", "benches"), ("couch", "couches"), ("giraffe", "giraffes"), ("toothbrush", "toothbrushes"),
        ("broccoli", "broccoli"), ("teddy bear", "teddy bears"), ("lady", "ladies"), ("toy", "toys"),
        ("policeman", "policemen"), ("human", "humans"), ("jellyfish", "jellyfish"), ("tomato", "tomatoes"),
        ("cup of coffee", "cups of coffee"), ("Human face", "Human faces"), ("hair drier", "hair driers"),
    ],
)  # fmt: skip
def test_labels_are_counted_in_english(label: str, many: str) -> None:
    assert counted(1, label) == f"1 {label}"
    assert counted(6, label) == f"6 {many}"


@pytest.mark.parametrize("label", ["defect_07", "n01440764", "нога", "#ffcc00", "OK", "a/b", "", "Ampel-rötlich"])
def test_what_is_no_plain_english_stays_as_it_is(label: str) -> None:
    assert counted(3, label) == f"3 × {label}"


def test_detections_are_counted_most_first() -> None:
    document = picture(step("object-detection", detected("person")), objects={"person": 3, "dog": 1})
    assert line("a.jpg", document) == "a.jpg: 3 people, 1 dog (61 ms of analysis)"
    many = dict.fromkeys(("cup", "fork", "knife", "spoon", "bowl", "pizza", "cake", "chair", "bed", "cat"), 1)
    assert content(picture(objects=many)) == "1 cup, 1 fork, 1 knife, 1 spoon, 1 bowl, 1 pizza and 4 more"


def test_scenes_are_named_and_guesses_are_said_as_guesses() -> None:
    classified = step("image-classification", scored("seashore", 0.83))
    assert content(picture(classified, scene={"seashore": 0.83})) == "seashore 0.83"
    assert content(picture(classified, guesses={"sandbar": 0.31})) == "perhaps sandbar 0.31"
    assert content(picture(classified, guesses={"defect": 0.01})) == "nothing recognised"  # a sigmoid that says no
    both = picture(classified, objects={"boat": 2}, scene={"seashore": 0.83, "pier": 0.6}, guesses={"oar": 0.2})
    assert content(both) == "2 boats; seashore 0.83, pier 0.60; perhaps oar 0.20"


def test_expressions_stand_with_their_faces() -> None:
    faces = [detected("face", attributes={"expression": [scored(name, s)]}) for name, s in
             (("happiness", 0.81), ("happiness", 0.7), ("neutral", 0.6), ("anger", 0.3))]  # fmt: skip
    on = step("image-classification", name="expression", on="face", threshold=0.5)
    alone = picture(step("object-detection", faces[0]), on, objects={"face": 1})
    assert content(alone) == "1 face (happiness 0.81)"
    together = picture(step("object-detection", *faces), on, objects={"face": 4})
    assert content(together) == "4 faces (happiness on 2, neutral on 1)"
    unsure = picture(step("object-detection", faces[3]), on, objects={"face": 1})
    assert content(unsure) == "1 face (perhaps anger 0.30)"


def test_poses_and_faces_on_crops_stand_with_the_people() -> None:
    points = [[1.0, 1.0, 0.9]] * 17
    face = detected("face", keypoints=points[:5], attributes={"expression": [scored("happiness", 0.81)]})
    people = [
        detected("person", attributes={"pose": [detected("person", keypoints=points)], "faces": [face]}),
        detected("person", attributes={"pose": [], "vector": {"dim": 256, "vector": []}}),
    ]
    document = picture(step("object-detection", *people), objects={"person": 2})
    assert content(document) == "2 people (1 pose, 1 face: happiness 0.81, 1 embedding)"
    whole = picture(step("keypoint-detection", detected("person", keypoints=points)), objects={"person": 1})
    assert content(whole) == "1 person (1 pose)"


def test_maps_say_their_largest_areas() -> None:
    areas = [{"label": name, "label_id": i, "area": area} for i, (name, area) in
             enumerate((("sky", 1500), ("road", 2050), ("sign", 10)))]  # fmt: skip
    assert content(picture(step("image-segmentation", *areas, map="map.png"))) == "road 41 %, sky 30 %"
    masks = picture(step("image-segmentation", detected("cat", area=900)), objects={"cat": 1})
    assert content(masks) == "1 cat"


def test_a_picture_that_was_made_is_named_with_its_place() -> None:
    document = picture(step("image-to-image", name="my sketch"))
    name = file_name("my sketch")
    document["artifacts"] = {name: f"0123456789ab/{name}.jpg"}
    assert content(document, "outbox/results/a.jpg") == f"made outbox/results/a.jpg/0123456789ab/{name}.jpg"
    assert content({**document, "artifacts": {}}) == "the picture of my sketch is not kept without --out DIR"
    with_more = picture(step("image-classification"), step("image-to-image", name="sketch"), scene={"cup": 0.9})
    assert content(with_more) == "cup 0.90", "a picture that nobody asked to keep is not worth a word"


def test_maps_of_a_video_are_to_be_seen_in_its_annotated_copy() -> None:
    document = {**video(artifacts={"annotated": "0123456789ab/annotated.mp4"}), "steps": [step("image-segmentation")]}
    assert content(document, "out/a.mp4/") == "video of 0:42; see out/a.mp4/0123456789ab/annotated.mp4"
    assert content(document) == "video of 0:42; nothing to report"


def test_embeddings_are_said() -> None:
    assert content(picture(step("image-feature-extraction", embedding={"dim": 256}))) == "embedding of 256 numbers"


def test_nothing_is_a_plain_sentence_and_names_what_is_missing() -> None:
    nothing = picture(step("object-detection"), step("image-to-image", name="sketch"))
    assert content(nothing) == "nothing recognised"
    missing = f"the recommended models are missing, get them by {PULL}"
    starters = {**picture(step("image-classification", model={"name": "classify"})), "route": "default"}
    pack = [step("object-detection", model={"name": name}) for name in ("picodet-s-416", "mobilenetv2-int8")]
    if sys.platform != "win32":
        assert content(starters) == f"nothing recognised; {missing}"
        starters["summary"]["guesses"] = {"reel": 0.2}
        assert content(starters) == f"perhaps reel 0.20; {missing}"
    starters["summary"]["scene"] = {"cup": 0.9}
    assert content(starters) == "cup 0.90; perhaps reel 0.20"
    assert content({**picture(*pack), "route": "default"}) == "nothing recognised"
    of_the_user = {**picture(pack[0]), "route": "default"}
    assert content(of_the_user) == "nothing recognised", "a route of one's own lacks nothing"


def test_a_video_says_its_length_tracks_zones_and_times() -> None:
    document = video(
        span("track", "person", 0, 9), span("scene", "beach", 0, 12.4), span("scene", "street", 12.4, 42),
        span("action", "walking the dog", 3, 7.2), span("follow", "dog", 5, 5.3),
        zones={"door": {"total": {"cross_in": 3, "cross_out": 1}, "intervals": []},
               "bench": {"total": {"enter": 2, "exit": 2, "dwell": 2, "loiter": 1}, "occupancy": {"peak": 2}},
               "seat": {"total": {"enter": 1, "exit": 1, "dwell": 1}, "occupancy": {"peak": 1}}, "gate": {"total": {}}},
        summary={"objects": {"person": 3, "mouse": 2}, "scene": {"beach": 0.7}, "guesses": {}},
    )  # fmt: skip
    assert content(document) == (
        "video of 0:42; 3 people, 2 mice; door: 3 in, 1 out; bench: 2 entered, 1 stayed long, at most 2 at once; "
        "seat: 1 entered; gate: nothing passed; 0:00-0:12 beach, 0:12-0:42 street; did: 0:03-0:07 walking the dog; "
        "followed: 0:05 dog"
    )
    assert content(video(seconds=3723)) == "video of 1:02:03; nothing recognised"


def test_a_video_that_broke_off_says_where_and_what_was_analysed() -> None:
    cut = {"reason": "the file ends early", "at_s": 7.0, "damaged_frames": 0}
    document = video(seconds=7.2, broken=cut, analysed_frames=210, sound="its sound ends early (x)", status="partial")
    assert content(document) == (
        "video of 0:07; nothing recognised; broke off at 0:07 (the file ends early), 210 frames analysed; "
        "its sound ends early (x)"
    )
    damaged = video(broken={"reason": "bad data", "at_s": 3.0, "damaged_frames": 2}, analysed_frames=1)
    assert content(damaged).endswith("; damaged from 0:03 (bad data), 1 frame analysed")


def test_the_flat_summary_of_older_documents_counts_objects() -> None:
    assert content({"summary": {"person": 2, "dog": 1}, "steps": []}) == "2 people, 1 dog"
    assert content({"summary": {}}) == "nothing to report"
    assert content({}) == "nothing to report"


def test_an_error_is_its_sentence_then_its_class() -> None:
    document = {"status": "error", "error": {"class": "CorruptMedia", "message": "d/x.jpg: no picture"}}
    assert line("d/x.jpg", document) == "d/x.jpg: failed: no picture (CorruptMedia)"
    assert line("x.jpg", document, since_upload_s=3.21) == (
        "x.jpg: failed: d/x.jpg: no picture (CorruptMedia, 3.2 s after the upload)"
    )
    assert line("x.jpg", {"error": {}}) == "x.jpg: failed: the record gives no reason"


def test_a_line_is_a_single_line_whatever_the_name() -> None:
    assert line("new\nline\u202e.jpg", picture(objects={"a\u2028b": 2})) == (
        "new\\nline\\u202e.jpg: 2 × a\\u2028b (61 ms of analysis)"
    )
    assert line("😺.jpg", picture(objects={"cat": 1}), since_upload_s=75) == (
        "😺.jpg: 1 cat (1:15 min after the upload, 61 ms of analysis)"
    )


def test_times_and_lists() -> None:
    assert [clock(s) for s in (0, 6.5, 59.6, 3600)] == ["0:00", "0:07", "1:00", "1:00:00"]
    assert [duration(s) for s in (0.0614, 3.24, 25.2, 125)] == ["61 ms", "3.2 s", "25 s", "2:05 min"]
    assert [several(list("abcd"), most) for most in (4, 3, 1)] == ["a, b, c, d", "a, b, c and 1 more", "a and 3 more"]


def test_importing_it_costs_nothing() -> None:
    code = "import sys, inference.results.words; print(*sorted({'numpy', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
