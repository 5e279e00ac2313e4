"""Patterns as other tools write them, and what is meant by them.

As they stand no upload could fit them, and what they were written for would go by the next route.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from urllib.parse import unquote

from inference.route_patterns import WILD

_MOST = 64  # patterns that one stands for
_MOST_GROUPS = 12  # in one pattern, before each is taken for anything
_LONGEST = 1024  # characters of a blob's name
_SHOWN = 4
_ROUNDS = 3  # one slip may hide another
_MOST_ODD = 2  # as of a pair of brackets; with more, they are wildcards

_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_COUNT = re.compile(r"\{(\d{1,4}|[A-Za-z])\.\.(\d{1,4}|[A-Za-z])(?:\.\.(\d{1,3}))?\}")
_GROUP = re.compile(r"[@+]?\(([^()]*\|[^()]*)\)")
_SET = re.compile(r"\[([^\[\]/*?\s]{2,40})\]")
_ONE = re.compile(r"\[(?:[\[\]*?]|\[:[a-z]+:\])\]")  # a single character, or one of a kind
_ENDING = re.compile(r"\.[A-Za-z0-9]{2,5}")
_FILE = re.compile(r".+\.(?=[0-9]*[A-Za-z])[A-Za-z0-9]{1,5}")
_FILES = re.compile(r"(.*/)?\*+\.\w{1,5}")  # all files of an ending
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")  # as copying leaves them
_QUOTED = re.compile(r"""(["'`])(.*)\1|[“„](.*)[”“]|[‘‚](.*)[’‘]""", re.DOTALL)
_EXPRESSION = re.compile(
    r"^\^|\$$|\\\.|\\[dwsS][+{]|\(\?(?:i\)|:|P<)|(?:^|[/(])\.[*+]|\.\+$|\[[^\[\]]*-[^\[\]]*\](?:\+|\{\d)"
)
_CLASS = r"(?:\\[dwsS]|\[[^\[\]]*\])"
_NO_WILDCARDS = "braces, brackets, bars and lists are no wildcards here"
_ODD = re.compile(r"[\[\]{}()|!;^$\"'`“”„‘’‚]")


def misread(pattern: str) -> tuple[str, tuple[str, ...]]:
    """(what to say of the pattern, the patterns that are meant); nothing to say of one that is right."""
    reason, patterns = _meant(pattern)
    return (f"{reason}; {_advice(pattern, patterns)}", patterns) if reason else ("", (pattern,))


def meanings(pattern: str) -> tuple[str, ...]:
    """All that a pattern may have meant, itself included."""
    return tuple(dict.fromkeys((pattern, _end(pattern)[1], *_meant(pattern)[1])))


def _meant(pattern: str) -> tuple[str, tuple[str, ...]]:
    """As `misread`, without the advice: what is said to be meant is right itself."""
    reason, patterns = _mended(pattern)
    for _ in range(_ROUNDS if reason else 0):
        patterns = tuple(dict.fromkeys(each for one in patterns for each in _mended(one)[1]))
        if len(patterns) > _MOST:
            return reason, ("**",)
    return reason, patterns


def _mended(pattern: str) -> tuple[str, tuple[str, ...]]:
    if len(pattern) > _LONGEST:
        return f"it has {len(pattern):,} characters, and names of uploads at most {_LONGEST:,}", ("**",)
    reason, meant = "", pattern
    for slip, mend in _SLIPS:
        mended = mend(meant)
        reason, meant = reason or (slip if mended != meant else ""), mended
    alternatives = _alternatives(meant)
    if alternatives != [meant]:
        reason = reason or _NO_WILDCARDS
    ends = [_end(each) for each in alternatives]
    patterns = tuple(dict.fromkeys(mended for _, mended in ends))
    return reason or ends[0][0], patterns


def _advice(pattern: str, meant: tuple[str, ...]) -> str:
    really = _called_so(pattern, meant)
    really = f", or {really!r} for what is really called so" if really else ""
    if pattern.startswith("!") and len(meant) == 1:
        return f"give what it leaves out a route of its own before this one, and write {meant[0]!r} here{really}"
    if len(meant) == 1:
        return f"did you mean {meant[0]!r}{really}?"
    shown = [*meant] if len(meant) <= _SHOWN else [meant[0], "...", meant[-1]]
    wide = _meant(_COUNT.sub("*", _BRACES.sub("*", _SET.sub("?", pattern))))[1] if len(meant) > _SHOWN else ()
    really = f", or {wide[0]!r} for all that are like them{really}" if len(wide) == 1 else really
    listed = ", ".join(each if each == "..." else repr(each) for each in shown)
    return f"write {listed}, each in a route of its own{really}"


def _called_so(pattern: str, meant: tuple[str, ...]) -> str:
    """How to write a pattern whose characters are meant as they stand; empty where nobody means that."""
    folder = re.fullmatch(r"[./]*(uploads(?:/.*)?)", pattern)
    if folder or meant == (f"{pattern}/**",):
        literal = f"**/{_end(folder[1])[1] if folder else pattern}"
    elif "\\" in pattern or "://" in pattern or len(_ODD.findall(pattern)) > _MOST_ODD:
        return ""
    else:
        literal = _ODD.sub("?", re.sub(r"(^|/)\.\*", r"\1.?*", pattern.strip()))
        last = literal.rpartition("/")[2]
        literal = literal.replace(",", "?") if WILD.search(pattern) and _parts(literal) else literal
        literal += "" if WILD.search(pattern) or not last or _FILE.fullmatch(last) else "/**"
    return literal if literal not in (pattern, *meant) and not _meant(literal)[0] else ""


def _plain_text(pattern: str) -> str:
    return _UNSEEN.sub("", pattern)


def _unquoted(pattern: str) -> str:
    quoted = _QUOTED.fullmatch(pattern)
    return next(part for part in quoted.groups()[1:] if part is not None) if quoted else pattern


def _plain_stars(pattern: str) -> str:
    """Stars of a Japanese or Chinese keyboard; beside plain ones they are part of a name."""
    return pattern if WILD.search(pattern) else pattern.replace("＊", "*")


def _without_exclusion(pattern: str) -> str:
    """What an exclusion leaves may be anything."""
    if pattern.startswith("!") and not pattern.startswith("!("):
        return "**"
    return re.sub(r"!\([^()]*\)", "*", re.sub(r"!\([^()]*\)$", "**", pattern))


def _without_expression(pattern: str) -> str:
    """Of a regular expression, the pattern: `.*` goes through folders, too."""
    if not _EXPRESSION.search(pattern):
        return pattern
    pattern = re.sub(r"^\(\?[a-z]+\)", "", pattern).removeprefix("^").removesuffix("$")
    pattern = re.sub(r"\(\?(?::|P<\w+>)", "(", pattern)
    pattern = re.sub(r"\(\.[*+]\??\)|\.[*+]\??", "**", pattern)
    pattern = re.sub(rf"\(?{_CLASS}(?:[+*]\??|\{{\d+(?:,\d*)?\}})\)?", "*", pattern)
    pattern = re.sub(r"(?<![*/(])(\w)\?", r"{\1,}", re.sub(r"\\[dwsS]", "?", pattern))
    return re.sub(r"\\([^\w\s])", r"\1", pattern)


def _without_escapes(pattern: str) -> str:
    """`\\[raw\\]` and `my\\ folder`, as shells and other patterns have them."""
    for pair in (r"\[", r"\]"), (r"\{", r"\}"), (r"\(", r"\)"):
        begin, end = map(re.escape, pair)
        pattern = re.sub(rf"{begin}([^\[\]{{}}()\\]*){end}", r"?\1?", pattern)
    return re.sub(r"^\\[!#]", "?", pattern).replace("\\ ", " ")


def _without_address(pattern: str) -> str:
    address = re.match(r"[A-Za-z]{2,}://[^/]*/(.*?(?=uploads/))?", pattern)
    if address:
        return unquote(re.sub(r"\?\w+=.*$", "", pattern[address.end() :]))
    return re.sub(r"^/blobServices/default/containers/uploads/blobs/", "", pattern)


def _without_root(pattern: str) -> str:
    return re.sub(r"^([A-Za-z]:)?(\.{0,2}/)+", "", "" if pattern in (".", "..") else pattern)


def _without_dots(pattern: str) -> str:
    """Folders as a path names them, without `.` and `..`."""
    steps: list[str] = []
    for step in re.sub(r"/+", "/", pattern).split("/"):
        if step == ".." and steps and not WILD.search(steps[-1]):
            steps.pop()
        elif step not in (".", ".."):
            steps.append(step)
    return "/".join(steps)


def _without_container(pattern: str) -> str:
    return re.sub(r"^uploads(/|$)", "", pattern)


def _without_names(pattern: str) -> str:
    """`{name}`, as the triggers of Azure Functions have it; it goes through folders, too."""
    name = r"\{\*{0,2}(?:[A-Za-z]\w*)?\}"
    pattern = re.sub(rf"(^|/)(?:{name}\.)?{name}$", r"\1**", pattern)
    return re.sub(name, "*", re.sub(rf"(^|/){name}(?=\.[^/]*$)", r"\1**/*", pattern))


def _few_stars(pattern: str) -> str:
    return re.sub(r"\*{3,}", "**", pattern)


def _as_braces(pattern: str) -> str:
    return _GROUP.sub(lambda group: "{" + group[1].replace("|", ",") + "}", _ONE.sub("?", pattern))


# What is wrong, and the pattern without it; one after the other.
_SLIPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("it has characters that are not seen", _plain_text),
    ("blanks stand at its ends", str.strip),
    ("it has quotes of its own", _unquoted),
    ("stars are written *", _plain_stars),
    ("nothing can be left out by a pattern", _without_exclusion),
    ("it is a regular expression", _without_expression),
    ("backslashes change no character here; ? stands for any", _without_escapes),
    ("names have slashes between their folders", lambda pattern: re.sub(r"\\+", "/", pattern)),
    ("names of uploads begin behind the address", _without_address),
    ("names of uploads begin without a dot or slash", _without_root),
    ("names have a single slash between folders, and no dots", _without_dots),
    ("names of uploads begin behind the container's name", _without_container),
    ("two stars stand for any depth", _few_stars),
    ("a name in braces is no wildcard here", _without_names),
    (_NO_WILDCARDS, _as_braces),
)


