"""The files beside a video's result: frames.jsonl, MOT and CSV tracks, WebVTT chapters, poster and thumbnails.

Lines are written as frames come; nothing here grows with the length of the clip but the files themselves.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from inference.draw import annotate
from inference.draw.artifacts import file_name, jpeg
from inference.predictions import Embedding, Objects, OutputImage, Predictions
from inference.results.result import prediction_docs
from inference.routes import Draw
from inference.video import mot
from inference.video.frames import Frame, Pixels, Source, VideoInfo
from inference.video.movement import heat_picture
from inference.video.options import VideoOptions
from inference.video.summary import Summary
from inference.video.write import VideoWriter

THUMBNAIL_WIDTH = 320
ANNOTATED = "annotated"
POSTER, HEAT, CHAPTERS = "poster.jpg", "heat.jpg", "tracks.vtt"
_COLUMNS = ("frame", "t_s", "track", "label", "score", "x1", "y1", "x2", "y2")


class FrameLines:
    """frames.jsonl and, with `tracks`, tracks.mot.txt and tracks.csv: one line a frame, one row a tracked box."""

    def __init__(self, folder: Path, tracks: bool) -> None:
        self._jsonl = (folder / "frames.jsonl").open("w", encoding="utf-8")
        self._mot = (folder / "tracks.mot.txt").open("w", encoding="utf-8") if tracks else None
        self._csv = (folder / "tracks.csv").open("w", encoding="utf-8", newline="") if tracks else None
        self._rows = csv.writer(self._csv) if self._csv else None
        if self._rows:
            self._rows.writerow(_COLUMNS)

    def write(self, index: int, t_s: float, steps: Mapping[str, Predictions]) -> None:
        """Appends one frame: its index in the clip from 0, its time, predictions by step."""
        documents = {name: prediction_docs(predictions) for name, predictions in steps.items()}
        document = {"frame": index, "t_s": round(t_s, 6), "predictions": documents}
        self._jsonl.write(json.dumps(document, ensure_ascii=False) + "\n")
        for predictions in steps.values():
            if isinstance(predictions, Objects) and predictions.tracks is not None:
                self._write_tracks(index, t_s, predictions)

    def _write_tracks(self, index: int, t_s: float, objects: Objects) -> None:
        if self._mot is None or self._rows is None or objects.tracks is None:
            return
        for i in np.flatnonzero(objects.tracks >= 0).tolist():
            track, score, box = int(objects.tracks[i]), float(objects.scores[i]), objects.boxes[i]
            self._mot.write(mot.line(index + 1, track, box, score) + "\n")
            place = (round(float(v), 2) for v in box)
            self._rows.writerow([index, round(t_s, 6), track, objects.names[i], round(score, 4), *place])

    def close(self) -> None:
        """Closes the files; what was written is kept."""
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


class Choice:
    """Which frames become the poster (the one with most to see) and thumbnails, evenly over an unknown length.

    When there are twice as many thumbnails as wanted, every other one goes and the step doubles.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._step = 1
        self._seen = 0
        self._most = -1
        self.thumbnails: list[int] = []
        self.poster: int | None = None

    def take(self, index: int, shown: int) -> None:
        """One frame with `shown` things on it."""
        if shown > self._most:
            self._most, self.poster = shown, index
        if self._wanted and self._seen % self._step == 0:
            self.thumbnails.append(index)
            if len(self.thumbnails) >= 2 * self._wanted:
                self.thumbnails = self.thumbnails[::2]
                self._step *= 2
        self._seen += 1


class Stills:
    """The pictures that are kept of drawn frames: poster, thumbnails, and what the heat map is painted over."""

    def __init__(self) -> None:
        self._poster: tuple[int, bytes] | None = None
        self._thumbnails: dict[int, bytes] = {}
        self._last: tuple[int, Pixels] | None = None

    def take(self, frame: Frame, picture: Pixels, choice: Choice | Summary) -> None:
        """One frame, and what was drawn on it. `choice` may still change: what it takes back is left out at last."""
        if frame.index == choice.poster:
            self._poster = frame.index, jpeg(Image.fromarray(picture))
        if frame.index in choice.thumbnails:
            self._thumbnails[frame.index] = small(picture)
        self._last = frame.index, frame.pixels

    def files(self, summary: Summary) -> dict[str, bytes]:
        """By name: poster.jpg, thumbnails/000.jpg ..., heat.jpg; those whose frames were among the ones taken."""
        kept = self._thumbnails
        files = {thumbnail_name(n): kept[index] for n, index in enumerate(summary.thumbnails) if index in kept}
        if self._poster is not None and self._poster[0] == summary.poster:
            files[POSTER] = self._poster[1]
        if summary.heat is not None and self._last is not None and self._last[0] == summary.last:
            files[HEAT] = jpeg(Image.fromarray(heat_picture(summary.heat, self._last[1])))
        return files


class VideoFiles:
    """Videos that are written side by side, each from its first picture on: `with VideoFiles(folder, fps) as files`."""

    def __init__(self, folder: Path, fps: float, sound: Source | None = None) -> None:
        self._folder, self._fps, self._sound = folder, fps, sound
        self._stack = contextlib.ExitStack()
        self._writers: dict[str, VideoWriter] = {}

    def write(self, pts_s: float, pictures: Mapping[str, Pixels]) -> None:
        """Appends one frame (H, W, 3) to each of the videos named."""
        for name, pixels in pictures.items():
            if name not in self._writers:
                writer = VideoWriter(self._folder / f"{name}.mp4", fps=self._fps, sound=self._sound)
                self._writers[name] = self._stack.enter_context(writer)
            self._writers[name].write(pixels, pts_s)

    @property
    def dropped_sound(self) -> str | None:
        """Why the clip's sound is not in the videos that were written, or None."""
        return next((writer.dropped_sound for writer in self._writers.values()), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def drawn(pixels: Pixels, steps: Mapping[str, Predictions], draw: Draw) -> Pixels:
    """A frame with everything on it that was found."""
    shown = [(name, p) for name, p in steps.items() if not isinstance(p, OutputImage | Embedding)]
    return np.asarray(annotate(Image.fromarray(pixels), shown, draw))


def made_pictures(steps: Mapping[str, Predictions]) -> dict[str, Pixels]:
    """(H, W, 3) of each step that makes pictures of them, by the name of its video."""
    return {
        file_name(step): np.asarray(Image.fromarray(made.pixels).convert("RGB"))
        for step, made in steps.items()
        if isinstance(made, OutputImage)
    }


def usual_rate(options: VideoOptions, info: VideoInfo) -> float:
    """Frames a second of the videos that are written, for the length of the last frame and rate control."""
    rate = options.fps or (info.nominal_fps or 10.0) / options.stride
    return min(max(rate, 1.0), 120.0)


def thumbnail_name(number: int) -> str:
    """The file of a clip's n-th thumbnail."""
    return f"thumbnails/{number:03}.jpg"


def small(pixels: Pixels) -> bytes:
    """A thumbnail, as JPEG."""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH), reducing_gap=2.0)
    return jpeg(image)
