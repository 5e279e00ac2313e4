"""python -m inference models check: likely names, and the manifest that it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.__main__ import main
from inference.engine.registry import BUILT_IN, Registry
from inference.engine.trial import trial
from inference.recognize import examine, manifest_of
from tests.inference import hostile
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import WIDE, boxes, floats
from tests.inference.recognize.test_ultralytics import ultralytics


@pytest.mark.slow
def test_a_recognised_model_without_labels_has_likely_names_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = np.full((1, 1000), 0.001, np.float32)
    ultralytics(tmp_path / "net", "classify", {"output0": scores}, names="{}")
    assert main(["models", "check", str(tmp_path / "net")]) == 0
    text = capsys.readouterr().out
    assert "there are no labels" in text and 'labels = "builtin:imagenet1000"' in text


@pytest.mark.slow
def test_a_manifest_that_is_written_loads_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 3] = 32, 32, 20, 10, 0.1, 0.9
    folder = ultralytics(tmp_path / "pets", "detect", {"output0": raw})
    before = manifest_of(*examine(folder))
    assert main(["models", "check", str(folder), "--write"]) == 0
    assert f"written: {folder / 'model.toml'}" in capsys.readouterr().out
    (entry,) = Registry([tmp_path]).list()
    assert entry.manifest is not None and entry.manifest.sha256
    assert (entry.name, entry.manifest.labels, entry.manifest.preprocess) == ("pets", before.labels, before.preprocess)
    assert boxes(Registry([tmp_path]).model("pets").run(WIDE)[0]) == [("dog", 0.9, [44.0, 22.0, 84.0, 42.0])]

    written = (folder / "model.toml").read_text("utf-8")
    assert main(["models", "check", str(folder), "--write"]) == 2
    assert "there already; rename or delete it" in capsys.readouterr().err
    assert (folder / "model.toml").read_text("utf-8") == written


@pytest.mark.slow
def test_a_manifest_is_not_written_where_it_would_hide_others_or_be_a_guess(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pets = ultralytics(tmp_path, "detect", {"output0": np.zeros((1, 6, 84), np.float32)})
    (file,) = pets.glob("*.onnx")
    save(tmp_path / "other/net.onnx", picture_input("input"), {"y": floats([0.1, 0.9])})
    assert main(["models", "check", str(file), "--write"]) == 2
    assert "hide other" in capsys.readouterr().err
    assert main(["models", "check", str(tmp_path / "other"), "--write"]) == 1
    assert "nothing was written" in capsys.readouterr().out
    assert list(tmp_path.rglob("model.toml")) == []


def test_a_picture_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(BUILT_IN / "classify"), "--picture", str(tmp_path / "no.jpg")]) == 2
    assert "no.jpg: no such file" in capsys.readouterr().err


@pytest.mark.slow
def test_what_hangs_whoever_opens_it_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.laughs(tmp_path / "laughs")
    monkeypatch.setattr("inference.cli.check_model.trial", lambda path: trial(path, patience_s=2))
    assert main(["models", "check", str(tmp_path / "laughs")]) == 2
    assert "it had not run once after 2 s; it was tried in a process of its own" in capsys.readouterr().err
