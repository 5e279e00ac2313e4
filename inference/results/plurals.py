"""Counted labels in English: 1 face, 6 faces, 3 people. Imports nothing that costs."""

from __future__ import annotations

import re

# A label that English rules may be applied to: words of letters. "defect_07" or "нога" is not.
_ENGLISH = re.compile(r"[A-Za-z][a-z]*(?:[ '-][A-Za-z]?[a-z]*)*")
_CODE = re.compile(r"[A-Z]{2,}")
# In "cup of coffee" it is the cup that is counted.
_HEAD = re.compile(r"(?<=\w) (?:of|in|on|with|for|at) ")
_IRREGULAR = {
    "person": "people", "child": "children", "man": "men", "woman": "women", "mouse": "mice", "louse": "lice",
    "goose": "geese", "foot": "feet", "tooth": "teeth", "ox": "oxen", "knife": "knives", "wife": "wives",
    "life": "lives", "leaf": "leaves", "loaf": "loaves", "shelf": "shelves", "calf": "calves", "wolf": "wolves",
    "half": "halves", "scarf": "scarves", "thief": "thieves", "elf": "elves", "potato": "potatoes",
    "tomato": "tomatoes", "hero": "heroes", "mango": "mangoes", "mosquito": "mosquitoes", "buffalo": "buffaloes",
    "tv": "TVs", "volcano": "volcanoes", "quiz": "quizzes", "cactus": "cacti", "axis": "axes", "oasis": "oases",
}  # fmt: skip
_SAME = {
    "sheep", "deer", "fish", "moose", "bison", "salmon", "trout", "shrimp", "squid", "cattle", "aircraft",
    "spacecraft", "hovercraft", "broccoli", "spaghetti", "bread", "rice", "hair", "grass", "water", "sand", "snow",
    "sky", "food", "fruit", "text", "furniture", "luggage", "traffic", "vegetation", "people",
}  # fmt: skip
_HUMANS = ("human", "german", "roman", "caiman", "talisman", "shaman")


def counted(count: int, label: str) -> str:
    """`count` of what `label` names. A label that is not plain English words stays as it is: 3 × defect_07."""
    if not _ENGLISH.fullmatch(label) or _CODE.match(label):
        return f"{count} × {label}"
    return f"{count} {label if count == 1 else plural(label)}"


def plural(label: str) -> str:
    """The plural of a name in English of one or more words; the last word changes, or that before a preposition."""
    if split := _HEAD.search(label):
        return plural(label[: split.start()]) + label[split.start() :]
    start = max(label.rfind(" "), label.rfind("-")) + 1
    word = label[start:]
    return label[:start] + _plural_word(word)


def _plural_word(word: str) -> str:
    low = word.lower()
    if low in _IRREGULAR:
        made = _IRREGULAR[low]
        return made.capitalize() if word[:1].isupper() else made
    if low in _SAME or low.endswith("fish"):
        return word
    if low.endswith("man") and not low.endswith(_HUMANS):
        return f"{word[:-2]}en"
    if low.endswith(("ss", "us", "x", "ch", "sh", "z")):
        return f"{word}es"
    if low.endswith("s"):
        return word  # skis, scissors, jeans: plural already
    if low.endswith("y") and low[-2:-1] not in (*"aeiou", ""):
        return f"{word[:-1]}ies"
    return f"{word}s"
