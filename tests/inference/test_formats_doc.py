"""docs/formats.md has a row for everything that is read, and names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from inference.image import media
from inference.image.video_kinds import KINDS
from tests.inference.recognize.test_recognize import REAL

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[1]
PAGE = (ROOT / "docs/formats.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
# What a family is called where a model is recognised: the first argument of every Draft that is a plain text.
FAMILIES = {
    node.args[0].value.partition(" (")[0]
    for path in (ROOT / "inference/recognize").rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Draft"
    if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
}
VIDEOS = [kind.media_type for kind in KINDS]


@pytest.mark.parametrize("media_type", sorted({*media._IMAGE_FORMATS, *VIDEOS}))
def test_every_media_type_has_a_row(media_type: str) -> None:
    assert any(f"`{media_type}`" in row.split(" | ")[0] for row in ROWS)


@pytest.mark.parametrize("family", sorted(FAMILIES | set(REAL.values())))
def test_every_family_has_a_row(family: str) -> None:
    assert any(family in row.split(" | ")[0] for row in ROWS)


def test_every_row_names_tests_that_exist() -> None:
    named = [re.findall(r"`([\w/]*test_\w+\.py)`", row) for row in ROWS]
    assert {name for names in named for name in names if not (TESTS / name).is_file()} == set()
    heads = ("| kind |", "| container |", "| family |", "| what else")
    videos = ("`video/", "| animated")  # whose test is named once, above them
    without = [row for row, names in zip(ROWS, named, strict=True) if not names and not row.startswith(heads)]
    assert [row for row in without if not any(word in row for word in videos)] == []
