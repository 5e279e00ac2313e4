"""Files, models and labels may be called anything: no control character of a name reaches a terminal or a log."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.__main__ import main
from inference.plain_text import plain_logs, single
from tests.inference.graphs import picture_input, save

ESC, CSI, BELL, RIGHT_TO_LEFT = "\x1b[31m", "\x9b2J", "\x07", "\u202e"
ODD = f"{ESC}{CSI}{BELL}{RIGHT_TO_LEFT}\r\nERROR forged"


def raw_controls(text: str) -> set[str]:
    """The control characters of a text, but for the ends of its lines."""
    turning = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    return {c for c in text if c in turning or (unicodedata.category(c) in ("Cc", "Zl", "Zp") and c != "\n")}


def hostile_model(folder: Path) -> None:
    """A detector whose every answer is one object with a hostile label, and another model that cannot be used."""
    box = np.array([[[4, 4, 20, 20]]], np.float32)
    save(
        folder / "m/model.onnx", picture_input("images", 32), {"boxes": box, "scores": np.array([[[0.9]]], np.float32)}
    )
    manifest = (
        'name = "m"\ntask = "object-detection"\nhead = "boxes"\n'
        f"labels = [{json.dumps(ODD)}]\ndescription = {json.dumps(ODD)}\nlicence = {json.dumps(ODD)}\n"
    )
    (folder / "m/model.toml").write_text(manifest, encoding="utf-8")
    broken = folder / f"b{ESC}"
    broken.mkdir()
    (broken / "model.onnx").write_bytes(b"none")
    (broken / "model.toml").write_text(f"name = {json.dumps('b' + ODD)}\ntask = {json.dumps(ODD)}\n", encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.slow
def test_no_command_writes_a_control_character_of_a_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / f"in{ESC}"
    photos.mkdir()
    Pillow.new("RGB", (32, 32), "red").save(photos / "plain.png")
    shutil.copy(photos / "plain.png", photos / f"a{ODD}.png")
    (photos / f"broken{ODD}.png").write_bytes(b"\x89PNG\r\n\x1a\nnone")
    (photos / f"words{ODD}.png").write_text("words")
    hostile_model(tmp_path / "models")
    monkeypatch.setenv("DROPSIGHT_MODELS", str(tmp_path / "models"))
    out, exported = tmp_path / f"out{BELL}", tmp_path / f"x{ESC}"
    routes = tmp_path / "routes.toml"
    routes.write_text('[[route]]\nname = "r"\nsteps = [{ model = "m" }]\n')
    bad = tmp_path / f"bad{ESC}.toml"
    bad.write_text(f"[[route]]\nname = {json.dumps(ODD)}\nsteps = [{{ model = {json.dumps(ODD)} }}]\n")
    commands = [
        ["analyze", str(photos), "--routes", str(routes), "--out", str(out)],
        ["analyze", str(photos), "--routes", str(routes), "--out", str(out), "--resume"],
        ["analyze", str(photos), "--routes", str(routes), "--json"],
        ["analyze", str(photos), "--routes", str(bad)],
        ["analyze", str(photos / f"gone{ODD}.png")],
        ["analyze", str(photos), "--routes", str(routes), "--labels", ODD],
        ["models", "list"],
        ["models", "check", str(tmp_path / "models/m")],
        ["models", "check", str(tmp_path / f"models/b{ESC}")],
        ["export", str(out), "--format", "csv", "--out", f"{exported}.csv"],
        ["export", str(out), "--format", "coco", "--out", f"{exported}.json"],
        ["export", str(out), "--format", "yolo", "--out", str(exported)],
        ["export", str(out), "--format", "csv", "--step", ODD, "--out", f"{exported}2.csv"],
        ["export", str(tmp_path / ODD), "--format", "csv", "--out", f"{exported}3.csv"],
    ]
    said = ""
    for command in commands:
        with contextlib.suppress(SystemExit):
            main(command)
        written = capfd.readouterr()
        for text in (written.out, written.err):
            assert not raw_controls(text), (command, text)
            assert not [line for line in text.splitlines() if line.startswith("ERROR forged")], command
        said += written.out
    assert single(ODD) in said, "the names are there, escaped"


def test_no_log_line_is_forged_or_turns_a_terminal_over(capsys: pytest.CaptureFixture[str]) -> None:
    """Messages and tracebacks of our own packages; what others log stays theirs."""
    before, handler = logging.getLogRecordFactory(), logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    plain_logs("cloud")
    loggers = [logging.getLogger(name) for name in ("cloud.test", "clouds")]
    try:
        for logger in loggers:
            logger.addHandler(handler)
        try:
            raise ValueError(f"{ODD} is no name")
        except ValueError:
            loggers[0].warning("%s: and %d more", ODD, 3, exc_info=True)
            loggers[0].error(f"{ODD}")
        loggers[1].error("two\nlines")
    finally:
        logging.setLogRecordFactory(before)
        for logger in loggers:
            logger.removeHandler(handler)
    text = capsys.readouterr().out
    assert not raw_controls(text) and "\ntwo\nlines" not in text and "ERROR clouds two\nlines\n" in text
    assert not [line for line in text.splitlines() if line.startswith("ERROR forged")]
    assert f"\nValueError: {single(ODD)} is no name\n" in text
    assert f"WARNING cloud.test {single(ODD)}: and 3 more\nTraceback" in text


def test_the_app_logs_so() -> None:
    """Whatever a line of it names: the record is made so, and not each of a hundred calls."""
    before = logging.getLogRecordFactory()
    try:
        importlib.reload(importlib.import_module("function_app"))
        for _ in range(2):
            record = logging.getLogger("c").makeRecord("cloud.uploads", 30, "", 1, "%s", (ODD,), None)
            assert record.getMessage() == single(ODD)
    finally:
        logging.setLogRecordFactory(before)


@pytest.mark.parametrize("program", ["inference.__main__", "cloud.__main__", "localhost.__main__", "devtools.cli"])
def test_an_argument_that_is_unknown_is_told_without_control_characters(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(program)
    parser = getattr(module, "parser", None) or module._parser
    for arguments in ([f"no{ODD}"], ["x", f"--no{ODD}"], ["x", "y", f"no{ODD}"]):
        with contextlib.suppress(SystemExit):
            parser().parse_args(arguments)
        assert raw_controls(said := capsys.readouterr().err) == set()
    assert "error:" in said
