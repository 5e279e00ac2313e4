"""Which steps run on which names, and what a wrong routes file says."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from inference.defaults import load_routes
from inference.engine.registry import InstalledModel, Registry
from inference.errors import BadRoute, ModelUnavailable, RouteUnavailable
from inference.manifest import Manifest
from inference.route_problems import labels_of_step, problem_of, problems_of
from inference.routes import Draw, Route, Step
from inference.routes_file import parse_routes, read_routes, sidecar_target

ROOT = Path(__file__).resolve().parents[2]
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
    matching = parse_routes(TEXT, "routes.toml").match(name)
    assert matching and matching.name == route


def test_an_override_names_a_route() -> None:
    routes = parse_routes(TEXT, "routes.toml")
    route = routes.match("a.jpg", override="faces")
    assert route and route.name == "faces"
    with pytest.raises(BadRoute, match="did you mean 'faces'"):
        routes.match("a.jpg", override="face")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[route]]\nname = 'a'\nsteps = []", "it has no steps"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x' }]\n" * 2, "two routes have this name"),
        ("[[route]]\nname = 'a'\nsteps = [{ modle = 'x' }]", "did you mean 'model'"),
        ("[[route]]\nname = 'a'\nmach = '**'\nsteps = [{ model = 'x' }]", "did you mean 'match'"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x', on = 'person' }]", "the first step has nothing to run on"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x' }, { model = 'x' }]", "two steps are called 'x'"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x', overlap = 1.0 }]", "overlap"),
        (
            "[[route]]\nname = 'a'\nsteps = [{ model = 'x', threshold = 50 }]",
            "threshold is 50, expected a score from 0",
        ),
        (
            "[[route]]\nname = 'a'\nsteps = [{ model = 'x', threshold = nan }]",
            "threshold: found nan, expected a finite",
        ),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'x', tile = -5 }]", "tile is -5, expected at least 32"),
        ("[[route]]\nname = 'a'\nsteps = [{ model = 'follow' }]\nvideo = { follow = {} }", "give it another name"),
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
    own = "[[route]]\nname = 'own'\nsteps = [{ model = 'x' }]"
    assert routes.of_sidecar(own, "a.jpg", inline=True).name == "own"
    with pytest.raises(BadRoute, match='a.jpg.route.toml: expected route = "NAME".*INLINE_ROUTES is true'):
        routes.of_sidecar(own, "a.jpg")
    for text, message in (
        ("route = ", "a.jpg.route.toml: not valid TOML"), ('route = "tpo"', "did you mean 'top'"), ("", "0 routes")
    ):  # fmt: skip
        with pytest.raises(BadRoute, match=message):
            routes.of_sidecar(text, "a.jpg")


BAD = """
[[route]]
name = "faces"
{match} = "faces/**"
steps = [{{ model = "faces" }}]
{wrong}
[[route]]
name = "rest"
steps = [{{ model = "sketch" }}]
"""


@pytest.mark.parametrize("match", ["match", "mach"])
@pytest.mark.parametrize("wrong", ["drow = {}", "video = { stridee = 2 }", "steps_ = 1", "draw = { masks = 2.0 }"])
def test_a_wrong_route_stops_only_itself(match: str, wrong: str) -> None:
    routes = read_routes(BAD.format(match=match, wrong=wrong), "routes.toml")
    rest = routes.match("a.jpg")
    assert rest and rest.name == "rest" and routes.routes == (rest,)
    for asked in (("faces/a.jpg", None), ("a.jpg", "faces")):
        with pytest.raises(RouteUnavailable, match="routes.toml: route 'faces': "):
            routes.match(*asked)
    with pytest.raises(RouteUnavailable):
        routes.of_sidecar('route = "faces"', "a.jpg")


@pytest.mark.parametrize(
    "text", ["route = 'faces'", "[[route]]\nname = []\n", "[[route]]\nsteps = 3\n", "route = [[]]"]
)
def test_whatever_stands_there_is_refused_in_words(text: str) -> None:
    with pytest.raises(RouteUnavailable, match=r"r: route\[0\]: "):
        read_routes(text, "r").match("a.jpg")


def test_nobody_else_takes_what_a_wrong_route_may_have_meant() -> None:
    routes = read_routes(BAD.format(match="match", wrong="").replace('"faces/**"', "3"), "routes.toml")
    with pytest.raises(RouteUnavailable, match="match: found 3, expected text"):
        routes.match("a.jpg")


@pytest.mark.parametrize(
    ("video", "words"),
    [
        ("stridee = 2", "video: unknown key 'stridee'; did you mean 'stride'"),
        ("zones = [{ points = [[0, 0], [1, 1]], label = ['car'] }]", r"zones\[0\]: unknown key 'label'.*'labels'"),
        ("follow = { boxx = [0.1, 0.1, 0.2, 0.2] }", "follow: unknown key 'boxx'; did you mean 'box'"),
        ("tracker = 'bytetrak'", "tracker: found 'bytetrak'; did you mean 'bytetrack'"),
        ("fps = '2'", "fps: found '2', expected a number"),
        ("zones = [{ points = [[0, 0]] }]", "expected two points or more"),
        ("without = ['xx']", "without: no step is called 'xx'; did you mean 'x'"),
        ("fps = inf", "fps: found inf, expected a finite number"),
    ],
)
def test_the_table_of_videos_is_checked_when_it_is_read(video: str, words: str) -> None:
    with pytest.raises(BadRoute, match=f"r.toml: route 'a': .*{words}"):
        parse_routes(f"[[route]]\nname = 'a'\nsteps = [{{ model = 'x' }}]\nvideo = {{ {video} }}\n", "r.toml")


@pytest.mark.parametrize(
    ("steps", "video", "error", "words"),
    [
        ('{ model = "clasify" }', "", BadRoute, r"r: route 'a': steps\[0\]: .*did you mean 'classify'"),
        ('{ model = "zebra-crossings" }', "", ModelUnavailable, "no model is called 'zebra-crossings'"),
        ('{ model = "faces" }, { model = "expression", on = "fcae" }', "", BadRoute, "finds; did you mean 'face'"),
        ('{ model = "sketch" }, { model = "expression", on = "face" }', "", BadRoute, "put a detecting step before it"),
        ('{ model = "faces" }', 'video = { reid = "embedd" }', BadRoute, "video: reid: .*did you mean 'embed'"),
        (
            '{ model = "faces" }',
            'video = { reid = "classify" }',
            BadRoute,
            "video: reid: 'classify' does .*expected emb",
        ),
        ('{ model = "classify", tile = 500 }', "", BadRoute, r"steps\[0\]: .* tile is for models that detect objects"),
        (
            '{ model = "faces" }, { model = "expression", on = "face" }',
            'video = { without = "faces" }',
            BadRoute,
            r"steps\[1\], in videos: on = 'face', which no step before it finds",
        ),
        ('{ model = "faces" }', 'draw = { blur = "fase" }', BadRoute, "draw: blur: 'fase', .*did you mean 'face'"),
        ('{ model = "classify" }', 'draw = { blur = "face" }', BadRoute, "'face', which no step finds; add a step"),
        ('{ model = "faces" }', 'draw = { crops = "Face" }', BadRoute, "draw: crops: 'Face', .*did you mean 'face'"),
        (
            '{ model = "classify" }, { model = "faces" }',
            'draw = { blur = "face" }\nvideo = { without = "faces" }',
            BadRoute,
            "draw: blur, in videos: 'face', which no step finds",
        ),
    ],
)
def test_names_that_do_not_exist(steps: str, video: str, error: type[Exception], words: str) -> None:
    routes = read_routes(f"[[route]]\nname = 'a'\nsteps = [{steps}]\n{video}\n", "r")
    (problem,) = problems_of(routes, Registry())
    assert type(problem) is error
    with pytest.raises(error, match=words):
        raise problem


SEEN = 'steps = [{ model = "faces" }, { model = "classify" }, { model = "street" }]'
ZONE = "zones = [{{ name = 'door', points = [[0, 0], [1, 1]], labels = [{!r}] }}]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{SEEN}\ndraw = {{ blur = ['Face'] }}", "draw: blur: 'Face', which no step finds; did you mean 'face'?"),
        (f"{SEEN}\ndraw = {{ blur = ['FACE'] }}", "did you mean 'face'?"),
        (f"{SEEN}\ndraw = {{ blur = [' face '] }}", "did you mean 'face'?"),
        (f"{SEEN}\ndraw = {{ blur = [''] }}", "draw: blur: '', which no step finds"),
        # a label of a classifier, and of what colours areas: neither has a box
        (f"{SEEN}\ndraw = {{ blur = ['tabby'] }}", "draw: blur: 'tabby', which no step finds"),
        (f"{SEEN}\ndraw = {{ blur = ['person'] }}", "draw: blur: 'person', which no step finds"),
        ('steps = [{ model = "street" }, { model = "classify", on = "person" }]', "put a detecting step before it"),
        (f"{SEEN}\nvideo = {{ {ZONE.format('fcae')} }}", "zones: 'door': labels has 'fcae', .*did you mean 'face'?"),
        (f"{SEEN}\nvideo = {{ {ZONE.format('person')} }}", "labels has 'person', which nothing that is tracked is"),
        (f"{SEEN}\nvideo = {{ follow = {{ label = 'Face' }} }}", "follow: label is 'Face', .*did you mean 'face'?"),
        (
            f"{SEEN}\nvideo = {{ without = 'faces', follow = {{ label = 'face' }} }}",
            "follow: label is 'face', but no step of it detects things in videos",
        ),
        (
            f"{SEEN}\nvideo = {{ without = 'faces', {ZONE.format('face')} }}",
            "zones: no step of it detects things in videos",
        ),
        (
            f"{SEEN}\ndraw = {{ blur = ['followed'] }}\nvideo = {{ follow = {{ label = 'face' }} }}",
            "draw: blur: 'followed', which no step finds",
        ),
    ],
)
def test_labels_that_no_step_gives(text: str, words: str) -> None:
    (problem,) = problems_of(read_routes(f"[[route]]\nname = 'a'\n{text}\n", "r"), Registry())
    assert re.search(words.replace("?", "[?]"), str(problem)), problem


def test_a_model_without_labels_says_numbers() -> None:
    detector = Manifest("m", "object-detection", "yolo")
    assert labels_of_step(Step("m"), detector) is None
    assert labels_of_step(Step("m"), replace(detector, labels=("", "car"), label_offset=0)) == frozenset(["car"])
    assert labels_of_step(Step("m"), replace(detector, labels=("none", "car"), label_offset=1)) == frozenset(["car"])
    areas = Manifest("m", "image-segmentation", "maskformer", labels=("car",))
    assert labels_of_step(Step("m"), areas) == frozenset()
    post = replace(areas.postprocess, params={"mode": "instance"})
    assert labels_of_step(Step("m"), replace(areas, postprocess=post)) == frozenset(["car"])

    class Numbers(Registry):
        def entry(self, name: str) -> InstalledModel:
            return replace(super().entry("faces"), manifest=detector)

    def said(label: str) -> str:
        route = Route("a", (Step("faces"),), draw=Draw(blur=(label,)))
        return str(problem_of(route, Numbers()))

    assert said("3") == "None"
    assert "'face', which no step finds; the model has no list of labels, so that it says 0, 1" in said("face")


def test_a_model_that_is_to_be_delivered_is_missing_not_misspelt() -> None:
    routes = read_routes("[[route]]\nname = 'a'\nsteps = [{ model = 'faces2' }]\n", "r")
    assert [type(problem) for problem in problems_of(routes, Registry())] == [BadRoute]
    assert [type(problem) for problem in problems_of(routes, Registry(), {"faces2"})] == [ModelUnavailable]


def test_what_works_has_no_problems() -> None:
    registry = Registry()
    follow = "video = { follow = { box = [0.1, 0.1, 0.2, 0.2] } }"
    for text in (
        'steps = [{ model = "faces" }]\ndraw = { blur = "face" }',
        f'steps = []\ndraw = {{ blur = "followed" }}\n{follow}',
        f"{SEEN}\nvideo = {{ follow = {{}}, {ZONE.format('face')} }}",
        f"{SEEN}\nvideo = {{ follow = {{ box = [0, 0, 1, 1], label = 'ball' }}, {ZONE.format('ball')} }}",
        f"{SEEN}\nvideo = {{ without = 'faces', follow = {{ box = [0, 0, 1, 1] }}, {ZONE.format('followed')} }}",
    ):
        assert problems_of(read_routes(f"[[route]]\nname = 'a'\n{text}\n", "r"), registry) == []
    assert problems_of(load_routes(None, registry), registry) == []


def test_the_same_text_has_the_same_digest_in_every_version() -> None:
    text = """
