"""Numbers that cannot be meant are refused where they are read, with what is meant."""

from __future__ import annotations

import re
from typing import Any

import pytest

from inference.errors import BadManifest, BadPipeline, BadRoute
from inference.heads import head_of
from inference.manifest import manifest_from
from inference.routes_file import parse_routes
from inference.tables import build

AREA = "[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]"


@pytest.mark.parametrize(
    ("step", "more", "words"),
    [
        ("threshold = 40", "", "steps[0]: threshold is 40, expected a score from 0 to 1; did you mean 0.4?"),
        ("threshold = 1.5", "", "threshold is 1.5, expected a score from 0 to 1; did you mean 1?"),
        ("threshold = -1", "", "threshold is -1, expected a score from 0 to 1; did you mean 0?"),
        (f"threshold = 1{'0' * 400}", "", "threshold: found a number of 401 digits"),
        ("overlap = 25", "", "overlap is 25, expected a share from 0 to below 1; did you mean 0.25"),
        ("overlap = 1.0", "", "overlap is 1, expected a share from 0 to below 1"),
        ("tile = 1", "", "tile is 1, expected at least 32; it is the side in pixels"),
        (f"tile = 1{'0' * 400}", "", "tile is a number of 401 digits, expected at most 65536"),
        ("tile = 32, overlap = 0.99", "", "overlap is 0.99, which leaves 0 new pixels to each tile of 32"),
        ("", "draw = { masks = 45 }", "masks is 45, expected an opacity from 0 to 1; did you mean 0.45"),
        ("", "video = { stride = 0 }", "stride is 0, expected at least 1"),
        ("", "video = { fps = 25000 }", "fps is 25000, expected at most 1000; leave it out for all"),
        ("", "video = { thumbnails = -1 }", "thumbnails is -1, expected at least 0"),
        ("", "video = { annotated_side = 1000000 }", "annotated_side is 1000000, expected at most 16384"),
        ("", "video = { start_s = 20000 }", "start_s is 20000, expected less than max_duration_s, 14400"),
        ("", "video = { start_s = 8, end_s = 5 }", "end_s is 5, expected more than start_s, 8"),
        ("", "video = { metres_per_pixel = 0 }", "metres_per_pixel is 0, expected more than 0"),
        (
            "",
            f"video = {{ tracker = 'none', zones = [{{ points = {AREA} }}] }}",
            "zones needs tracks, and tracker is 'none'",
        ),
    ],
)
def test_numbers_of_a_route(step: str, more: str, words: str) -> None:
    text = f"[[route]]\nname = 'a'\nsteps = [{{ model = 'x'{step and ', '}{step} }}]\n{more}\n"
    with pytest.raises(BadRoute, match=re.escape(words)):
        parse_routes(text, "r")


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("points = [[10, 20], [30, 90]]", r"each within 0\.\.1; if these are percent, write \[\[0\.1, 0\.2\], \[0\.3"),
        ("points = [[100, 20], [300, 900]]", "if these are pixels, divide x by the width"),
        ("points = [[0.1, -0.2], [0.3, 0.9]]", r"points is \[\[0\.1, -0\.2\], .*each within 0\.\.1$"),
        ("points = [[0.1, 0.2]]", "expected two points or more"),
        ("points = [[0.1, 0.2], [0.1, 0.2]]", "expected two different points for a line"),
        ("points = [[0.1, 0.2], [0.2, 0.4], [0.3, 0.6]]", "which lie on one line, so that nothing is inside"),
        ("points = [[0.1, 0.2], [0.2, 0.5], [0.1, 0.2]]", "which lie on one line"),
        ("points = [[0.1, 0.2], [0.1, 0.2000001]]", "a line shorter than 0.001 of the picture.*; draw it longer"),
        ("points = [[0, 1], [1, 1]]", "a line along the picture's edge, beyond which nothing is seen; draw it inside"),
        ("points = [[0, 0], [0, 1]]", "a line along the picture's side, beyond which nothing is seen; draw it inside"),
        ("points = [[0.5, 0.5], [0.501, 0.5], [0.501, 0.5001]]", "an area of 5e-08 of the picture.*; draw it larger"),
        (
            "points = [[0, 0], [1, 1], [1, 0], [0, 1]]",
            r"crosses itself, from \[0.0, 0.0\] to \[1.0, 1.0\] and from \[1.0, 0.0\] to \[0.0, 1.0\]; "
            r"around the area they are \[\[0.0, 0.0\], \[1.0, 0.0\], \[1.0, 1.0\], \[0.0, 1.0\]\]",
        ),
        ("points = [[0, 0], [0.5, 0], [0.5, 0.5], [0.2, 0.5], [0.7, 0.2]]", "crosses itself.*or two zones"),
        (f"points = {AREA}, anchor = 'bottom'", "anchor: found 'bottom'; known are centre, feet, top"),
        (f"points = {AREA}, loiter_s = 0", "loiter_s is 0, expected more than 0; leave it out"),
        (f"points = {AREA}, every_s = -60", "every_s is -60, expected more than 0"),
        (f"points = {AREA}, every_s = 1e-320", "expected at least 0.001; leave it out for minutes"),
        ("points = [[0, 0], [1, 1]], loiter_s = 10", "loiter_s is for areas"),
    ],
)
def test_numbers_of_a_zone(zone: str, words: str) -> None:
    text = f"[[route]]\nname = 'a'\nsteps = [{{ model = 'x' }}]\nvideo = {{ zones = [{{ {zone} }}] }}\n"
    with pytest.raises(BadRoute, match=rf"zones\[0\]: .*{words}"):
        parse_routes(text, "r")


