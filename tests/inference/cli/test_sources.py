"""What may stand where a file is expected: patterns, standard input, and what is refused in a sentence."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from inference.__main__ import main
from inference.cli.no_sources import shown, why_not
from inference.cli.sources import items_of, names_of, typed
from inference.errors import UnreadableMedia
from inference.folder_files import RESULTS_NOTE
from tests.conftest import ROOT

CAT = (ROOT / "samples/cat.jpg").read_bytes()
MODEL = ("--model", "colors")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("r.jpg", "cam1/a.jpg", "cam2/a.jpg", "cam2/note.txt", "cam2/Thumbs.db", "cam2/a.jpg.route.toml"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(CAT if name.endswith(".jpg") else b"text")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def names(*words: str, out: Path | None = None) -> list[str]:
    return list(names_of(items_of(typed(words), out), keep_apart=False).values())


def test_a_quoted_pattern_is_what_the_shell_would_make_of_it(photos: Path) -> None:
    """Names are below the folder in front of the first wildcard, so that equal ones stay apart."""
    assert names("photos/*.jpg") == names("photos/r.jpg") == ["r.jpg"]
    assert names("photos/**/*.jpg") == names("./photos/**/*.jpg") == ["cam1/a.jpg", "cam2/a.jpg", "r.jpg"]
    assert names("photos/cam[12]/?.jpg") == ["cam1/a.jpg", "cam2/a.jpg"]
    assert names("photos/cam*") == ["cam1/a.jpg", "cam2/a.jpg", "cam2/note.txt"], "folders are gone into"
    assert names("photos/**") == ["cam1/a.jpg", "cam2/a.jpg", "cam2/note.txt", "r.jpg"], "each file once"
    assert names("photos", "photos/*.jpg") == ["cam1/a.jpg", "cam2/a.jpg", "cam2/note.txt", "r.jpg"]
    for pattern in ("photos/*.png", "photos/**/*.png", "none/**", "photos/r.jpg/**"):
        with pytest.raises(UnreadableMedia, match=f"{re.escape(pattern)}: no file has such a name"):
            names(pattern)
    (photos / "cam1/circle").symlink_to(photos)
    assert names("photos/**/?.jpg") == names("photos/**/**/?.jpg") == ["cam1/a.jpg", "cam2/a.jpg", "r.jpg"]


def test_braces_are_refused_with_the_patterns_to_give(photos: Path) -> None:
    with pytest.raises(UnreadableMedia, match=re.escape("give each: 'photos/*.jpg' 'photos/*.my png'")):
        typed(["photos/*.{jpg,my png}"])
    with pytest.raises(UnreadableMedia, match=re.escape("give each: photos/a.jpg photos/b.jpg photos/c.jpg")):
        typed(["photos/{a,b,c,d}.jpg"])
    (photos / "{a,b}.jpg").write_bytes(CAT)
    assert names("photos/{a,b}.jpg") == ["{a,b}.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="pipes are waited for there")
def test_a_pause_is_not_the_end_of_standard_input(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, CAT[:1000])

    def rest() -> None:
        while not os.get_blocking(reading):
            time.sleep(0.01)
        with open(writing, "wb") as file:
            file.write(CAT[1000:])

    thread = threading.Thread(target=rest, daemon=True)
    thread.start()
    with open(reading, "rb") as stream:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream, isatty=lambda: False))
        assert main(["analyze", "-", *MODEL]) == 0
    thread.join()


def test_a_file_that_is_called_like_a_pattern_or_a_camera_is_that_file(photos: Path) -> None:
    for name in ("a[1].jpg", "0", "conf=0.5", "source=x"):
        (photos / name).write_bytes(CAT)
        os.chdir(photos)
        assert names(name) == [name]


REFUSED = {
    "0": "record a clip first",
    "webcam": "record a clip first",
    "rtsp://user:secret@cam.local/1?key=secret": "ffmpeg -i rtsp://cam.local/1 -t 60 clip.mp4",
    "http://example.com/a.jpg?key=secret": "use https or download it first",
    "s3://bucket/a.jpg": "download it first",
    "file:///home/me/a%20b.jpg": "give the path alone: /home/me/a b.jpg",
    "data:image/png;base64,secret": "decode it into a file",
    "https:/example.com/a.jpg": "an address begins with https://",
    "www.youtube.com/watch?v=1": "an address begins with https://",
    "conf=0.5": "write --threshold 0.5",
    "--conf=0.5": "write --threshold 0.5",
    "confidnce=0.5": "write --threshold 0.5",
    "source=samples/cat.jpg": "give the path alone: samples/cat.jpg",
    "source=https://me:secret@example.com/a.jpg": "give the path alone: https://example.com/a.jpg",
    "model=yolo11n.pt": "write --model NAME",
    "imgsz=640": "tile = 640",
    "device=0": "DROPSIGHT_PROVIDERS",
    "save_txt=True": "write --out DIR",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_other_tools_take_is_refused_with_what_to_do(word: str) -> None:
    why = why_not(word)
    assert REFUSED[word] in why and "secret" not in why and "no such file; check" not in why


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["analyze", ""], "argument '' is empty"),
        (["analyze", "photos", "--out="], "argument '--out=' is empty"),
        (["export", " ", "--out", "x.json"], "argument ' ' is empty"),
        (
            ["analyze", "photos", "--out", "az://me:secret@results/today"],
            "az://results/today: no place on this machine",
        ),
        (["export", "https://me:secret@host/r", "--out", "x.json"], "https://host/r: no place on this machine"),
        (["group", "--index", "s3://bucket"], "s3://bucket: no place on this machine"),
    ],
)
def test_a_word_that_can_be_no_place_is_not_taken_for_one(
    words: list[str], said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty one, as of a variable that is not set, would be the current folder."""
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert said in err and "secret" not in err and os.listdir() == ["photos"]


