"""What pictures are called in exports: relative to the folder that was analysed, whatever their results say."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence

from inference.errors import BadRoute
from inference.results.export_options import Notes

_DRIVE = re.compile(r"[A-Za-z]:/")


def export_names(found: Sequence[tuple[str, str]], notes: Notes) -> list[str]:
    """The names in an export of results with these (name of the source, place of the result), one for each.

    Relative, with slashes, without `..`. A name that is absolute or leads upwards, as older results have them, is cut
    to what it has in common with the result's place; without a place the folder that all such names have in common is
    taken off. Where several are called alike, their places are their names. Raises BadRoute where those are alike, too.
    """
    parts = [_parts(name) for name, _ in found]
    astray = [i for i, (name, _) in enumerate(found) if _leads_out(name)]
    rootless = []
    for i in astray:
        same = _common_end(parts[i], _parts(found[i][1]))
        rootless += [] if same else [i]
        parts[i] = parts[i][len(parts[i]) - same :] if same else parts[i]
    root = len(posixpath.commonprefix([parts[i][:-1] for i in rootless]))
    for i in rootless:
        parts[i] = parts[i][root:]
    names = ["/".join(p) or "picture" for p in parts]
    for i in astray:
        notes.add("named by a whole path, written without the folder that was analysed", names[i])
    return _apart(names, found, notes)


def _slashes(name: str) -> str:
    return name.replace("\\", "/")


def _leads_out(name: str) -> bool:
    plain = posixpath.normpath(_slashes(name))
    return plain.startswith("/") or plain.split("/")[0] == ".." or bool(_DRIVE.match(plain))


def _parts(name: str) -> list[str]:
    """The folders and the name of a path, without a drive and what leads upwards."""
    plain = posixpath.normpath(_DRIVE.sub("/", _slashes(name), count=1)) if name else ""
    return [part for part in plain.split("/") if part not in ("", ".", "..")]


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    """How many parts at the end are the same."""
    length = 0
    while length < min(len(a), len(b)) and a[-1 - length] == b[-1 - length]:
        length += 1
    return length


def _apart(names: list[str], found: Sequence[tuple[str, str]], notes: Notes) -> list[str]:
    """With the places of those that are called alike."""
    alike: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        alike[name].append(i)
    taken = {name: found[several[0]][1] for name, several in alike.items() if len(several) == 1}
    for name, several in alike.items():
        for i in several if len(several) > 1 else ():
            place = "/".join(_parts(found[i][1]))
            if not place or place in taken:
                other = taken.get(place, found[several[several[0] == i]][1])
                raise BadRoute(
                    f"{name}: two results, in {other or '?'} and {found[i][1] or '?'}, are of pictures of this name; "
                    "export them separately"
                )
            taken[place], names[i] = found[i][1], place
            notes.add("called as another picture is, so that the folder of the results is in front", place)
    return names