[[route]]
name = "plain"
steps = [{ model = "classify", threshold = 1 }]
[[route]]
name = "video"
when = "0 0 2 * * *"
draw = { blur = "face" }
steps = [{ model = "people" }, { model = "age", on = "person" }]
[route.video]
stride = 1
fps = 9
tracker = "sort"
zones = [{ points = [[0, 0], [1, 1]] }, { name = "yard", labels = ["car"], points = [[0, 0], [1, 0], [1, 0.5]] }]
follow = { label = "dog" }
"""

    class Names(Registry):
        def digest(self, name: str) -> str:
            return name

    # As the first version gave them: other ones would analyse every finished upload anew.
    assert [route.digest(Names([])) for route in parse_routes(text, "r").routes] == [
        "2d4bd68d6a4c465de34533d21d8739c5c66996ab46d3ed07dedc05a6796f892d",
        "3e24660c83ec956460419784b60829e056d34f6f2c53e038d161ced03692f674",
    ]
    assert Route("c", (Step("x"),)).digest(Names([])) == (
        "5ef0f719b2710b8897168f7c5a89d9112898e881c2943989678626a4bc367a2b"
    )


def test_what_a_route_draws_counts_where_it_is_not_the_usual() -> None:
    """What routes of the first version could not say is no part of their digests."""
    draws = [Draw(), Draw(annotated=False), Draw(quality=80), Draw(longest_side=640), Draw(crops=("face",))]
    digests = [Route("a", (Step("classify"),), draw=draw).digest(Registry()) for draw in draws]
    assert len(set(digests)) == 5
    usual = Draw(annotated=True, quality=90, longest_side=None, crops=())
    assert Route("a", (Step("classify"),), draw=usual).digest(Registry()) == digests[0]


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        ("quality = 0", "quality is 0, expected a whole number from 1 to 95; did you mean 1?"),
        ("quality = 100", "quality is 100, .*did you mean 95?"),
        ("quality = 0.85", "quality is 0.85, .*did you mean 85?"),
        ("quality = -0.5", "quality is -0.5, .*did you mean 1?"),
        ("quality = true", "quality: found true, expected a number"),
        ("longest_side = 0", "longest_side is 0, expected whole pixels from 32 to 65500; did you mean 32?"),
        ("longest_side = 640.4", "longest_side is 640.4, .*did you mean 640?"),
        ("longest_side = 100000", "did you mean 65500?"),
        ("crops = 3", "crops.*found 3, expected text"),
    ],
)
def test_how_files_are_drawn_is_checked_when_it_is_read(draw: str, words: str) -> None:
    with pytest.raises(BadRoute, match=words.replace("?", r"\?")):
        parse_routes(f"[[route]]\nname = 'a'\nsteps = [{{ model = 'm' }}]\ndraw = {{ {draw} }}\n", "r")


def test_reading_routes_loads_no_decoder_and_no_runtime() -> None:
    code = "import inference.routes, sys; print({'av', 'cv2', 'scipy', 'lap', 'onnxruntime', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
