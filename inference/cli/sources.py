"""What `analyze` is given: files and folders, and what each file is called in results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from inference.errors import BadRoute
from inference.folder_files import LeftOut, files_in, words_of
from inference.results.words import single
from inference.routes_file import sidecar_target


def files_below(paths: Sequence[Path], unreadable: list[Path] | None = None) -> Iterator[Path]:
    """Files as given, and every file that is meant below the folders, in order; sidecars are left out.

    What else is left out of a folder is said on stderr at its end. unreadable: gets the given folders that are.
    """
    for path in paths:
        if not os.path.isdir(path):  # unlike Path's, not stopped by one path that may not be looked at
            yield path
            continue
        left_out: LeftOut = {}
        try:
            yield from (file for file, _ in files_in(path, left_out) if not sidecar_target(file.name))
        except OSError as error:
            print(single(f"{path}: cannot be read ({error.strerror})"), file=sys.stderr)
            if unreadable is not None:
                unreadable.append(path)
        if left_out:
            print(f"{single(str(path))}: {words_of(left_out)}", file=sys.stderr)


def relative_to_given(path: Path, given: Sequence[Path]) -> Path:
    """The path below the folder that was named on the command line; only the name for a file named itself."""
    for folder in given:
        if os.path.isdir(folder) and path.is_relative_to(folder):
            inside = path.relative_to(folder)
            if ".." not in inside.parts:  # every relative path is below `.`, it seems, also ../a.jpg
                return inside
    return Path(path.name)


def names_of(files: Sequence[Path], given: Sequence[Path], *, keep_apart: bool) -> dict[Path, str]:
    """What each file is called in results: its path below the folder that was named, with slashes, however that was
    typed; under --out its result lies there.

    keep_apart: files that would be called alike keep their paths as typed. Otherwise raises BadRoute for them: a result
    would be lost.
    """
    names = {path: relative_to_given(path, given).as_posix() for path in files}
    first: dict[str, Path] = {}
    for path, name in names.items():
        if (other := first.setdefault(name, path)) == path:
            continue
        if not keep_apart:
            raise BadRoute(
                f"--out: {other} and {path} would both be written to {name}; name a folder that holds both, or "
                "analyse them separately into different folders"
            )
        names[other], names[path] = other.as_posix(), path.as_posix()
    return names
