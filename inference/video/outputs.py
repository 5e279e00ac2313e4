"""The files beside a video's result: frames.jsonl, MOT and CSV tracks, WebVTT chapters, poster and thumbnails.

Lines are written as frames come; nothing here grows with the length of the clip but the files themselves.
"""

from __future__ import annotations

import contextlib
import csv
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.draw import annotate, blurred
from inference.draw.artifacts import jpeg
from inference.draw.crops import MOST_CROPS, crop_of
from inference.draw.scaling import scaled
from inference.draw.xmp import packet
from inference.predictions import Embedding, Objects, OutputImage, Predictions
from inference.results.file_names import file_name
from inference.results.prediction_docs import prediction_docs
from inference.results.strict_json import cell, json_text
from inference.routes import Draw, Route
from inference.tracking import mot
from inference.video.colours import fitted
from inference.video.frames import Frame, Media, Pixels, VideoInfo, View
from inference.video.options import VideoOptions
from inference.video.sights import Sights, crop_name, sights_in
from inference.video.soundtrack import WHOLE, Span
from inference.video.summary import Summary
from inference.video.write import VideoWriter

THUMBNAIL_WIDTH = 320
CROP_SIDE = 1024  # of the longer side of a track's picture, where the route says nothing
ANNOTATED = "annotated"
POSTER, HEAT, CHAPTERS = "poster.jpg", "heat.jpg", "tracks.vtt"
_COLUMNS = ("frame", "t_s", "track", "label", "score", "x1", "y1", "x2", "y2")


class FrameLines(contextlib.ExitStack):
    """frames.jsonl and, with `tracks`, tracks.mot.txt and tracks.csv: a line a frame, a row a tracked box."""

    def __init__(self, folder: Path, tracks: bool) -> None:
        super().__init__()
        self._jsonl = self._open(folder / "frames.jsonl")
        self._mot = self._open(folder / "tracks.mot.txt") if tracks else None
        self._csv = csv.writer(self._open(folder / "tracks.csv", newline="")) if tracks else None
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
                    corners = (round(float(v), 2) for v in box)
                    self._csv.writerow([index, round(t_s, 6), track, cell(objects.names[i]), round(score, 4), *corners])


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
        text = f"{label} {item['track']}: {item['kind']} {item.get('direction', '')} {item['zone']}"
    # Line breaks and "-->" would end the cue's text; & and < begin markup there.
    return escape(" ".join(text.split()), quote=False)


def _clock(seconds: float) -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}.{millis % 1000:03}"


class Choice:
    """Which frames become the poster (the frame with most to see) and thumbnails, evenly over an unknown length.

    When there are twice as many thumbnails as requested, every other is dropped and the step doubles. crops: labels
    whose tracks are saved as pictures.
    """

    def __init__(self, requested: int, crops: Sequence[str] = ()) -> None:
        self._requested = requested
        self.sights = Sights(crops)
        self._step = 1
        self._seen = 0
        self._most = -1
        self.thumbnails: list[int] = []
        self.poster: int | None = None

    def take(self, index: int, shown: int, steps: Mapping[str, Predictions]) -> None:
        """One frame with `shown` things on it, and its predictions."""
        self.sights.take(index, steps)
        if shown > self._most:
            self._most, self.poster = shown, index
        if self._requested and self._seen % self._step == 0:
            self.thumbnails.append(index)
            if len(self.thumbnails) >= 2 * self._requested:
                self.thumbnails = self.thumbnails[::2]
                self._step *= 2
        self._seen += 1

    def sight(self, track: int) -> int | None:
        """The frame of which the track is saved, so far; None where it is not."""
        return self.sights.frame(track)


