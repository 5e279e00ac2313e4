"""What zones count on real clips, against counts by eye: who passed where, and between which frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.routes_file import parse_routes

pytestmark = [pytest.mark.slow, pytest.mark.needs_shared]
ROOT = Path(__file__).resolve().parents[3]


def counted(shared: Path, clip: str, model: str, threshold: float, video: str) -> dict[str, Any]:
    """The members of the document that a video adds."""
    text = f"""[[route]]
name = "r"
steps = [{{ model = "{model}", threshold = {threshold} }}]
video = {{ {video} }}
"""
    registry = Registry([ROOT / "tests/models"], weights=Weights([shared / "models"]))
    route = parse_routes(text, "routes.toml").routes[0]
    return dict(analyze(shared / "media/video" / clip, route, registry, artifacts=False).result.extra)


def crossings(document: dict[str, Any], zone: str, fps: float) -> list[tuple[str, int]]:
    """(direction, frame) of the crossings of a line, in order."""
    events = [item for item in document["timeline"] if item["kind"] == "cross" and item["zone"] == zone]
    return [(item["direction"], round(item["t_s"] * fps)) for item in events]


def test_four_cars_over_a_road_seen_from_above(shared: Path) -> None:
    """Lower edges cross the middle between these frames: white up, light blue down, red up, white down. A detector of
    street photos calls them telephones."""
    document = counted(
        shared, "car-detection.mp4", "ultra-yolo11n-320", 0.4,
        """stride = 2, one_class = true, start_s = 6.0, zones = [
            { name = "middle", points = [[0.0, 0.5], [1.0, 0.5]] },
            { name = "left lane", points = [[0.0, 0.5], [0.4, 0.5]], anchor = "centre" },
            { name = "road", points = [[0.0, 0.3], [1.0, 0.3], [1.0, 0.7], [0.0, 0.7]] }]""",
    )  # fmt: skip
    passed = crossings(document, "middle", 12.5)
    by_eye = [("out", 86, 92), ("in", 194, 200), ("out", 218, 224), ("in", 323, 329)]
    assert len(passed) == len(by_eye)
    for (way, frame), (true_way, first, last) in zip(passed, by_eye, strict=True):
        assert way == true_way and first <= frame <= last
    assert document["zones"]["left lane"]["total"] == {"cross_in": 2}
    road = document["zones"]["road"]
    assert road["total"] == {"enter": 4, "exit": 4, "dwell": 4} and road["unique"] == {"enter": 4}


def test_bottles_that_stand_on_a_line_and_are_put_down_and_taken_away(shared: Path) -> None:
    """Three stand there; the left is taken (frame 205), another put (365), the left and the middle taken (520), the
    middle put (690), the left put (845), the right taken (945) and put again (1065). The middle stands on x = 0.5."""
    document = counted(
        shared, "bottle-detection.mp4", "det-nanodet-m-320", 0.45,
        """stride = 8, zones = [
            { name = "through the middle", points = [[0.5, 0.0], [0.5, 1.0]], labels = ["bottle"] },
            { name = "through the left", points = [[0.14, 0.0], [0.14, 1.0]], labels = ["bottle"] },
            { name = "right half", points = [[0.5, 0], [1, 0], [1, 1], [0.5, 1]], labels = ["bottle"] },
            { name = "table", points = [[0, 0.7], [1, 0.7], [1, 1], [0, 1]], labels = ["bottle"] }]""",
    )  # fmt: skip
    zones = document["zones"]
    assert zones["through the middle"]["total"] == {} == zones["through the left"]["total"]
    assert zones["table"]["total"] == {"enter": 7, "exit": 7, "dwell": 7}
    assert zones["table"]["occupancy"]["peak"] == 3
    # On its border stands one bottle, twice: neither stay is broken up by its box's trembling.
    assert zones["right half"]["total"]["enter"] in (2, 3, 4)
    assert zones["right half"]["total"]["enter"] == zones["right half"]["unique"]["enter"]


def test_people_who_walk_across_a_hall(shared: Path) -> None:
    """Feet over a line from x = 0.28 to 0.7 at half the height, up to frame 330: upwards about frames 18, 38, 66, 136,
    182, 192 and 221, downwards 66, 103, 118, 156, 186 and 259."""
    document = counted(
        shared, "crowd-grey-1280x720.avi", "det-picodet-s-416", 0.4,
        """stride = 4, end_s = 13.2, zones = [
            { name = "hall", points = [[0.28, 0.5], [0.7, 0.5]], labels = ["person"] }]""",
    )  # fmt: skip
    passed = crossings(document, "hall", 25)
    for way, by_eye in (("out", [18, 38, 66, 136, 182, 192, 221]), ("in", [66, 103, 118, 156, 186, 259])):
        frames = [frame for found, frame in passed if found == way]
        assert len(frames) == len(by_eye)
        assert all(abs(frame - true) <= 8 for frame, true in zip(frames, by_eye, strict=True)), frames
    assert document["zones"]["hall"]["unique"] == {"cross_in": 6, "cross_out": 7}
