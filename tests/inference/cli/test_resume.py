"""--out again: what is done already is left out, and what an earlier run left behind is removed or named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.__main__ import main
from inference.analysis import analyze
from inference.folder_files import MADE_OF
from inference.steps import Analysis

pytestmark = pytest.mark.slow

OUT = ("--out", "out")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    noise = np.random.default_rng(1).integers(0, 255, (3, 40, 60, 3)).astype(np.uint8)
    (tmp_path / "photos/sub").mkdir(parents=True)
    for name, pixels in zip(("a.png", "b.png", "sub/c.png"), noise, strict=True):
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were analysed, by their names in results."""
    done: list[str] = []

    def noting(path: Path, *arguments: Any, **options: Any) -> Analysis:
        analysis = analyze(path, *arguments, **options)
        done.append(analysis.result.source.name)
        return analysis

    monkeypatch.setattr("inference.cli.analyze.analyze", noting)
    return done


def run(*words: str, model: str = "colors") -> int:
    return main(["analyze", "photos", "--model", model, *OUT, *words])


def test_what_is_done_is_left_out_until_content_options_or_files_change(
    photos: Path, analysed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def again(*words: str, model: str = "colors") -> list[str]:
        analysed.clear()
        assert run("--resume", *words, model=model) == 0
        assert f"{3 - len(analysed)} of 3 done already" in capsys.readouterr().err
        return analysed[:]

    every = ["a.png", "b.png", "sub/c.png"]
    assert run() == 0 and analysed == every, "a run without --resume may be resumed, too"
    assert again() == []
    os.utime(photos / "a.png", (1, 1))
    assert again() == [], "the content counts, and no time"
    (photos / "a.png").write_bytes((photos / "b.png").read_bytes())
    assert again() == ["a.png"]
    for lost in ("b.png/result.json", "b.png/annotated.jpg", f"b.png/{MADE_OF}"):
        Path("out", lost).unlink()
        assert again() == ["b.png"], lost
    for name in ("result.json", MADE_OF):  # half written when the machine went down
        path = Path("out/sub/c.png", name)
        path.write_bytes(path.read_bytes()[:-20])
        assert again() == ["sub/c.png"], name
    assert again("--threshold", "0") == every and again("--threshold", "0") == []
    assert again("--threshold", "0.5") == every
    assert again(model="sketch") == every and again(model="sketch") == []
    Path("r.toml").write_text('[[route]]\nname = "command-line"\nsteps = [{ model = "sketch", name = "s" }]\n')
    assert main(["analyze", "photos", "--routes", "r.toml", *OUT, "--resume"]) == 0
    assert analysed == every


def test_what_was_interrupted_or_failed_is_done(
    photos: Path, analysed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "b.png").write_bytes(b"no picture")
    assert run() == 1
    analysed.clear()
    assert run("--resume") == 1
    assert analysed == [] and "2 of 3 done already" in capsys.readouterr().err
    Image.new("RGB", (9, 9)).save(photos / "b.png")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("inference.cli.results_folder._remove", killed)  # the document lies there by then
        assert run("--resume") == 130
    capsys.readouterr()
    analysed.clear()
    assert run("--resume", "--json") == 0
    out, err = capsys.readouterr()
    assert analysed == ["b.png"] and err == "2 of 3 done already\n"
    documents = [json.loads(line) for line in out.splitlines()]
    assert [document["source"]["name"] for document in documents] == ["a.png", "b.png", "sub/c.png"]
    assert documents[0] == json.loads(Path("out/a.png/result.json").read_text())


def test_a_file_that_changed_while_it_was_analysed_is_not_done(
    photos: Path, analysed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(path: Path, *arguments: Any, **options: Any) -> Analysis:
        analysis = analyze(path, *arguments, **options)
        os.utime(path, (1, 1))
        return analysis

    with monkeypatch.context() as patch:
        patch.setattr("inference.cli.analyze.analyze", changing)
        assert main(["analyze", "photos/a.png", "--model", "colors", *OUT]) == 0
    analysed.clear()
    assert run("--resume") == 0 and "a.png" in analysed


def test_resume_needs_a_folder(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "photos", "--model", "colors", "--resume"]) == 2
    assert "give that as --out" in capsys.readouterr().err


def test_files_of_an_earlier_result_go_and_those_of_others_stay(photos: Path) -> None:
    place = Path("out/a.png")

    def there() -> list[str]:
        return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())

    assert run(model="colors") == 0
    assert there() == [MADE_OF, "annotated.jpg", "colors.png", "result.json"]
    (place / "mine.txt").write_text("mine")
    assert run(model="sketch") == 0
    assert there() == [MADE_OF, "mine.txt", "result.json", "sketch.jpg"]
    (place / MADE_OF).unlink()  # as a release before wrote it
    assert run(model="colors") == 0
    assert there() == [MADE_OF, "annotated.jpg", "colors.png", "mine.txt", "result.json"]
    (photos / "a.png").write_bytes(b"no picture")
    assert run() == 1
    assert there() == ["error.json", "mine.txt"]


