"""Where a list goes on: the cursor of a page."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass

from inference.errors import BadRequest

_CURSOR = re.compile(r"(?:([0-9]{13})-([0-9a-f]{24}))?((?:\.[A-Za-z0-9_=-]{0,1000}){0,2})")
_OVER = "x"

# Where the service itself goes on in a stream: the partition and the row that it named, in a form of its own.
Token = tuple[str, str]


@dataclass(frozen=True)
class StreamPlace:
    """Where a stream goes on: at a token, None: behind the order of the cursor; is_over: nothing of it is left."""

    token: Token | None = None
    is_over: bool = False


@dataclass(frozen=True)
class Place:
    """Where a list goes on. order: of the last entry that was shown, "": none was; streams: of each stream of rows how
    far it was looked through beyond that, in vain so far; empty: not at all."""

    order: str = ""
    streams: tuple[StreamPlace, ...] = ()

    def stream(self, number: int) -> StreamPlace:
        """Where a stream goes on, by its number."""
        return self.streams[number] if number < len(self.streams) else StreamPlace()

    @property
    def text(self) -> str:
        """As a cursor."""
        streams = self.streams if any(stream.token for stream in self.streams) else ()
        return self.order.replace("|", "-") + "".join(f".{_said(stream)}" for stream in streams)


def place_of(cursor: str | None) -> Place:
    """The way back. Raises BadRequest for what no page said."""
    if cursor is None:
        return Place()
    found = _CURSOR.fullmatch(cursor) if cursor else None
    try:
        if found:
            order = f"{found[1]}|{found[2]}" if found[1] else ""
            return Place(order, tuple(_read(part) for part in found[3].split(".")[1:]))
    except ValueError:
        pass
    raise BadRequest(f"{cursor[:100]!r} is no cursor; expected what `next` of a page said")


def _said(stream: StreamPlace) -> str:
    if stream.is_over or stream.token is None:
        return _OVER if stream.is_over else ""
    return base64.urlsafe_b64encode(json.dumps(stream.token).encode()).decode()


def _read(text: str) -> StreamPlace:
    """Raises ValueError."""
    if text in ("", _OVER):
        return StreamPlace(is_over=text == _OVER)
    said = json.loads(base64.urlsafe_b64decode(text))
    if not isinstance(said, list) or len(said) != 2 or not all(isinstance(part, str) for part in said):
        raise ValueError("it is no token")
    return StreamPlace((said[0], said[1]))
