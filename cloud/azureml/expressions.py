"""Expressions in pipelines.toml: `{slot:%Y-%m-%d}` in inputs, `new_results >= 100` as a condition.

No eval: names are looked up in `Facts`, which asks storage or the workspace only for what an entry mentions.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.workspace_contents import latest_model
from cloud.drift import freshness
from cloud.settings import RESULTS
from cloud.storage.by_hour import Results
from cloud.storage.containers import Storage

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
# The service's own binding: our doubled braces would quietly make ${name} of it.
_BINDING = re.compile(r"\$\{\{([^{}]*)\}\}")
# A directive of strftime: Python's own, and those of C99 and glibc, with glibc's flags.
_DIRECTIVE = re.compile(r"%[-_0^#]?([A-Za-z%])")
_DIRECTIVES = "aAbBcCdDeFfgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%"
# What other tools write for %Y, %m, %d, %H, %M and %S.
_LETTERS = re.compile(r"(?<![A-SU-Za-z])(yyyy|yy|YYYY|MM|DD|dd|HH|hh|mm|ss)+(?![a-z])")
_FORMAT = "{slot:%Y-%m-%d}; %H, %M and %S are hour, minute and second"
_CONDITION_NAMES = {"new_results": float, "drift": str}


class Answers(Protocol):
    """What expressions are filled in with."""

    @property
    def new_results(self) -> int: ...

    @property
    def drift(self) -> str: ...

    def model_latest(self, name: str) -> str: ...


class Samples:
    """Answers as they may be, to check an entry with before anything is asked."""

    new_results = 100
    drift = "unknown"

    def model_latest(self, name: str) -> str:
        return "1"


class Facts:
    """What the expressions of a slot may ask; every fact is looked up at most once.

    service: the workspace, made when it is needed. since: when a run of the entry was last submitted. results: what
    knows them without a listing, if anything does.
    """

    def __init__(
        self,
        storage: Storage,
        service: Callable[[], AzureML],
        since: datetime | None,
        results: Callable[[], Results | None] = lambda: None,
    ) -> None:
        self._storage, self._service, self._since, self._results = storage, service, since, results
        self._models: dict[str, str] = {}

    @cached_property
    def new_results(self) -> int:
        """How many results were written after `since`, or ever, where nothing was submitted yet."""
        known = self._results()
        blobs = (blob for page in self._storage.pages(RESULTS, size=5000) for blob in page.blobs)
        return sum(
            blob.name.endswith("/result.json") and (self._since is None or blob.modified > self._since)
            for blob in (known.since(self._since) if known else blobs)
        )

    @cached_property
    def drift(self) -> str:
        """ok, warning or alert from the newest drift verdict; unknown where there is none that still counts."""
        return freshness.status(self._storage, datetime.now(UTC))

    def model_latest(self, name: str) -> str:
        """The latest version of a registered model."""
        if name not in self._models:
            self._models[name] = latest_model(self._service(), name)
        return self._models[name]


def check_template(value: object) -> None:
    """Raise ValueError where any text in `value` (nested) holds an expression that cannot be filled."""
    if isinstance(value, str):
        if binding := _BINDING.search(value):
            raise ValueError(
                f"{value!r} has {binding[0]}, a binding of Azure Machine Learning; an expression of this file is "
                f"{{{binding[1].strip()}}}, with single braces; to send the binding itself, double them: "
                f"${{{{{{{{{binding[1]}}}}}}}}}"
            )
        for match in _PLACE.finditer(value):
            if match[0] in ("{", "}"):
                raise ValueError(f"{value!r} has a single {match[0]!r}; write {match[0] * 2} for a brace")
            if match[1] is not None:
                _check_place(match[1], value)
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            check_template(item)
    elif isinstance(value, date | time) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{value!r} cannot be sent: write it in quotes")


def _check_place(place: str, text: str) -> None:
    name, _, detail = place.partition(":")
    if name not in NAMES or (name == "model.latest" and not detail):
        raise ValueError(
            f"{{{place}}} in {text!r} is not an expression; known: {{slot:%Y-%m-%d}}, {{name}}, "
            "{results_since_last_run}, {drift}, {model.latest:NAME}"
        )
    if name == "slot" and detail:
        _check_format(place, detail, text)
    elif detail and name != "model.latest":
        raise ValueError(f"{{{place}}} in {text!r}: only slot and model.latest take a colon; write {{{name}}}")


def _check_format(place: str, detail: str, text: str) -> None:
    """strftime sends what it does not know as it is written, which would be found out by nobody."""
    rest = _DIRECTIVE.sub(lambda match: "" if match[1] in _DIRECTIVES else match[0], detail)
    if "%" in rest:
        wrong = f"{rest[rest.index('%') :][:2]!r} is no directive of strftime"
    elif letters := _LETTERS.search(_DIRECTIVE.sub(" ", detail)):
        wrong = f"{letters[0]!r} would be sent as it is"
    elif rest == detail:
        wrong = "it has no directive such as %Y"
    else:
        return
    raise ValueError(f"{{{place}}} in {text!r}: {wrong}; write a moment as in {_FORMAT}")


def fill(value: Any, name: str, slot: datetime, zone: ZoneInfo, facts: Answers) -> Any:
    """`value` with its expressions filled in, through tables and lists; other types stay as they are."""
    if isinstance(value, Mapping):
        return {key: fill(item, name, slot, zone, facts) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, name, slot, zone, facts) for item in value]
    if not isinstance(value, str):
        return value

    def answer(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        word, _, detail = match[1].partition(":")
        if word == "slot":
            local = slot.astimezone(zone)
            return _formatted(local, detail) if detail else local.isoformat()
        if word == "name":
            return name
        if word == "model.latest":
            return facts.model_latest(detail)
        return str(facts.drift if word == "drift" else facts.new_results)

    return _PLACE.sub(answer, value)


def _formatted(local: datetime, detail: str) -> str:
    # %s of the C library takes the wall clock for one in the process's own time zone.
    seconds = str(int(local.timestamp()))
    return local.strftime(_DIRECTIVE.sub(lambda match: seconds if match[1] == "s" else match[0], detail))


def check_condition(text: str) -> None:
    """Raise ValueError where a condition is not understood."""
    for name, compare, literal in _clauses(text):
        wanted = _CONDITION_NAMES[name]
        if (wanted is str) != isinstance(literal, str):
            right = "a word" if wanted is str else "a number"
            raise ValueError(f"condition {text!r}: {name} is compared with {right}")
        if name == "drift" and (literal not in freshness.STATUSES or compare not in ("==", "!=")):
            raise ValueError(f"condition {text!r}: drift is compared by == or != with {', '.join(freshness.STATUSES)}")


def unmet(text: str, facts: Facts) -> str:
    """Why the condition does not hold, in words, or "" where it does."""
    for name, compare, literal in _clauses(text):
        value = facts.drift if name == "drift" else facts.new_results
        if not _COMPARE[compare](value, literal):
            return f"{name} is {value!r}, the condition asks for {compare} {literal!r}"
    return ""


def _clauses(text: str) -> list[tuple[str, str, str | float]]:
    clauses: list[tuple[str, str, str | float]] = []
    for clause in text.split(" and ") if text.strip() else []:
        match = _CLAUSE.fullmatch(clause)
        if not match or match[1] not in _CONDITION_NAMES:
            raise ValueError(
                f"condition {clause.strip()!r} is not understood; write new_results >= 100 or "
                'drift == "warning", joined by and'
            )
        literal = match[3]
        clauses.append((match[1], match[2], literal[1:-1] if literal[0] in "\"'" else float(literal)))
    return clauses