class Stills:
    """The pictures that are kept of frames: poster and thumbnails, drawn; best sights of tracks, and what the heat map
    is painted over, with what must be unrecognisable blurred there, too."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._crops: dict[int, tuple[int, bytes]] = {}  # by track, of which frame
        self._poster: tuple[int, bytes] | None = None
        self._thumbnails: dict[int, bytes] = {}
        self._last: tuple[Frame, Mapping[str, Predictions]] | None = None

    def wants(self, frame: Frame, choice: Choice | Summary) -> bool:
        """Whether the frame has to be drawn for a still."""
        return (self._draw.annotated and frame.index == choice.poster) or frame.index in choice.thumbnails

    def take(
        self, frame: Frame, steps: Mapping[str, Predictions], picture: Pixels | None, choice: Choice | Summary
    ) -> None:
        """A frame, its predictions, and the picture with them on it. `choice` may still change: what it takes back is
        left out at last."""
        self._last = frame, steps
        self._take_crops(frame, steps, choice)
        if picture is None:
            return
        if self._draw.annotated and frame.index == choice.poster:
            self._poster = frame.index, jpeg(Image.fromarray(picture), quality=self._draw.quality)
        if frame.index in choice.thumbnails:
            image = Image.fromarray(picture)
            image.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH), reducing_gap=2.0)
            self._thumbnails[frame.index] = jpeg(image, quality=self._draw.quality)

    def _take_crops(self, frame: Frame, steps: Mapping[str, Predictions], choice: Choice | Summary) -> None:
        """The tracks whose best sight, so far, is in this frame."""
        best = {
            track: box
            for track, (_, box) in sights_in(steps, self._draw.crops).items()
            if choice.sight(track) == frame.index
        }
        if not best:
            return
        image = Image.fromarray(frame.pixels)
        if self._draw.blur:
            image = blurred(image, list(steps.items()), self._draw.blur)
        for track, box in best.items():
            part = crop_of(image, box, self._draw.longest_side or CROP_SIDE)
            self._crops[track] = frame.index, jpeg(part, quality=self._draw.quality)
        if len(self._crops) > 2 * MOST_CROPS:
            self._crops = {t: kept for t, kept in self._crops.items() if choice.sight(t) is not None}

    def files(self, summary: Summary) -> dict[str, bytes]:
        """By name: poster.jpg, thumbnails/000.jpg ..., crops/track-1.jpg ..., heat.jpg; those whose frames were among
        the ones taken."""
        kept = self._thumbnails
        chosen = enumerate(summary.thumbnails)
        files = {f"thumbnails/{number:03}.jpg": kept[index] for number, index in chosen if index in kept}
        crops = self._crops.items()
        files |= {crop_name(track): data for track, (index, data) in crops if summary.sight(track) == index}
        if self._poster is not None and self._poster[0] == summary.poster:
            files[POSTER] = self._poster[1]
        if summary.heat is not None and self._last is not None and self._last[0].index == summary.last:
            frame, steps = self._last
            ground = blurred(Image.fromarray(frame.pixels), list(steps.items()), self._draw.blur)
            if side := int(self._draw.longest_side or 0):
                ground.thumbnail((side, side))
            painted = heat_picture(summary.heat, np.asarray(ground))
            files[HEAT] = jpeg(Image.fromarray(painted), quality=self._draw.quality)
        return files


class VideoFiles(contextlib.ExitStack):
    """Videos written side by side, from their first pictures on: `with VideoFiles(folder, fps) as files`.

    fps: of the analysed frames; that of the annotated video is the view's. sound: the clip whose sound they have, of
    which `span` is asked for."""

    def __init__(
        self, folder: Path, fps: float, view: View | None = None, sound: Media | None = None, span: Span = WHOLE
    ) -> None:
        super().__init__()
        self._folder, self._sound, self._span = folder, sound, span
        self._rates = {} if view is None else {ANNOTATED: view.fps}
        self._fps = fps
        self._writers: dict[str, VideoWriter] = {}

    def write(self, pts_s: float, pictures: Mapping[str, OutputImage]) -> None:
        """Appends a frame (H, W, 3) to the videos named; the origin of a video is that of its first frame."""
        for name, picture in pictures.items():
            if name not in self._writers:
                xmp = packet(picture.origin) if picture.origin else b""
                fps = written_rate(self._rates.get(name, self._fps))
                path = self._folder / f"{name}.mp4"
                writer = VideoWriter(path, fps=fps, sound=self._sound, xmp=xmp, span=self._span)
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
        self._draw, self._view = draw, view

    def __call__(self, pixels: Pixels, steps: Mapping[str, Predictions], size: tuple[int, int]) -> Pixels:
        """A picture of the view's size. pixels (H, W, 3): a frame; size: width and height of the clip's frames, in
        whose pixels predictions are."""
        target = self._view.size(*size)
        shown = [
            (name, scaled(self._steady(p), size, target))
            for name, p in steps.items()
            if not isinstance(p, OutputImage | Embedding)
        ]
        return np.asarray(annotate(Image.fromarray(fitted(pixels, target)), shown, self._draw))

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
            self._videos.write(frame.pts_s, {ANNOTATED: OutputImage(self._drawing(frame.pixels, steps, size))})


def made_pictures(steps: Mapping[str, Predictions]) -> dict[str, OutputImage]:
    """(H, W, 3) of the steps that make pictures, by the name of its video."""
    return {
        file_name(step): replace(made, pixels=np.asarray(Image.fromarray(made.pixels).convert("RGB")))
        for step, made in steps.items()
        if isinstance(made, OutputImage)
    }


def usual_rate(options: VideoOptions, info: VideoInfo) -> float:
    """Frames a second that are analysed, by what the container says."""
    return options.fps or (info.nominal_fps or 10.0) / options.stride


def written_rate(fps: float) -> float:
    """The frames a second that a video is written with, for the length of its last frame and rate control."""
    return min(max(fps, 1.0), 120.0)


def heat_picture(cells: NDArray[np.floating], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map's cells over a (H, W, 3) RGB frame: the longer, the redder. Logarithmic, or a parked car hides all."""
    strength = np.log1p(cells)
    strength = strength / strength.max() if strength.max() > 0 else strength
    size = (background.shape[1], background.shape[0])
    smooth = Image.fromarray((strength * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    heat = np.asarray(smooth, np.float32)[..., None] / 255
    colour = np.concatenate([np.minimum(2 * heat, 1), np.minimum(2 - 2 * heat, 1), np.zeros_like(heat)], axis=2)
    weight = np.minimum(heat * 2.5, 0.75)
    mixed = background * (1 - weight) + 255 * colour * weight
    result: NDArray[np.uint8] = mixed.astype(np.uint8)
    return result
