"""What is said over HTTP names no place of the machine: files of the app by their path in it, others by their name."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud.settings import text_of

APP = Path(__file__).resolve().parents[1]
# Where a path begins in a text, and where it ends: it may stand in quotes, with blanks in it, or before a colon.
_QUOTED = re.compile(r"""(?<=['"])(?:/|[A-Za-z]:[\\/]|\\\\)[^'"\n]*(?=['"])""")
_TOP = "data etc home lib lib64 media mnt nix opt private proc root run snap srv sys tmp usr var Users Volumes"
_REST = r"""[^\s'",;:()\[\]]*"""


def without_paths(said: Any) -> Any:
    """A JSON value with every text as `text_without_paths`."""
    if isinstance(said, str):
        return text_without_paths(said)
    if isinstance(said, Mapping):
        return {text_without_paths(str(key)): without_paths(value) for key, value in said.items()}
    return [without_paths(value) for value in said] if isinstance(said, list | tuple) else said


def text_without_paths(text: str) -> str:
    """The text with the app's own files as they are called in it, and `.../NAME` for all others of this machine.

    Addresses, resource ids and names of blobs look alike: what counts are paths in quotes that are there, and those
    below the folders of this machine.
    """
    for root in (str(APP), APP.as_posix()):
        text = re.sub(rf"{re.escape(root)}[\\/]", "", text).replace(root, ".")
    text = _QUOTED.sub(lambda found: _name(found.group()) if _is_here(found.group()) else found.group(), text)
    return _roots().sub(lambda found: _name(found.group()), text)


def _name(path: str) -> str:
    return ".../" + path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _is_here(path: str) -> bool:
    """Whether it leads somewhere on this machine, or its first folder does."""
    try:
        parts = Path(path).parts
        return len(parts) > 1 and Path(*parts[:2]).exists()
    except (OSError, ValueError):
        return False


def _roots() -> re.Pattern[str]:
    """A path below a folder of this machine: Python's, the user's, those of settings and of the file system."""
    set_by = (text_of(name) for name in ("DROPSIGHT_MODELS", "DROPSIGHT_PUBLIC_MODELS", "DROPSIGHT_WEIGHTS"))
    named = (str(Path(path)) for text in set_by for path in text.split(os.pathsep) if os.path.isabs(path))
    known = {*named, sys.prefix, sys.base_prefix, tempfile.gettempdir(), os.getcwd(), str(Path.home()), str(APP.parent)}
    top = (f"/{name}" for name in _TOP.split())
    found = sorted({root for root in (*known, *top) if len(root) > 1}, key=len, reverse=True)
    return re.compile(rf"(?<![\w./\\-])(?:{'|'.join(map(re.escape, found))})(?:[\\/]{_REST})?(?<![.])(?![\w-])")
