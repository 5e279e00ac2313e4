"""python -m inference, as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inference", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("drop")
    (base / "b").mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (80, 120, 3)).astype(np.uint8)
    Pillow.fromarray(noise).save(base / "a.png")
    (base / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    Pillow.fromarray(noise).save(base / "b" / "c.jpg")
    return base


def test_json_is_one_document_a_line_in_order_also_for_failed_files(folder: Path) -> None:
    done = run("analyze", folder, "--json")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(d["source"]["name"]).name for d in documents] == ["a.png", "c.jpg", "broken.jpg"]
    assert [d["status"] for d in documents] == ["ok", "ok", "error"]
    assert documents[2]["error"]["class"] == "CorruptMedia"
    assert "broken.jpg" in documents[2]["error"]["message"]
    assert documents[2]["source"]["bytes"] == (folder / "broken.jpg").stat().st_size
    assert documents[0]["source"]["name"] == "a.png"
    assert done.returncode == 1


def test_out_holds_what_storage_would_hold(folder: Path, tmp_path: Path) -> None:
    done = run("analyze", folder, "--out", tmp_path)
    assert done.returncode == 1
    assert json.loads((tmp_path / "b/c.jpg/result.json").read_text())["artifacts"] == {"annotated": "annotated.jpg"}
    assert Pillow.open(tmp_path / "b/c.jpg/annotated.jpg").size == (240, 160)  # small pictures: enlarged
    assert json.loads((tmp_path / "broken.jpg/error.json").read_text())["status"] == "error"


def test_without_out_nothing_refers_to_a_file(folder: Path) -> None:
    done = run("analyze", folder / "a.png", "--json")
    assert json.loads(done.stdout)["artifacts"] == {}
    assert done.returncode == 0


def test_the_threshold_is_overridden(folder: Path) -> None:
    done = run("analyze", folder / "a.png", "--model", "classify", "--threshold", "0.999", "--json")
    assert json.loads(done.stdout)["steps"][0]["predictions"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes names that are no Unicode")
def test_names_that_no_terminal_can_show_cost_nobody_a_result(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"zo\xc3\xa9-\xff.png")
    odd.write_bytes((folder / "a.png").read_bytes())
    for encoding in ("ascii", "utf-8:strict"):
        done = run("analyze", odd, "--json", "--out", tmp_path / "out", PYTHONIOENCODING=encoding)
        assert json.loads(done.stdout)["source"]["name"] == odd.name
        assert json.loads((tmp_path / "out" / odd.name / "result.json").read_text())["source"]["name"] == odd.name
        done = run("analyze", odd, PYTHONIOENCODING=encoding)
        assert done.returncode == 0 and "\\udcff.png" in done.stdout


def test_two_files_never_share_a_place(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"another text")
    done = run("analyze", folder / "a.png", tmp_path / "a.png", "--out", tmp_path / "out")
    assert (done.returncode, (tmp_path / "out").exists()) == (2, False)
    assert str(folder / "a.png") in done.stderr and str(tmp_path / "a.png") in done.stderr


def test_a_place_holds_a_result_or_an_error(folder: Path, tmp_path: Path) -> None:
    picture, place = tmp_path / "a.png", tmp_path / "out" / "a.png"
    for content, name in ((b"no picture", "error.json"), ((folder / "a.png").read_bytes(), "result.json")):
        picture.write_bytes(content)
        run("analyze", picture, "--out", tmp_path / "out")
        assert [path.name for path in place.glob("*.json")] == [name]


ROUTES = """
[[route]]
name = "inner"
match = "b/**"
steps = [{ model = "sketch" }]
[[route]]
name = "rest"
steps = [{ model = "colors" }]
"""


def routes_by_file(*arguments: str | Path) -> dict[str, str]:
    documents = [json.loads(line) for line in run("analyze", *arguments, "--json").stdout.splitlines()]
    return {Path(d["source"]["name"]).name: d.get("route") or d["error"]["message"] for d in documents}


def test_routes_speak_of_names_as_storage_would_have_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(ROUTES)
    routes = routes_by_file(folder / "a.png", folder, "--routes", tmp_path / "r.toml")
    assert (routes["a.png"], routes["c.jpg"]) == ("rest", "inner")


def test_a_model_that_only_videos_need_is_missed_by_pictures_as_in_the_app(folder: Path, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    route = '[[route]]\nname = "{0}"\nmatch = "{1}"\nsteps = [{{ model = "sketch" }}]\n'
    routes.write_text(route.format("b", "b/**") + 'video = { reid = "zebras" }\n' + route.format("all", "**"))
    done = run("analyze", folder, "--routes", routes, "--json")
    found = {Path(d["source"]["name"]).name: d for d in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1 and found["a.png"]["status"] == "ok"
    error = found["c.jpg"]["error"]
    assert (
        error["class"] == "ModelUnavailable"
        and "route 'b': video: reid: no model is called 'zebras'" in error["message"]
    )


def test_a_sidecar_is_no_media_and_leads_its_file_another_way(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(ROUTES)
    drop = tmp_path / "drop"
    drop.mkdir()
    for name, sidecar in (("a", b'route = "inner"'), ("b", b"[[route"), ("c", b"\xff"), ("d", b" \n")):
        (drop / f"{name}.png").write_bytes((folder / "a.png").read_bytes())
        (drop / f"{name}.png.route.toml").write_bytes(sidecar)
    routes = routes_by_file(drop, "--routes", tmp_path / "r.toml")
    assert list(routes) == ["a.png", "b.png", "c.png", "d.png"]
    assert (routes["a.png"], routes["d.png"]) == ("inner", "rest")
    assert "b.png.route.toml: not valid TOML" in routes["b.png"]
    assert "c.png.route.toml: not UTF-8" in routes["c.png"]
    assert routes_by_file(drop / "a.png", "--model", "colors") == {"a.png": "command-line"}


def test_a_result_that_cannot_be_written_is_that_files_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("in the way")
    done = run("analyze", folder / "a.png", folder / "b" / "c.jpg", "--model", "colors", "--json", "--out", tmp_path)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, [d["status"] for d in documents]) == (1, ["error", "ok"])
    assert documents[0]["error"]["class"] == "StorageUnavailable"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
def test_half_a_picture_is_not_left_where_there_is_no_room(folder: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from inference.__main__ import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); sys.exit(main(sys.argv[1:]))"
    )
    options = ["--model", "colors", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", code, "analyze", str(folder / "a.png"), *options], capture_output=True, text=True
    )
    assert (done.returncode, "its result cannot be written" in done.stdout) == (1, True), done.stderr
    left = {file.name for file in (tmp_path / "out" / "a.png").rglob("*") if file.is_file()}
    assert left <= {".made-of"}  # which names what the next run has to remove


def test_a_file_that_is_not_there_is_not_called_broken(folder: Path, tmp_path: Path) -> None:
    done = run("analyze", tmp_path / "no.jpg", folder / "broken.jpg", "--model", "colors", "--json")
    errors = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert [error["class"] for error in errors] == ["UnreadableMedia", "CorruptMedia"]
    assert "no.jpg: no such file; check the path" in errors[0]["message"]
    assert done.returncode == 1


def test_a_folder_without_files_is_said(tmp_path: Path) -> None:
    done = run("analyze", tmp_path, "--json")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"no files in {tmp_path}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze"], "required"),
        (["analyze", "x", "--out", "README.md"], "--out README.md: cannot be made a folder"),
        (["analyze", "x", "--models", "no-such"], "--models no-such: no such file or folder"),
        (["models", "list", "--models", "no-such"], "--models no-such: no such file or folder"),
        (["analyze", "x", "--model", "colors", "--model", "colors"], "--model colors is given 2 times"),
        (["analyze", "x", "--model", "colors", "--route", "default"], "either --model or --routes"),
        (["analyze", "x", "--threshold", "40"], "expected a score from 0 to 1; did you mean 0.4?"),
        (["analyze", "x", "--routes", "no-such.toml"], "no-such.toml"),
        (["analyze", "x", "--route", "nope"], "no route is called 'nope'"),
        (["analize", "x"], "invalid choice"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_models_list_shows_what_is_there_and_why_not(tmp_path: Path) -> None:
    (tmp_path / "mystery.onnx").write_bytes(b"")
    (tmp_path / "unpacked").mkdir()
    done = run("models", "list", DROPSIGHT_MODELS=str(tmp_path))
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "the file is empty" in lines["mystery"]
    assert "no .onnx file here" in lines["unpacked"]
    assert "image-classification" in lines["classify"]
    assert "ImageNet terms (research use) " in lines["classify"] and "  research  " in lines["classify"]
    assert "MIT data (BCCD)," in lines["cells"] and "ImageNe " not in lines["cells"], "licences are cut between words"


def test_groups_are_counted_in_english(folder: Path) -> None:
    done = run("group", "--index", folder, "--count", "1")
    assert done.stdout.startswith("group 1: 2 pictures\n")
    done = run("group", "--index", folder / "b", "--count", "1")
    assert done.stdout.startswith("group 1: 1 picture\n")


@pytest.mark.needs_shared
def test_manifests_find_their_weights_by_hash(shared: Path) -> None:
    picture = shared / "media/nasty/plain-dog.jpg"
    done = run("analyze", picture, "--models", "tests/models", "--model", "det-yolox-nano", "--json",
               DROPSIGHT_WEIGHTS=str(shared / "models"))  # fmt: skip
    step = json.loads(done.stdout)["steps"][0]
    assert [p["label"] for p in step["predictions"]] == ["dog"]
    assert step["predictions"][0]["box"] == pytest.approx([0, 0, 297, 265], abs=3)