def test_files_of_an_earlier_result_go_also_after_a_run_that_was_killed(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be what is blurred by now."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    place = Path("out/a.png")
    for stage in ("_remove", "json_text", "shutil.move", "_size"):
        assert run(model="colors") == 0 and (place / "colors.png").exists()
        with monkeypatch.context() as patch:
            patch.setattr(f"inference.cli.results_folder.{stage}", killed)
            run("--resume", model="sketch")
        assert run("--resume", model="sketch") == 0
        assert sorted(os.listdir(place)) == [MADE_OF, "result.json", "sketch.jpg"], stage


def test_a_mask_counts_by_its_content(photos: Path, analysed: list[str]) -> None:
    Image.new("L", (60, 40), 255).save("mask.png")
    assert run("--mask", "mask.png") == 0
    analysed.clear()
    assert run("--mask", "./mask.png", "--resume") == 0 and analysed == []
    mask = Image.new("L", (60, 40), 255)
    mask.paste(0, (0, 0, 30, 40))
    mask.save("mask.png")
    assert run("--mask", "mask.png", "--resume") == 0 and len(analysed) == 3


def test_a_note_that_leads_elsewhere_removes_nothing(photos: Path) -> None:
    assert run() == 0
    place = Path("out/a.png")
    Path("elsewhere").mkdir()
    outside = [Path("elsewhere/x"), Path("out/b.png/result.json"), photos / "a.png"]
    outside[0].write_text("x")
    (place / "link").symlink_to(Path("elsewhere").absolute())
    names = ["link/x", "../b.png/result.json", str(photos / "a.png"), "../../elsewhere/x", "", "."]
    note = json.loads((place / MADE_OF).read_text())
    (place / MADE_OF).write_text(json.dumps({**note, "files": dict.fromkeys(names, 1)}))
    assert run("--resume") == 0
    assert all(path.exists() for path in outside) and (place / "result.json").exists()
    for odd in (
        "[]",
        "{}",
        '{"content": 1, "options": 2}',
        '{"content": "", "options": "", "files": {"a": "b"}}',
        "\0",
    ):
        (place / MADE_OF).write_text(odd)
        assert run("--resume") == 0, odd


def test_results_of_files_that_are_gone_are_named_and_stay(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("other").mkdir()
    Path("other/z.png").write_bytes((photos / "a.png").read_bytes())
    assert run() == 0
    assert main(["analyze", "other", "--model", "colors", *OUT]) == 0
    (photos / "a.png").rename(photos / "d.png")
    (photos / "sub/c.png").unlink()
    (photos / "sub").rmdir()
    capsys.readouterr()
    assert run("--resume") == 0
    named = "out: 2 results are of files no longer in photos: a.png, sub/c.png; delete what nobody needs"
    assert capsys.readouterr().err.splitlines() == ["1 of 2 done already", named]
    assert Path("out/a.png/result.json").exists()
    assert main(["analyze", "photos/b.png", "--model", "colors", *OUT]) == 0
    assert capsys.readouterr().err == "", "whoever names a file asks nothing of the others"