def test_paths_that_are_not_there_are_paths() -> None:
    for word in (
        "no.jpg",
        "C:\\photos\\a.jpg",
        "c:/photos/a.jpg",
        "a=b.jpg",
        "10:30.jpg",
        "2024-01/0",
        "x y=3",
        "https",
    ):
        assert why_not(word) == "", word
    for word in ("https://", "https:///a.jpg", "https://[::1/a.jpg", "https://host:port/a.jpg"):
        with pytest.raises(UnreadableMedia, match="not an address"):
            typed([word])
    odd = ("https://h/..%2f..%2fetc", "https://h/.analysed.json", "https://h/", "https://h/a%3Fb%00.jpg/")
    assert names(*odd) == ["_.._.._etc", "_.analysed.json", "h", "a_b_.jpg"]
    assert shown("https://me:pw@host:8443/a.jpg?sig=x#y") == "https://host:8443/a.jpg"


def test_refused_sources_cost_no_file_its_result_and_have_status_2(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", "photos/r.jpg", "conf=0.5", *MODEL, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "python -m inference: conf=0.5: no file but an option as other tools take them; write --threshold 0.5"
    ]
    for words, advice in (
        (["--conf", "0.5"], "--conf 0.5; write --threshold 0.5"),
        (["--imgsz=640"], "tile = 640"),
        (["--treshold", "0.5"], "did you mean --threshold?"),
        (["--threshold", "40%"], "found '40%', expected a score from 0 to 1; did you mean 0.4?"),
        (["--stride", "2"], "--stride 2; the table [route.video] of a route says that; give its file with --routes"),
        (["--blur", "face"], "the table [route.draw] of a route says that, as blur = ['face']"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["analyze", "photos/r.jpg", *words])
        assert ended.value.code == 2 and advice in capsys.readouterr().err
    for command in (
        ["similar", "https://example.com/a.jpg", "--index", "photos"],
        ["models", "check", "s3://b/a.onnx"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 2 and "download it first" in capsys.readouterr().err


def test_a_list_of_files_says_how_they_are_given(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "my list.txt").write_text("cam1/a.jpg\ncam2/a.jpg\n")
    assert main(["analyze", "photos/my list.txt", "photos/cam2/note.txt", *MODEL]) == 1
    listed, other = capsys.readouterr().out.splitlines()
    assert "tr '\\n' '\\0' < 'photos/my list.txt' | xargs -0" in listed and "xargs" not in other


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes, *, terminal: bool = False) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: terminal))


