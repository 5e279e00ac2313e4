"""Numbers whose range is known: what lies outside cannot be meant, and is refused with the nearest that can.

Every function raises ValueError, which `tables.build` puts a place before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_PERCENT = 100.0
MOST = 1e15  # of what has no bound of its own: seconds, pixels and frames beyond it are none
_FEWEST_PERCENT = 5  # less is as likely a slip of another kind


def check_share(name: str, value: float | None, what: str = "a number", *, below_one: bool = False) -> None:
    """A number from 0 to 1 (below 1 with `below_one`); other tools write it in percent. None is not given."""
    if value is None or (0 <= value < 1) or (value == 1 and not below_one):
        return
    meant = value / _PERCENT if _FEWEST_PERCENT <= value <= _PERCENT else min(max(value, 0.0), 1.0)
    known = meant < 1 or not below_one
    hint = f"; did you mean {_number(meant)}?" if known and not math.isnan(value) else ""
    raise ValueError(f"{name} is {_number(value)}, expected {what} from 0 to {'below ' if below_one else ''}1{hint}")


def check_range(
    name: str, value: float | None, least: float, most: float = MOST, what: str = "", *, above: bool = False
) -> None:
    """A number from `least` to `most`, both included (`least` not, with `above`). None is not given.

    what: what else may stand there, or what to do instead; ends the message.
    """
    if value is None or ((value > least if above else value >= least) and value <= most):
        return
    expected = f"more than {_number(least)}" if above else f"at least {_number(least)}"
    if value > most:
        expected = f"at most {_number(most)}"
    raise ValueError(f"{name} is {_number(value)}, expected {expected}{f'; {what}' if what else ''}")


def check_points(name: str, points: Sequence[Sequence[float]]) -> None:
    """Places (x, y) in a picture, or one row of such, as shares of its width and height; other tools write percent, or
    pixels."""
    numbers = [number for point in points for number in point]
    if all(0 <= number <= 1 for number in numbers):
        return
    largest, hint = max(numbers), ""
    if min(numbers) >= 0 and _FEWEST_PERCENT <= largest <= _PERCENT:
        hint = f"; if these are percent, write {_shown(points, _PERCENT)}"
    elif min(numbers) >= 0 and largest > _PERCENT:
        hint = "; if these are pixels, divide x by the width of the picture and y by its height"
    raise ValueError(
        f"{name} is {_shown(points)}, expected shares of the picture's width and height, each within 0..1{hint}"
    )


def _shown(points: Sequence[Sequence[float]], divisor: float = 1) -> list[list[float]] | list[float]:
    rows = [[_plain(number / divisor) for number in point] for point in points]
    return rows[0] if len(rows) == 1 else rows


def _plain(value: float) -> float:
    """As it is written: 10 for 10.0."""
    return int(value) if math.isfinite(value) and abs(value) < 1e15 and value == int(value) else float(f"{value:.12g}")


def _number(value: float) -> str:
    if abs(value) < 1e15:
        return str(_plain(value))
    return f"a number of {len(str(abs(value)))} digits" if isinstance(value, int) else f"{value:g}"
