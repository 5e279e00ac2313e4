"""The line on a terminal that is written over again."""

from __future__ import annotations

import os

import pytest

from inference.cli.progress import CLEAR, Progress


@pytest.mark.parametrize(("columns", "shown"), [(20, "cdefghijklmnopqrstu"), (0, "abcdefghijklmnopqrstu"), (1, "u")])
def test_a_line_is_no_longer_than_the_terminal_is_wide(
    columns: int, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two lines only the second could be written over."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.fileno", lambda: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    Progress().show("abcdefghijklmnopqrstu")
    assert capsys.readouterr().err == CLEAR + shown
