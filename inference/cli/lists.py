"""A text file that names files, as other tools take it for a list of sources."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

_SUFFIXES = (".txt", ".lst", ".list", ".streams", ".csv")
_BEGINNING = 4096


def words_on_list(path: Path) -> str:
    """How to analyse the files that a text names; nothing where it names none."""
    if path.suffix.lower() not in _SUFFIXES:
        return ""
    try:
        with path.open("rb") as file:
            lines = file.read(_BEGINNING).decode("utf-8-sig", "replace").splitlines()
    except OSError:
        return ""
    first = next((line.strip() for line in lines if line.strip()), "")
    if not (os.path.lexists(first) or os.path.lexists(path.parent / first) or re.match(r"(https?|rtsps?)://", first)):
        return ""
    if os.name == "nt":
        return f"to analyse the files that it names: ... analyze (Get-Content '{path}')"
    return f"to analyse the files that it names: tr '\\n' '\\0' < {shlex.quote(str(path))} | xargs -0 ... analyze"