def _end(pattern: str) -> tuple[str, str]:
    """(what is wrong with the end of a pattern, the pattern with the end that is meant)."""
    if not pattern:
        return "it is empty, and fits no upload", "**"
    folder, slash, last = pattern.rpartition("/")
    if not last:
        return "no upload ends with a slash", folder if re.search(r"(^|/)\*\*$", folder) else f"{pattern}**"
    if _ENDING.fullmatch(last):
        return "it fits only an upload that is called just so", f"{folder}{slash}*{last}" if slash else f"**/*{last}"
    if not WILD.search(pattern) and not _FILE.fullmatch(last):
        return "it fits only an upload that is called just so", f"{pattern}/**"
    return "", pattern


def _alternatives(pattern: str) -> list[str]:
    """The patterns that one with braces, brackets or bars stands for; of too many, one that takes all of them."""
    kinds = ((_BRACES, _listed, "**"), (_COUNT, _counted, "*"), (_SET, _set, "?"))
    if sum(len(find.findall(pattern)) for find, _, _ in kinds) > _MOST_GROUPS:
        for find, _, anything in kinds:
            pattern = find.sub(anything, pattern)
        return [_few_stars(pattern)]
    for find, members, anything in kinds:
        for found in find.finditer(pattern):
            if not (words := members(found)):
                continue
            before, after = pattern[: found.start()], pattern[found.end() :]
            rest = _alternatives(after) if after else [""]
            each = [f"{before}{word}{end}" for word, end in product(words, rest)]
            if len(each) > _MOST:
                each = [_few_stars(f"{before}{anything}{end}") for end in rest]
                return each[:1] if len(each) > _MOST else each
            return [whole for one in each for whole in _alternatives(one)]
    return _parts(pattern) or [pattern]


