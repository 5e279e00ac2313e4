"""The release number is the same wherever it stands, and the changelog has an entry for it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from inference.version import __version__

ROOT = Path(__file__).resolve().parents[1]
HEADING = re.compile(r"^## \[?(\d+\.\d+\.\d+)\]?(?: - \d{4}-\d\d-\d\d)?$", re.M)


def test_the_release_number_is_one() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == __version__


def test_the_changelog_begins_with_this_release() -> None:
    releases = HEADING.findall((ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert releases[0] == __version__
    numbers = [tuple(map(int, release.split("."))) for release in releases]
    assert numbers == sorted(numbers, reverse=True) and len(set(numbers)) == len(numbers)
