"""Polygons and masks of a route, how they are read, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.regions import Look, Polygon, feet, pixels_of, read_mask
from inference.route_problems import problem_of
from inference.routes import Draw, Route, Step
from inference.routes_file import RefusedRoute, Routes, parse_routes, read_routes

ROOT = Path(__file__).resolve().parents[2]
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TOP = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5))


def mask(path: Path, shows: list[list[int]], mode: str = "L") -> Path:
    Pillow.fromarray(np.array(shows, np.uint8) * 255).convert(mode).save(path)
    return path


def test_the_middle_of_the_lower_edge_decides(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 40, 40], [30, 10, 90, 60], [-20, 60, 20, 100.0]])
    assert feet(boxes, (100, 100))[:2].tolist() == [[0.2, 0.4], [0.6, 0.6]]
    places = feet(boxes, (100, 100))
    assert Look((LEFT,)).holds(places).tolist() == [True, False, True], "one at the lower edge stands on it"
    assert Look((LEFT,), ignore=(TOP,)).holds(places).tolist() == [False, False, True]
    drawn = read_mask(mask(tmp_path / "m.png", [[1, 0], [0, 1]], "1"))
    assert Look(mask=drawn).holds(places).tolist() == [True, True, False]
    assert pixels_of(Look(mask=drawn, ignore=(LEFT,)), 4, 2).tolist() == [[False] * 4, [False, False, True, True]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("regions = [[[0, 0.5], [1, 0.5]]]", r"regions\[0\] has 2 points, expected three or more"),
        ("ignore = [[[0, 0], [40, 0], [40, 90]]]", r"ignore\[0\] has the point \[40, 0\].*divide percent by 100"),
        ("regions = [[[0, 0], [640, 0], [640, 480]]]", r"the point \[640, 0\].*divide pixels by the picture's width"),
        ("regions = [[[0, -0.1], [1, 0], [1, 1]]]", r"the point \[0, -0.1\], expected shares"),
        ("ignore = [[[0, 0], [0.5, 0.5], [1, 1]]]", "lies on a line"),
        ("regions = [[0, 0], [1, 0], [1, 1]]", r"; write regions = \[\[\[0, 0\], \[1, 0\], \[1, 1\]\]\]"),
        ("ignore = [0, 0, 1, 0, 1, 1]", r"; write ignore = \[\[\[0, 0\], \[1, 0\], \[1, 1\]\]\]"),
        ("regions = [[0, 0, 1, 0, 1, 1]]", r"; write regions = \[\[\[0, 0\], \[1, 0\], \[1, 1\]\]\]"),
        ("regions = [[[0, 0], [1, 0], [1]]]", r"expected a list of polygons.*, as in regions = \[\[\[0, 0.5"),
        ("regions = '0,0 1,0 1,1'", r"regions is 0,0 1,0 1,1, expected a list of polygons"),
        ("ignore = [[{ x = 0, y = 0 }]]", "expected a list of polygons"),
        (
            "regions = [[[0, 0], [1, 1], [1, 0], [0, 1]]]",
            r"\[0\] crosses itself, from \[0.0, 0.0\] to \[1.0, 1.0\] and",
        ),
        ("region = [[[0, 0], [1, 0], [1, 1]]]", "did you mean 'regions'"),
        ("mask = 'm.png'", "only a routes.toml can name a file"),
        ("steps = [{ model = 'faces', thresholds = { face = 40 } }]", "'face' is 40.*did you mean 0.4"),
        ("steps = [{ model = 'faces', thresholds = { face = -1 } }]", "expected a score from 0 to 1"),
        ("steps = [{ model = 'faces', min_size = 25 }]", "min_size is 25.*share.*did you mean 0.25"),
        ("steps = [{ model = 'faces', min_size = 0.3, max_size = 0.2 }]", "expected a larger max_size"),
        ("steps = [{ model = 'faces', max_size = 0 }]", "expected a larger max_size"),
        ("steps = [{ model = 'faces', rename = { face = ' ' } }]", "'face' gets an empty name"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: str, words: str) -> None:
    steps = "" if "steps" in options else "steps = [{ model = 'faces' }]"
    with pytest.raises(BadRoute, match=words):
        parse_routes(f"[[route]]\nname = 'r'\n{steps}\n{options}\n", "routes.toml")


@pytest.mark.parametrize(
    "ring",
    [
        ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0)),  # closed, as GeoJSON has it
        ((0, 0), (0.5, 0.5), (1, 0), (1, 1), (0, 1)),
        ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0.2, 0.2), (0.2, 0.8), (0.8, 0.8), (0.8, 0.2), (0.2, 0.2)),  # a hole
    ],
)
def test_edges_that_touch_do_not_cross(ring: Polygon) -> None:
    assert Look.of((ring,), (), "").holds(np.array([[0.1, 0.9], [0.3, 0.05]]))[0]


def test_a_mask_lies_beside_the_file_and_counts_by_its_content(tmp_path: Path) -> None:
    def digest() -> str:
        (route,) = read_routes(tmp_path / "routes.toml").routes
        assert route.look and route.look.mask
        return route.digest(Registry())

    (tmp_path / "routes.toml").write_text("[[route]]\nname = 'r'\nmask = 'm.png'\nsteps = [{ model = 'faces' }]")
    mask(tmp_path / "m.png", [[1, 0]])
    first = digest()
    mask(tmp_path / "m.png", [[0, 1]])
    assert digest() != first
    mask(tmp_path / "m.png", [[1, 0]])
    assert digest() == first


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there; give the path of a PNG"),
        (b"hello", "m.png: "),
        (b"\xff\xd8\xff\xe0 a JPEG", "is image/jpeg, expected a PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "m.png: "),
        ("clear", "is transparent in places; fill these with white"),
        ("dark", r"dark all over \(at most 1 of 255\)"),
        ("folder", "is not there"),
    ],
)
def test_a_mask_that_cannot_be_used_refuses_its_route(tmp_path: Path, content: bytes | str | None, words: str) -> None:
    path = tmp_path / "m.png"
    if content == "folder":
        path.mkdir()
    elif content == "dark":
        Pillow.fromarray(np.ones((4, 4), np.uint8)).save(path)
    elif content == "clear":  # white paint on nothing would be white on white
        Pillow.fromarray(np.array([[[255, 255, 255, 255], [0, 0, 0, 0]]], np.uint8)).save(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    (tmp_path / "routes.toml").write_text("[[route]]\nname = 'r'\nmask = 'm.png'\nsteps = [{ model = 'faces' }]")
    (entry,) = read_routes(tmp_path / "routes.toml").entries
    assert isinstance(entry, RefusedRoute) and "mask" in entry.reason
    with pytest.raises(BadRoute, match=words):
        Routes((entry,)).sound()


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route("r", (Step("classify"),), regions=(LEFT,)), "regions: no step of it finds objects or areas"),
        (Route("r", (Step("classify"),), ignore=(LEFT,)), "ignore: no step"),
        (Route("r", (Step("faces", labels=("fase",)),)), r"steps\[0\]: labels: 'fase' is no label.*mean 'face'"),
        (Route("r", (Step("faces", thresholds={"faces": 0.5}),)), "thresholds: 'faces' is no label.*mean 'face'"),
        (Route("r", (Step("faces", rename={"fac": "x"}),)), "rename: 'fac' is no label.*mean 'face'"),
        (Route("r", (Step("faces", rename={"face": "x"}, labels=("face",)),)), "it is called 'x' here"),
        (Route("r", (Step("classify", min_size=0.1),)), "min_size: 'classify' names the whole picture"),
        (Route("r", (Step("sketch", labels=("x",)),)), "labels: 'sketch' does image-to-image"),
        (Route("r", (Step("street", thresholds={"car": 0.5}),)), "thresholds: 'street' gives every pixel"),
        (Route("r", (Step("street", labels=("car",), rename={"road": "way"}, max_size=0.9),)), None),
        (
            Route("r", (Step("faces", rename={"face": "x"}),), draw=Draw(blur=("face",))),
            "blur: 'face'.*is called 'x' here",
        ),
        (Route("r", (Step("faces", rename={"face": "x"}),), draw=Draw(blur=("x",))), None),
        (Route("r", (Step("faces", rename={"face": "x"}), Step("expression", on="face"))), "on = 'face'"),
        (Route("r", (Step("faces", rename={"face": "x"}), Step("expression", on="x")), regions=(LEFT,)), None),
    ],
)
def test_options_that_can_do_nothing_are_refused_with_the_nearest(route: Route, words: str | None) -> None:
    problem = problem_of(route, Registry([ROOT / "models"]))
    if words is None:
        assert problem is None
    else:
        with pytest.raises(BadRoute, match=words):
            raise problem or AssertionError("not refused")


def test_what_a_filter_keeps_from_results_may_still_be_named_for_blurring() -> None:
    cells = Route("r", (Step("cells", labels=("red blood cell",)),), draw=Draw(blur=("platelet",)))
    labels = Registry([ROOT / "models"]).entry("cells").manifest
    assert labels
    first, last = labels.labels[0], labels.labels[-1]
    route = Route("r", (Step("cells", labels=(first,)),), draw=Draw(blur=(last,)))
    assert problem_of(route, Registry([ROOT / "models"])) is None and cells.name == "r"


def test_the_digest_of_a_route_without_these_options_is_what_it_was() -> None:
    registry = Registry()
    route = Route("r", (Step("faces", threshold=0.3),))
    facts = {
        "name": "r",
        "steps": [{"model": "faces", "name": "", "on": "", "threshold": 0.3, "tile": 0, "overlap": 0.2}],
        "draw": {"labels": True, "scores": True, "boxes": True, "masks": 0.45, "blur": [], "compare": False},
        "video": {},
        "models": [registry.digest("faces")],
    }
    assert route.digest(registry) == hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    others = [
        Route("r", (Step("faces", threshold=0.3, labels=("face",)),)),
        Route("r", (Step("faces", threshold=0.3, thresholds={"face": 0.2}),)),
        Route("r", (Step("faces", threshold=0.3, rename={"face": "x"}),)),
        Route("r", (Step("faces", threshold=0.3, min_size=0.1),)),
        Route("r", (Step("faces", threshold=0.3, max_size=0.1),)),
        Route("r", route.steps, regions=(LEFT,)),
        Route("r", route.steps, ignore=(LEFT,)),
    ]
    assert len({r.digest(registry) for r in [route, *others]}) == 8 and {*others}
