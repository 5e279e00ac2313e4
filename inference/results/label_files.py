"""What the pictures of a YOLO data set and their files of labels are called.

Trainers find a picture's labels by its path: the last `/images/` becomes `/labels/`, and what follows the last dot
becomes `txt`. So a picture has a place, its path without suffix, which both have in common and no other picture has. A
place is the picture's own name where every file system can hold it, so that a data set may move from one to another.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

# What pictures' names end in; anything else behind a dot belongs to the name (scan.1, scan.2).
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff",
     ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".pnm", ".ppm", ".pgm", ".pbm", ".dng")
)  # fmt: skip
# What Windows has no room for in a name, control characters, and bytes that are no UTF-8.
_ODD = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_TRAILING = re.compile(r"[. ]+$")
# Names that mean devices on Windows, whatever follows a dot.
_DEVICE = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?= *(\.|$))", re.IGNORECASE)
# Bytes of a name without its suffix, and of a path: file systems allow 255 with it, and some 4,000.
_MOST, _MOST_PATH = 250, 1000


def places(names: Sequence[str]) -> list[str]:
    """The place of each picture: its path in images/ and in labels/ without the suffix, relative, with slashes.

    Pictures whose places would be the same on some file system (photo.jpg and photo.png, A.jpg and a.jpg) all get their
    suffix into it, and a number where that does not help: photo_jpg and photo_png, A_jpg and a_jpg_2.
    """
    own = [place_of(name) for name in names]
    sharing: dict[str, list[int]] = {}
    for i, place in enumerate(own):
        sharing.setdefault(_key(place), []).append(i)
    taken = set(sharing)
    for several in sharing.values():
        for i in several if len(several) > 1 else ():
            wanted = _with_suffix(names[i], own[i])
            own[i], number = wanted, 2
            while _key(own[i]) in taken:
                own[i], number = _lengthened(wanted, f"_{number}"), number + 1
            taken.add(_key(own[i]))
    return own


def place_of(name: str) -> str:
    """The place of a picture that shares it with no other."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", "..", ".")] or ["picture"]
    folders, last = [_folder(part) for part in parts[:-1]], _fitting(stem_and_suffix(parts[-1])[0])
    path = "/".join((*folders, last))
    if len(path.encode("utf-8")) > _MOST_PATH:  # the folders' names are in the hash
        path = f"{_hash('/'.join(parts[:-1]))}/{last}"
    return path


def stem_and_suffix(name: str) -> tuple[str, str]:
    """(the stem, the suffix with its dot) of a picture's name; the suffix is empty where it is not one of pictures."""
    path = PurePosixPath(name)
    return (path.stem, path.suffix) if path.suffix.lower() in SUFFIXES else (path.name, "")


def is_renamed(name: str, place: str) -> bool:
    """Whether trainers would not find the labels of a picture that is put into images/ under its own name."""
    suffix = stem_and_suffix(name)[1]
    return not suffix or name.removesuffix(suffix) != place


def _folder(part: str) -> str:
    """A folder's name that no file beside it has, and that is not where trainers look for pictures."""
    fitting = _TRAILING.sub(lambda found: "_" * len(found[0]), _fitting(part))
    is_like_a_file = PurePosixPath(fitting).suffix.lower() in (*SUFFIXES, ".txt")
    return f"{fitting}_" if is_like_a_file or fitting == "images" else fitting


def _fitting(part: str) -> str:
    """A name that every file system can hold, and that is not hidden: trainers do not see hidden pictures."""
    plain = _DEVICE.sub(r"\1_", _ODD.sub("_", part))
    plain = f"_{plain[1:]}" if plain.startswith(".") else plain or "_"
    return _short(plain, part, _MOST)


def _short(text: str, whole: str, most: int) -> str:
    """The text in at most so many bytes, if need be with a hash of the whole name at its end."""
    data = text.encode("utf-8")
    return text if len(data) <= most else f"{data[: most - 9].decode('utf-8', 'ignore')}-{_hash(whole)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _with_suffix(name: str, place: str) -> str:
    suffix = stem_and_suffix(name)[1]
    return _lengthened(place, f"_{suffix[1:]}") if suffix else place


def _lengthened(place: str, end: str) -> str:
    folder, slash, last = place.rpartition("/")
    return f"{folder}{slash}{_short(last, last, _MOST - len(end))}{end}"


def _key(place: str) -> str:
    """What file systems take for the same name: macOS knows no composed characters, it and Windows no capitals."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", place).casefold())
