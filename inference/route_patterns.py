"""Patterns of names: `**` any depth, `*` within one folder, `?` a character."""

from __future__ import annotations

import re
from functools import lru_cache

WILD = re.compile(r"(\*\*/|\*\*|\*|\?)")
_EVERYTHING = ("**", "**/*", "**/**")


def fits(pattern: str, name: str) -> bool:
    """Whether the name of an upload fits the pattern of a route."""
    return _glob(pattern).fullmatch(name) is not None


def literal_beginning(pattern: str) -> str:
    """With what every name begins that fits the pattern: the pattern itself up to its first wildcard."""
    return WILD.split(pattern)[0]


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(p, re.escape(p)) for p in WILD.split(pattern)), re.DOTALL)


def covers(pattern: str, other: str) -> bool:
    """Whether every name that fits `other` plainly fits `pattern`, too: some that do are not seen, none wrongly."""
    if pattern == other or pattern in _EVERYTHING:
        return True
    folder, ending = pattern.removesuffix("**"), pattern.removeprefix("**/*")
    if folder != pattern and folder.endswith("/") and not WILD.search(folder):
        return other.startswith(folder)
    return ending != pattern and "/" not in ending and not WILD.search(ending) and other.endswith(ending)
