"""What the annotated video shows: pictures scaled down, and between two samples the boxes of tracks on their way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inference.predictions import Objects, Predictions, joined
from inference.routes import Route
from inference.video.frames import MOST_SIDE, Between, VideoInfo, View
from inference.video.overlay import Shown, overlay_between

# More frames a second are not shown. Between samples that are further apart, boxes would only be guessed.
_MOST_FPS, _WIDEST_S = 31.0, 1.0
# Its bits a second, by the clip's: with what it begins with (see `Most`) under 1.5 times as many. At fewer than so many
# bits a pixel, lines and words over the pictures are hard to see.
_OF_SOURCE, _LEGIBLE = 1.2, 0.015
# What the frames that wait for later ones may take.
HELD_BYTES = 48 << 20


def shows_between(route: Route) -> bool:
    """Whether the annotated video shows frames between samples. Not where something has to be unrecognisable: nobody
    looked whether it is there."""
    options = route.video_options
    return route.annotates_videos and options.between and options.samples and not route.draw.blur


def size_shown(route: Route, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the annotated video's pictures, for a clip of that size."""
    return View(route.video_options.annotated_side, longest=_longest(route)).size(*size)


def _longest(route: Route) -> int:
    return min(int(route.draw.longest_side or MOST_SIDE), MOST_SIDE)


def view_of(route: Route, info: VideoInfo) -> View:
    """What the annotated video of a clip shows, by the route's options and what the container says."""
    view, options = _frames_of(route, info), route.video_options
    width, height = view.size(max(info.width, 1), max(info.height, 1))
    end_s = min(options.end_s or math.inf, info.claimed_duration_s or 0.0)
    bits_s = info.claimed_bit_rate and max(_OF_SOURCE * info.claimed_bit_rate, _LEGIBLE * width * height * view.fps)
    return replace(view, bits_s=bits_s or 0.0, lasts_s=max(0.0, end_s - options.start_s))


def _frames_of(route: Route, info: VideoInfo) -> View:
    options = route.video_options
    rate = info.nominal_fps or 10.0
    analysed = min(rate, options.fps) if options.fps else rate / options.stride
    alone = View(options.annotated_side, fps=analysed, longest=_longest(route))
    if not shows_between(route) or options.keyframes_only or not _WIDEST_S * analysed >= 1:
        return alone
    width, height = alone.size(max(info.width, 1), max(info.height, 1))
    most = max(1, HELD_BYTES // (3 * width * height))
    every = max(math.ceil(rate / _MOST_FPS), math.ceil(rate / analysed / most))
    return alone if rate / every <= analysed else replace(alone, every=every, fps=rate / every, most=most)


@dataclass(frozen=True)
class _Sample:
    pts_s: float
    shown: Shown


class Tween:
    """Frames between two samples wait here for the second, and leave with predictions between both samples'."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._before: _Sample | None = None
        self._held: list[Between] = []

    def start(self, pts_s: float, shown: Shown) -> None:
        """The sample before the first frame, where that is in another part of the clip."""
        self._before = _Sample(pts_s, shown)

    def hold(self, frame: Between) -> None:
        """Takes a frame after the last sample; what comes before the first sample is not shown."""
        if self._before is not None and len(self._held) < self._view.most:
            self._held.append(frame)

    def sample(self, pts_s: float, shown: Shown) -> Iterator[tuple[Between, Shown]]:
        """The frames before this sample, with what is shown of them."""
        before, held = self._before, self._held
        self._before, self._held = _Sample(pts_s, shown), []
        for frame in held:
            assert before is not None
            share = (frame.pts_s - before.pts_s) / (pts_s - before.pts_s)
            steps = before.shown.steps.items()
            tweened = {name: between(p, shown.steps.get(name, p), share) for name, p in steps}
            yield frame, Shown(tweened, overlay_between(before.shown.overlay, shown.overlay, share))

    def rest(self) -> Iterator[tuple[Between, Shown]]:
        """The frames after the last sample, with what is shown of it."""
        for frame in self._held:
            assert self._before is not None
            yield frame, self._before.shown
        self._held = []


def between(before: Predictions, after: Predictions, share: float) -> Predictions:
    """The predictions at this share (0..1) of the way from one sample to the next.

    Boxes of tracks that both have are interpolated; all else is as in the nearer sample.
    """
    if not (isinstance(before, Objects) and isinstance(after, Objects)):
        return before if share < 0.5 else after
    nearer = before if share < 0.5 else after
    if before.masks is not None or after.masks is not None:  # a mask would stay where its box has left
        return nearer
    if before.tracks is None or after.tracks is None:
        return nearer
    theirs = {int(number): row for row, number in enumerate(after.tracks) if number >= 0}
    pairs = [(row, theirs[number]) for row, number in enumerate(before.tracks.tolist()) if number in theirs]
    if not pairs:
        return nearer
    first, second = (np.array(rows, np.intp) for rows in zip(*pairs, strict=True))
    mine = first if share < 0.5 else second
    moved = {name: _mixed(getattr(before, name), getattr(after, name), first, second, share)
             for name in ("boxes", "keypoints", "corners")}  # fmt: skip
    going_on = replace(nearer.take(mine), **{name: column for name, column in moved.items() if column is not None})
    return joined([going_on, nearer.take(np.setdiff1d(np.arange(len(nearer)), mine))])


def _mixed(before: Any, after: Any, first: Any, second: Any, share: float) -> Any:
    """The rows of two columns at this share of the way; None where they differ in form."""
    if before is None or after is None or before.shape[1:] != after.shape[1:]:
        return None
    return (before[first] * (1 - share) + after[second] * share).astype(np.float32)
