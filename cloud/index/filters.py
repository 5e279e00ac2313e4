"""A query of the index as the service's filters, and as a test of what it cannot test itself."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.index.cursor import Place
from cloud.index.entry import Entry, Query
from cloud.index.rows import (
    IN_STATE,
    LABELLED,
    LISTED,
    MORE_LABELS,
    MOST_LABELS,
    PARTITION,
    hashed,
    inverted,
    label_key,
)


@dataclass(frozen=True)
class Stream:
    """Rows in the order of the list: a filter of the service; `tested`: whether labels are to be looked at here."""

    filter: str
    tested: bool = False


def quoted(text: str) -> str:
    """A text as a filter has it; half a surrogate pair, which no name has, becomes a question mark."""
    return "'" + text.encode("utf-8", "replace").decode().replace("'", "''") + "'"


def key_range(low: str, high: str, *, after: bool = False) -> str:
    """The rows with keys from `low` (after: behind it) up to `high`, which is left out."""
    begin = "gt" if after else "ge"
    return f"PartitionKey eq '{PARTITION}' and RowKey {begin} {quoted(low)} and RowKey lt {quoted(high)}"


def beginning_with(text: str) -> str:
    """The rows whose keys begin so."""
    return key_range(text, text + "~")


def streams_of(query: Query, place: Place) -> list[Stream]:
    """What has to be read for a query, from behind a place on: the streams are merged."""
    if query.label:
        label = f"{LABELLED}{label_key(query.label)}|"
        scored = [f"score ge {_number(query.min_score)}"] if query.min_score is not None else []
        best = Stream(_filter(label, query, place, scored))
        return [best, Stream(_filter(f"{LABELLED}{MORE_LABELS}|", query, place, scored), tested=True)]
    scored = [f"best ge {_number(query.min_score)}"] if query.min_score is not None else []
    if query.state and query.state != "done":
        return [Stream(_filter(f"{IN_STATE}{query.state}|", query, place, scored))]
    return [Stream(_filter(LISTED, query, place, scored))]


def has_label(entry: Entry, query: Query) -> bool:
    """Whether an entry has the query's label, by a lower score than its best ones: those have rows of their own."""
    ranked = sorted(entry.scores.items(), key=lambda row: (-row[1], row[0]))
    keys: dict[str, float] = {}
    for label, score in ranked:
        keys.setdefault(label_key(label), score)
    wanted = label_key(query.label)
    if wanted not in keys or list(keys).index(wanted) < MOST_LABELS:
        return False
    return query.min_score is None or keys[wanted] >= query.min_score


def _number(score: float) -> str:
    return f"{float(score):.6f}"


def _filter(stem: str, query: Query, place: Place, more: list[str]) -> str:
    low = f"{stem}{inverted(query.until) + 1:013}" if query.until else stem
    high = f"{stem}{inverted(query.since) + 1:013}" if query.since else stem + "~"
    after = False
    if place.order:
        behind = f"{stem}{place.order}"
        low, after = max(low, behind), behind >= low
    clauses = [key_range(low, high, after=after), *more]
    if query.folder:
        clauses += [f"name ge {quoted(query.folder)}", f"name lt {quoted(query.folder + _LAST)}"]
    if query.state and not stem.startswith(IN_STATE):
        clauses.append(f"state eq {quoted(query.state)}")
    if query.route:
        clauses.append(f"route eq {quoted(query.route)}")
    if query.task:
        clauses.append(f"t_{hashed(query.task)} eq true")
    if query.model:
        clauses.append(f"m_{hashed(query.model)} eq true")
    return " and ".join(clauses)


_LAST = "\uffff"  # nothing in a name is behind it
