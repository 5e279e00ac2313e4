"""A folder of this machine that `models download` fills: afterwards it holds one version's files, and no others."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud.models.model_files import files_below
from inference.errors import BadModel


def fill(folder: Path, fetch: Callable[[Path], object]) -> Path:
    """Replace what is in `folder` by what `fetch` puts into the folder that it is given; returns its full path.

    Only files of an earlier download are replaced, which a note beside the folder lists. Raises BadModel where it holds
    anything else, or cannot be written; then, and where `fetch` fails, it is as it was.
    """
    folder = folder.expanduser().resolve()
    note = folder.parent / f".{folder.name}.download.json"
    try:
        _refuse_what_is_not_ours(folder, note)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            new = beside / "new"
            new.mkdir()
            fetch(new)
            _swap(new, folder, beside / "old")
            note.write_text(json.dumps({"files": _files(folder)}), encoding="utf-8")
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise BadModel(
            f"{folder} cannot be filled ({error.strerror or error}); name another folder with --to"
        ) from error
    return folder


def _swap(new: Path, folder: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise


def _refuse_what_is_not_ours(folder: Path, note: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BadModel(f"{folder} is a file; name a folder with --to")
    ours = _noted(note)
    for relative, state in _files(folder).items():
        if ours.get(relative) != state:
            raise BadModel(
                f"{folder} holds {relative}, which no earlier download put there as it is now, and everything in it "
                "would be replaced: name another folder with --to, or move it away"
            )


def _noted(note: Path) -> dict[str, Any]:
    try:
        files = json.loads(note.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return files if isinstance(files, dict) else {}


def _files(folder: Path) -> dict[str, list[int]]:
    """(bytes, time of the last change in ns) of every file."""
    return {name: [path.stat().st_size, path.stat().st_mtime_ns] for name, path in files_below(folder)}
