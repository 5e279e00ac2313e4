"""Exports with nothing in them, and what exports leave out: said on stderr, told by the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference.__main__ import main
from inference.results.export_options import ExportOptions
from inference.results.export_rows import Found
from inference.results.formats import FORMATS, write

LABEL = {"id": "s/0", "label": "espresso", "label_id": 3, "score": 0.9}
BOX = {**LABEL, "box": [1, 2, 3, 4]}


def result(folder: Path, name: str, *rows: dict[str, Any], **source: Any) -> None:
    task = "object-detection" if any("box" in row for row in rows) else "image-classification"
    step = {"name": "s", "task": task, "model": {"name": "m", "version": "1"}, "predictions": list(rows)}
    media = {"name": name, "etag": "", "width": 8, "height": 8, "duration_s": None, **source}
    (folder / name).mkdir(parents=True)
    document = {"schema": "dropsight/1", "source": media, "route": "r", "trace": "t", "steps": [step]}
    (folder / name / "result.json").write_text(json.dumps(document), "utf-8")


def export(folder: Path, form: str, *options: str) -> tuple[int, Path]:
    out = folder.parent / "out"
    return main(["export", str(folder), "--format", form, "--out", str(out), *options]), out


@pytest.mark.parametrize("form", FORMATS)
def test_no_results_are_no_export(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").mkdir()
    status, out = export(tmp_path / "results", form)
    said = capsys.readouterr()
    assert (status, out.exists(), said.out) == (1, False, "")
    assert f"nothing to export as {form}: there are no results" in said.err


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_names_of_whole_pictures_are_nothing_to_a_detectors_format(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b.jpg"):
        result(tmp_path / "results", name, LABEL)
    status, out = export(tmp_path / "results", form)
    said = capsys.readouterr()
    assert (status, out.exists(), said.out) == (1, False, "")
    assert f"{form} has no place for it: 2 names of a whole picture or crop of s; --format csv" in said.err
    assert export(tmp_path / "results", "csv")[0] == 0


@pytest.mark.parametrize("form", ["coco", "yolo", "csv"])
def test_pictures_in_which_nothing_was_found(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result(tmp_path / "results", "a.jpg")
    assert export(tmp_path / "results", form)[0] == 1
    assert "nothing was found in 1 " in capsys.readouterr().err


def test_a_picture_without_finds_among_others_is_there(tmp_path: Path) -> None:
    result(tmp_path / "results", "a.jpg", BOX)
    result(tmp_path / "results", "b.jpg")
    status, out = export(tmp_path / "results", "yolo", "--put", "none")
    assert status == 0 and (out / "labels/b.txt").read_text() == ""


def test_what_is_left_out_is_said_in_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result(tmp_path / "results", "a.jpg", BOX)
    for i in range(5):
        result(tmp_path / "results", f"clip{i}.mp4", duration_s=2.0)
    result(tmp_path / "results", "odd.jpg", BOX, width=None)
    (tmp_path / "results/broken.jpg").mkdir()
    (tmp_path / "results/broken.jpg/error.json").write_text("{}")
    status, out = export(tmp_path / "results", "coco")
    said = capsys.readouterr()
    assert status == 0 and said.out == f"{out}: 1 result as coco\n"
    assert [i["file_name"] for i in json.loads(out.read_text())["images"]] == ["a.jpg"]
    assert "(5: clip0.mp4, clip1.mp4, clip2.mp4 and 2 more)" in said.err and "frames.jsonl" in said.err
    assert "width and height are not known: analyse them again (odd.jpg)" in said.err
    assert "1 file could not be analysed" in said.err


def test_other_steps_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result(tmp_path / "results", "a.jpg", BOX)
    path = tmp_path / "results/a.jpg/result.json"
    document = json.loads(path.read_text())
    document["steps"].append({**document["steps"][0], "name": "t"})
    path.write_text(json.dumps(document))
    assert export(tmp_path / "results", "csv", "--step", "t")[0] == 0
    assert "left out, not of the step t: finds of s" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["coco", "yolo", "csv"])
def test_an_object_that_several_steps_may_have_found_is_said(form: str, tmp_path: Path) -> None:
    """A detector and the poses of people: trainers take both boxes of a person for objects."""
    step = {"task": "object-detection", "model": {"name": "m", "version": "1"}, "predictions": [BOX]}
    source = {"name": "a.jpg", "etag": "", "width": 8, "height": 8, "duration_s": None}
    found = [Found({"source": source, "steps": [{**step, "name": name} for name in ("detect", "pose")]})]
    notes = write(found, form, tmp_path / "all", ExportOptions(put="none")).notes
    said = [note for note in notes if "more than once" in note]
    assert len(said) == (form != "csv") and all("(detect, pose)" in note and "(espresso)" in note for note in said)
    notes = write(found, form, tmp_path / "one", ExportOptions(put="none", step="pose")).notes
    assert not any("more than once" in note for note in notes)


def test_rows_of_pictures_say_what_the_frames_of_videos_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result(tmp_path / "results", "a.jpg", BOX)
    result(tmp_path / "results", "clip.mp4", LABEL, duration_s=2.0)
    status, out = export(tmp_path / "results", "csv")
    assert status == 0 and len(out.read_text("utf-8").splitlines()) == 3
    said = capsys.readouterr().err
    assert "finds in the frames of videos" in said and "(clip.mp4)" in said


def test_files_that_are_called_as_results_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result(tmp_path / "results", "a.jpg", BOX)
    result(tmp_path / "results", "result.json/error.json/b.jpg", BOX)
    status, out = export(tmp_path / "results", "coco")
    said = capsys.readouterr()
    assert status == 0 and "could not be analysed" not in said.err
    assert {i["file_name"] for i in json.loads(out.read_text())["images"]} == {"a.jpg", "result.json/error.json/b.jpg"}
