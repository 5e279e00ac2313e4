"""The files below a folder that are meant: what is left out is remembered, and can be said in a line.

Hidden files, clutter, our own results and exports, and what is no file are left out. A link to a file stands for that
file; a link to a folder is not followed, since it may lead in a circle or out to a whole disk.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from inference.clutter import is_clutter, is_clutter_folder
from inference.errors import UnreadableMedia
from inference.plain_text import single
from inference.results.plurals import counted

_SHOWN = 3  # names of a kind
CLUTTER, HIDDEN, FOLDER_LINK, DEAD_LINK = "piece of clutter", "hidden entry", "linked folder", "dead link"
NO_FILE, UNREADABLE_FOLDER, UNREADABLE = "special file", "unreadable folder", "unreadable file"
RESULTS, IN_RESULTS, EXPORT = "folder of results", "file of results", "export of results"
RESULTS_NOTE = ".analysed.json"  # lies in the folders that `analyze --out` wrote
MADE_OF = ".made-of"  # lies beside each result there

_DOCUMENTS = ("result.json", "error.json")  # one of them lies in a folder that belongs to one file
_SCHEMA = re.compile(rb'"schema"\s*:\s*"dropsight/')
_EXPORTS = (
    b'{"schema": "dropsight/',
    b'{"info": {"description": "results of Dropsight"',
    b"file,step,task,label,label_id,",
)
_EXPORT_SUFFIXES = (".json", ".jsonl", ".csv")
_BEGINNING = 256  # bytes of a document, which says first what it is
_LONGEST_NOTE = 2**20

LeftOut = dict[str, str]  # by the name below the folder, folders with a slash at the end: what it is, one of the above


def files_in(folder: Path, left_out: LeftOut, never: Path | None = None) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file that is meant, ordered by path, and what its `stat` says; the others are put into `left_out`.

    never: a folder that is not gone into, as what is made of the files is written there. Folders of results are left
    out, unless the folder itself is one: who names it means the pictures in it. Raises OSError where the folder itself
    cannot be read.
    """
    is_ours = _is_never(never) if is_results(folder) else _is_never(never, is_results)
    waiting: list[tuple[str, bool]] = list(reversed(_entries(folder, "", left_out, is_ours)))
    while waiting:
        name, is_folder = waiting.pop()
        path = folder / name
        try:
            if is_folder:
                waiting += reversed(_entries(path, f"{name}/", left_out, is_ours))
                continue
            status = path.stat()
        except FileNotFoundError:
            if path.is_symlink():
                left_out[name] = DEAD_LINK  # else it is gone again
        except OSError as error:
            kind = DEAD_LINK if error.errno == errno.ELOOP else UNREADABLE
            left_out[f"{name}/" if is_folder else name] = UNREADABLE_FOLDER if is_folder else kind
        else:
            if stat.S_ISREG(status.st_mode):
                if is_export(path):
                    left_out[name] = EXPORT
                    continue
                yield path, status
            elif stat.S_ISDIR(status.st_mode):
                left_out[f"{name}/"] = FOLDER_LINK
            else:
                left_out[name] = NO_FILE  # opening a pipe would wait for a writer


def is_results(folder: Path) -> bool:
    """Whether all that lies in a folder was made by us of files that lie elsewhere: `analyze --out` wrote it, a data
    set was exported to it, or it belongs to one file, as in a copy of the container of results."""
    if os.path.lexists(folder / RESULTS_NOTE):
        return not _holds_one_of(folder, _beginning(folder / RESULTS_NOTE, _LONGEST_NOTE))
    return any(_SCHEMA.search(_beginning(folder / name, _BEGINNING)) for name in _DOCUMENTS)


def is_export(file: Path) -> bool:
    """Whether `export` wrote a file, which is no photo that cannot be read."""
    return file.suffix.lower() in _EXPORT_SUFFIXES and _beginning(file, _BEGINNING).startswith(_EXPORTS)


def _beginning(path: Path, count: int) -> bytes:
    """The first bytes of a file; none of one that cannot be read, or is not there."""
    try:
        if os.path.isfile(path):  # opening a pipe would wait for a writer
            with open(path, "rb") as file:
                return file.read(count)
    except OSError:
        pass
    return b""


def _holds_one_of(folder: Path, noted: bytes) -> bool:
    """Whether one of the folders that a note names lies in the folder, or is it: pictures and results are mixed then,
    and only the folders of single results are known as such."""
    try:
        named = json.loads(noted).get("folders") or ()
        whole = os.path.realpath(folder)
        return any(os.path.commonpath([whole, real]) == whole for real in map(os.path.realpath, named))
    except (ValueError, TypeError, AttributeError, RecursionError):  # no note of ours; on another drive
        return False


def _is_never(never: Path | None, also: Callable[[Path], bool] = lambda folder: False) -> Callable[[Path], bool]:
    """Whether a folder is `never`, however that is spelled, or what `also` says."""
    try:
        status = os.stat(os.path.realpath(never)) if never else None
    except OSError:
        status = None  # not made yet

    def check(folder: Path) -> bool:
        try:
            return (status is not None and os.path.samestat(status, folder.stat())) or also(folder)
        except OSError:
            return False  # said where it is gone into

    return check


def _entries(folder: Path, prefix: str, left_out: LeftOut, is_ours: Callable[[Path], bool]) -> list[tuple[str, bool]]:
    """What lies in a folder, in order: (name below the uppermost folder, whether it is a folder to go into)."""
    entries = []
    with os.scandir(folder) as found:
        for entry in found:
            is_folder = entry.is_dir(follow_symlinks=False) and not _is_junction(entry)
            name = prefix + entry.name
            if is_clutter_folder(entry.name) if is_folder else is_clutter(entry.name):
                left_out[f"{name}/" if is_folder else name] = CLUTTER
            elif is_folder and is_ours(Path(entry.path)):
                left_out[f"{name}/"] = RESULTS  # maps and annotated pictures are no photos to be labelled
            elif entry.name in (RESULTS_NOTE, MADE_OF):
                pass  # who names a folder of results means the pictures in it
            elif entry.name.startswith("."):
                left_out[f"{name}/" if is_folder else name] = HIDDEN
            else:
                entries.append((name, is_folder))
    return sorted(entries)


def _is_junction(entry: os.DirEntry[str]) -> bool:
    """Whether it is Windows' other kind of link to a folder."""
    tag = getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) if os.name == "nt" else 0
    return tag == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)


def size_of(file: Path) -> int:
    """The bytes of a file that was named. Raises UnreadableMedia where there is none, or where it cannot be reached."""
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableMedia(f"{file}: no such file; check the path") from error
    except OSError as error:
        raise UnreadableMedia(f"{file}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
        raise UnreadableMedia(f"{file}: no file but a folder, pipe, socket or device; save its content in a file")
    return status.st_size


def words_of(left_out: LeftOut, where: Iterable[str] | None = None) -> str:
    """ "left out: 3 pieces of clutter (@eaDir/, Thumbs.db, x.tmp), 1 dead link (a.jpg)"; nothing for nothing.

    where: the names that are spoken of; None: all.
    """
    kinds: dict[str, list[str]] = {}
    for name in sorted(left_out if where is None else where):
        kinds.setdefault(left_out[name], []).append(name)
    parts = [
        f"{counted(len(names), kind)} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in kinds.items()
    ]
    return single(f"left out: {', '.join(parts)}") if parts else ""
