"""What a value, or a line of TOML, that cannot be used was meant for, to append to the message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from reprlib import Repr
from typing import Any, get_args
from unicodedata import category, name

_AT = re.compile(r"\(at line (\d+), column (\d+)\)")
_NUMBER = re.compile(r"\s*([+-]?\d{1,15}(?:[.,]\d{1,15})?)\s*(%?)\s*")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlong = 30
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12


def shown(value: Any) -> str:
    """A value in a sentence, however long it is, as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 90:
        return f"a number of {len(str(abs(value)))} digits"
    return _SHORT.repr(value)


def meant_value(kind: type, value: Any) -> str:
    """The nearest value of that type (int, float or bool); empty where there is none."""
    if isinstance(value, str):
        return _unquoted(kind, value)
    if kind is int and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"; did you mean {int(value)}?"
    if kind is bool and isinstance(value, int | float) and value in (0, 1):
        return f"; did you mean {'true' if value else 'false'}?"
    return ""


def unlike(word: str, meant: str) -> str:
    """Names the characters by which a word differs that look alike, or cannot be seen."""
    odd = [each for each in dict.fromkeys(word) if not each.isascii() and each not in meant and _looks_alike(each)]
    return f", without {ascii(''.join(odd[:8]))}" if odd else ""


def _looks_alike(character: str) -> bool:
    return category(character) in ("Mn", "Cf", "Zs") or name(character, "").startswith(("CYRILLIC", "GREEK"))


def meant_share(text: str) -> str:
    """The share that a text as `40%` or `0,4` was meant for; empty where there is none."""
    found = _NUMBER.fullmatch(text)
    return f"; did you mean {float(found[1].replace(',', '.')) / (100 if found[2] else 1):.12g}?" if found else ""


def _unquoted(kind: type, text: str) -> str:
    if kind is bool:
        word = text.strip().lower()
        return f"; write {'true' if word in _TRUE else 'false'} without quotes" if word in (*_TRUE, *_FALSE) else ""
    found = _NUMBER.fullmatch(text)
    if not found or kind not in (int, float):
        return ""
    number = float(found[1].replace(",", "."))
    if found[2]:
        return meant_share(text) if kind is float else ""
    return f"; write {number:.15g} without quotes" if kind is float or number.is_integer() else ""


def meant_table(cls: type, value: Any) -> str:
    """How to write the table of this dataclass that another value was meant for."""
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    if isinstance(value, str) and len(needed) == 1:
        return f'; did you mean {{ {needed[0]} = "{value[:60]}" }}?'
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "; there is only one, whose name stands in single brackets"
    return ""


def place_of(key: str, types: Mapping[str, Any]) -> str:
    """Where among these fields, which are tables of their own, the key belongs."""
    places = [field for field, kind in types.items() if any(key in _keys(part) for part in _parts(kind))]
    return f"; it belongs into {' or '.join(places)}" if places else ""


def _parts(kind: Any) -> list[Any]:
    return [kind, *(part for each in get_args(kind) for part in _parts(each))]


def _keys(kind: Any) -> list[str]:
    return [f.name for f in fields(kind) if f.init] if isinstance(kind, type) and is_dataclass(kind) else []


def meant_line(text: str, problem: str) -> str:
    """The line of TOML that could not be read, and what to write instead where that is plain."""
    at = _AT.search(problem)
    if not at:
        return ""
    line = text.split("\n")[int(at[1]) - 1]
    rest = line[int(at[2]) - 1 :]
    hint = next((hint for pattern, hint in _LINES if re.match(pattern, f"{rest}\n{line}\n{problem}")), "")
    return f", {shown(line.strip())}" + (f"; {hint}" if hint else "")


# By what stands from the column on, then the whole line, then the parser's words.
_LINES = (
    (r"\{[^\n]*\n\{", "TOML has lines of key = value, and no braces around them"),
    (r"[“”„‟‘’‚«»]", 'quotes are straight here: "'),
    (r"(True|False)\b", "true and false have small letters"),
    (r"(None|null|nil)\b", "leave the key out"),
    (r"\.\d", "a number begins with a digit: 0.5"),
    (r"%", "percent are shares here: 0.4 for 40 %"),
    (r":", "keys and values have = between them"),
    (r"(?s:.*)\n(Unescaped|Invalid hex|[^\n]*escape)", "write / between folders, or the text in single quotes"),
    (r"[^\n]*\n[^\n]*=\s*\d+,\d", "numbers have a point: 0.5"),
    (r"\n[^\n]*\{", "a table in braces stands on one line"),
    (r"[^\W\d_]", "text stands in quotes"),
)