def test_standard_input_is_one_file_called_stdin(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(monkeypatch, CAT)
    assert main(["analyze", "-", *MODEL, "--json", "--out", "out"]) == 0
    source = json.loads(capsys.readouterr().out)["source"]
    assert (source["name"], source["bytes"]) == ("stdin", len(CAT))
    assert json.loads(Path("out/stdin/result.json").read_text())["source"] == source
    stdin(monkeypatch, b"<!doctype html><title>Sign in</title>")
    assert main(["analyze", "-", *MODEL]) == 1
    assert capsys.readouterr().out.startswith("stdin: failed: this is a web page")
    for words, terminal, why in ((["-", "-"], False, "- is given 2 times"), (["-"], True, "which is this terminal")):
        stdin(monkeypatch, CAT, terminal=terminal)
        assert main(["analyze", *words, *MODEL]) == 2
        assert why in capsys.readouterr().err


def test_standard_input_is_read_no_further_than_its_kind_may_be_large(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inference.cli.fetched.MOST_VIDEO_BYTES", 3 * 2**20)
    endless = io.BytesIO(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(8 * 2**20))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless, isatty=lambda: False))
    assert main(["analyze", "-", *MODEL]) == 1
    assert "more than the 3,145,728 bytes" in capsys.readouterr().out
    assert endless.tell() < 4 * 2**20
    noise = io.BytesIO(b"\x01\x02" * 2**20)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=noise, isatty=lambda: False))
    assert main(["analyze", "-", *MODEL]) == 1
    assert "a file of an unknown kind" in capsys.readouterr().out and noise.tell() < 2**20


@pytest.mark.slow
def test_what_was_made_of_pictures_is_never_analysed(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However the folder for results is spelled, by a pattern and the shell, by later runs without --out."""
    pictures = ["cam1/a.jpg", "cam2/a.jpg", "r.jpg"]
    for path in (photos / "cam2").glob("[!a]*"):
        path.unlink()
    (photos / "cam2/a.jpg.route.toml").unlink()
    (photos.parent / "link").symlink_to("photos")
    assert main(["analyze", "photos", *MODEL, "--out", "link/cam1/../results"]) == 0
    assert names("photos") == names("link") == names("photos/**") == names("photos/**/*.jpg") == pictures
    assert sorted(names("photos/*")) == pictures
    assert sorted(names("photos/cam1", "photos/results", "photos/r.jpg")) == ["a.jpg", "r.jpg"]
    (photos / "results" / RESULTS_NOTE).unlink()  # of an older release, or copied from storage
    assert names("photos") == names("photos/**/*.jpg") == pictures
    (photos / "mine").mkdir()
    (photos / "mine/x.jpg").write_bytes(CAT)
    assert names("photos", out=photos.parent / "link/mine") == pictures
    for command in (
        ["photos", "--out", "photos"],
        ["photos", "--out", "link"],
        ["photos/r.jpg", "--out", "link/."],
        ["photos", "--out", "no/../photos"],
    ):
        assert main(["analyze", *command, *MODEL]) == 2
        assert "name another" in capsys.readouterr().err
    assert not (photos / RESULTS_NOTE).exists()


@pytest.mark.slow
def test_an_export_among_the_pictures_is_no_picture(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "photos/cam1", "photos/r.jpg", *MODEL, "--out", "out"]) == 0
    for form in ("coco", "csv", "jsonl"):
        suffix = "json" if form == "coco" else form
        assert main(["export", "out", "--format", form, "--out", f"photos/cam1/labels.{suffix}"]) == 0
    capsys.readouterr()
    assert names("photos/cam1") == ["a.jpg"] and sorted(names("photos/cam1/*")) == ["a.jpg"]
    said = "left out: 3 exports of results (labels.csv, labels.json, labels.jsonl)"
    assert capsys.readouterr().err.splitlines()[0] == f"photos/cam1: {said}"
    (photos / "cam1/mine.json").write_text('{"info": {"description": "mine"}}')
    assert names("photos/cam1") == ["a.jpg", "mine.json"], "files of others are the user's to explain"


@pytest.mark.slow
def test_a_data_set_is_not_written_among_its_pictures(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each later run would find more of them."""
    (photos / "f.jpg").write_bytes((ROOT / "samples/photographer.jpg").read_bytes())
    assert main(["analyze", "photos/f.jpg", "--model", "faces", "--out", "out"]) == 0
    export = ["export", "out", "--format", "yolo", "--out"]
    assert main([*export, "photos"]) == 2
    assert "name another folder, such as photos/dataset" in capsys.readouterr().err
    before = names("photos")
    assert main([*export, "photos/dataset"]) == 0
    assert names("photos") == before and (photos / "dataset/images/f.jpg").is_file()


def test_results_beside_the_pictures_hide_none(photos: Path) -> None:
    """--out may be a folder above: what was analysed lies in it, too."""
    os.chdir(photos)
    assert main(["analyze", "cam1", *MODEL, "--out", "."]) == 0
    assert (photos / "a.jpg/result.json").exists()
    expected = ["cam1/a.jpg", "cam2/a.jpg", "cam2/note.txt", "r.jpg"]
    assert names(".") == expected
    os.chdir(photos.parent)
    assert names(".") == [f"photos/{name}" for name in expected]
