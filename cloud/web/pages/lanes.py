"""A video's timeline as lanes: scenes, actions, a lane a label with its tracks, events at zones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cloud.web.pages.shapes import hexadecimal
from inference.draw.colours import colour, track_colour
from inference.results.plurals import counted
from inference.results.words import clock

Row = Mapping[str, Any]
_ROW = 10  # height of a bar, in the units of the drawing
_MOST_ROWS = 12
MOST_LANES = 24
# What happens at zones, as it is said after a number.
ZONE_WORDS = {
    "cross_in": "in", "cross_out": "out", "enter": "entered", "exit": "left", "loiter": "stayed long",
    "dwell": "stayed",
}  # fmt: skip
# A lane's drawing is so wide, whatever the video's length.
WIDTH = 1000.0


@dataclass(frozen=True)
class Bar:
    """A range of time. row: below others that are at the same time. at_s: where a click leads."""

    x: float
    width: float
    row: int
    colour: str
    words: str
    at_s: float
    mark: bool = False


@dataclass(frozen=True)
class Lane:
    """What is drawn in a row of its own. rows: how many bars are on top of each other. spoken: what its bars are, with
    how many."""

    title: str
    spoken: str
    kind: str
    rows: int
    bars: list[Bar]


def lanes_of(document: Row) -> list[Lane]:
    """The lanes of a video, those that say most first."""
    length = float(document["source"].get("duration_s") or 0) or 1.0
    timeline = document.get("timeline") or []
    lanes = [_spans(title, kind, timeline, length) for title, kind in (("Scenes", "scene"), ("Actions", "action"))]
    lanes += _tracks(document.get("tracks") or [], length)
    lanes += _zones(timeline, length)
    return [lane for lane in lanes if lane.bars]


def _spans(title: str, kind: str, timeline: Iterable[Row], length: float) -> Lane:
    bars = [
        _bar(item, hexadecimal(colour(str(item.get("label", "")))), _words(item), length)
        for item in timeline
        if item["kind"] == kind
    ]
    return _stacked(title, f"{title}: {len(bars)}", kind, bars)


def _tracks(tracks: Iterable[Row], length: float) -> list[Lane]:
    by_label: dict[str, list[Row]] = {}
    for track in tracks:
        by_label.setdefault(str(track["label"]), []).append(track)
    rows = sorted(by_label.items(), key=lambda row: -len(row[1]))
    lanes = []
    for label, members in rows[:MOST_LANES]:
        bars = [
            _bar(track, hexadecimal(track_colour(label, track["id"])), f"{label} {track['id']}", length)
            for track in members
        ]
        title = f"{label} ×{len(members)}" if len(members) > 1 else label
        lanes.append(_stacked(title, f"{label}: {counted(len(members), 'track')}", "track", bars))
    return lanes


def _zones(timeline: Iterable[Row], length: float) -> list[Lane]:
    by_zone: dict[str, list[Bar]] = {}
    for item in timeline:
        if "zone" in item:
            at = float(item.get("t_s", item["start_s"]))
            kind = f"cross_{item['direction']}" if "direction" in item else str(item["kind"])
            words = f"{ZONE_WORDS.get(kind, kind)}: {item.get('label', '')} {item.get('track', '')} at {clock(at)}"
            tint = hexadecimal(colour(str(item.get("label", ""))))
            x = min(max(WIDTH * at / length, 0.0), WIDTH)
            by_zone.setdefault(str(item["zone"]), []).append(Bar(x, 0.0, 0, tint, words, at, mark=True))
    return [Lane(zone, f"{zone}: {counted(len(bars), 'event')}", "zone", 1, bars) for zone, bars in by_zone.items()]


def _bar(item: Row, tint: str, words: str, length: float) -> Bar:
    start, end = float(item["start_s"]), float(item["end_s"])
    x = min(max(WIDTH * start / length, 0.0), WIDTH)
    width = max(min(WIDTH * (end - start) / length, WIDTH - x), 2.0)
    return Bar(round(x, 1), round(width, 1), 0, tint, f"{words}, {clock(start)} to {clock(end)}", start)


def _words(item: Row) -> str:
    score = f" {item['score']:.0%}" if "score" in item else ""
    return f"{item.get('label', '')}{score}"


def _stacked(title: str, spoken: str, kind: str, bars: list[Bar]) -> Lane:
    """Bars that are at the same time below each other, up to a number of rows; then over each other."""
    ends: list[float] = []
    placed = []
    for bar in sorted(bars, key=lambda each: each.x):
        row = next((k for k, end in enumerate(ends) if end <= bar.x), len(ends))
        if row == len(ends) and row < _MOST_ROWS:
            ends.append(0.0)
        row = min(row, _MOST_ROWS - 1)
        ends[row] = max(ends[row], bar.x + bar.width)
        placed.append(Bar(bar.x, bar.width, row, bar.colour, bar.words, bar.at_s))
    return Lane(title, spoken, kind, max(len(ends), 1), placed)
