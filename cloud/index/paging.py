"""A page of a list, merged from streams of rows, as far as a moment and some requests lead.

A filter without rows of its own (a rare folder, a route, a model) may have the service look through everything. What it
answers then is few rows or none, and where it goes on: a page ends there once its time is over, with what was found.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from cloud.index.cursor import Place, StreamPlace, Token
from cloud.index.entry import Entry, EntryPage

SECONDS = 1.5  # after so long no further request is made for a page
MOST_REQUESTS = 30

# A request for the rows of a stream (by its number) from a token on: orders and entries, and the token of what follows.
Request = Callable[[int, Token | None], tuple[list[tuple[str, Entry]], Token | None]]


class _Reader:
    """A stream while a page is made of it."""

    def __init__(self, number: int, place: StreamPlace) -> None:
        self._number, self._next = number, place.token
        self._begun = place.token  # where the rows begin that are here
        self.is_over = place.is_over  # there is nothing more to ask for
        self.was_read = False
        self.rows = deque[tuple[str, Entry]]()

    def read(self, request: Request) -> None:
        self._begun, self.was_read = self._next, True
        rows, self._next = request(self._number, self._next)
        self.rows.extend(rows)
        self.is_over = self._next is None

    @property
    def place(self) -> StreamPlace:
        if self.rows:
            return StreamPlace(self._begun)
        return StreamPlace(self._next, self.is_over)


def read_page(request: Request, streams: int, place: Place, size: int) -> EntryPage:
    """The next entries behind a place, the newest first, at most `size`; fewer, or none, with a `next` where there was
    no time to find more. At least a request for each stream without rows, so that every page leads further."""
    readers = [_Reader(number, place.stream(number)) for number in range(streams)]
    found: list[tuple[str, Entry]] = []
    end, requests = time.monotonic() + SECONDS, 0
    while len(found) < size or not _has_more(readers):
        unread = next((reader for reader in readers if not (reader.rows or reader.is_over)), None)
        if unread is None:
            if not any(reader.rows for reader in readers):
                return EntryPage([entry for _, entry in found])
            # Of each stream the next row is here: the first of them is the list's next.
            first = min((reader for reader in readers if reader.rows), key=lambda reader: reader.rows[0][0])
            found.append(first.rows.popleft())
        elif unread.was_read and (requests >= MOST_REQUESTS or time.monotonic() >= end):
            break
        else:
            unread.read(request)
            requests += 1
    order = found[-1][0] if found else place.order
    return EntryPage([entry for _, entry in found], Place(order, _places(readers)).text)


def _has_more(readers: Sequence[_Reader]) -> bool:
    return any(reader.rows for reader in readers)


def _places(readers: Sequence[_Reader]) -> tuple[StreamPlace, ...]:
    return tuple(reader.place for reader in readers)
