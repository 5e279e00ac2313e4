"""What `analyze`'s options say of the files under --out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from inference.__main__ import main
from tests.inference.video.blobs import blob_detector, scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model `fields` in `models`, and a picture in which it finds some."""
    base = tmp_path_factory.mktemp("drop")
    (base / "models").mkdir()
    blob_detector(base / "models/fields")
    Image.fromarray(scene(0)).save(base / "a.png")
    return base


def analyze(folder: Path, *arguments: str | Path) -> int:
    return main(["analyze", str(folder / "a.png"), "--models", str(folder / "models"), *map(str, arguments)])


def test_they_hold_for_every_route(folder: Path, tmp_path: Path) -> None:
    options = ("--no-annotated", "--crops", "field", "--longest-side", "40", "--quality", "30")
    assert analyze(folder, "--model", "fields", "--out", tmp_path / "few", *options) == 0
    document = json.loads((tmp_path / "few/a.png/result.json").read_text())
    names = [prediction["crop"] for prediction in document["steps"][0]["predictions"]]
    assert names == [f"crops/fields-{i}.jpg" for i in range(len(names))] != [] and document["artifacts"] == {}
    crops = [Image.open(tmp_path / "few/a.png" / name) for name in names]
    assert all(max(crop.size) <= 40 and crop.format == "JPEG" for crop in crops)
    assert analyze(folder, "--model", "fields", "--out", tmp_path / "usual") == 0
    assert (tmp_path / "usual/a.png/annotated.jpg").is_file() and not (tmp_path / "usual/a.png/crops").exists()


@pytest.mark.parametrize("options", [(), ("--no-annotated",), ("--crops", "field"), ("--rename", "field=land")])
def test_a_wrong_route_fails_the_files_that_it_matches_only(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    entry = "[[route]]\nname = '{0}'\nmatch = '{1}'\nsteps = [{{ model = 'fields'{2} }}]\n"
    wrong = entry.format("slip", "b/**", ", treshold = 0.4") + entry.format("none", "c/**", ", labels = ['dog']")
    (tmp_path / "some.toml").write_text(wrong + entry.format("rest", "**", ", threshold = 0.4"))
    (tmp_path / "all.toml").write_text(wrong)
    for below in ("", "b/", "c/"):
        (tmp_path / "drop" / below).mkdir()
        shutil.copy(folder / "a.png", tmp_path / "drop" / below)
    start = ["analyze", str(tmp_path / "drop"), "--models", str(folder / "models"), "--routes"]
    assert main([*start, str(tmp_path / "some.toml"), "--out", str(tmp_path / "out"), *options]) == 1
    result, error = (tmp_path / "out" / name for name in ("a.png/result.json", "b/a.png/error.json"))
    assert json.loads(result.read_text())["route"] == "rest"
    assert json.loads(error.read_text())["error"]["class"] == "RouteUnavailable"
    said = capsys.readouterr()
    assert said.out.count("unknown key 'treshold'; did you mean 'threshold'?") == said.err.count("'treshold'") == 1
    assert said.out.count("labels: 'dog'") == said.err.count("labels: 'dog'") == 1
    assert (
        main([*start, str(tmp_path / "all.toml")]) == main([*start, str(tmp_path / "some.toml"), "--route=none"]) == 2
    )


def test_labels_hold_for_the_routes_that_find_them(folder: Path, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(
        "[[route]]\nname = 'fields'\nmatch = '*.png'\nsteps = [{ model = 'fields' }]\ndraw = { quality = 50 }\n"
        "[[route]]\nname = 'faces'\nsteps = [{ model = 'faces' }]\n"
    )
    assert analyze(folder, "--routes", routes, "--out", tmp_path / "out", "--crops", "face, field") == 0
    assert list((tmp_path / "out/a.png/crops").iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--quality", "0.9"), "--quality: quality is 0.9, expected a whole number from 1 to 95; did you mean 90?"),
        (("--quality", "0"), "did you mean 1?"),
        (("--quality", "200"), "did you mean 95?"),
        (("--quality", "inf"), "'inf' is no number"),
        (("--longest-side", "3"), "expected whole pixels from 32 to 65500; did you mean 32?"),
        (("--longest-side", "large"), "'large' is no number"),
        (("--crops", "feild"), "--crops: 'feild', which no step finds; did you mean 'field'?"),
        (("--crops", ","), "no label in it"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str], words: str
) -> None:
    try:
        status = analyze(folder, "--model", "fields", "--out", tmp_path / "out", *options)
    except SystemExit as exit:  # argparse's own
        status = int(str(exit.code))
    assert status == 2 and words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_out_there_are_no_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyze(folder, "--model", "fields", "--crops", "field", "--no-annotated") == 2
    assert "--no-annotated, --crops: for the files of results, which only --out DIR writes" in capsys.readouterr().err
