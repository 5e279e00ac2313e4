"""The retraining pipeline from labelled pictures to a model that the engine serves, step by step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

torch = pytest.importorskip("torch", reason="PyTorch is not installed (training/requirements.txt)")

from training.pipeline import evaluate, export, prepare, register, train  # noqa: E402
from training.pipeline.labelled import Labelled  # noqa: E402

pytestmark = pytest.mark.slow


def shapes(folder: Path, count: int) -> None:
    chance = np.random.default_rng(0)
    for label in ("disc", "square"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", (90, 80), tuple(int(v) for v in chance.integers(0, 90, 3)))
            x, y, r = (int(v) for v in chance.integers((30, 30, 12), (60, 50, 28)))
            draw = ImageDraw.Draw(image)
            (draw.ellipse if label == "disc" else draw.rectangle)((x - r, y - r, x + r, y + r), fill="white")
            image.save(folder / label / f"{number}.png")


def test_from_pictures_to_a_model_that_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Labelled, "batch_size", 8)
    for name in register.JOB:
        monkeypatch.delenv(name, raising=False)
    shapes(tmp_path / "data", 8)
    prepared, trained, evaluated, model, out = (str(tmp_path / name) for name in "ptemo")
    prepare.main(["--data", str(tmp_path / "data"), "--out", prepared])
    train.main(["--prepared", prepared, "--out", trained, "--epochs", "1"])
    asked = ["--prepared", prepared, "--trained", trained, "--out", evaluated]
    assert evaluate.main([*asked, "--at-least", "1.01"]) == 1
    assert evaluate.main(asked) == 0
    export.main(["--prepared", prepared, "--trained", trained, "--evaluated", evaluated, "--name", "shapes",
                 "--out", model])  # fmt: skip
    register.main(["--model", model, "--name", "shapes", "--out", out])
    figures = json.loads((tmp_path / "e" / "metrics.json").read_text())
    exported = json.loads((tmp_path / "m" / "metrics.json").read_text())
    # The file answers as the network did: the same top-1 on the same held-out pictures.
    assert exported["float"]["top1"] == figures["top1"]
    manifest = (tmp_path / "o" / "shapes" / "1" / "model.toml").read_text()
    assert 'name = "shapes"' in manifest


def test_training_on_other_pictures_begins_anew_and_on_the_same_ones_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Labelled, "batch_size", 8)
    shapes(tmp_path / "data", 8)
    prepared, trained = str(tmp_path / "p"), str(tmp_path / "t")

    def weights() -> bytes:
        prepare.main(["--data", str(tmp_path / "data"), "--out", prepared])
        train.main(["--prepared", prepared, "--out", trained, "--epochs", "1"])
        return (tmp_path / "t" / "checkpoint.pt").read_bytes()

    first = weights()
    assert weights() == first
    assert "anew" not in capsys.readouterr().out
    shapes(tmp_path / "more", 9)
    (tmp_path / "more" / "disc" / "8.png").rename(tmp_path / "data" / "disc" / "8.png")
    assert weights() != first
    assert "begins anew" in capsys.readouterr().out
