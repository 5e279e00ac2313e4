"""What an export is told, and what it tells: options, notes on what was left out or renamed, a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from inference.errors import CorruptMedia
from inference.plain_text import single
from inference.results.classes import LabelsOf, no_labels

# The content of a file beside a document, by the document's place and the file's name in it, which nobody has checked.
# Raises DropsightError where it is not there, is too large, or its name leads elsewhere.
ReadFile = Callable[[str, str], bytes]
# Gets the picture of a result, by the source that its document names, into a file; False where it is not to be had.
Fetch = Callable[[Mapping[str, Any], Path], bool]
# What becomes of the pictures of a data set.
Put = Literal["copy", "link", "none"]

# So many names stand in a note.
_NAMED = 3


def no_files(place: str, name: str) -> bytes:
    """A ReadFile where no documents have files. Raises CorruptMedia."""
    raise CorruptMedia(f"{place}: {name!r} is not there; export from the folder that `analyze --out` wrote")


@dataclass(frozen=True)
class ExportOptions:
    """step: only the predictions of this step; labels_of: the full label lists of the models; boxes_as_polygons:
    objects with a box alone get its outline as their segmentation (COCO); pictures: the folders that were analysed,
    the best first, fetch: gets pictures that are in none of them, and put: what is done with them (YOLO); read_file:
    the files beside a document."""

    step: str | None = None
    labels_of: LabelsOf = no_labels
    boxes_as_polygons: bool = False
    pictures: Sequence[Path] = ()
    put: Put = "copy"
    fetch: Fetch | None = None
    read_file: ReadFile = no_files


@dataclass
class Notes:
    """What is to be said of an export, a line a kind, with how many and the first names."""

    _names: dict[str, list[str]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, name: str = "") -> None:
        """what: words that are the same for all of a kind, with {count} for how many if they say it; name: the picture,
        model or label that it is about, or empty where it is about the whole export."""
        self._counts[what] = self._counts.get(what, 0) + 1
        names = self._names.setdefault(what, [])
        if name and name not in names and len(names) < _NAMED:
            names.append(name)

    def lines(self) -> tuple[str, ...]:
        """A line for each kind, in the order in which they came up: the words, how many, the first names."""
        return tuple(_line(what, names, self._counts[what]) for what, names in self._names.items())


def _line(what: str, names: list[str], count: int) -> str:
    more = f" and {count - len(names)} more" if count > len(names) else ""
    number = f"{count}: " if count > 1 and "{count}" not in what else ""
    what = what.replace("{count}", str(count))
    return single(f"{what} ({number}{', '.join(names)}{more})" if names else what)


@dataclass(frozen=True)
class ExportReport:
    """count: how many results were written, 0 where nothing could be and no file was made; notes: a line each."""

    count: int
    notes: tuple[str, ...] = ()
