"""The documentation leads somewhere: links resolve, paths exist, and the README names every page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from devtools import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for top in ("docs", "models", "samples") for page in (ROOT / top).rglob("*.md"))]
)
PATH = re.compile(r"`((?:inference|cloud|localhost|devtools|training|benchmarks|tests|docs)/[\w./-]*)`")
BARE = re.compile(r"(?<!\.venv/bin/)python3? -m (inference|cloud|localhost|benchmarks\.snapshot) [\w\[<-]")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    made = set(re.findall(r"New file `(.+?)`", text))  # by whoever follows the page
    named = [path for path in PATH.findall(text) if "NAME" not in path and path not in made]
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_are_those_of_the_environment(page: Path) -> None:
    """The python of the path has none of the packages; a module that is only named is no command."""
    lines = page.read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if BARE.search(line) and not line.startswith(('"""', "## "))]
    assert bare == []


def test_the_picture_of_the_house_has_every_room() -> None:
    picture = (ROOT / "docs" / "images" / "house.svg").read_text(encoding="utf-8")
    rooms = {path.parent.name for tree in ("inference", "cloud") for path in (ROOT / tree).glob("*/__init__.py")}
    assert set(re.findall(r'class="room">(\w+)<', picture)) == rooms


def test_the_readme_or_contributing_names_every_page() -> None:
    tops = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    linked = {(ROOT / link).resolve() for top in tops for link in LINK.findall(top.read_text(encoding="utf-8"))}
    assert [page.name for page in (ROOT / "docs").rglob("*.md") if page not in linked] == []


def test_the_readme_names_commands_that_exist() -> None:
    known = cli._parser().format_help()
    named = re.findall(r"dev\.py ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named and [command for command in named if f"    {command} " not in known] == []


def test_the_readme_names_every_model_that_is_for_research_only() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for file in (ROOT / "models").glob("*/model.toml"):
        if tomllib.loads(file.read_text(encoding="utf-8")).get("use") == "research":
            assert f"`{file.parent.name}`" in readme
