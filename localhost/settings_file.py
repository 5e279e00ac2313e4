"""local.settings.json and host.json as Core Tools and the real host read them: JSON with comments (``//`` to the end of
the line, ``/* */``), with trailing commas, and with a byte order mark. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localhost.errors import SettingsError

# A string that no quote ends and a comment without an end match nothing: json says where the first begins.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/|[^\s",{}\[\]/]+|\S', re.DOTALL)
_NO_VARIABLE = {"\0", *map(chr, range(0xD800, 0xE000))}  # halves of surrogate pairs: they have no bytes


def read(path: Path) -> dict[str, Any]:
    """The object in a settings file. Raises SettingsError, with line and column where the JSON is wrong."""
    return _parsed(path)


def read_local_settings(path: Path) -> dict[str, Any]:
    """The object in a local.settings.json, with all numbers as text, and text alone in ``Values``, where it has any.

    As Core Tools do, a number there is taken as it is written (``1.50``), a boolean as ``true`` or ``false``, and null
    as a setting that is not there. Raises SettingsError.
    """
    content = _parsed(path, parse_int=str, parse_float=str)
    if content.get("IsEncrypted"):
        raise SettingsError(f"{path}: is encrypted. Run `func settings decrypt`, or set IsEncrypted to false.")
    if "Values" in content:
        values = section(content, "Values", path)
        content["Values"] = {name: _text(name, value, path) for name, value in values.items() if value is not None}
    return content


def section(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """The object ``name`` of a settings file, empty where there is none. Raises SettingsError."""
    found = content.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: {name} is a {_kind(found)}, expected an object. Correct the file.")
    return found


def _text(name: str, value: object, path: Path) -> str:
    """A value as an environment variable may have it."""
    text = str(value).lower() if isinstance(value, bool) else value
    if not isinstance(text, str):
        expected = "app settings are text. Write it in quotes, and a backslash before each quote in it"
        raise SettingsError(f"{path}: value of {name!r} is a {_kind(value)}; {expected}.")
    if not name or "=" in name or not _NO_VARIABLE.isdisjoint(name + text):
        expected = "expected a name without '=', and name and value without NUL and half characters"
        shown = name.partition("=")[0] + "=..." * ("=" in name)  # what follows may be meant as the value
        raise SettingsError(f"{path}: the setting {shown!r} cannot be an environment variable: {expected}.")
    return text


def _kind(value: object) -> str:
    """What JSON calls it. The value itself may be a secret."""
    kinds = {dict: "JSON object", list: "list", str: "text", bool: "truth value"}
    return kinds.get(type(value), "number")


def _parsed(path: Path, **options: Any) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        # UTF-8, or what the byte order mark says: Windows PowerShell writes UTF-16.
        content = json.loads(plain(data.decode(json.detect_encoding(data))), **options)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error}). Make it readable.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text ({error}). Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid JSON ({error}). Correct the file.") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: found a {type(content).__name__}, expected a JSON object.")
    return content


def plain(text: str) -> str:
    """The same text with blanks for comments and trailing commas: every other character keeps its line and column.

    Strings stay as they are, addresses with ``//`` included. Raises ValueError for a comment without an end.
    """
    characters = list(text)
    last, comma = "", -1  # the token before, and where a comma waits for what comes after it
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith(("//", "/*")):
            characters[match.start() : match.end()] = re.sub(r"[^\r\n]", " ", token)
            continue
        if token == "/" and text.startswith("/*", match.start()):
            raise json.JSONDecodeError("Comment without an end", text, match.start())
        if token in "]}" and comma >= 0:
            characters[comma] = " "
        comma = match.start() if token == "," and last not in ("", ",", "[", "{", ":") else -1
        last = token[-1]
    return "".join(characters)
