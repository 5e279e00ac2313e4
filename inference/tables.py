"""TOML files to frozen dataclasses and back: every key and type checked, with the nearest known word in the message."""

from __future__ import annotations

import codecs
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from datetime import time as clock
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from inference.errors import BadManifest, Permanent
from inference.meant_values import meant_line, meant_table, meant_value, place_of, shown, unlike
from inference.small_file import content_of

T = TypeVar("T")


_LISTED = 30  # of known words, in a sentence
# tomllib's time grows with the square of a key's length and more: one of 60 KB takes it two minutes. What is found in
# strings does no harm.
_MOST_PARTS = 100
_PART = re.compile(r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')""")
_DOTTED = re.compile(rf"{_PART.pattern}(?:[ \t]*+\.[ \t]*+{_PART.pattern})*+")


class _Misfit(Exception):
    """A value that its annotation does not allow; turned into the caller's error at the surface."""


class NotText(UnicodeDecodeError):
    """Bytes that are no text in a known encoding; `str` names the line."""

    def __str__(self) -> str:
        line = self.object.count(b"\n", 0, self.start) + 1
        found = self.object.split(b"\n")[line - 1].strip()
        return f"line {line}, {found[:40]!r}, is {self.reason}"


def read_toml(source: Path | bytes | str, where: str = "", error: type[Permanent] = BadManifest) -> dict[str, Any]:
    """The table of a TOML file, or of its content, as Windows editors write it too (see `text_of`).

    where: begins the messages (default: the file). Raises `error`.
    """
    where = where or str(source)
    text = ""
    try:
        text = source if isinstance(source, str) else text_of(source)
        if any(len(_PART.findall(key.group())) > _MOST_PARTS for key in _DOTTED.finditer(text)):
            raise ValueError(f"a key of more than {_MOST_PARTS} parts with dots between them")
        return tomllib.loads(text)
    except OSError as problem:
        raise error(f"{where}: cannot be read ({problem.strerror}); check the file and its rights") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{where}: cannot be read ({problem}); save it as UTF-8") from problem
    except (ValueError, RecursionError) as problem:  # also a number of thousands of digits, and lists without end
        raise error(f"{where}: not valid TOML ({problem}){meant_line(text, str(problem))}") from problem


# UTF-32's mark begins with that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def text_of(source: Path | bytes) -> str:
    """The text of a file or its bytes, without byte order mark and with lines that end in \\n: UTF-8; UTF-16 or UTF-32
    by their mark; UTF-16 without one where every other byte is NUL.

    Other bytes are not guessed at: the code pages of different countries fit all of them. Raises OSError, NotText.
    """
    data = content_of(source) if isinstance(source, Path) else source
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "") or _unmarked(data)
    try:
        text = data.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise NotText(encoding, data, error.start, error.end, f"not {encoding.upper()} text") from error
    if "\0" in text:
        at = data.index(0)
        raise NotText(encoding, data, at, at + 1, "no text, as it has NUL bytes")
    # Lines of old Macs end in \r; what is converted twice on Windows has \r\r\n.
    # In one pass: a run of \r is looked at once, also where no \n ends it.
    return re.sub(r"(\r+)(\n?)", lambda ends: ends[2] or "\n" * len(ends[1]), text) if "\r" in text else text


