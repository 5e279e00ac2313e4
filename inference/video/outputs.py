"""The files beside a video's result: frames.jsonl, MOT and CSV tracks, WebVTT chapters, poster and thumbnails.

Lines are written as frames come; nothing here grows with the length of the clip but the files themselves.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
from PIL import Image

from inference.artifacts import jpeg
from inference.predictions import Objects, Predictions
from inference.result import prediction_docs
from inference.video import mot
from inference.video.frames import Pixels

THUMBNAIL_WIDTH = 320
POSTER = "poster.jpg"
T = TypeVar("T")
_COLUMNS = ("frame", "t_s", "track", "label", "score", "x1", "y1", "x2", "y2")


class FrameLines:
    """`with FrameLines(folder, tracks=True) as lines: lines.write(...)`: one line a frame, one row a tracked box."""

    def __init__(self, folder: Path, tracks: bool) -> None:
        self._jsonl = (folder / "frames.jsonl").open("w", encoding="utf-8")
        self._mot = (folder / "tracks.mot.txt").open("w", encoding="utf-8") if tracks else None
        self._csv = (folder / "tracks.csv").open("w", encoding="utf-8", newline="") if tracks else None
        self._rows = csv.writer(self._csv) if self._csv else None
        if self._rows:
            self._rows.writerow(_COLUMNS)

    def write(self, index: int, t_s: float, steps: Mapping[str, Predictions]) -> None:
        """Appends one frame: its index in the clip from 0, its time, predictions by step."""
        found_by_step = {name: prediction_docs(found) for name, found in steps.items()}
        document = {"frame": index, "t_s": round(t_s, 6), "predictions": found_by_step}
        self._jsonl.write(json.dumps(document, ensure_ascii=False) + "\n")
        for found in steps.values():
            if isinstance(found, Objects) and found.tracks is not None:
                self._write_tracks(index, t_s, found)

    def _write_tracks(self, index: int, t_s: float, objects: Objects) -> None:
        if self._mot is None or self._rows is None or objects.tracks is None:
            return
        for i in np.flatnonzero(objects.tracks >= 0).tolist():
            track, score, box = int(objects.tracks[i]), float(objects.scores[i]), objects.boxes[i]
            self._mot.write(mot.line(index + 1, track, box, score) + "\n")
            place = (round(float(v), 2) for v in box)
            self._rows.writerow([index, round(t_s, 6), track, objects.names[i], round(score, 4), *place])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._jsonl, self._mot, self._csv):
            if file is not None:
                file.close()


def vtt(timeline: Sequence[Mapping[str, Any]]) -> str:
    """The timeline as WebVTT chapters (W3C WebVTT), for the track element of a player."""
    cues = []
    for item in timeline:
        start, end = float(item["start_s"]), float(item["end_s"])
        # A cue must last: a crossing is an instant, shown for a second.
        end = end if end > start else start + 1.0
        cues.append(f"{_clock(start)} --> {_clock(end)}\n{_words(item)}\n")
    return "\n".join(["WEBVTT\n", *cues])


def _words(item: Mapping[str, Any]) -> str:
    label = str(item.get("label", ""))
    if item["kind"] == "track":
        text = f"{label} {item['id']}"
    elif "zone" not in item:
        text = label
    else:
        text = f"{label} {item['track']}: {item['kind']} {item.get('direction', '')} {item['zone']}".replace("  ", " ")
    # "-->" would end the cue's text; & and < begin markup there.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("-->", "->").replace("\n", " ")


def _clock(seconds: float) -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}.{millis % 1000:03}"


class Choice(Generic[T]):
    """Which frames become the poster (the one with most to see) and thumbnails, evenly over an unknown length.

    When there are twice as many thumbnails as wanted, every other one goes and the step doubles.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._step = 1
        self._seen = 0
        self._most = -1
        self.thumbnails: list[T] = []
        self.poster: T | None = None

    def take(self, shown: int, poster: Callable[[], T], thumbnail: Callable[[], T]) -> None:
        """One frame with `shown` things on it; the two make what is kept of it."""
        if shown > self._most:
            self._most, self.poster = shown, poster()
        if self._wanted and self._seen % self._step == 0:
            self.thumbnails.append(thumbnail())
            if len(self.thumbnails) >= 2 * self._wanted:
                self.thumbnails = self.thumbnails[::2]
                self._step *= 2
        self._seen += 1


class Stills(Choice[bytes]):
    """The poster and the thumbnails of a clip whose length nobody knows yet."""

    def update(self, pixels: Pixels, shown: int) -> None:
        """Takes one drawn frame with `shown` things on it."""
        self.take(shown, lambda: jpeg(Image.fromarray(pixels)), lambda: small(pixels))

    def files(self) -> dict[str, bytes]:
        """By name: poster.jpg, thumbnails/000.jpg ..."""
        files = {} if self.poster is None else {POSTER: self.poster}
        return files | {thumbnail_name(number): data for number, data in enumerate(self.thumbnails)}


def thumbnail_name(number: int) -> str:
    """The file of a clip's n-th thumbnail."""
    return f"thumbnails/{number:03}.jpg"


def small(pixels: Pixels) -> bytes:
    """A thumbnail, as JPEG."""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH), reducing_gap=2.0)
    return jpeg(image)
