"""The documentation leads somewhere: links resolve, and the README names every page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from devtools import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [ROOT / "README.md", *(page for top in ("docs", "models", "samples") for page in (ROOT / top).rglob("*.md"))]
)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not broken


def test_the_readme_names_every_page() -> None:
    linked = {(ROOT / link).resolve() for link in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page not in linked] == []


def test_the_readme_names_commands_that_exist() -> None:
    known = cli._parser().format_help()
    named = re.findall(r"dev\.py ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named and [command for command in named if f"    {command} " not in known] == []


def test_the_readme_names_every_model_that_is_for_research_only() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for file in (ROOT / "models").glob("*/model.toml"):
        if tomllib.loads(file.read_text(encoding="utf-8")).get("use") == "research":
            assert f"`{file.parent.name}`" in readme
