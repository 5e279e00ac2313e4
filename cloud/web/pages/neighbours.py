"""The uploads before and after one in the list that it was opened from."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.index.entry import Entry, Index, Query
from cloud.web.pages.filters import address_of
from cloud.web.pages.grid import PAGE
from cloud.web.pages.render import Frame


@dataclass(frozen=True)
class Place:
    """Where an upload stands in a list; "" for addresses that lead nowhere. entry: None where the list lacks it."""

    entry: Entry | None = None
    newer: str = ""
    older: str = ""


def place_of(index: Index, query: Query, cursor: str | None, name: str, frame: Frame) -> Place:
    """One question to the index, a second one at the end of a page."""
    page = index.page(query, cursor, PAGE)
    names = [entry.name for entry in page.entries]
    if name not in names:
        return Place()
    at = names.index(name)
    here = address_of(query, cursor=cursor or "")
    newer = frame.result(names[at - 1], here) if at else ""
    if at + 1 < len(names):
        return Place(page.entries[at], newer, frame.result(names[at + 1], here))
    following = index.page(query, page.next, 1).entries if page.next else []
    older = frame.result(following[0].name, address_of(query, cursor=page.next or "")) if following else ""
    return Place(page.entries[at], newer, older)
