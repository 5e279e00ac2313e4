"""Values of a side file, each checked as it is read: foreign files hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from inference.errors import BadManifest


class Fields:
    """The fields of a JSON table. A field that is null counts as left out.

    where: begins every message: the folder, the file, and the path to the table in it.
    Every method raises BadManifest with the field, what was found and what was expected.
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise BadManifest(f"{where}: found {_shown(values)}, expected a table of fields; export the model again")
        self.values, self.where = values, where

    def get(self, *names: str) -> Any:
        """The first of these fields that is there and not null, unchecked; else None."""
        return next((self.values[n] for n in names if self.values.get(n) is not None), None)

    def refuse(self, name: str, expected: str) -> NoReturn:
        raise BadManifest(
            f"{self.where}: {name} is {_shown(self.values.get(name))}, expected {expected}; correct it, or write a "
            "model.toml"
        )

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, "true or false")
        return default if value is None else value

    def text(self, name: str) -> str:
        """Empty where there is none."""
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            self.refuse(name, "a text")
        return value or ""

    def number(self, name: str) -> float | None:
        """A number above 0."""
        value = self.get(name)
        if value is None:
            return None
        if not is_number(value) or value <= 0:
            self.refuse(name, "a number above 0")
        return float(value)

    def whole(self, name: str, least: int = 1) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if not is_whole(value) or value < least:
            self.refuse(name, f"a whole number from {least} on")
        return int(value)

    def numbers(self, name: str, channels: int, above: float | None = None) -> list[float] | None:
        """A number per channel, each above a bound; a single one stands for all, and three equal ones for a single."""
        value = self.get(name)
        if value is None:
            return None
        found = value if isinstance(value, list) else [value]
        if len(found) in (1, 3) and all(v == found[0] for v in found):
            found = found[:1] * channels
        if len(found) != channels or not all(is_number(v) and (above is None or v > above) for v in found):
            bound = "" if above is None else f" above {above:g}"
            self.refuse(name, f"{channels} numbers{bound}, one per channel of the input")
        return [float(v) for v in found]

    def words(self, name: str) -> list[str]:
        """A list of texts; empty where there is none."""
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.refuse(name, "a list of texts")
        return list(value)


# No network takes more; a larger number would ask for a picture of terabytes.
MAX_SIDE = 16384


def is_number(value: Any) -> bool:
    """Finite, and small enough for a float: JSON has whole numbers of any length, NaN and Infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e30 < value < 1e30


def is_whole(value: Any) -> bool:
    """Also 224.0, as some writers of JSON have no whole numbers."""
    return is_number(value) and value == int(value)


def side(value: Any) -> int | None:
    """A length in pixels; None where the value is none."""
    return int(value) if is_whole(value) and 0 < value <= MAX_SIDE else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
