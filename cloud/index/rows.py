"""The rows of an upload in the table of the index, and which of them a query reads.

One partition, because only there a transaction holds all rows of an upload. The kinds of rows, by how their keys begin:

- `i|<id>`: the anchor. It has the keys of all others, so that whoever replaces it, in the version that was read, takes
  away what is not wanted any more in the same transaction.
- `u|<inverted created>|<id>`: the list of everything, the newest first.
- `s|<state>|<inverted created>|<id>`: the lists of what is in another state than done.
- `l|<hash of the label>|<inverted created>|<id>`: what has a label, for the labels of the best scores; `l|*|...` for
  uploads that have more, so that a search looks at them, too.
- `w|<when>|<id>`: by when they ended, for whoever goes on from a moment; never of what is still being worked on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from cloud.index.entry import Entry
from cloud.storage.paths import record_path

PARTITION = "uploads"
# Where the rows of an older version say something else, the index is made anew: the mark of the reconcile names it.
VERSION = 1
ANCHOR, LISTED, ENDED, LABELLED, IN_STATE = "i|", "u|", "w|", "l|", "s|"
MORE_LABELS = "*"
MOST_LABELS = 8
_LATEST_MS = 9_999_999_999_999
_MOST_CHARACTERS = 30_000  # a property holds 32 Ki characters
_MOST_MESSAGE, _MOST_NAMES = 1_000, 200
_MOST_ROUTE, _MOST_TASKS = 1_000, 100


@dataclass(frozen=True)
class Note:
    """What is to be noted of an upload. at: when it ended, by the clock of storage; exact: to the second as storage
    dates the result, else about so, since no call asked for it. None: it has not ended. ends: how often it has ended
    so far, in any version."""

    entry: Entry
    at: datetime | None = None
    exact: bool = False
    ends: int = 0

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All rows of the upload, the anchor first."""
        return rows_of(self)


@dataclass(frozen=True)
class Anchor:
    """The anchor of an upload as it is stored. version: its own; receipt: that of the receipt it was made from; ends:
    see Note, all of which were told."""

    id: str
    name: str
    receipt: str
    keys: tuple[str, ...]
    version: str
    ends: int = 0


def id_of(name: str) -> str:
    """The upload's id in keys, which cannot hold all names."""
    return id_of_path(record_path(name))


def id_of_path(path: str) -> str:
    """As `id_of`, by the path of the upload's receipt (see paths.record_path)."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def inverted(moment: datetime) -> int:
    """Smaller the later it is, in milliseconds."""
    return min(max(_LATEST_MS - int(moment.timestamp() * 1000), 0), _LATEST_MS)


def order_of(entry: Entry) -> str:
    """Where an entry stands in every list: the end of its rows' keys, and the cursor of what follows."""
    return f"{inverted(entry.created):013}|{id_of(entry.name)}"


def hashed(text: str) -> str:
    """A text as a part of a key or of a property's name, which cannot hold all texts."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def label_key(label: str) -> str:
    """The part of the key of a label's rows: whatever its case is."""
    return hashed(label.casefold())


def when_key(moment: datetime) -> str:
    """How the keys of what ended begin at a moment."""
    return f"{ENDED}{int(moment.timestamp() * 1000):013}"


def moment_of(key: str) -> datetime:
    """The moment in the key of a row of what ended."""
    return datetime.fromtimestamp(int(key.split("|")[1]) / 1000, UTC)


