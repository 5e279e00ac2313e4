"""Patterns of names: `**` any depth, `*` within one folder, `?` a character."""

from __future__ import annotations

import re
from functools import lru_cache

_WILD = re.compile(r"(\*\*/|\*\*|\*|\?)")


def fits(pattern: str, name: str) -> bool:
    """Whether the name of an upload fits the pattern of a route."""
    return _glob(pattern).fullmatch(name) is not None


def literal_beginning(pattern: str) -> str:
    """With what every name begins that fits the pattern: the pattern itself up to its first wildcard."""
    return _WILD.split(pattern)[0]


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    parts = _WILD.split(pattern)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(p, re.escape(p)) for p in parts), re.DOTALL)
