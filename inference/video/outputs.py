"""The files beside a video's result: frames.jsonl, MOT and CSV tracks, WebVTT chapters, annotated and made videos.

Lines are written as frames come; nothing here grows with the length of the clip but the files themselves.
"""

from __future__ import annotations

import contextlib
import csv
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from inference.draw import Marks, annotate
from inference.draw.privacy import Redaction
from inference.draw.scaling import scaled
from inference.draw.xmp import packet
from inference.draw.zones import Layers, ZoneMark
from inference.predictions import Embedding, Objects, OutputImage, Predictions
from inference.results.file_names import file_name
from inference.results.prediction_docs import prediction_docs
from inference.results.strict_json import cell, json_text
from inference.routes import Draw, Route
from inference.tracking import mot
from inference.video.angles import Angles
from inference.video.colours import fitted
from inference.video.frames import Frame, Media, Pixels, VideoInfo, View
from inference.video.options import FOLLOW, VideoOptions
from inference.video.overlay import Overlay, Shown, action_line, counters
from inference.video.soundtrack import WHOLE, Span
from inference.video.write import Most, VideoWriter

ANNOTATED = "annotated"
CHAPTERS = "tracks.vtt"
# `angle` is that of oriented boxes, and empty for upright ones: readers find the same columns whatever was found.
_COLUMNS = ("frame", "t_s", "track", "label", "score", "x1", "y1", "x2", "y2", "angle")
# Of the shorter side of a video, in pixels. Below the first there is no room for scores, which flicker; below the next
# the tags of tracks are their numbers; below the third words would cover all there is.
_SMALL, _SMALLER, _TINY = 360, 180, 100


class FrameLines(contextlib.ExitStack):
    """frames.jsonl and, with `tracks`, tracks.mot.txt and tracks.csv: a line a frame, a row a tracked box."""

    def __init__(self, folder: Path, tracks: bool) -> None:
        super().__init__()
        self._jsonl = self._open(folder / "frames.jsonl")
        self._mot = self._open(folder / "tracks.mot.txt") if tracks else None
        self._csv = csv.writer(self._open(folder / "tracks.csv", newline="")) if tracks else None
        self._angles = Angles()
        if self._csv:
            self._csv.writerow(_COLUMNS)

    def _open(self, path: Path, newline: str | None = None) -> TextIO:
        return self.enter_context(path.open("w", encoding="utf-8", newline=newline))

    def write(self, index: int, t_s: float, steps: Mapping[str, Predictions]) -> None:
        """Appends a frame: its index in the clip from 0, its time, predictions by step."""
        documents = {name: prediction_docs(predictions, name) for name, predictions in steps.items()}
        document = {"frame": index, "t_s": round(t_s, 6), "predictions": documents}
        self._jsonl.write(json_text(document) + "\n")
        written: set[int] = set()
        for objects in steps.values():
            if isinstance(objects, Objects) and objects.tracks is not None and self._mot and self._csv:
                for i in np.flatnonzero(objects.tracks >= 0).tolist():
                    track, score, box = int(objects.tracks[i]), float(objects.scores[i]), objects.boxes[i]
                    if track in written:  # by the detector, before `follow`
                        continue
                    written.add(track)
                    self._mot.write(mot.line(index + 1, track, box, score) + "\n")
                    numbers = [*(round(float(v), 2) for v in box), self._angle(objects, i)]
                    self._csv.writerow([index, round(t_s, 6), track, cell(objects.names[i]), round(score, 4), *numbers])

    def _angle(self, objects: Objects, i: int) -> float | None:
        """Degrees of an oriented box that has a track; None of an upright one."""
        if objects.corners is None or objects.tracks is None:
            return None
        (angle,) = self._angles.update(objects.tracks[i : i + 1], objects.corners[i : i + 1])
        return round(angle, 2)


def vtt(timeline: Sequence[Mapping[str, Any]]) -> str:
    """The timeline as WebVTT chapters (W3C WebVTT), for the track element of a player."""
    cues = []
    for item in timeline:
        if item.get("vanished"):  # nobody was seen to leave; how long the stay was is another item
            continue
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
        text = f"{label} {item['track']}: {item['kind']} {item.get('direction', '')} {item['zone']}"
    # Line breaks and "-->" would end the cue's text; & and < begin markup there.
    return escape(" ".join(text.split()), quote=False)


def _clock(seconds: float) -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}.{millis % 1000:03}"


