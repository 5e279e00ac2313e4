"""Settings, notes and tables that are no files, or have no end: refused at once, wherever they are named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from inference.__main__ import main
from inference.small_file import content_of
from tests.conftest import ROOT

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have names on POSIX alone")


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "samples/cat.jpg", tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    return Path("pipe")


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"12345")
    assert content_of(file, 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, expected at most 4"):
        content_of(file, 4)
    with file.open("r+b") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(OSError, match="expected at most"):
        content_of(file)
    with pytest.raises(OSError):
        content_of(tmp_path)


@needs_pipes
@pytest.mark.parametrize(
    "words",
    ["analyze cat.jpg --routes pipe", "track pipe", "models check models --picture pipe", "analyze cat.jpg --out out"],
)
def test_nobody_waits_for_what_a_pipe_may_hold(words: str, pipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "--out" in words:
        pipe.rename("cat.jpg.route.toml")
    status = main(words.split())
    assert status == (1 if "--out" in words else 2)
    out, err = capsys.readouterr()
    assert "no file but a" in out + err and "Traceback" not in err


@pytest.mark.parametrize("kind", ["dead link", "circle", "folder"])
def test_a_sidecar_that_cannot_be_read_does_not_go_the_way_of_all(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The route of all others may not blur."""
    shutil.copy(ROOT / "samples/cat.jpg", tmp_path / "cat.jpg")
    sidecar = tmp_path / "cat.jpg.route.toml"
    if kind == "folder":
        sidecar.mkdir()
    else:
        sidecar.symlink_to(sidecar if kind == "circle" else tmp_path / "nowhere")
    assert main(["analyze", str(tmp_path / "cat.jpg")]) == 1
    assert "cat.jpg.route.toml: cannot be read" in capsys.readouterr().out
