"""Patterns as other tools write them, and what is meant by them.

As they stand no upload could fit them, and what they were written for would go by the next route.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

from inference.route_patterns import WILD

_MOST = 64  # patterns that one stands for
_SHOWN = 4

_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_COUNT = re.compile(r"\{(\d{1,4})\.\.(\d{1,4})\}")
_GROUP = re.compile(r"[@+]?\(([^()/]*\|[^()/]*)\)")
_SET = re.compile(r"\[([^\[\]/*?\s]{2,40})\]")
_BRACKETED = re.compile(r"(?:^|/)\[\w{3,}\](?=/|$)")
_ENDING = re.compile(r"\.[A-Za-z0-9]{2,5}")
_FILE = re.compile(r".+\.(?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,5}")


def misread(pattern: str) -> tuple[str, tuple[str, ...]]:
    """(what to say of the pattern, the patterns that are meant); nothing to say of one that is right."""
    reason, meant = "", pattern
    for slip, mend in _SLIPS:
        mended = mend(meant)
        reason, meant = reason or (slip if mended != meant else ""), mended
    alternatives = _alternatives(meant)
    if alternatives != [meant]:
        reason = reason or "braces, brackets, bars and lists are no wildcards here"
    ends = [_end(each) for each in alternatives]
    patterns = tuple(dict.fromkeys(mended for _, mended in ends))
    reason = reason or ends[0][0]
    return (f"{reason}; {_advice(pattern, patterns)}", patterns) if reason else ("", (pattern,))


def _advice(pattern: str, meant: tuple[str, ...]) -> str:
    if len(meant) == 1:
        return f"did you mean {meant[0]!r}{_of_that_name(pattern)}?"
    shown = [*meant] if len(meant) <= _SHOWN else [meant[0], "...", meant[-1]]
    written = ", ".join(each if each == "..." else repr(each) for each in shown)
    return f"write {written}, each in a route of its own{_of_that_name(pattern)}"


def _of_that_name(pattern: str) -> str:
    """How a folder `uploads` or `[raw]` in the container is said."""
    if _BRACKETED.search(pattern):
        return f", or {re.sub(r'[][]', '?', pattern)!r} for what is called so"
    folder = re.fullmatch(r"[./]*(uploads(?:/.*)?)", pattern)
    really = f"**/{_end(folder[1])[1]}" if folder else ""
    return f", or {really!r} for a folder that is called so" if really and not misread(really)[0] else ""


def _without_expression(pattern: str) -> str:
    """Of a regular expression, the pattern."""
    if re.search(r"^\^|\$$|\\\.", pattern):
        pattern = re.sub(r"\.\*$", "**", pattern.removeprefix("^").removesuffix("$"))
        return pattern.replace(".*", "*").replace("\\.", ".")
    return re.sub(r"(^|/)\.\*$", r"\1**", pattern)


def _without_address(pattern: str) -> str:
    return re.sub(r"^[A-Za-z]{2,}://[^/]*/(.*?(?=uploads/))?", "", pattern)


def _without_root(pattern: str) -> str:
    return re.sub(r"^([A-Za-z]:)?(\.{0,2}/)+", "", pattern)


def _without_container(pattern: str) -> str:
    return re.sub(r"^uploads(/|$)", "", pattern)


def _without_names(pattern: str) -> str:
    """`{name}`, as the triggers of Azure Functions have it."""
    return re.sub(r"\{[A-Za-z]\w*\}", "*", re.sub(r"\{[A-Za-z]\w*\}$", "**", pattern))


def _few_stars(pattern: str) -> str:
    return re.sub(r"\*{3,}", "**", pattern)


def _as_braces(pattern: str) -> str:
    return _GROUP.sub(lambda group: "{" + group[1].replace("|", ",") + "}", pattern)


# What is wrong, and the pattern without it; one after the other.
_SLIPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("blanks stand at its ends", str.strip),
    ("it is a regular expression", _without_expression),
    ("names have slashes between their folders", lambda pattern: re.sub(r"\\+", "/", pattern)),
    ("names of uploads begin behind the address", _without_address),
    ("names of uploads begin without a dot or slash", _without_root),
    ("names have a single slash between folders", lambda pattern: re.sub(r"/(\.?/)+", "/", pattern)),
    ("names of uploads begin behind the container's name", _without_container),
    ("two stars stand for any depth", _few_stars),
    ("a name in braces is no wildcard here", _without_names),
    ("braces, brackets, bars and lists are no wildcards here", _as_braces),
)


def _end(pattern: str) -> tuple[str, str]:
    """(what is wrong with the end of a pattern, the pattern with the end that is meant)."""
    if not pattern:
        return "it is empty, and fits no upload", "**"
    folder, slash, last = pattern.rpartition("/")
    if not last:
        return "no upload ends with a slash", pattern.rstrip("/") if folder.endswith("**") else f"{pattern}**"
    if _ENDING.fullmatch(last):
        return "it fits only an upload that is called just so", f"{folder}{slash}*{last}" if slash else f"**/*{last}"
    if not WILD.search(pattern) and not _FILE.fullmatch(last):
        return "it fits only an upload that is called just so", f"{pattern}/**"
    return "", pattern


def _alternatives(pattern: str) -> list[str]:
    """The patterns that one with braces, brackets or bars stands for; of too many, one that takes all of them."""
    for find, members in ((_BRACES, _listed), (_COUNT, _counted), (_SET, _set)):
        for found in find.finditer(pattern):
            if not (words := members(found)):
                continue
            before, after = pattern[: found.start()], pattern[found.end() :]
            rest = _alternatives(after)
            each = [f"{before}{word}{end}" for word, end in product(words, rest)]
            if len(each) > _MOST:
                each = [_few_stars(f"{before}{'?' if find is _SET else '**'}{end}") for end in rest]
                return each[:1] if len(each) > _MOST else each
            return [whole for one in each for whole in _alternatives(one)]
    parts = [part.strip() for part in re.split(r"[,;|]", pattern)]
    return parts if len(parts) > 1 and all(WILD.search(part) for part in parts) else [pattern]


def _listed(found: re.Match[str]) -> list[str]:
    return [word.strip() for word in found[1].split(",")]


def _counted(found: re.Match[str]) -> list[str]:
    return [str(number) for number in range(int(found[1]), int(found[2]) + 1)]


def _set(found: re.Match[str]) -> list[str]:
    """The characters of a set such as [jJ], [0-9] or [!a]; none for words in brackets, such as [2024]."""
    written = found[1]
    if written[0] in "!^":
        return ["?"]
    members: list[str] = []
    for single, first, last in re.findall(r"((\w)-(\w)|.)", written):
        members += [chr(code) for code in range(ord(first), ord(last) + 1)] if first else [single]
    plain = len(members) == len(set(members)) and not any(
        first > last for first, last in re.findall(r"(\w)-(\w)", written)
    )
    return sorted(members, key=lambda member: (member.isupper(), member)) if plain else []