def _parts(pattern: str) -> list[str]:
    """The patterns of a list; empty for a pattern that is none, as a name may have commas."""
    if all(map(_FILES.fullmatch, words := pattern.split())) and len(words) > 1:
        return words
    parts = [part for each in re.split(r"[,;|\n]", pattern) if (part := each.strip())]
    wild = [bool(WILD.search(part)) for part in parts]
    plain = not any(wild) and (all(map(_FILE.fullmatch, parts)) or not any(map(_FILE.fullmatch, parts)))
    begun = any(part.endswith(("**", "/")) for part in parts[:-1])
    return parts if len(parts) > 1 and (all(wild) or plain or begun) else []


def _listed(found: re.Match[str]) -> list[str]:
    return [word.strip() for word in found[1].split(",")]


def _counted(found: re.Match[str]) -> list[str]:
    """The numbers, or letters, of `{01..12}`; every one of them where its steps are wide, too."""
    first, last = sorted(found.group(1, 2)) if not found[1].isdigit() else sorted(found.group(1, 2), key=int)
    if first.isdigit() != last.isdigit():
        return []
    if not first.isdigit():
        return [chr(code) for code in range(ord(first), ord(last) + 1)]
    width = max(map(len, (first, last))) if any(re.match(r"0\d", each) for each in (first, last)) else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


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
