"""Expressions in pipelines.toml: `{slot:%Y-%m-%d}` in inputs, `new_results >= 100` as a condition.

No eval: names are looked up in a `Facts` object, which asks storage or the workspace only for what an
entry really mentions.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any, Protocol
from zoneinfo import ZoneInfo

NAMES = ("slot", "name", "results_since_last_run", "new_results", "drift", "model.latest")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CLAUSE = re.compile(r"\s*(\w+)\s*(>=|<=|==|!=|>|<)\s*(\"[^\"]*\"|'[^']*'|\d+(?:\.\d+)?)\s*", re.ASCII)
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
DRIFT = ("ok", "warning", "alert", "unknown")
_CONDITION_NAMES = {"new_results": float, "drift": str}


class Facts(Protocol):
    """What expressions may ask about, each answered at most once per slot."""

    def new_results(self) -> int:
        """Results written since this pipeline was last submitted."""

    def drift(self) -> str:
        """The verdict of the newest drift report: ok, warning, alert or unknown."""

    def model_latest(self, name: str) -> str:
        """The latest version of a registered model."""


def check_template(value: object) -> None:
    """Raise ValueError where any text in `value` (nested) holds an expression that cannot be filled."""
    if isinstance(value, str):
        for match in _PLACE.finditer(value):
            if match[0] in ("{", "}"):
                raise ValueError(f"{value!r} has a single {match[0]!r}; write {match[0] * 2} for a brace")
            if match[1] is not None:
                _check_place(match[1], value)
    elif isinstance(value, Mapping):
        for each in value.values():
            check_template(each)
    elif isinstance(value, list):
        for each in value:
            check_template(each)
    elif isinstance(value, date | time) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{value!r} cannot be sent: write it in quotes")


def _check_place(place: str, text: str) -> None:
    name, _, detail = place.partition(":")
    if name not in NAMES or (name == "model.latest" and not detail):
        raise ValueError(
            f"{{{place}}} in {text!r} is not an expression; known: {{slot:%Y-%m-%d}}, {{name}}, "
            "{results_since_last_run}, {drift}, {model.latest:NAME}"
        )


def fill(value: Any, name: str, slot: datetime, zone: ZoneInfo, facts: Facts) -> Any:
    """`value` with its expressions filled in, through tables and lists; other types stay as they are."""
    if isinstance(value, Mapping):
        return {key: fill(each, name, slot, zone, facts) for key, each in value.items()}
    if isinstance(value, list):
        return [fill(each, name, slot, zone, facts) for each in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        word, _, detail = match[1].partition(":")
        if word == "slot":
            local = slot.astimezone(zone)
            return local.strftime(detail) if detail else local.isoformat()
        answers: dict[str, Callable[[], object]] = {
            "name": lambda: name,
            "results_since_last_run": facts.new_results,
            "new_results": facts.new_results,
            "drift": facts.drift,
            "model.latest": lambda: facts.model_latest(detail),
        }
        return str(answers[word]())

    return _PLACE.sub(one, value)


def check_condition(text: str) -> None:
    """Raise ValueError where a condition is not understood."""
    for name, compare, literal in _clauses(text):
        wanted = _CONDITION_NAMES[name]
        if (wanted is str) != isinstance(literal, str):
            right = "a word" if wanted is str else "a number"
            raise ValueError(f"condition {text!r}: {name} is compared with {right}")
        if name == "drift" and (literal not in DRIFT or compare not in ("==", "!=")):
            raise ValueError(f"condition {text!r}: drift is == or != one of {', '.join(DRIFT)}")


def unmet(text: str, facts: Facts) -> str:
    """Why the condition does not hold, in words, or "" where it does."""
    answers: dict[str, Callable[[], int | str]] = {"new_results": facts.new_results, "drift": facts.drift}
    for name, compare, literal in _clauses(text):
        found = answers[name]()
        if not _COMPARE[compare](found, literal):
            return f"{name} is {found!r}, the condition asks for {compare} {literal!r}"
    return ""


def _clauses(text: str) -> list[tuple[str, str, str | float]]:
    found: list[tuple[str, str, str | float]] = []
    for clause in text.split(" and ") if text.strip() else []:
        match = _CLAUSE.fullmatch(clause)
        if not match or match[1] not in _CONDITION_NAMES:
            raise ValueError(
                f"condition {clause.strip()!r} is not understood; write new_results >= 100 or "
                'drift == "warning", joined by and'
            )
        literal = match[3]
        found.append((match[1], match[2], literal[1:-1] if literal[0] in "\"'" else float(literal)))
    return found
