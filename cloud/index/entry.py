"""What the index says of an upload, how it is asked, and the port through which it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, get_args

State = Literal["waiting", "working", "done", "partial", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Entry:
    """A version of an upload, as a list shows it. Times are aware and in UTC, by the storage's own clock."""

    name: str
    etag: str  # of the upload
    state: State
    created: datetime  # when this version was uploaded: lists are in this order, the newest first
    receipt: str = ""  # version of the receipt from which this was made
    written: datetime | None = None  # when the result or the error record was written
    route: str = ""
    media_type: str = ""
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    objects: Mapping[str, int] = field(default_factory=dict)  # how many by label, most first
    scene: Mapping[str, float] = field(default_factory=dict)  # score by name of the whole picture, the best first
    scores: Mapping[str, float] = field(default_factory=dict)  # best score by label, of all labels
    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    folder: str = ""  # of the result's artifacts, below the upload's folder in `results`
    blurred: bool = False  # its result hides something: the original is not shown to who may only read results
    error_class: str = ""
    message: str = ""  # why it failed or waits, or what is being done with it
    share: float | None = None  # of the work that is done, 0 to 1
    job: str = ""


@dataclass(frozen=True)
class Query:
    """Which entries are wanted; "" and None: whatever it is. Every filter holds at once.

    folder: the beginning of names, with its slash ("street/"). min_score: of the label, or of any label without one.
    since (inclusive), until (exclusive): when the version was uploaded.
    """

    folder: str = ""
    state: State | None = None
    route: str = ""
    task: str = ""
    label: str = ""
    min_score: float | None = None
    model: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class EntryPage:
    """The newest entries of a query after a cursor. `next`: the cursor of what follows, None at the end. Where filters
    leave out much, a page ends before it is full, or with nothing at all, and its `next` goes on from there.

    unfiltered: filters that the store at hand cannot apply, by name; what they would leave out is in the page.
    """

    entries: list[Entry]
    next: str | None = None
    unfiltered: tuple[str, ...] = ()


class Index(Protocol):
    """Answers lists. Raises StorageUnavailable; BadRequest for a cursor that none of its pages gave."""

    def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
        """A page of a list: the newest first."""

    def remove(self, names: Iterable[str]) -> None:
        """Takes uploads out, all that is known of them."""
