"""Patterns of names: `**` any depth, `*` within one folder, `?` a character."""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import normalize

WILD = re.compile(r"(\*\*/|\*\*|\*|\?)")
_EVERYTHING = ("**", "**/*", "**/**")


def fits(pattern: str, name: str) -> bool:
    """Whether the name of an upload fits the pattern of a route, however either writes its accents.

    Names from a Mac have each accent as a character of its own, and keyboards give the two in one.
    """
    return _glob(pattern).fullmatch(name if name.isascii() else normalize("NFC", name)) is not None


def literal_beginning(pattern: str) -> str:
    """With what every name begins that fits the pattern: it up to its first wildcard or accent (see `fits`)."""
    return re.split(r"[^\0-\x7f]", WILD.split(normalize("NFC", pattern))[0])[0]


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = WILD.split(normalize("NFC", pattern))
    return re.compile("".join(words.get(p, re.escape(p)) for p in parts), re.DOTALL)


def covers(pattern: str, other: str) -> bool:
    """Whether every name that fits `other` plainly fits `pattern`, too: some that do are not seen, none wrongly."""
    if pattern == other or pattern in _EVERYTHING:
        return True
    folder, ending = pattern.removesuffix("**"), pattern.removeprefix("**/*")
    if folder != pattern and folder.endswith("/") and not WILD.search(folder):
        return other.startswith(folder)
    return ending != pattern and "/" not in ending and not WILD.search(ending) and other.endswith(ending)
