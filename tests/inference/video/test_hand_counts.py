"""What zones count on real clips, against counts by eye: who passed where, and between which frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.analysis import analyze
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.routes_file import parse_routes
from inference.tracking import mot
from inference.tracking.algorithms import TRACKERS
from inference.video.zone_counts import counts
from inference.video.zones import Zone, ZoneEvent, ZoneWatch

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


def campus(lines: mot.MotLines, zones: list[Zone]) -> tuple[list[ZoneEvent], dict[str, Any]]:
    """What tracks do at the zones of TUD-Campus, 640 x 480 at 25 pictures a second, and the counts of it."""
    watch = ZoneWatch(zones, 640, 480)
    for number, rows in lines.frames():
        ids = lines.id[rows]
        watch.update(number / 25, ids, lines.boxes[rows], ["person"] * len(rows))
    events = watch.finish()
    return events, counts(zones, events, watch.span_s)


@pytest.mark.parametrize("name", ["annotated", *TRACKERS])
def test_people_who_pass_on_a_campus(shared: Path, tmp_path: Path, name: str) -> None:
    """Feet over the middle in these pictures, all to the right. In the first somebody stands on it, who does not
    count; trackers, which see boxes of a detector, are late or early by a step."""
    file, late = shared / "media/mot/TUD-Campus/gt.txt", 0
    if name in TRACKERS:
        detected = mot.read(file.with_name("det.txt"))
        file, late = tmp_path / "tracks.txt", 4
        file.write_text("\n".join(mot.track(detected, TRACKERS[name](), fps=25)))
    events, _ = campus(mot.read(file), [Zone("middle", ((0.5, 0.0), (0.5, 1.0)))])
    assert {event.counted for event in events} == {"cross_out"}
    assert [round(event.t_s * 25) for event in events] == pytest.approx([19, 28, 36, 65], abs=late)


@pytest.mark.parametrize(("left", "right"), [(0.4, 0.6), (0.2, 0.5), (0.5, 1.0), (0.3, 0.8)])
def test_how_many_are_in_a_part_of_the_campus(shared: Path, left: float, right: float) -> None:
    """As feet are counted picture by picture in the annotations."""
    lines = mot.read(shared / "media/mot/TUD-Campus/gt.txt")
    _, counted = campus(lines, [Zone("part", ((left, 0.0), (right, 0.0), (right, 1.0), (left, 1.0)))])
    feet = (lines.boxes[:, 0] + lines.boxes[:, 2]) / 2 / 640
    within = (feet > left) & (feet < right)
    inside = np.bincount(lines.frame[within], minlength=int(lines.frame.max()) + 1)[1:]
    occupancy = counted["part"]["occupancy"]
    assert (occupancy["peak"], round(occupancy["peak_s"] * 25) - 1) == (inside.max(), inside.argmax())
    assert occupancy["mean"] == pytest.approx(inside.mean(), abs=0.06)
    assert counted["part"]["unique"] == {"enter": len(set(lines.id[within].tolist()))}
