"""What shows that a file of a model's folder changed, whichever it is: weights, labels, manifest, what lies beside."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# A folder with more than this is somebody's data; its model is then told by the first files of it.
_MOST_FILES = 1000
_DEEPEST = 6
# Written while a model serves, or shown to people only.
_ASIDE = (".log", ".tmp", ".lock", ".md", ".pdf", ".jpg", ".jpeg", ".png", ".gif", ".webp", ".mp4", ".mov", ".pyc")
# What may speak for a loose .onnx file, beside it.
_SIDE = (".toml", ".json", ".txt", ".csv", ".names", ".labels", ".pbtxt", ".yaml", ".yml", ".xml")
# Weights on their way, under a name for the time being: they are no matter of the model, and that they grow is.
_BEGUN = re.compile(r"\.onnx.*\.tmp$", re.IGNORECASE)
_OF_RSYNC = re.compile(r"\..+\.[A-Za-z0-9]{6}")


class Stamp(NamedTuple):
    """files: (path in the folder, bytes, and in ns the times of its content and of the file itself; copies keep the
    first). Empty where nothing is there."""

    files: tuple[tuple[str, int, int, int], ...] = ()

    def age_s(self, root: Path) -> float:
        """How long ago something there was last written, added or taken away, by this machine's clock."""
        newest = max((max(mtime, ctime) for _, _, mtime, ctime in self.files), default=0)
        try:
            folder = (root if root.is_dir() else root.parent).stat()  # its times tell of what was taken away
            newest = max(newest, folder.st_mtime_ns)
        except OSError:
            pass
        return time.time() - newest / 1e9


def stamp_of(root: Path) -> Stamp:
    """Of a model's folder, and of what lies in folders of it; of a loose file, and of side files beside it.

    Tens of microseconds for a folder of a few files. What cannot be read counts as not there.
    """
    try:
        if root.is_dir():
            return Stamp(tuple(_below(root, "", _DEEPEST)))
        return Stamp(tuple(_beside(root)) if root.is_file() else ())
    except OSError:
        return Stamp()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and not _OF_RSYNC.fullmatch(name)


def _below(folder: Path | str, inside: str, depth: int, most: int = _MOST_FILES) -> Iterator[tuple[str, int, int, int]]:
    with os.scandir(folder) as found:
        entries = sorted((e for e in found if not _is_hidden(e.name)), key=lambda e: e.name)
    for entry in entries:
        if most <= 0:
            return
        if entry.is_dir():
            if depth and entry.name != "samples":
                for file in _below(entry.path, f"{inside}{entry.name}/", depth - 1, most):
                    most -= 1
                    yield file
        elif not entry.name.lower().endswith(_ASIDE) or _BEGUN.search(entry.name):
            most -= 1
            yield _state(f"{inside}{entry.name}", entry)


def _beside(file: Path) -> Iterator[tuple[str, int, int, int]]:
    with os.scandir(file.parent) as found:
        entries = sorted((e for e in found if e.name.lower().endswith(_SIDE) or e.name == file.name), key=_name)
    yield from (_state(entry.name, entry) for entry in entries[:_MOST_FILES] if entry.is_file())


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _state(name: str, entry: os.DirEntry[str]) -> tuple[str, int, int, int]:
    try:
        stat = os.stat(entry.path)  # Windows' listing has the times of a while ago
    except OSError:  # a link that leads nowhere
        return name, -1, 0, 0
    return name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
