"""Options of analyze that choose among what is found, and name it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference.__main__ import main, parser
from inference.cli.filters import filtered
from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.routes import Draw, Route, Step
from inference.routes_file import Routes
from inference.video.options import Follow, VideoOptions
from inference.video.zones import Zone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
ASTRONAUT = ROOT / "samples" / "astronaut.jpg"
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0))


def asked(route: Route, *options: str) -> Route:
    arguments = parser().parse_args(["analyze", "a.jpg", *options])
    return filtered(Routes((route,)), arguments, Registry([ROOT / "models"])).routes[0]


def test_every_option_reaches_the_steps_that_it_can_do_something_for() -> None:
    route = Route("r", (Step("faces"), Step("classify"), Step("sketch")), match="x/**")
    area = "0,0 0.5,0 0.5,1"
    options = ["--labels", "Gesicht,Persian cat", "--label-threshold", "Gesicht=0.4", "--rename", "face=Gesicht"]
    places = ["--min-size", "0.01", "--max-size", "0.9", "--region", area, "--ignore", area]
    found = asked(route, *options, *places)
    faces, classify, sketch = found.steps
    assert faces == Step("faces", labels=("Gesicht", "Persian cat"), thresholds={"Gesicht": 0.4},
                         rename={"face": "Gesicht"}, min_size=0.01, max_size=0.9)  # fmt: skip
    assert classify == Step("classify", labels=("Gesicht", "Persian cat")) and sketch == Step("sketch")
    assert (found.regions, found.ignore, found.match) == ((LEFT,), (LEFT,), "x/**") and found.look
    assert asked(route) is route
    plain = asked(Route("r", (Step("classify"), Step("faces", name="f"))), "--min-size", "0.5")
    assert [step.min_size for step in plain.steps] == [0.0, 0.5]


def test_a_new_name_is_followed_by_everything_in_the_route() -> None:
    video = VideoOptions(zones=(Zone("z", LEFT, labels=("head",)),), follow=Follow(label="head"))
    steps = (Step("faces", rename={"face": "head"}, thresholds={"head": 0.4}), Step("expression", on="head"))
    found = asked(Route("r", steps, draw=Draw(blur=("head",)), video=video), "--rename", "head=Kopf")
    assert found.steps[0].rename == {"face": "Kopf"} and found.steps[0].thresholds == {"Kopf": 0.4}
    assert found.steps[1].on == "Kopf" and found.draw.blur == ("Kopf",), "or a face would be published"
    assert found.video and found.video.zones[0].labels == ("Kopf",)
    assert found.video.follow and found.video.follow.label == "Kopf"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--labels", "fase"], "--labels: no model of the routes finds 'fase'; did you mean 'face'"),
        (["--labels", " , "], "--labels: no label in it, as in --labels person,car"),
        (["--labels", "face", "--rename", "face=x"], "finds 'face'; it is called 'x' now"),
        (["--rename", "fce=x"], "--rename: no model of the routes finds 'fce'; did you mean 'face'"),
        (["--label-threshold", "face=60"], "--label-threshold: 'face' is 60.*mean 0.6"),
        (["--label-threshold", "face"], "expected --label-threshold LABEL=0.6"),
        (["--label-threshold", "face=high"], "found 'high', expected a number"),
        (["--label-threshold", "face=60%"], "found '60%', expected a number from 0 to 1; did you mean 0.6"),
        (["--min-size", "0,4"], "found '0,4', expected a number from 0 to 1; did you mean 0.4"),
        (["--rename", "face="], "expected --rename LABEL=NAME"),
        (["--min-size", "40"], "--min-size is 40.*mean 0.4"),
        (["--max-size", "big"], "--max-size: found 'big'"),
        (["--min-size", "0.5", "--max-size", "0.1"], "expected a larger --?max-size"),
        (["--region", "0,0 640,0 640,480"], r"--region \[0\].*divide pixels"),
        (["--region", "0 0 1 1"], "expected points x,y with a space between"),
        (["--ignore", "0,0 1,1"], r"--ignore \[0\] has 2 points"),
        (["--mask", "nowhere.png"], "--mask: nowhere.png is not there"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: list[str], words: str) -> None:
    with pytest.raises(BadRoute, match=words):
        asked(Route("r", (Step("faces"),)), *options)


def test_options_that_no_step_can_use_are_refused() -> None:
    with pytest.raises(BadRoute, match="are for models that find objects or areas"):
        asked(Route("r", (Step("classify"),)), "--region", "0,0 0.5,0 0.5,1")
    with pytest.raises(BadRoute, match="'road' is found in maps alone"):
        asked(Route("r", (Step("street"),)), "--label-threshold", "road=0.5")
    mixed = asked(Route("r", (Step("street"), Step("faces"))), "--label-threshold", "face=0.5")
    assert [dict(step.thresholds) for step in mixed.steps] == [{}, {"face": 0.5}]


def test_the_document_and_the_line_say_what_was_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["analyze", str(ASTRONAUT), "--model", "faces", "--rename", "face=Gesicht"]
    assert main([*options, "--ignore", "0,0 1,0 1,1 0,1", "--json"]) == 0
    step: dict[str, Any] = json.loads(capsys.readouterr().out)["steps"][0]
    assert step["left_out"] == {"region": 1} and step["renamed"] == {"face": "Gesicht"} and step["predictions"] == []
    assert main([*options, "--min-size", "0.9"]) == 0
    assert "nothing recognised; 1 left out" in capsys.readouterr().out
    assert main([*options, "--labels", "Gesicht"]) == 0
    assert "1 Gesicht (" in capsys.readouterr().out


def test_a_sidecars_own_route_gets_the_options_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    photo, out = tmp_path / "a.jpg", tmp_path / "out"
    photo.write_bytes(ASTRONAUT.read_bytes())
    sidecar = "[[route]]\nname = 'own'\nsteps = [{ model = 'faces' }]\n"
    (tmp_path / "a.jpg.route.toml").write_text(sidecar)
    (tmp_path / "routes.toml").write_text(sidecar.replace("own", "r"))
    command = ["analyze", str(photo), "--routes", str(tmp_path / "routes.toml"), "--rename", "face=Gesicht", "--json"]
    command += ["--out", str(out), "--crops", "Gesicht", "--resume"]
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["route"] == "own" and document["summary"]["objects"] == {"Gesicht": 1}
    assert [path.name for path in (out / "a.jpg/crops").iterdir()] == ["faces-0.jpg"]
    assert main(command) == 0 and "1 of 1 done already" in capsys.readouterr().err
    assert main([*command, "--ignore", "0,0 1,0 1,1 0,1"]) == 0  # another option is another result
    done = capsys.readouterr()
    assert "0 of 1 done already" in done.err and json.loads(done.out)["summary"]["objects"] == {}
    assert not [*(out / "a.jpg").glob("crops/*")]


def test_crops_are_of_what_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(
        "[[route]]\nname = 'r'\nsteps = [{ model = 'street' }, { model = 'faces' }]\n"
    )
    command = ["analyze", str(ASTRONAUT), "--routes", str(tmp_path / "routes.toml"), "--out", str(tmp_path / "out")]
    assert main([*command, "--labels", "road", "--crops", "face"]) == 2
    assert "--crops: 'face', which no step finds" in capsys.readouterr().err