def test_a_closed_area_is_taken() -> None:
    closed = AREA.replace("]]", "], [0.1, 0.1]]")
    text = f"[[route]]\nname = 'a'\nsteps = [{{ model = 'x' }}]\nvideo = {{ zones = [{{ points = {closed} }}] }}\n"
    assert parse_routes(text, "r").routes


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ("[50, 50, 80, 90]", r"if these are percent, write \[0\.5, 0\.5, 0\.8, 0\.9\]"),
        ("[640, 50, 800, 90]", "if these are pixels"),
        ("[0.5, 0.5, 0.2, 0.3]", r"if these are x, y, width and height, write \[0\.5, 0\.5, 0\.7, 0\.8\]"),
        ("[0.1, 0.2]", "expected x1, y1, x2, y2"),
    ],
)
def test_the_box_of_what_is_followed(box: str, words: str) -> None:
    text = f"[[route]]\nname = 'a'\nsteps = [{{ model = 'x' }}]\nvideo = {{ follow = {{ box = {box} }} }}\n"
    with pytest.raises(BadRoute, match=f"follow: box is .*{words}"):
        parse_routes(text, "r")


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("postprocess", {"confidence_threshold": 40}, "confidence_threshold is 40, .*did you mean 0.4"),
        ("postprocess", {"iou_threshold": 45}, "iou_threshold is 45, .*did you mean 0.45"),
        ("postprocess", {"max_detections": 0}, "max_detections is 0, expected at least 1"),
        ("postprocess", {"topk": -1}, "topk is -1, expected at least 0"),
        ("postprocess", {"background": -1}, "background is -1, expected at least 0; leave it out"),
        ("preprocess", {"size": {"height": 0, "width": 640}}, "size.height is 0, expected at least 1"),
        ("preprocess", {"size": {"hieght": 640}}, "size: unknown key 'hieght'; did you mean 'height'"),
        ("preprocess", {"size": {"shortest_edge": 1333, "longest_edge": 800}}, "shortest_edge is 1333, expected at m"),
        ("preprocess", {"crop_size": {"shortest_edge": 224}}, "crop_size: unknown key 'shortest_edge'"),
        ("preprocess", {"image_std": [0.2, -0.2, 0.2]}, "image_std is .*each more than 0"),
        ("preprocess", {"do_normalize": True, "image_mean": [123.7, 116.3, 103.5]}, "say do_rescale = false, or div"),
        ("preprocess", {"rescale_factor": 0}, "rescale_factor is 0, .*did you mean do_rescale = false"),
        ("preprocess", {"pad_value": 300}, "pad_value is 300, expected at most 255"),
        ("preprocess", {"pad_value": [1, 2]}, r"pad_value is \[1.0, 2.0\], expected one number"),
        ("preprocess", {"resample": 9}, "resample is 9, expected at most 5; Pillow's numbers"),
        ("preprocess", {"size_divisor": 0}, "size_divisor is 0, expected at least 1"),
        ("preprocess", {"crop_scale": 0}, "crop_scale is 0, expected more than 0"),
        ("preprocess", {"min_score": 75}, "min_score is 75, .*did you mean 0.75"),
        ("preprocess", {"max_share": 50}, "max_share is 50, .*did you mean 0.5"),
        ("preprocess", {"sampling_rate": 0}, "sampling_rate is 0, expected at least 1"),
    ],
)
def test_numbers_of_a_manifest(section: str, values: dict[str, Any], words: str) -> None:
    table = {"name": "m", "task": "object-detection", "head": "yolo", section: values}
    with pytest.raises(BadManifest, match=f"model.toml: {section}: .*{words}"):
        manifest_from(table, "model.toml")


def test_a_mean_of_pixels_that_are_not_rescaled_is_taken() -> None:
    how = {"do_rescale": False, "do_normalize": True, "image_mean": [123.7, 116.3, 103.5], "image_std": [58, 57, 57]}
    assert manifest_from({"name": "m", "task": "object-detection", "head": "yolo", "preprocess": how}, "model.toml")


@pytest.mark.parametrize(
    ("task", "head", "params", "words"),
    [
        ("image-to-image", "image", {"overlap": 1}, "overlap is 1, expected a number from 0 to below 1"),
        ("image-to-image", "image", {"tile": "big"}, "tile is 'big', expected a whole number"),
        ("image-to-image", "image", {"invert": "yes"}, "invert is 'yes', expected true or false"),
        ("keypoint-detection", "simcc", {"split_ratio": 0}, "split_ratio is 0, expected more than 0"),
        ("keypoint-detection", "movenet", {"shown": 20}, "shown is 20, .*did you mean 0.2"),
        ("image-segmentation", "colors", {"count": 0}, "count is 0, expected at least 1"),
        ("object-detection", "yolox", {"strides": [8, 0]}, r"strides is \[8, 0\], expected a list of whole numbers"),
    ],
)
def test_numbers_of_a_head(task: str, head: str, params: dict[str, Any], words: str) -> None:
    table = {"name": "m", "task": task, "head": head, "postprocess": {"params": params}}
    with pytest.raises(BadManifest, match=f"m: postprocess.params.{words}"):
        head_of(manifest_from(table, "model.toml"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"warning": 10.0, "alert": 25.0}, "warning is 10, expected at most 5; 0.1 is a shift to look at"),
        ({"warning": 0.3}, "warning is 0.3, expected at most alert, 0.25"),
        ({"window_days": 0}, "window_days is 0, expected at least 1"),
    ],
)
def test_numbers_of_drift(values: dict[str, Any], words: str) -> None:
    from cloud.drift.drift_entry import DriftEntry

    with pytest.raises(BadPipeline, match=words):
        build(DriftEntry, values, "[drift]", BadPipeline)
