"""`dev.py test --fast`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devtools import cli, environment


def test_fast_leaves_out_what_is_marked_slow(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "prepare", lambda: Path(sys.executable))
    assert cli.main(["test", "--fast", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/devtools"]) == 0
    collected = capfd.readouterr().out
    assert "test_fast_leaves_out_what_is_marked_slow" in collected
    assert "test_dev.py" not in collected and "test_azurite.py" not in collected
