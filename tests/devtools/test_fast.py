"""`dev.py test --fast`, and what is prepared for a command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devtools import cli, environment


@pytest.mark.slow
def test_fast_leaves_out_what_is_marked_slow(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "prepare", lambda **_: Path(sys.executable))
    assert cli.main(["test", "--fast", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/devtools"]) == 0
    collected = capfd.readouterr().out
    assert "test_only_what_runs_tests_installs_what_they_need" in collected
    assert "test_fast_leaves_out_what_is_marked_slow" not in collected
    assert "test_dev.py" not in collected and "test_azurite.py" not in collected


@pytest.mark.parametrize(("command", "tests"), [("run", False), ("package", False), ("test", True), ("setup", True)])
def test_only_what_runs_tests_installs_what_they_need(
    command: str, tests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def prepare(*, tests: bool) -> Path:
        asked.append(tests)
        raise environment.SetupError("no further")

    monkeypatch.setattr(environment, "prepare", prepare)
    assert cli.main([command]) == 1
    assert asked == [tests]
