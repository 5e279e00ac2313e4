"""Where YOLO's labels of each picture go: a text file with the picture's stem, one for every picture."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from inference.results.words import single

log = logging.getLogger(__name__)


def label_file(name: str) -> Path:
    """Where a picture's labels go: its path with .txt in place of the suffix, never outside the folder."""
    return _inside(name).with_suffix(".txt")


def _inside(name: str) -> Path:
    parts = [p for p in name.replace("\\", "/").split("/") if p not in ("", "..", ".")] or ["picture"]
    # a folder must not be called as a file of labels
    folders = [f"{p}_" if p.lower().endswith(".txt") else p for p in parts[:-1]]
    # a colon names a drive or a stream of a file on Windows
    return Path(*(p.replace(":", "_") for p in (*folders, parts[-1])))


class LabelFiles:
    """Files below a folder, one for every picture: photo.jpg and photo.png would share photo.txt, and the later would
    overwrite the earlier. Both get a name with their suffix then, photo_jpg.txt and photo_png.txt."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # (picture, file) by the file's name in small letters, as some file systems know no others; None: given up
        self._taken: dict[str, tuple[str, Path] | None] = {}

    def of(self, name: str) -> Path:
        """The file for a picture's labels. Renames that of an earlier picture with the same stem."""
        target = label_file(name)
        if _key(target) not in self._taken:
            self._taken[_key(target)] = (name, target)
            return self._folder / target
        mine = self._free(name)
        if earlier := self._taken[_key(target)]:
            self._move(*earlier, name, mine)
        else:
            log.warning("%s would share %s, too: its labels are in %s", *map(single, (name, str(target), str(mine))))
        return self._folder / mine

    def _move(self, earlier: str, old: Path, name: str, mine: Path) -> None:
        """Gives the picture that had the plain name one with its suffix, too, if it has any."""
        self._taken[_key(old)] = None
        theirs = self._free(earlier) if _with_own_suffix(earlier) != old else old
        if theirs != old:
            os.replace(self._folder / old, self._folder / theirs)
        log.warning(
            "%s and %s would share %s: their labels are in %s and %s; rename the pictures alike to train on them",
            *map(single, (earlier, name, str(old), str(theirs), str(mine))),
        )

    def _free(self, name: str) -> Path:
        wanted = _with_own_suffix(name)
        place, number = wanted, 2
        while _key(place) in self._taken:
            place, number = wanted.with_name(f"{wanted.stem}_{number}.txt"), number + 1
        self._taken[_key(place)] = (name, place)
        return place


def _with_own_suffix(name: str) -> Path:
    path = _inside(name)
    suffix = path.suffix.lstrip(".")
    return path.with_name(f"{path.stem}_{suffix}.txt" if suffix else f"{path.name}.txt")


def _key(path: Path) -> str:
    return path.as_posix().casefold()
