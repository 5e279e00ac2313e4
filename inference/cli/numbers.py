"""Types of arguments that are numbers: what cannot be meant ends with the nearest right one, before anything runs.

Imports nothing that costs: --help needs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable


def score(text: str) -> float:
    """A score. Raises ArgumentTypeError."""
    try:
        return float(text)
    except ValueError:
        from inference.meant_values import meant_share  # lazily: only mistakes need it

        words = f"found {text!r}, expected a score from 0 to 1{meant_share(text)}"
        raise argparse.ArgumentTypeError(words) from None


def count(most: int) -> Callable[[str], int]:
    """A whole number from 1 to `most`. It raises ArgumentTypeError."""

    def read(text: str) -> int:
        expected = f"found {text[:40]!r}, expected a whole number from 1 to {most}"
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(expected) from None
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"{expected}; did you mean {min(max(number, 1), most)}?")
        return number

    return read
