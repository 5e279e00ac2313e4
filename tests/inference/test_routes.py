"""Which steps run on which names, and what a wrong routes file says."""

from __future__ import annotations

import pytest

from inference.errors import BadRoute
from inference.registry import Registry
from inference.routes import Route, Step, parse_routes, sidecar_target

TEXT = """
[[route]]
name = "faces"
match = "faces/**"
steps = [{ model = "sketch" }, { model = "classify", on = "face" }]

[[route]]
name = "top"
match = "*.jpg"
steps = [{ model = "sketch" }]

[[route]]
name = "rest"
steps = [{ model = "classify" }]
"""


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("faces/a.jpg", "faces"), ("faces/deep/er/b.png", "faces"), ("a.jpg", "top"), ("x/a.jpg", "rest"),
        ("notfaces/a", "rest"), ("line\nbreak.jpg", "top"), ("faces", "rest"), ("[a].jpg", "top"),
    ],
)  # fmt: skip
def test_the_first_matching_route_wins(name: str, route: str) -> None:
    found = parse_routes(TEXT, "routes.toml").match(name)
    assert found and found.name == route


def test_an_override_names_a_route() -> None:
    routes = parse_routes(TEXT, "routes.toml")
    found = routes.match("a.jpg", override="faces")
    assert found and found.name == "faces"
    with pytest.raises(BadRoute, match="did you mean 'faces'"):
        routes.match("a.jpg", override="face")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[route]]\nname = 'a'\nsteps = []", "it has no steps"),
        ("[[route]]\nname = 'a'\nsteps = [{ modle = 'x' }]", "did you mean 'model'"),
        ("[[route]]\nname = 'a'\nmach = '**'\nsteps = [{ model = 'x' }]", "did you mean 'match'"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x', on = 'person' }]", "the first step has nothing to run on"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x' }, { model = 'x' }]", "two steps are called 'x'"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x', overlap = 1.0 }]", "overlap"),
        ("[[rout]]\nname = 'a'", "did you mean 'route'"),
        ("[[route", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(BadRoute, match=message):
        parse_routes(text, "routes.toml")


def test_the_digest_tells_options_and_models_apart() -> None:
    registry = Registry()
    plain = Route("a", (Step("classify"),))
    same = Route("a", (Step("classify"),), match="x/**", when="0 0 2 * * *")
    assert plain.digest(registry) == same.digest(registry), "which files match does not change a result"
    others = [Route("a", (Step("classify", threshold=0.5),)), Route("a", (Step("sketch"),)), Route("b", plain.steps)]
    assert len({r.digest(registry) for r in [plain, *others]}) == 4


def test_sidecars_are_told_from_media() -> None:
    assert sidecar_target("street/a.jpg.route.toml") == "street/a.jpg"
    assert sidecar_target("street/a.jpg") is None
    assert sidecar_target(".route.toml") is None


def test_a_sidecar_names_a_route_or_brings_its_own() -> None:
    routes = parse_routes(TEXT, "routes.toml")
    assert routes.of_sidecar('route = "top"', "a.jpg").name == "top"
    assert routes.of_sidecar("[[route]]\nname = 'own'\nsteps = [{ model = 'x' }]", "a.jpg").name == "own"
    for text, message in (
        ("route = ", "a.jpg.route.toml: not valid TOML"), ('route = "tpo"', "did you mean 'top'"), ("", "0 routes")
    ):  # fmt: skip
        with pytest.raises(BadRoute, match=message):
            routes.of_sidecar(text, "a.jpg")
