"""An upload as a tile of the grid."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from cloud.index.entry import Entry, State
from cloud.machine_paths import text_without_paths
from cloud.web.pages import services
from cloud.web.pages.render import Frame, in_path
from inference.results.words import clock

# Tiles of a row have the height of the row, so that their widths follow from these; a class each in app.css, as the
# policy allows no style of a single element. What is longer or taller than the last stands whole in a tile of it.
ASPECTS = tuple(round(0.56 * 1.08**step, 3) for step in range(24))
WORDS: dict[State, str] = {
    "waiting": "Waiting", "working": "At work", "done": "", "partial": "Partial", "failed": "Failed",
    "cancelled": "Cancelled",
}  # fmt: skip
_NAME, _MESSAGE, _LABEL = 32, 120, 24
_SIDE = 320
_SENTENCE = re.compile(r"(?<=\w)[.;] ")


@dataclass(frozen=True)
class Tile:
    """What a tile shows. picture: "" where there is none. aspect: its class. whole: the name where it is cut."""

    name: str
    short: str
    whole: str
    address: str
    replay: str
    picture: str
    width: int
    height: int
    aspect: str
    labels: str
    length: str
    state: State
    word: str
    message: str
    error_class: str
    percent: int | None
    version: str


@dataclass(frozen=True)
class Day:
    """The tiles of a day."""

    heading: str
    date: str
    tiles: list[Tile]


def tile_of(entry: Entry, frame: Frame) -> Tile:
    """The tile of an upload; links keep the list's filters."""
    width, height = _scaled(entry.width or 4, entry.height or 3)
    short = cut_middle(entry.name, _NAME)
    seen = entry.width is not None and entry.state in ("done", "partial", "working")
    broken = entry.state in ("failed", "cancelled")
    return Tile(
        name=entry.name,
        short=short,
        whole=entry.name if short != entry.name else "",
        address=frame.result(entry.name),
        replay=f"{frame.home}replay/{in_path(entry.name)}{frame.query}" if broken and frame.may(services.ACT) else "",
        picture=frame.media(services.thumbnail_address(entry)) if seen else "",
        width=width,
        height=height,
        aspect=aspect_class(width, height),
        labels=best_labels(entry),
        length="" if entry.duration_s is None else clock(entry.duration_s),
        state=entry.state,
        word=_word(entry),
        message=first_sentence(entry.message, entry.name),
        error_class=entry.error_class,
        percent=None if entry.share is None else round(100 * entry.share),
        version=_version(entry),
    )


def _word(entry: Entry) -> str:
    """The state in words. A video that was taken up may still wait for a place beside those that are worked on."""
    begun = entry.state != "working" or entry.share is not None or entry.message
    return WORDS[entry.state] if begun else "Taken up"


def _version(entry: Entry) -> str:
    """Another one whenever the tile would be."""
    shown = repr((entry.etag, entry.state, entry.receipt, entry.share, entry.message))
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def by_day(tiles: list[tuple[datetime, Tile]], today: date) -> list[Day]:
    """The tiles under the days of their uploads (UTC), in the order that they have."""
    days: list[Day] = []
    for created, tile in tiles:
        if not days or days[-1].date != created.date().isoformat():
            days.append(Day(_heading(created.date(), today), created.date().isoformat(), []))
        days[-1].tiles.append(tile)
    return days


def _heading(day: date, today: date) -> str:
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    return f"{day:%A}, {day.day} {day:%B}" + ("" if day.year == today.year else f" {day.year}")


def cut_middle(text: str, most: int) -> str:
    """A text of at most so many characters: the end of a name says as much as its beginning."""
    if len(text) <= most:
        return text
    end = most * 3 // 5
    return f"{text[: most - end - 1]}…{text[-end:]}"


def cut_end(text: str, most: int) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def best_labels(entry: Entry) -> str:
    """The two labels that say most, with how many there are."""
    words = [f"{cut_end(label, _LABEL)} {count}" if count > 1 else cut_end(label, _LABEL)
             for label, count in list(entry.objects.items())[:2]]  # fmt: skip
    words += [cut_end(label, _LABEL) for label in list(entry.scene)[: 2 - len(words)]]
    return ", ".join(words)


def first_sentence(message: str, name: str = "") -> str:
    """The beginning of a message that says what is wrong; the rest says what to do about it."""
    message = text_without_paths(" ".join(message.removeprefix(f"{name}: ").split()))
    return cut_end(_SENTENCE.split(message, maxsplit=1)[0], _MESSAGE)


def aspect_class(width: int, height: int) -> str:
    """The class of the nearest aspect; " uncut" added where it is none of them, so that nothing is cut off."""
    aspect = width / max(height, 1)
    nearest = min(range(len(ASPECTS)), key=lambda step: abs(ASPECTS[step] - aspect))
    far = not ASPECTS[0] / 1.04 <= aspect <= ASPECTS[-1] * 1.04
    return f"a{nearest} uncut" if far else f"a{nearest}"


def _scaled(width: int, height: int) -> tuple[int, int]:
    scale = min(_SIDE / max(width, height, 1), 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)
