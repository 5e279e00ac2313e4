"""The app settings of local.settings.json, for commands beside a local run: as `func` and `dev.py run` take them."""

from __future__ import annotations

import json
import re
from collections.abc import MutableMapping
from pathlib import Path

from cloud.settings import BadSettings

FILE = Path(__file__).resolve().parents[1] / "local.settings.json"
_STORAGE = "AzureWebJobsStorage"
# What Core Tools allow beyond JSON: comments, and a comma before a closing bracket. Strings stay as they are.
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[\]}])', re.DOTALL)


def use_local_settings(settings: MutableMapping[str, str], file: Path = FILE) -> bool:
    """Add what the file says to `settings`, where that names no storage at all and there is a file; whether it did.

    Settings of one account are never mixed with the storage of another. What is set already stays. Raises BadSettings.
    """
    said = {name for name, value in settings.items() if value.strip()}  # blank counts as unset
    if any(name == "STORAGE_CONNECTION" or name.startswith(_STORAGE) for name in said) or not file.exists():
        return False
    settings.update({name: value for name, value in _values(file).items() if name not in said})
    return True


def _values(file: Path) -> dict[str, str]:
    how = f"mend it, or set {_STORAGE} in the environment"
    try:
        data = file.read_bytes()
        text = data.decode(json.detect_encoding(data)).lstrip("\ufeff")
        for beyond in (_COMMENT, _COMMA):
            text = beyond.sub(lambda match: match[1] or " ", text)
        content = json.loads(text, parse_int=str, parse_float=str)
    except (OSError, ValueError, RecursionError) as error:
        raise BadSettings(f"{file}: cannot be read ({error}); {how}") from error
    values = content.get("Values") if isinstance(content, dict) else None
    if not isinstance(values, dict) or content.get("IsEncrypted"):
        found = "is encrypted" if isinstance(values, dict) else "has no Values"
        raise BadSettings(f'{file}: {found}; expected {{"IsEncrypted": false, "Values": {{...}}}}: {how}')
    values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    wrong = [name for name, value in values.items() if not _fits(name, value)]
    if wrong:
        raise BadSettings(
            f"{file}: {', '.join(map(repr, wrong[:5]))} can be no app setting, whose value is text; {how}"
        )
    return {name: value for name, value in values.items() if value is not None}


def _fits(name: str, value: object) -> bool:
    """Whether it can stand in the environment; null is a setting that is not there."""
    if value is None:
        return True
    text = f"{name}{value}"
    halves = any("\ud800" <= char <= "\udfff" for char in text)
    return isinstance(value, str) and bool(name) and "=" not in name and "\0" not in text and not halves
