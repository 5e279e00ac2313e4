"""The pages of docs/contributing, followed to the letter in a copy of the project: files, changes, commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SHARED

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "contributing").glob("*.md"))
PYTHON = ".venv/bin/python "
# What a page's commands may need; what is only read is linked.
COPIED = ("cloud", "devtools", "docs", "inference", "localhost", "tests", "benchmarks", "training")
LINKED = ("models", "samples", "node_modules")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"(In|New file) `([\w./-]+)`")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy = tmp_path / "project"
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in (".py", ".toml", ".json", ".md"):
            shutil.copy(path, copy)
        elif path.name in LINKED:
            (copy / path.name).symlink_to(path, target_is_directory=True)
    if SHARED.is_dir():  # the tests that a page names look for it beside the project
        (tmp_path / "shared").symlink_to(SHARED, target_is_directory=True)
    return copy


def change(file: Path, hunk: str) -> None:
    """Apply the lines of a diff, which hold as much context as says where."""
    lines = hunk.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] != "+")
    new = "".join(line[1:] for line in lines if line[0] != "-")
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{file}: expected these lines once, found them {text.count(old)} times:\n{old}"
    file.write_text(text.replace(old, new), "utf-8")


def run(command: str, project: Path) -> None:
    arguments = [sys.executable, *command.removeprefix(PYTHON).split()]
    settings = {"PYTHONPATH": str(project), "AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    done = subprocess.run(
        arguments, cwd=project, env=os.environ | settings, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_that_is_followed_works(page: Path, project: Path) -> None:
    text, file, commands = page.read_text("utf-8"), Path(), 0
    for block in BLOCK.finditer(text):
        language, content = block[1], block[2]
        for _, name in FILE.findall(text[: block.start()].rsplit("```", 1)[-1]):  # none: the same file again
            file = project / name
        if language == "diff":
            change(file, content)
        elif language == "python":
            assert not file.exists()
            file.parent.mkdir(exist_ok=True)
            file.write_text(content, "utf-8")
        for command in content.splitlines() if not language else ():
            run(command, project)
            commands += 1
    assert commands
    run(f"{PYTHON}-m ruff check --no-cache .", project)
    run(f"{PYTHON}-m ruff format --no-cache --check .", project)
