"""The folder of --out: results and their files, as they would lie in storage, and notes of what they were made of."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inference.cli.analysed_folders import note_folders
from inference.cli.made_of import MadeOf, read_made_of
from inference.cli.sources import Item, same_place
from inference.errors import BadRoute, DropsightError, StorageUnavailable
from inference.folder_files import MADE_OF
from inference.plain_text import single
from inference.results.export_rows import Document, whole_file
from inference.results.formats import ERROR_FILE, RESULT_FILE, read_document
from inference.results.map_files import inside
from inference.results.plurals import counted
from inference.results.result import Source, error_document
from inference.results.strict_json import json_text
from inference.small_file import content_of
from inference.steps import Analysis

_SHOWN = 3  # names of results without their files


@dataclass(frozen=True)
class ResultsFolder:
    """path: the folder that --out names; names: of the results of this run, of which each has a folder below it."""

    path: Path
    names: frozenset[str]

    @staticmethod
    def make(out: Path, given: Sequence[Path], names: Mapping[Item, str]) -> ResultsFolder:
        """Raises BadRoute where nothing could be written under --out: before hours of work, not after."""
        for item, name in names.items():
            if item.path and same_place(item.path, out / name):
                raise BadRoute(
                    f"--out {out}: the result of {item.shown} is a folder of the file's own name, which would lie in "
                    f"its place; name another folder, such as {out / 'results'}"
                )
        try:
            out.mkdir(parents=True, exist_ok=True)
            note_folders(out, given)
        except OSError as error:
            raise BadRoute(
                f"--out {out}: cannot be made a folder to write to ({error.strerror}); name another"
            ) from error
        return ResultsFolder(out, frozenset(names.values()))

    def stored(self, name: str, made_of: MadeOf) -> Document | None:
        """The result document of the same content and options, where it lies there with all its files."""
        folder = self.path / name
        noted = _noted(folder)
        if not noted or not noted.is_like(made_of) or RESULT_FILE not in noted.files:
            return None
        if any(_size(folder / file) != size for file, size in noted.files.items()):
            return None
        with suppress(DropsightError):
            return read_document(folder / RESULT_FILE)
        return None

    def write(
        self,
        name: str,
        source: Source,
        document: dict[str, Any],
        analysis: Analysis | None = None,
        made_of: MadeOf | None = None,
    ) -> dict[str, Any]:
        """Write a document and its files; those of an earlier result that do not belong to it are removed.

        Returns the document; the error document of a file whose result could not be written.
        """
        try:
            _write(self.path / name, document, analysis, made_of)
        except OSError as error:
            why = StorageUnavailable(f"{source.name}: its result cannot be written ({error})")
            return error_document(source, why)
        return document

    def say_gone(self, folders: Iterable[Path]) -> None:
        """Names the results of files that lay below these folders and are there no more."""
        for folder in folders:
            gone = sorted(self._gone(folder))
            if gone:
                names = f"{', '.join(gone[:_SHOWN])}{', ...' if len(gone) > _SHOWN else ''}"
                are = "is of a file" if len(gone) == 1 else "are of files"
                what = f"{counted(len(gone), 'result')} {are} no longer in {folder}: {names}"
                print(single(f"{self.path}: {what}; delete what nobody needs"), file=sys.stderr)

    def _gone(self, folder: Path) -> Iterator[str]:
        base = os.path.join(os.path.realpath(folder), "")
        for here, _, files in os.walk(self.path):
            name = Path(here).relative_to(self.path).as_posix()
            if MADE_OF in files and name not in self.names:
                noted = _noted(Path(here))
                if noted and noted.file.startswith(base) and _is_gone(noted.file):
                    yield name


def _is_gone(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass  # nobody can say
    return False


def _write(folder: Path, document: dict[str, Any], analysis: Analysis | None, made_of: MadeOf | None) -> None:
    """What it was made of is noted last: whatever ends the process before, the file is not taken for done. Until then
    the note names all files that may lie there, so that a later run can remove those that are nobody's."""
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _files_of(folder)
    artifacts = dict(analysis.artifacts) if analysis else {}
    _note(folder, MadeOf("", "", made_of.file if made_of else "", dict.fromkeys([*earlier, *artifacts], 0)))
    for name, content in artifacts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.move(content, target)  # the temporary folder may lie on another disk
        except OSError:
            with suppress(OSError):
                target.unlink()  # half a picture on a full disk
            raise
    name, other = (ERROR_FILE, RESULT_FILE) if document["status"] == "error" else (RESULT_FILE, ERROR_FILE)
    with whole_file(folder / name) as file:
        file.write(json_text(document, indent=1, ascii_only=True))
    (folder / other).unlink(missing_ok=True)  # of an earlier run
    _remove(folder, earlier.difference(artifacts, (name,)))
    if made_of:
        sizes = {each: (folder / each).stat().st_size for each in (*artifacts, name)}
        _note(folder, replace(made_of, files=sizes))
    else:
        (folder / MADE_OF).unlink()


def _note(folder: Path, made_of: MadeOf) -> None:
    path = folder / MADE_OF
    if not path.is_file():  # a pipe is waited for
        path.unlink(missing_ok=True)
    with whole_file(path) as file:
        file.write(made_of.to_json())


def _noted(folder: Path) -> MadeOf | None:
    try:
        return read_made_of(content_of(folder / MADE_OF).decode("utf-8"))
    except (OSError, ValueError):
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _files_of(folder: Path) -> set[str]:
    """The files that an earlier result in the folder says are its own."""
    if noted := _noted(folder):
        return set(noted.files)
    try:
        return set(_named(read_document(folder / RESULT_FILE)))
    except DropsightError:
        return set()


def _named(document: Document) -> Iterator[str]:
    """The files that a document names, as releases before the note of them left it alone."""
    yield from document.get("artifacts", {}).values()
    for step in document["steps"]:
        own = [step.get("map"), (step.get("embedding") or {}).get("artifact")]
        found = [prediction.get("mask") for prediction in step["predictions"]]
        yield from (name for name in (*own, *found) if isinstance(name, str))


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Removes files below a folder, and the folders that are empty then. What a note names that leads elsewhere, or is
    no file, stays."""
    base = Path(os.path.realpath(folder))
    for name in names:
        with suppress(DropsightError, OSError, ValueError):
            path = base / inside(str(folder), name)
            if path.parent.resolve().is_relative_to(base) and path.name != MADE_OF:
                path.unlink(missing_ok=True)
                if path.parent != base:
                    path.parent.rmdir()
