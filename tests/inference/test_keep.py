"""What is kept of predictions, what is counted as left out, and that no option publishes a face."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.keep import Sieve
from inference.label_lists import merged_ids
from inference.manifest import Manifest, Postprocess
from inference.predictions import Classes, LabelMap, Objects
from inference.regions import Look
from inference.routes import Draw, Route, Step

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ASTRONAUT = ROOT / "samples" / "astronaut.jpg"
LABELS = ("person", "car", "truck", "bus")
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
EVERYWHERE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
NOWHERE = ((0.0, 0.0), (0.001, 0.0), (0.0, 0.001))


def sieve(step: Step, base: float = 0.5, task: str = "object-detection", **more: Any) -> Sieve:
    post = Postprocess(iou_threshold=0.5, topk=2)
    manifest = Manifest("m", task, "yolo", labels=LABELS, postprocess=post)  # type: ignore[arg-type]
    return Sieve(step, manifest, base, more.pop("floor", None), more.pop("look", None), (100, 100), **more)


def objects(*rows: tuple[str, float, tuple[float, float, float, float]]) -> Objects:
    return Objects(
        np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([LABELS.index(name) for name, _, _ in rows], np.int64),
        tuple(name for name, _, _ in rows),
    )


def kept(found: Any) -> list[tuple[str, int, float]]:
    rows = zip(found.names, found.label_ids.tolist(), found.scores.tolist(), strict=True)
    return [(name, number, round(score, 2)) for name, number, score in rows]


FOUND = objects(
    ("person", 0.9, (0, 0, 10, 50)),  # 5 % of the picture, standing at x 0.05
    ("car", 0.8, (60, 60, 100, 100)),  # 16 %, at x 0.8
    ("truck", 0.6, (61, 60, 100, 100)),  # nearly the same place
    ("bus", 0.55, (20, 20, 25, 24)),  # 0.2 %
)


@pytest.mark.parametrize(
    ("step", "look", "names", "left_out"),
    [
        (Step("m", labels=("car", "bus")), None, ["car", "bus"], {"label": 2}),
        (Step("m", thresholds={"truck": 0.7}), None, ["person", "car", "bus"], {"threshold": 1}),
        (Step("m", min_size=0.01), None, ["person", "car", "truck"], {"size": 1}),
        (Step("m", max_size=0.1), None, ["person", "bus"], {"size": 2}),
        (Step("m"), Look((LEFT,)), ["person", "bus"], {"region": 2}),
        (Step("m"), Look(ignore=(LEFT,)), ["car", "truck"], {"region": 2}),
        (Step("m", labels=("car", "truck"), thresholds={"truck": 0.7}), Look((LEFT,)), [],
         {"label": 2, "threshold": 1, "region": 1}),
        (Step("m"), None, ["person", "car", "truck", "bus"], {}),
    ],
)  # fmt: skip
def test_objects_are_left_out_and_counted_by_the_first_option(
    step: Step, look: Look | None, names: list[str], left_out: dict[str, int]
) -> None:
    found = sieve(step, look=look)(FOUND)
    assert isinstance(found, Objects)
    assert list(found.names) == names and dict(found.left_out) == left_out and found.hidden is None


def test_an_object_of_two_labels_with_one_new_name_is_there_once() -> None:
    step = Step("m", rename={"car": "vehicle", "truck": "vehicle", "bus": "vehicle"})
    one = sieve(step)
    assert kept(one(FOUND)) == [("person", 0, 0.9), ("vehicle", 1, 0.8), ("vehicle", 1, 0.55)]
    assert one.left_out == {"merged": 1}
    beside = objects(("car", 0.9, (0, 0, 50, 50)), ("car", 0.8, (5, 0, 50, 50)))
    assert len(kept(sieve(step)(beside))) == 2, "of one label they are two, as the model says"


def test_merged_labels_have_one_number() -> None:
    assert merged_ids(LABELS, {"truck": "car"}) == {1: 1, 2: 1}, "that of the label which is called so"
    assert merged_ids(LABELS, {"truck": "x", "bus": "x"}) == {2: 2, 3: 2}
    assert merged_ids(LABELS, {"car": "truck", "truck": "car"}) == {1: 1, 2: 2}, "swapped names swap no numbers"
    assert merged_ids((), {"7": "x", "3": "x"}) == {7: 3, 3: 3}


def test_a_lower_threshold_lets_that_label_through_and_no_other() -> None:
    one = sieve(Step("m", thresholds={"car": 0.2}, labels=("car", "bus")), held={"bus"})
    assert one.lowest == 0.2
    low = objects(("car", 0.3, (0, 0, 9, 9)), ("bus", 0.4, (0, 0, 9, 9)), ("person", 0.4, (0, 0, 9, 9)))
    found = one(low)
    assert kept(found) == [("car", 1, 0.3)] and not one.left_out, "the others were never answers"
    assert isinstance(found, Objects) and found.hidden is None


def test_a_tracker_gets_its_low_scores_but_they_are_not_counted() -> None:
    one = sieve(Step("m", labels=("car",)), floor=0.1)
    low = objects(("car", 0.15, (0, 0, 9, 9)), ("bus", 0.15, (0, 0, 9, 9)), ("bus", 0.9, (0, 0, 9, 9)))
    assert one.lowest == 0.1 and kept(one(low)) == [("car", 1, 0.15)] and one.left_out == {"label": 1}


def test_names_of_the_whole_picture_merge_at_their_best_and_are_chosen_from_all() -> None:
    def classes(*scores: float) -> Classes:
        order = np.argsort([-s for s in scores])
        return Classes(order, np.array(scores, np.float32)[order], tuple(LABELS[i] for i in order))

    task = "image-classification"
    merged = sieve(Step("m", rename={"car": "vehicle", "truck": "vehicle"}), 0.0, task)(classes(0.3, 0.1, 0.4, 0.2))
    assert kept(merged) == [("vehicle", 1, 0.4), ("person", 0, 0.3)]
    last = sieve(Step("m", labels=("bus",)), 0.0, task)
    assert kept(last(classes(0.4, 0.3, 0.2, 0.1))) == [("bus", 3, 0.1)]
    assert last.left_out == {"label": 2}, "two of the two that the model gives without the option"
    low = sieve(Step("m", thresholds={"bus": 0.05, "person": 0.5}), 0.35, task)
    assert low.lowest == 0.05 and kept(low(classes(0.4, 0.3, 0.2, 0.1))) == [("bus", 3, 0.1)]
    assert low.left_out == {"threshold": 1}


def test_labels_of_a_map_become_background_and_merge() -> None:
    ids = np.zeros((10, 10), np.uint8)
    ids[5:, :6], ids[5:, 6:], ids[0, 0] = 1, 2, 3
    found = LabelMap(ids, LABELS)
    one = sieve(Step("m", labels=("vehicle",), rename={"car": "vehicle", "truck": "vehicle"}, min_size=0.02))(found)
    assert isinstance(one, LabelMap)
    assert one.areas() == [(1, 50), (4, 50)] and one.background == 4 and one.names[1] == one.names[2] == "vehicle"
    assert dict(one.left_out) == {"label": 2} and one.ids.dtype == np.uint8
    small = sieve(Step("m", min_size=0.02))(replace(found, background=0))
    assert isinstance(small, LabelMap) and dict(small.left_out) == {"size": 1}
    assert small.areas() == [(0, 50), (1, 30), (2, 20)], "what is left out is the map's own background"
    left = sieve(Step("m"), look=Look((LEFT,)))(found)
    assert isinstance(left, LabelMap) and dict(left.left_out) == {"region": 3}
    assert left.areas() == [(4, 50), (1, 25), (0, 24), (3, 1)]


def annotated(route: Route, photo: bytes | Path = ASTRONAUT) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    analysis = analyze(photo, route, Registry([ROOT / "models"]))
    made = analysis.artifacts["annotated.jpg"]
    assert isinstance(made, bytes)
    return np.asarray(Pillow.open(io.BytesIO(made))), analysis.result.to_json()


BLUR = Draw(labels=False, boxes=False, blur=("face",))
OUT: list[dict[str, Any]] = [
    {"ignore": (EVERYWHERE,)},
    {"regions": (NOWHERE,)},
    {"steps": (Step("faces", max_size=0.0001),)},
    {"steps": (Step("faces", thresholds={"face": 1.0}),)},
]


@pytest.mark.parametrize("options", OUT, ids=[next(iter(o)) + str(i) for i, o in enumerate(OUT)])
def test_a_face_that_is_left_out_is_blurred_all_the_same(options: dict[str, Any]) -> None:
    """Pixel by pixel what the picture is without the options."""
    usual, before = annotated(Route("r", (Step("faces"),), draw=BLUR))
    assert before["summary"]["objects"] == {"face": 1} and "left_out" not in before["steps"][0]
    sharp, _ = annotated(Route("r", (Step("faces"),), draw=Draw(labels=False, boxes=False)))
    blurred, after = annotated(Route("r", options.get("steps", (Step("faces"),)), draw=BLUR) if "steps" in options
                               else Route("r", (Step("faces"),), draw=BLUR, **options))  # fmt: skip
    assert after["summary"]["objects"] == {} and sum(after["steps"][0]["left_out"].values()) == 1
    assert np.array_equal(blurred, usual) and not np.array_equal(blurred, sharp)


def test_a_small_picture_which_is_drawn_enlarged_is_no_exception() -> None:
    small = io.BytesIO()
    Pillow.open(ASTRONAUT).resize((200, 200)).save(small, "PNG")
    usual, before = annotated(Route("r", (Step("faces"),), draw=BLUR), small.getvalue())
    blurred, after = annotated(Route("r", (Step("faces"),), draw=BLUR, ignore=(EVERYWHERE,)), small.getvalue())
    assert before["summary"]["objects"] == {"face": 1} and after["summary"]["objects"] == {}
    assert usual.shape[0] == 400 and np.array_equal(blurred, usual)


def test_a_face_on_the_crop_of_what_is_left_out_is_blurred_too() -> None:
    steps = (
        Step("faces", name="heads", rename={"face": "head"}),
        Step("faces", name="inner", on="head", threshold=0.7),
    )
    usual, before = annotated(Route("r", steps, draw=BLUR))
    (inner,) = before["steps"][0]["predictions"][0]["attributes"]["inner"]
    x1, y1, x2, y2 = (round(v) for v in inner["box"])
    within = np.s_[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8]  # what is on a crop has a thin outline
    blurred, after = annotated(Route("r", steps, draw=BLUR, ignore=(EVERYWHERE,)))
    assert after["steps"][0]["predictions"] == [] and after["steps"][0]["left_out"] == {"region": 1}
    assert "left_out" not in after["steps"][1] and after["steps"][0]["renamed"] == {"face": "head"}
    assert np.abs(blurred[within].astype(int) - usual[within]).max() <= 8, "but for JPEG's ringing"
    deep, last = annotated(Route("r", (steps[0], replace(steps[1], max_size=1e-6)), draw=BLUR))
    assert last["steps"][1]["left_out"] == {"size": 1}, "on a crop, too, it is counted with its step"
    assert np.array_equal(deep[within], blurred[within])


def test_a_crop_that_is_saved_shows_no_face_that_is_left_out() -> None:
    def crop(inner: Step, blur: tuple[str, ...]) -> bytes:
        heads = Step("faces", name="heads", rename={"face": "head"})
        route = Route("r", (heads, inner), draw=Draw(crops=("head",), blur=blur))
        made = analyze(ASTRONAUT, route, Registry([ROOT / "models"])).artifacts["crops/heads-0.jpg"]
        assert isinstance(made, bytes)
        return made

    inner = Step("faces", name="inner", on="head", threshold=0.7)
    usual = crop(inner, ("face",))
    assert crop(replace(inner, max_size=1e-6), ("face",)) == usual != crop(inner, ())
