"""What `analyze` is given (files, folders, patterns, addresses, standard input), and what each file is called in
results."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from inference.cli.no_sources import STDIN, shown, why_not
from inference.clutter import is_clutter
from inference.errors import BadRoute, UnreadableMedia
from inference.folder_files import (
    CLUTTER,
    EXPORT,
    IN_RESULTS,
    RESULTS,
    LeftOut,
    files_in,
    is_export,
    is_results,
    words_of,
)
from inference.plain_text import single
from inference.routes_file import sidecar_target

_LONGEST_NAME = 200  # bytes
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_WILDCARD = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Item:
    """A file to analyse.

    shown: as it was typed, without secrets. name: its path below the folder that was named, with slashes. path: None
    for what has to be fetched first, from `url`, or from standard input where that is empty, too.
    """

    shown: str
    name: str
    path: Path | None = None
    url: str = ""


@dataclass(frozen=True)
class Typed:
    """A word of the command line.

    paths: what it stands for on this machine, None for what has to be fetched. base: the folder below which these have
    their names, None where they are named alone. pattern: whether they were found by one. fitting: of the files in
    `base`, only those whose path there this pattern fits, part by part.
    """

    text: str
    paths: tuple[Path, ...] | None
    base: Path | None = None
    pattern: bool = False
    fitting: tuple[str, ...] = ()

    def places(self) -> Sequence[Path]:
        """The folder that names are relative to, or the file."""
        return (self.base,) if self.base is not None else self.paths or ()


def typed(words: Sequence[str]) -> list[Typed]:
    """What the words stand for, before any file is opened. Raises UnreadableMedia for what can be no file."""
    if words.count(STDIN) > 1:
        raise UnreadableMedia(f"{STDIN} is given {words.count(STDIN)} times; standard input holds one file")
    return [_typed(word) for word in words]


def _typed(word: str) -> Typed:
    if why := why_not(word):
        raise UnreadableMedia(why)
    if word == STDIN:
        if sys.stdin.isatty():
            raise UnreadableMedia("- reads standard input, which is this terminal; pipe a file into it: ... - < a.jpg")
        return Typed(word, None)
    if word[:8].lower() == "https://" and not os.path.lexists(word):
        _check_address(word)
        return Typed(word, None)
    if not os.path.lexists(word) and (braces := _BRACES.search(word)):
        each = (shlex.quote(word[: braces.start()] + part + word[braces.end() :]) for part in braces[1].split(","))
        raise UnreadableMedia(f"{word}: no such file, and braces are not read; give each: {' '.join(islice(each, 3))}")
    if not os.path.lexists(word) and _WILDCARD.search(word):
        return _matching(word)
    path = Path(word)
    # unlike Path's, not stopped by one path that may not be looked at
    return Typed(word, (path,), path if os.path.isdir(path) else None)


def _check_address(word: str) -> None:
    try:
        parts = urlsplit(word)
        if parts.hostname and parts.port != 0:  # which raises ValueError for no number
            return
    except ValueError:
        pass
    raise UnreadableMedia(f"{shown(word)}: not an address; check how it is written (https://host/path)")


def _matching(pattern: str) -> Typed:
    """The files that a shell would put in place of a quoted pattern; `**` stands for folders of any depth."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if _WILDCARD.search(part))
    base = Path(*parts[:fixed])
    if "**" in parts:  # not by `glob`, which follows links in a circle
        return Typed(pattern, (base,) if base.is_dir() else (), base, fitting=parts[fixed:])
    return Typed(pattern, tuple(map(Path, sorted(glob.glob(pattern)))), base, pattern=True)


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def items_of(given: Sequence[Typed], out: Path | None = None, unreadable: list[Path] | None = None) -> list[Item]:
    """Every file that is meant, in order, each once. out: the folder for results, whose files never are.

    unreadable: gets the folders that are. Raises BadRoute where `out` is what was given, UnreadableMedia where a
    pattern fits nothing.
    """
    bases = [base for each in given if (base := each.base) is not None]
    several = any(not any(map(is_results, each.paths or ())) for each in given)
    found: dict[Item, None] = {}
    for each in given:
        if each.paths is None:
            found[_far(each.text)] = None
            continue
        if not each.paths:
            raise _nothing(each.text)
        paths = list(files_below(_without_results(each, out, several), unreadable, out))
        if each.fitting:
            paths = [path for path in paths if _fits(_below(path, each.base).parts, each.fitting)]
            if not paths:
                raise _nothing(each.text)
        found.update((Item(str(path), relative_to_given(path, bases).as_posix(), path), None) for path in paths)
    return list(found)


