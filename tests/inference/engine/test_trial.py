"""Models that nobody has run are tried in a process of their own."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.engine.trial import Trial, trial
from tests.inference.engine.test_time_limits import MANIFEST, endless
from tests.inference.graphs import build, picture_input, save

pytestmark = pytest.mark.slow


def model(folder: Path) -> Path:
    save(folder / "model.onnx", picture_input("x", 8), {"scores": np.full((1, 2), 0.5, np.float32)})
    (folder / "model.toml").write_text(MANIFEST)
    return folder


def test_a_model_that_runs_passes(tmp_path: Path) -> None:
    assert trial(model(tmp_path / "m")) == Trial()


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    assert "no model lies there" in trial(tmp_path).why
    folder = model(tmp_path / "m")
    (folder / "model.onnx").write_bytes(b"no graph")
    tried = trial(folder)
    assert "model.onnx" in tried.why and not tried.passing


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "model.onnx").unlink()
    endless(folder / "model.onnx", always=True)
    assert trial(folder, patience_s=2).why == "it had not run once after 2 s"


def test_what_takes_more_memory_than_it_may_is_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    build(
        folder / "model.onnx",
        picture_input("x", 8),
        [
            ("ConstantOfShape", "size", "zeros"),
            ("ReduceSum", "zeros", "sum", {"keepdims": 0}),
            ("Add", "half sum", "scores"),
        ],
        {"scores": ("float32", [1, 2])},
        {"size": np.asarray([1 << 32], np.int64), "half": np.full((1, 2), 0.5, np.float32)},
    )
    tried = trial(folder, memory=1 << 30)
    assert tried.too_large and tried.why == "it takes more memory than the 1,024 MiB that a model is tried in"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for Python")
def test_a_death_is_said_and_no_secret_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\nkill -SEGV $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    for name in ("AzureWebJobsStorage", "IDENTITY_HEADER", "MSI_SECRET", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "a secret")
    monkeypatch.setenv("DROPSIGHT_MODELS", "/handed/on")
    assert trial(tmp_path).why == "the process that tried it ended with status -11"
    seen = (tmp_path / "seen").read_text()
    assert "a secret" not in seen and "/handed/on" in seen


def test_where_no_process_can_be_started_the_model_is_not_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert trial(tmp_path).impossible
    monkeypatch.setattr(sys, "executable", "")
    assert trial(tmp_path).impossible


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for Python")
def test_whatever_it_says_and_starts_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says 20 MB, starts a process that would outlive it, and hangs."""
    script = tmp_path / "python"
    said = "head -c 20000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2"
    script.write_text(f"#!/bin/sh\n{said}\nsleep 600 & echo $! > {tmp_path}/child\nwait\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    tried = trial(tmp_path, patience_s=1)
    assert tried.silent and len(tried.why) < 200
    with pytest.raises(ProcessLookupError):
        for _ in range(1000):  # whoever inherits it has to collect it first
            os.kill(int((tmp_path / "child").read_text()), 0)
            if Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat").read_text().split()[2] == "Z":
                raise ProcessLookupError


def test_a_machine_that_cannot_start_it_now_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("subprocess.Popen", fail)
    tried = trial(tmp_path)
    assert tried.passing and not tried.impossible
