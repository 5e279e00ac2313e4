"""The member `summary` of a result document, as everything that reads results wants it.

Tags, drift statistics, tables and consoles all read it here, so that no two of them disagree about a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A guess below this score is worth no word: a single output of 0.01 says that it is not so.
LEAST_GUESS = 0.1


@dataclass(frozen=True)
class Labels:
    """objects: how many by label, most first. scene: score by name of the whole picture (or clip), the best first;
    guesses: the same of names whose score is too low to count on."""

    objects: Mapping[str, int]
    scene: Mapping[str, float]
    guesses: Mapping[str, float]

    @property
    def top(self) -> str:
        """The label that says most about the picture: the commonest object, else the best scene, else "". Never a
        guess."""
        return next(iter((*self.objects, *self.scene)), "")


def labels_of(document: Mapping[str, Any]) -> Labels:
    """The labels of a result document; of an error record, none.

    Before release 0.2.0 `summary` was a flat table of counts, the best name of a classified picture among them; what
    it holds counts as objects.
    """
    summary = document.get("summary")
    if not isinstance(summary, Mapping):
        return Labels({}, {}, {})
    parts = [summary.get(name) for name in ("objects", "scene", "guesses")]
    if not any(isinstance(part, Mapping) for part in parts):
        parts = [summary, None, None]
    objects, scene, guesses = (_by_value(part) for part in parts)
    return Labels({label: int(count) for label, count in objects.items()}, scene, guesses)


def _by_value(part: Any) -> dict[str, float]:
    """The numbers of a table by name, highest first; names of the same number in the order of the document."""
    rows = part.items() if isinstance(part, Mapping) else ()
    numbers = {str(name): value for name, value in rows if isinstance(value, int | float)}
    return dict(sorted(numbers.items(), key=lambda row: -row[1]))
