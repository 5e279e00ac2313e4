"""What an app setting may say: its name, its default, its bounds, and the value of a text. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_MOST_SECONDS = 1_000_000_000  # some 30 years: threads can still wait for that, and a date that far away be written


class BadSettings(ValueError):
    """App settings cannot be used. The message lists all that are wrong, not only the first.

    Not a Permanent error of the media: no file is to blame, and every upload waits in storage until the
    settings are right.
    """


def setting(
    name: str,
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    choices: tuple[str, ...] = (),
    also: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """A field of Settings: the app setting's name, its default, its meaning in a sentence, its bounds.

    also: other words (in lower case) for some of the choices.
    """
    return field(default=default, metadata={"name": name, "doc": doc, "low": low, "choices": choices, "also": also})


def parsed(text: str, default: object, meta: Mapping[str, Any]) -> object:
    """The value of the text of an app setting. meta: as `setting` notes it. Raises ValueError: what was expected."""
    if isinstance(default, bool):
        if text.lower() not in TRUE + FALSE:
            raise ValueError("expected true or false")
        return text.lower() in TRUE
    if isinstance(default, int | float):
        try:
            number = type(default)(text)
        except ValueError:
            kind = "a whole number" if isinstance(default, int) else "a number"
            raise ValueError(f"expected {kind}, {default} for example") from None
        # Written so that NaN fails too.
        if meta["low"] is not None and not number >= meta["low"]:
            raise ValueError(f"expected at least {meta['low']}")
        if isinstance(default, float) and not number <= _MOST_SECONDS:
            raise ValueError(f"expected at most {_MOST_SECONDS}, {default} for example")
        return number
    if meta["choices"]:
        by_lower = {**meta["also"], **{choice.lower(): choice for choice in meta["choices"]}}
        if text.lower() not in by_lower:
            raise ValueError(f"expected {', '.join(meta['choices'])}")
        return by_lower[text.lower()]
    return text
