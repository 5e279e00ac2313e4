"""docs/models.md names every head, its parameters and the defaults of aliases."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.heads import find_head, head_names
from inference.heads._aliases import ALIASES
from inference.tables import to_toml

DOC = (Path(__file__).resolve().parents[2] / "docs/models.md").read_text("utf-8")


@pytest.mark.parametrize("name", head_names())
def test_every_head_and_its_params_are_documented(name: str) -> None:
    assert f"`{name}`" in DOC
    if name != "image":  # documented with image to image
        assert all(f"`{param}`" in DOC for param in find_head(name).params)


@pytest.mark.parametrize("name", ALIASES)
def test_the_defaults_of_an_alias_stand_in_its_row(name: str) -> None:
    alias = ALIASES[name]
    defaults = [f"`{to_toml({key: value}).strip()}`" for key, value in alias.params.items()]
    assert f"| `{name}` | {alias.threshold} | {', '.join(defaults)}" in DOC
