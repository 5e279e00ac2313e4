"""The pictures of a YOLO data set, copied or linked to where trainers look for them.

Labels are shares of the upright picture. Trainers differ in what they make of an EXIF orientation, and in the kinds
that they read: pictures that a camera turned, and those of a kind that not all of them read, are written upright.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inference.errors import DropsightError
from inference.image.limits import read_bytes
from inference.image.media import decode
from inference.image.sniff import SNIFF_BYTES, sniff
from inference.results.export_options import Notes, Put
from inference.results.label_files import stem_and_suffix

# Kinds that all trainers read, with the suffixes by which they know them; the first is given to other names.
_READ = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/bmp": (".bmp",),
    "image/webp": (".webp",),
}
# Kinds that lose nothing more as JPEG; others become PNG.
_PHOTOS = ("image/jpeg", "image/heic", "image/avif")
_QUALITY = 95


class DataSetPictures:
    """The pictures of a data set in `folder`, from the first of `sources` that has them. notes: says what was not found
    or is not copied as it is."""

    def __init__(self, sources: Sequence[Path], folder: Path, put: Put, notes: Notes) -> None:
        self._sources, self._folder, self._put, self._notes = sources, folder, put, notes

    def add(self, name: str, place: str, source: Mapping[str, Any]) -> Path | None:
        """The file of the picture `name` in the data set; None where there is none. source: of its document."""
        path = self._found(name, source)
        if path is None:
            return None
        try:
            return self._add(path, name, place, source)
        except (DropsightError, OSError) as error:
            why = (error.strerror or error) if isinstance(error, OSError) else error
            self._notes.add("{count} pictures cannot be read, so that their labels have none", f"{name}: {why}")
            return None

    def _found(self, name: str, source: Mapping[str, Any]) -> Path | None:
        there = [path for folder in self._sources if (path := folder / name).is_file()]
        same = [path for path in there if source.get("bytes") in (None, 0, path.stat().st_size)]
        if same:
            return same[0]
        if there:
            self._notes.add(
                "{count} pictures have changed since they were analysed and are left out: do it again", name
            )
        else:
            where = (
                "in " + " and ".join(map(str, self._sources[:3])) if self._sources else "(their folder is not known)"
            )
            self._notes.add(
                f"{{count}} pictures are not found {where}: name their folder with --pictures, or put them into "
                f"{self._folder} yourself",
                name,
            )
        return None

    def _add(self, path: Path, name: str, place: str, source: Mapping[str, Any]) -> Path:
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
        media_type = sniff(head)
        is_read, orientation = media_type in _READ and not _is_animated(head), source.get("orientation")
        if is_read and orientation in (1, None) and (orientation or decode(read_bytes(path)).orientation == 1):
            suffix = stem_and_suffix(name)[1]
            suffix = suffix if suffix.lower() in _READ[media_type] else _READ[media_type][0]
            return self._put_as_it_is(path, self._target(place, suffix))
        target = self._written_upright(path, place, media_type)
        what = "turned by their camera" if is_read else "of a kind that not all trainers read"
        self._notes.add(f"{{count}} pictures are {what}: they are written upright as {target.suffix[1:]}", name)
        return target

    def _target(self, place: str, suffix: str) -> Path:
        target = self._folder / f"{place}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _put_as_it_is(self, path: Path, target: Path) -> Path:
        if target.exists() and target.samefile(path) and not target.is_symlink():
            return target  # they lie there already
        if self._put == "link":
            try:
                _place(target, lambda temporary: os.symlink(path.resolve(), temporary))
                return target
            except OSError as error:  # Windows asks for a right to make links
                self._notes.add(f"pictures are copied, as links cannot be made here ({error.strerror or error})")
        _place(target, lambda temporary: shutil.copyfile(path, temporary))
        return target

    def _written_upright(self, path: Path, place: str, media_type: str) -> Path:
        image = decode(read_bytes(path)).full()
        if media_type in _PHOTOS:
            target = self._target(place, ".jpg")
            _place(target, lambda temporary: image.save(temporary, "JPEG", quality=_QUALITY, subsampling=0))
        else:
            target = self._target(place, ".png")
            _place(target, lambda temporary: image.save(temporary, "PNG"))
        return target


def _is_animated(head: bytes) -> bool:
    """Whether a WebP has several pictures, of which some readers give none."""
    return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _place(target: Path, write: Callable[[Path], object]) -> None:
    """A file that gets its name only when all of it is written."""
    with _temporary(target.parent) as folder:
        write(folder / "picture")
        os.replace(folder / "picture", target)


@contextmanager
def _temporary(beside: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=beside, prefix=".export-") as name:
        yield Path(name)
