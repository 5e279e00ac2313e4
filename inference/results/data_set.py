"""The pictures of a YOLO data set, copied or linked to where trainers look for them.

Labels are shares of the upright picture. Trainers differ in what they make of an EXIF orientation, and in the kinds
that they read: pictures that a camera turned, and those of a kind that not all of them read, are written upright.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from inference.errors import DropsightError
from inference.image.limits import read_bytes
from inference.image.media import Picture, decode
from inference.image.sniff import SNIFF_BYTES, sniff
from inference.results.export_options import ExportOptions, Notes
from inference.results.label_files import stem_and_suffix

Document = Mapping[str, Any]
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
_UNFINISHED = ".export-"


class DataSetPictures:
    """The pictures of a data set in `folder`, from the first of `options.pictures` that has them, else fetched. notes:
    says what was not found or is not copied as it is."""

    def __init__(self, folder: Path, options: ExportOptions, notes: Notes) -> None:
        self._folder, self._options, self._notes = folder, options, notes

    def add(self, name: str, place: str, source: Document) -> Path | None:
        """The file of the picture `name` in the data set; None where there is none. source: of its document. Raises
        OSError where it cannot be written."""
        if path := self._found(name, source):
            return self._add(path, name, place, source, self._options.put == "link")
        if self._options.fetch:
            with _temporary(self._folder) as folder:
                if self._options.fetch(source, folder / "picture"):
                    return self._add(folder / "picture", name, place, source, link=False)
        self._say_missing(name, source)
        return None

    def _found(self, name: str, source: Document) -> Path | None:
        there = self._named(name, source)
        same = [path for path in there if source.get("bytes") in (None, 0, path.stat().st_size)]
        return same[0] if same else None

    def _named(self, name: str, source: Document) -> list[Path]:
        """Files of that name, or of the result's own where that has backslashes, which exports know as folders."""
        own = PurePath(source["name"])
        names = [name] if own.is_absolute() or ".." in own.parts else [name, source["name"]]
        return [path for folder in self._options.pictures for n in names if os.path.isfile(path := folder / n)]

    def _say_missing(self, name: str, source: Document) -> None:
        sources = self._options.pictures
        if self._named(name, source):
            say = "{count} pictures have changed since they were analysed and are left out: analyse them again"
        else:
            where = f"in {' and '.join(map(str, sources[:3]))}" if sources else "(their folder is not known)"
            say = f"{{count}} pictures are not found {where}: name their folder with --pictures, or put them into "
            say += str(self._folder)
        self._notes.add(say, name)

    def _add(self, path: Path, name: str, place: str, source: Document, link: bool) -> Path | None:
        try:
            with path.open("rb") as file:
                head = file.read(SNIFF_BYTES)
            media_type = sniff(head)
            as_it_is = media_type in _READ and not _is_animated(head)
            if not as_it_is or source.get("orientation") != 1:
                picture = decode(read_bytes(path))
                as_it_is = as_it_is and picture.orientation == 1
        except (DropsightError, OSError) as error:
            why = (error.strerror or error) if isinstance(error, OSError) else error
            self._notes.add("{count} pictures cannot be read, so that their labels have none", f"{name}: {why}")
            return None
        if not as_it_is:
            turned = media_type in _READ and picture.orientation != 1
            what = "turned by their camera" if turned else "of a kind that not all trainers read"
            self._notes.add(f"{{count}} pictures are {what}: they are written upright", name)
            return self._written(picture, place)
        suffix = stem_and_suffix(name)[1]
        suffix = suffix if suffix.lower() in _READ[media_type] else _READ[media_type][0]
        return self._put_as_it_is(path, self._target(place, suffix), link)

    def _target(self, place: str, suffix: str) -> Path:
        target = self._folder / f"{place}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _put_as_it_is(self, path: Path, target: Path, link: bool) -> Path:
        if target.exists() and target.samefile(path) and not target.is_symlink():
            return target  # they lie there already
        if link:
            try:
                _place(target, lambda temporary: os.symlink(path.resolve(), temporary))
                return target
            except OSError as error:  # Windows asks for a right to make links
                self._notes.add(f"pictures are copied, as links cannot be made here ({error.strerror or error})")
        _place(target, lambda temporary: shutil.copyfile(path, temporary))
        return target

    def _written(self, picture: Picture, place: str) -> Path:
        if picture.media_type in _PHOTOS:
            target, kind = self._target(place, ".jpg"), "JPEG"
        else:
            target, kind = self._target(place, ".png"), "PNG"
        _place(target, lambda temporary: picture.full().save(temporary, kind, quality=_QUALITY, subsampling=0))
        return target


def _is_animated(head: bytes) -> bool:
    """Whether a WebP has several pictures, of which some readers give none."""
    return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _place(target: Path, write: Callable[[Path], object]) -> None:
    """A file that gets its name only when all of it is written. Raises OSError, which names the file at fault."""
    try:
        with _temporary(target.parent) as folder:
            write(folder / "picture")
            os.replace(folder / "picture", target)
    except OSError as error:
        # a copy that cannot go on (a full disk) names the file that it reads first
        if error.filename is None or error.filename2 is not None or _UNFINISHED in str(error.filename):
            error.filename, error.filename2 = str(target), None
        raise


@contextmanager
def _temporary(beside: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=beside, prefix=_UNFINISHED) as name:
        yield Path(name)