def _unmarked(data: bytes) -> str:
    """UTF-16 where NULs stand only at odd places, or only at even places, and at half of these at least, as in text of
    Latin letters; else UTF-8, which has none."""
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if data.count(0) >= max(len(data) // 4, 1) and data.count(0) == data[first::2].count(0) and len(data) % 2 == 0:
            return encoding
    return "utf-8"


def build(cls: type[T], values: Any, where: str, error: type[Permanent] = BadManifest) -> T:
    """Fill a dataclass from a table. `where` begins the messages. Raises `error`.

    A ValueError of the dataclass's own `__post_init__` (a value out of its range) becomes `error` with its place.
    """
    try:
        return _build(cls, values, where)
    except _Misfit as misfit:
        raise error(str(misfit)) from None


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` may be a misspelling of, or of its beginning; None where there is none."""
    from difflib import SequenceMatcher  # lazily: only mistakes need it

    meant = _simple(word)

    def likeness(candidate: str) -> float:
        there = _simple(candidate)
        whole = SequenceMatcher(None, meant, there).ratio()
        # "yunett" begins as "yunet-2023mar" does, although "lpd-yunet" has more of its letters in all.
        begun = SequenceMatcher(None, meant, there[: len(meant)]).ratio() if len(meant) >= 4 else 0.0
        # Slips seldom change the first letter: "stride" is no misspelt "tile".
        least = 0.6 if meant[:1] == there[:1] else 0.7
        return max(whole if whole >= least else 0.0, begun if begun >= 0.75 else 0.0)

    best = max(known, key=likeness, default=None)
    return best if best is not None and likeness(best) else None


def _simple(word: str) -> str:
    """Without what is mistaken most: capitals, blanks around, and which line joins the words."""
    return word.strip().casefold().replace("_", "-").replace(" ", "-")


def nearest(word: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message about an unknown word: the nearest known word, else all of them, or some."""
    known = sorted(known)
    if close := closest(word, known):
        return f"; did you mean {close!r}{unlike(word, close)}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED + 3 else ""
    return f"; known are {', '.join(known[:_LISTED] if more else known) or 'none'}{more}"


def _build(cls: type[T], values: Any, where: str) -> T:
    if not isinstance(values, Mapping):
        raise _Misfit(f"{where}: found {shown(values)}, expected a table of keys and values{meant_table(cls, values)}")
    types = _types(cls)  # type: ignore[arg-type]
    known = {f.name: f for f in fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            hint = getattr(cls, "not_here", {}).get(key.casefold()) or place_of(key, types) or nearest(key, known)
            raise _Misfit(f"{where}: unknown key {shown(key)}{hint}")
    missing = [name for name, f in known.items() if _required(f) and name not in values]
    if missing:
        raise _Misfit(f"{where}: {', '.join(repr(m) for m in missing)} must be given")
    filled = {key: _fit(types[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**filled)
    except ValueError as error:
        raise _Misfit(f"{where}: {error}") from None


@cache
def _types(cls: type) -> dict[str, Any]:
    late = getattr(cls, "late_types", dict)  # names that the class's module does not import
    return get_type_hints(cls, localns=late())


def _required(f: Any) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _fit(kind: Any, value: Any, where: str) -> Any:
    """One value checked against its annotation; lists become tuples, single values tuples of length 1."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if value not in args:
            known = [str(a) for a in args if a != ""]
            meant = nearest(str(value), known)
            listed = f" (known: {', '.join(known)})" if meant.endswith("?") else ""
            raise _Misfit(f"{where}: found {shown(value)}{meant}{listed}")
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        if args[-1] is not ... and len(items) != len(args):
            whole = "" if isinstance(value, list | tuple | str | Mapping) else "; a pair of brackets may be missing"
            raise _Misfit(f"{where}: found {shown(value)}, expected {len(args)} values{whole}")
        return tuple(_fit(args[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _Misfit(f"{where}: found {shown(value)}, expected a table")
        return {str(k): _fit(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if args:
        return _fit_union(args, value, where)
    if isinstance(kind, type) and is_dataclass(kind) and not isinstance(value, kind):
        return _build(kind, value, where)
    if isinstance(value, float) and not math.isfinite(value):
        raise _Misfit(f"{where}: found {value}, expected a finite number")
    if isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool)):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _Misfit(f"{where}: found a number of {len(str(value))} digits, expected a smaller one") from None
    raise _Misfit(f"{where}: found {shown(value)}, expected {_words(kind)}{meant_value(kind, value)}")


def _fit_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    reasons: list[_Misfit] = []
    if all(get_origin(kind) is Literal for kind in kinds):
        return _fit(Literal[tuple(word for kind in kinds for word in get_args(kind))], value, where)
    for kind in kinds:
        if kind is not type(None):
            try:
                return _fit(kind, value, where)
            except _Misfit as misfit:
                reasons.append(misfit)
    if int in kinds and isinstance(value, str):  # whose percent need not be shares
        raise _Misfit(f"{where}: found {shown(value)}, expected {_words(kinds[-1])}{meant_value(int, value)}")
    raise reasons[-1]


def _words(kind: type) -> str:
    words: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    words[datetime] = "a date and time without quotes, as in 2026-12-01T03:00:00"
    return words.get(kind, kind.__name__)


def to_toml(table: Mapping[str, Any], path: str = "") -> str:
    """A table as TOML text: plain values first, then the sections [preprocess] and [postprocess]; other
    tables stay on their line. path: the section that the text stands in."""
    sections = {k: v for k, v in table.items() if isinstance(v, Mapping) and k in ("preprocess", "postprocess")}
    text = "".join(f"{_key(k)} = {_toml_value(v)}\n" for k, v in table.items() if k not in sections)
    for key, value in sections.items():
        name = f"{path}.{key}" if path else key
        text += f"\n[{name}]\n{to_toml(value, name)}"
    return text


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, int | float):
        return repr(float(value) if isinstance(value, float) else int(value))  # numpy's floats have a repr of their own
    if isinstance(value, date | clock):
        return value.isoformat()
    raise TypeError(f"{value!r} has no place in a TOML file")
