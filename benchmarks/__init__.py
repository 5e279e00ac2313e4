"""Ratios against hand-written code, each pair measured in one run on the same machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@dataclass(frozen=True)
class Row:
    """One line of the table. value is what `bar` speaks of; met is None where there is no bar."""

    what: str
    value: str
    bar: str = ""
    met: bool | None = None
    note: str = ""


def spread(values: Sequence[float]) -> str:
    """Median and the middle half, as text."""
    low, _, high = quantiles(values, n=4)
    return f"{median(values):.3f} ({low:.3f} to {high:.3f})"