def _nothing(pattern: str) -> UnreadableMedia:
    folder = next(path for path in Path(pattern).parents if not _WILDCARD.search(str(path)))
    if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
        return UnreadableMedia(f"{pattern}: {folder} cannot be read; change its permissions")
    return UnreadableMedia(f"{pattern}: no file has such a name; check the pattern and the folder")


def _far(text: str) -> Item:
    if text == STDIN:
        return Item("stdin", "stdin")
    address = urlsplit(text)
    last = unquote(address.path.rstrip("/").rpartition("/")[2]) or address.hostname or "address"
    last = re.sub(r'[/\\\x00-\x1f\x7f<>:"|?*]', "_", last)  # a single name, on every system
    last = last.encode("utf-8", "replace")[-_LONGEST_NAME:].decode("utf-8", "ignore")
    return Item(shown(text), f"_{last}" if last.startswith(".") else last, url=text)


def _without_results(each: Typed, out: Path | None, several: bool) -> list[Path]:
    """What a word stands for but for folders of results, and for what lies in them, which a pattern or the shell has
    put among others. Who names one alone means the pictures in it."""
    kept: list[Path] = []
    left_out: LeftOut = {}
    for path in each.paths or ():
        is_out = out is not None and os.path.isdir(path) and same_place(path, out)
        if is_out and not each.pattern and (not several or (not is_results(path) and any(path.iterdir()))):
            raise BadRoute(f"--out {out}: this folder is analysed; name another, such as {path / 'results'}")
        if is_out or ((each.pattern or several) and is_results(path)) or _is_in_results(path, each, out):
            left_out[f"{path}/" if path.is_dir() else str(path)] = RESULTS if path.is_dir() else IN_RESULTS
        elif each.pattern and is_clutter(_below(path, each.base).as_posix()):
            left_out[str(path)] = CLUTTER
        elif each.pattern and is_export(path):
            left_out[str(path)] = EXPORT
        elif not (each.pattern and sidecar_target(path.name)):
            kept.append(path)
    if left_out:
        print(f"{single(each.text)}: {words_of(left_out)}", file=sys.stderr)
    return kept


def _is_in_results(path: Path, each: Typed, out: Path | None) -> bool:
    """Whether what a pattern found lies in a folder of results below the pattern's own folder."""
    inside = _below(path, each.base) if each.pattern else Path()
    folders = [each.base / folder for folder in inside.parents if each.base and folder.parts]
    return any(is_results(folder) or (out is not None and same_place(folder, out)) for folder in folders)


def _below(path: Path, base: Path | None) -> Path:
    return path.relative_to(base) if base and path.is_relative_to(base) else path


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file or folder that is there."""
    try:
        return os.path.samefile(os.path.realpath(one), os.path.realpath(other))  # `no/..` may be made first
    except OSError:
        return False


def files_below(
    paths: Sequence[Path], unreadable: list[Path] | None = None, never: Path | None = None
) -> Iterator[Path]:
    """Files as given, and every file that is meant below the folders, in order; sidecars are left out.

    What else is left out of a folder is said on stderr at its end. unreadable: gets the given folders that are. never:
    a folder that is not gone into.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        left_out: LeftOut = {}
        try:
            yield from (file for file, _ in files_in(path, left_out, never) if not sidecar_target(file.name))
        except OSError as error:
            print(single(f"{path}: cannot be read ({error.strerror})"), file=sys.stderr)
            if unreadable is not None:
                unreadable.append(path)
        if left_out:
            print(f"{single(str(path))}: {words_of(left_out)}", file=sys.stderr)


def relative_to_given(path: Path, folders: Sequence[Path]) -> Path:
    """The path below the folder that was named on the command line; only the name for a file named itself."""
    for folder in folders:
        if path.is_relative_to(folder):
            inside = path.relative_to(folder)
            if inside.parts and ".." not in inside.parts:  # every relative path is below `.`, it seems, also ../a.jpg
                return inside
    return Path(path.name)


def names_of(items: Sequence[Item], *, keep_apart: bool) -> dict[Item, str]:
    """What each file is called in results; under --out its result lies there.

    keep_apart: files that would be called alike keep their paths as typed. Otherwise raises BadRoute for them: a result
    would be lost.
    """
    names = {item: item.name for item in items}
    first: dict[str, Item] = {}
    for item, name in list(names.items()):
        if (other := first.setdefault(name, item)) == item:
            continue
        if not keep_apart:
            raise BadRoute(
                f"--out: {other.shown} and {item.shown} would both be written to {name}; name a folder that holds "
                "both, or analyse them separately into different folders"
            )
        for each in (other, item):
            names[each] = each.path.as_posix() if each.path else each.shown
    return names
