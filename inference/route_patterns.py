"""Patterns of names: `**` any depth, `*` within one folder, `?` a character.

Whoever replays may send any pattern, and whoever uploads any name. A regular expression tries every way in which
wildcards may share a name between them, and so with each one more takes as many times longer as the name has
characters: hours, in which the process does nothing else. With more than two the places that can be reached are carried
along instead, all at once, as the bits of a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from unicodedata import normalize

WILD = re.compile(r"(\*\*/|\*\*|\*|\?)")
_EVERYTHING = ("**", "**/*", "**/**")
_WILDCARDS = ("**/", "**", "*")
_MOST_FOR_REGEX = 2


def fits(pattern: str, name: str) -> bool:
    """Whether the name of an upload fits the pattern of a route, however either writes its accents.

    Names from a Mac have each accent as a character of its own, and keyboards give the two in one.
    """
    name = name if name.isascii() else normalize("NFC", name)
    words = _words(pattern)
    if sum(word in _WILDCARDS for word in words) > _MOST_FOR_REGEX:
        return _fits_by_places(words, name)
    return _glob(pattern).fullmatch(name) is not None


def literal_beginning(pattern: str) -> str:
    """With what every name begins that fits the pattern: it up to its first wildcard or accent (see `fits`)."""
    return re.split(r"[^\0-\x7f]", WILD.split(normalize("NFC", pattern))[0])[0]


@lru_cache(maxsize=256)
def _words(pattern: str) -> tuple[str, ...]:
    return tuple(word for word in WILD.split(normalize("NFC", pattern)) if word)


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    expressions = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(expressions.get(word, re.escape(word)) for word in _words(pattern)), re.DOTALL)


def _fits_by_places(words: tuple[str, ...], name: str) -> bool:
    """As `_glob`, in a time that grows with the pattern's length and the name's alone. Bit i of a number stands for the
    place before character i of the name."""
    every = (1 << (len(name) + 1)) - 1
    plain = _bits(i for i, char in enumerate(name) if char != "/")
    behind_slashes = (every & ~plain) << 1 & every
    starts = {word: _bits(_starts(word, name)) for word in {*words} - {*_WILDCARDS, "?"}}
    places = 1
    for word in words:
        if not places:
            return False
        lowest = places & -places
        if word == "**":
            places = every & -lowest
        elif word == "**/":
            places |= behind_slashes & -(lowest << 1)
        elif word == "*":  # adding carries a bit through the ones above it, to the next slash
            places |= ((places & plain) + plain) ^ plain
        elif word == "?":
            places = (places & plain) << 1
        else:
            places = (places & starts[word]) << len(word)
    return bool(places >> len(name) & 1)


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


def _starts(word: str, name: str) -> Iterator[int]:
    start = name.find(word)
    while start >= 0:
        yield start
        start = name.find(word, start + 1)


def covers(pattern: str, other: str) -> bool:
    """Whether every name that fits `other` plainly fits `pattern`, too: some that do are not seen, none wrongly."""
    if pattern == other or pattern in _EVERYTHING:
        return True
    folder, ending = pattern.removesuffix("**"), pattern.removeprefix("**/*")
    if folder != pattern and folder.endswith("/") and not WILD.search(folder):
        return other.startswith(folder)
    return ending != pattern and "/" not in ending and not WILD.search(ending) and other.endswith(ending)
