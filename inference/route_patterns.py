"""Patterns of names: `**` any depth, `*` within one folder, `?` a character."""

from __future__ import annotations

import re
from functools import lru_cache


def fits(pattern: str, name: str) -> bool:
    """Whether the name of an upload fits the pattern of a route."""
    return _glob(pattern).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(p, re.escape(p)) for p in parts), re.DOTALL)
