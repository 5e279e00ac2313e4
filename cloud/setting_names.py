"""Names in an environment that were meant as settings and are none. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

_OURS = "DROPSIGHT_"
_OURS_BEGIN = re.compile("DROPSIGHT[^A-Z0-9]")  # a hyphen, a dot or a colon in place of the underscore is ours, too
# Read elsewhere: by the tools of development.
_NOT_SETTINGS = ("DROPSIGHT_AZURITE",)
# Names of other programs that are as near to ours as a slip would be, and what others begin theirs with.
_OTHERS = ("SLEEP_SECONDS", "SLEEP_SCHEDULE", "AZUREML_WORKSPACE_ID", "ROUTER_FILE")
_OTHERS_BEGIN = ("AZUREWEBJOBS", "AZUREFUNCTIONS", "FUNCTIONS_", "WEBSITE_", "PYTHON", "AZURE_")
# What is left of a name of ours without what it begins with, and says nothing.
_WORDS = ("MODELS", "WEIGHTS", "PROVIDERS")
_LONG = 12
_SHORT = 6


def wrong_names(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """A sentence for each name that begins as ours do, or is a slip of the keys away from one of ours, and is none
    (`MAX_CONCURENT`, `max_attempts`). known: the names of all settings.

    Everything else in an environment is the host's, Python's or another program's.
    """
    sentences = {}
    for name in sorted(set(names) - set(known)):
        upper = name.upper()
        if upper in _OTHERS or upper in _NOT_SETTINGS:
            continue
        ours = bool(_OURS_BEGIN.match(upper.strip()))
        begun = [word for word in known if ours and len(upper) > len(_OURS) and word.startswith(upper)]
        meant = min((word for word in known if _is_slip(upper, word)), default=begun[0] if len(begun) == 1 else "")
        if meant and (ours or not upper.startswith(_OTHERS_BEGIN)):
            case = "" if upper != meant else " Capitals count"
            sentences[name] = f"{_shown(name)} is no setting; did you mean {meant}?{case}"
        elif ours:
            named = ", ".join(sorted(word for word in known if word.startswith(_OURS)))
            sentences[name] = f"{_shown(name)} is no setting; those that begin so are {named}"
    return sentences


def _shown(name: str) -> str:
    """In quotes where it looks like another name: with a space at an end, or letters of other scripts."""
    return name if name.isascii() and name.isprintable() and " " not in name else ascii(name)


def _is_slip(name: str, word: str) -> bool:
    """Whether `name` is `word` but for separators, the beginning of ours, or one letter too many, too few, wrong, or in
    its neighbour's place; of a long word two too many or too few."""
    ours = _OURS.rstrip("_")
    plain, wanted = (re.sub("[^A-Z0-9]", "", text) for text in (name, word))
    if wanted in (plain, plain.removeprefix(ours)) or plain == wanted.removeprefix(ours):
        return plain not in _WORDS
    if not wanted.startswith(ours):
        plain = plain.removeprefix(ours)
    long = len(wanted) > _LONG
    return abs(len(plain) - len(wanted)) <= 2 and len(wanted) >= _SHORT and _slips(plain, wanted, long) <= 1 + long


def _slips(name: str, word: str, long: bool) -> int:
    """How many letters are too many, too few, or changed places (Damerau's distance). In a long word of another length
    a wrong letter counts as two: it is more often another word."""
    wrong = 2 if long and len(name) != len(word) else 1
    before, row = [0] * (len(word) + 1), list(range(len(word) + 1))
    for i, letter in enumerate(name, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(word, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other) * wrong)
            if i > 1 and j > 1 and letter == word[j - 2] and name[i - 2] == other:
                best = min(best, older[j - 2] + 1)
            row.append(best)
    return row[-1]
