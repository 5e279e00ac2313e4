"""`[[model]]` in pipelines.toml: which registered model comes into the container. Standard library only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEYS = ("name", "serves", "registry", "stage", "tags", "min_agreement")


@dataclass(frozen=True)
class ModelEntry:
    """name: as registered. serves: its folder in the container, which routes name.

    registry: an Azure Machine Learning registry instead of the workspace. stage, tags: only versions that
    have them. min_agreement: how far a new version must agree with the serving one on the samples, 0 to 1.
    """

    name: str
    serves: str
    registry: str = ""
    stage: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    min_agreement: float = 0.0


def parse(table: Mapping[str, Any]) -> ModelEntry:
    """One [[model]] table. Raises ValueError that says what to write instead."""
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            raise ValueError(f"unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {_KEYS}"))
    for key in ("name", "serves", "registry", "stage"):
        if not isinstance(table.get(key, ""), str):
            raise ValueError(f"{key} is {table[key]!r}; it must be text in quotes")
    name = table.get("name", "")
    serves = table.get("serves", name)
    for word in (name, serves):
        if not NAME.fullmatch(word):
            raise ValueError(f"the name {word!r} must be 1 to 64 letters, digits, dots, hyphens and underscores")
    tags, agreement = table.get("tags", {}), table.get("min_agreement", 0.0)
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise ValueError('tags must be a table of texts: tags = { approved = "yes" }')
    if isinstance(agreement, bool) or not isinstance(agreement, int | float) or not 0 <= agreement <= 1:
        raise ValueError(f"min_agreement is {agreement!r}; it must be a share from 0 to 1")
    return ModelEntry(name, serves, table.get("registry", ""), table.get("stage", ""), tags, float(agreement))