def rows_of(note: Note) -> list[dict[str, Any]]:
    """All rows of an upload, the anchor first."""
    entry = note.entry
    order, upload = order_of(entry), id_of(entry.name)
    shown = {"item": item_of(entry), **_filtered(entry)}
    rows: list[dict[str, Any]] = [{"RowKey": f"{LISTED}{order}", **shown}]
    if entry.state != "done":
        rows.append({"RowKey": f"{IN_STATE}{entry.state}|{order}", **shown})
    for key, score in _labels(entry).items():
        rows.append({"RowKey": f"{LABELLED}{key}|{order}", **shown, "score": score})
    if note.at is not None:
        ended = {"name": entry.name, "receipt": entry.receipt, "result": entry.state in ("done", "partial")}
        rows.append({"RowKey": f"{when_key(note.at)}|{upload}", **ended, "exact": note.exact})
    keys = json.dumps([row["RowKey"] for row in rows])
    anchor = {"RowKey": f"{ANCHOR}{upload}", "name": entry.name, "receipt": entry.receipt, "keys": keys}
    return [{"PartitionKey": PARTITION, **row} for row in (anchor | {"ends": note.ends}, *rows)]


def _filtered(entry: Entry) -> dict[str, Any]:
    """What rows are filtered by at the server."""
    properties: dict[str, Any] = {"name": entry.name, "state": entry.state, "route": entry.route[:_MOST_ROUTE]}
    if ranked := _ranked(entry):
        properties["best"] = float(ranked[0][1])
    # A row has at most 252 properties.
    properties |= {f"t_{hashed(task)}": True for task in entry.tasks[:_MOST_TASKS]}
    return properties | {f"m_{hashed(model)}": True for model in entry.models[:_MOST_TASKS]}


def _ranked(entry: Entry) -> list[tuple[str, float]]:
    """The labels with their scores, the best first, as far as they are numbers that a row can hold."""
    numbers = [(label, score) for label, score in entry.scores.items() if math.isfinite(score)]
    return sorted(numbers, key=lambda row: (-row[1], row[0]))


def _labels(entry: Entry) -> dict[str, float]:
    """The keys of the labels under which it is found, with the scores."""
    best: dict[str, float] = {}
    for label, score in _ranked(entry):
        best.setdefault(label_key(label), float(score))
    if len(best) <= MOST_LABELS:
        return best
    first = dict(list(best.items())[:MOST_LABELS])
    return first | {MORE_LABELS: float(list(best.values())[MOST_LABELS])}


def item_of(entry: Entry) -> str:
    """The entry as JSON that fits into a property: of thousands of labels the best."""
    for most in (_MOST_NAMES, 50, 10):
        text = json.dumps(_jsonable(_short(entry, most)), separators=(",", ":"))
        if len(text) <= _MOST_CHARACTERS:
            return text
    bare = replace(_short(entry, 0), models=(), route=entry.route[:_MOST_NAMES], job=entry.job[:_MOST_NAMES])
    return json.dumps(_jsonable(bare), separators=(",", ":"))


def _short(entry: Entry, most: int) -> Entry:
    return replace(
        entry,
        objects=_first(entry.objects, most),
        scene=_first(entry.scene, most),
        scores=_first(dict(sorted(entry.scores.items(), key=lambda row: -row[1])), most),
        tasks=entry.tasks[:most],
        models=entry.models[:most],
        message=entry.message[:_MOST_MESSAGE],
    )


def _first(table: Mapping[str, Any], most: int) -> dict[str, Any]:
    return {label[:_MOST_NAMES]: value for label, value in list(table.items())[:most]}


def _jsonable(entry: Entry) -> dict[str, Any]:
    said = vars(entry).items()  # asdict would copy each member deeply, at half of what all rows of an upload cost
    values = {key: value for key, value in said if value is not None and value is not False and value not in _NOTHING}
    for name in ("created", "written"):
        if name in values:
            values[name] = values[name].astimezone(UTC).isoformat()
    return values


def entry_of(item: str) -> Entry:
    """The way back. Raises ValueError for what is no entry; members of later versions are ignored."""
    try:
        values = {key: value for key, value in json.loads(item).items() if key in _MEMBERS}
        for name in ("created", "written"):
            if name in values:
                values[name] = datetime.fromisoformat(values[name])
        for name in ("tasks", "models"):
            values[name] = tuple(values.get(name, ()))
        return Entry(**values)
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no entry: {error!r:.200}") from error


_NOTHING: tuple[Any, ...] = ("", (), {})
_MEMBERS = frozenset(item.name for item in fields(Entry))