class VideoFiles(contextlib.ExitStack):
    """Videos written side by side, from their first pictures on: `with VideoFiles(folder, fps) as files`.

    fps: of the analysed frames; that of the annotated video is the view's. sound: the clip whose sound they have, of
    which `span` is asked for."""

    def __init__(
        self, folder: Path, fps: float, view: View | None = None, sound: Media | None = None, span: Span = WHOLE
    ) -> None:
        super().__init__()
        self._folder, self._sound, self._span = folder, sound, span
        self._views = {} if view is None else {ANNOTATED: view}
        self._fps = fps
        self._writers: dict[str, VideoWriter] = {}

    def write(self, pts_s: float, pictures: Mapping[str, OutputImage]) -> None:
        """Appends a frame (H, W, 3) to the videos named; the origin of a video is that of its first frame."""
        for name, picture in pictures.items():
            if name not in self._writers:
                xmp = packet(picture.origin) if picture.origin else b""
                view, path = self._views.get(name) or View(0, fps=self._fps), self._folder / f"{name}.mp4"
                writer = VideoWriter(
                    path, fps=written_rate(view.fps), sound=self._sound, xmp=xmp, span=self._span,
                    most=Most(view.bits_s, view.lasts_s),
                )  # fmt: skip
                self._writers[name] = self.enter_context(writer)
            self._writers[name].write(picture.pixels, pts_s)

    def end(self, end_s: float) -> None:
        """The clip ends at that second: so long their last frames are shown."""
        for writer in self._writers.values():
            writer.ends_s = end_s

    @property
    def dropped_sound(self) -> str | None:
        """What of the clip's sound is not in the videos that were written, and why; None where all is."""
        return next((writer.dropped_sound for writer in self._writers.values()), None)


class Drawing:
    """Draws predictions on frames, scaled down to the view's size."""

    def __init__(self, draw: Draw, view: View) -> None:
        self._draw, self._view, self._layers = draw, view, Layers()

    def __call__(self, pixels: Pixels, shown: Shown, size: tuple[int, int]) -> Pixels:
        """A picture of the view's size. pixels (H, W, 3): a frame; size: width and height of the clip's frames, in
        whose pixels predictions are."""
        target = self._view.size(*size)
        steps = [
            (name, scaled(self._steady(p), size, target))
            for name, p in shown.steps.items()
            if not isinstance(p, OutputImage | Embedding)
        ]
        draw, side = self._draw, min(target)
        if side < _SMALL:
            draw = replace(draw, scores=False, labels=draw.labels and side >= _TINY)
        return np.asarray(
            annotate(Image.fromarray(fitted(pixels, target)), steps, draw, self._marks(shown.overlay, side))
        )

    def _marks(self, overlay: Overlay, side: int) -> Marks:
        zones = [ZoneMark(zone.name, zone.points, counters(zone)) for zone in overlay.zones]
        lines = [action_line(action, self._draw.scores) for action in overlay.actions]
        return Marks(zones, overlay.trails, lines, FOLLOW, overlay.crowded or side < _SMALLER, self._layers)

    def _steady(self, predictions: Predictions) -> Predictions:
        """Between samples that are drawn on, only what has a track: else boxes would come and go."""
        if not self._view.every or not isinstance(predictions, Objects) or predictions.tracks is None:
            return predictions
        return predictions.take(predictions.tracks >= 0)


class TrialDrawing(contextlib.ExitStack):
    """Draws frames into a file that is thrown away, to see how long it takes. fps: frames a second that are drawn."""

    def __init__(self, route: Route, view: View) -> None:
        super().__init__()
        self.fps = view.fps if route.annotates_videos else 0.0
        folder = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="dropsight-")))
        self._videos = self.enter_context(VideoFiles(folder, view.fps))
        self._drawing = Drawing(route.draw, view)

    def __call__(self, frame: Frame, steps: Mapping[str, Predictions]) -> None:
        if self.fps:
            size = frame.pixels.shape[1], frame.pixels.shape[0]
            self._videos.write(frame.pts_s, {ANNOTATED: OutputImage(self._drawing(frame.pixels, Shown(steps), size))})


def made_pictures(
    steps: Mapping[str, Predictions], labels: Collection[str], size: tuple[int, int]
) -> dict[str, OutputImage]:
    """(H, W, 3) of the steps that make pictures, by the name of its video, as they may be published.

    labels: of what is to be unrecognisable; size: width and height of the frame.
    """
    made = {file_name(step): p for step, p in steps.items() if isinstance(p, OutputImage)}
    redaction = Redaction(list(steps.items()) if made else (), labels, size)
    pictures = {}
    for name, image in made.items():
        published = redaction.predictions(image)
        assert isinstance(published, OutputImage)
        pictures[name] = replace(published, pixels=np.asarray(Image.fromarray(published.pixels).convert("RGB")))
    return pictures


def usual_rate(options: VideoOptions, info: VideoInfo) -> float:
    """Frames a second that are analysed, by what the container says."""
    return options.fps or (info.nominal_fps or 10.0) / options.stride


def written_rate(fps: float) -> float:
    """The frames a second that a video is written with, for the length of its last frame and rate control."""
    return min(max(fps, 1.0), 120.0)
