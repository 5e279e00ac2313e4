"""What the annotated video shows: pictures scaled down, and between two samples the boxes of tracks on their way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inference.predictions import LabelMap, Masks, Objects, Predictions, joined
from inference.routes import Route
from inference.video.frames import Between, VideoInfo, View

# More frames a second are not shown. Between samples that are further apart, boxes would only be guessed.
_MOST_FPS, _WIDEST_S = 31.0, 1.0
# What the frames that wait for the next sample may take.
_HELD_BYTES = 48 << 20

Steps = Mapping[str, Predictions]


def shows_between(route: Route) -> bool:
    """Whether the annotated video shows frames between samples. Not where something has to be unrecognisable: nobody
    looked whether it is there."""
    options = route.video_options
    return options.annotated and options.between and options.samples and not route.draw.blur


def view_of(route: Route, info: VideoInfo) -> View:
    """What the annotated video of a clip shows, by the route's options and what the container says."""
    options = route.video_options
    rate = info.nominal_fps or 10.0
    analysed = min(rate, options.fps) if options.fps else rate / options.stride
    alone = View(options.annotated_side, fps=analysed)
    if not shows_between(route) or options.keyframes_only or not _WIDEST_S * analysed >= 1:
        return alone
    width, height = alone.size(max(info.width, 1), max(info.height, 1))
    most = max(1, _HELD_BYTES // (3 * width * height))
    every = max(math.ceil(rate / _MOST_FPS), math.ceil(rate / analysed / most))
    return alone if rate / every <= analysed else View(options.annotated_side, every, rate / every, most)


def scaled(predictions: Predictions, size: tuple[int, int], target: tuple[int, int]) -> Predictions:
    """Predictions for a picture of `size` (width, height), for the same picture scaled to `target`."""
    if size == target:
        return predictions
    ratio = np.array([target[0] / size[0], target[1] / size[1]], np.float32)
    if isinstance(predictions, LabelMap):
        rows, columns = _sources(0, target[1], ratio[1], size[1]), _sources(0, target[0], ratio[0], size[0])
        return replace(predictions, ids=predictions.ids[rows[:, None], columns])
    if not isinstance(predictions, Objects):
        return predictions
    points, corners, masks = predictions.keypoints, predictions.corners, predictions.masks
    if points is not None:
        points = np.concatenate([points[..., :2] * ratio, points[..., 2:]], axis=-1)
    hidden = None if predictions.hidden is None else scaled(predictions.hidden, size, target)
    assert hidden is None or isinstance(hidden, Objects)
    return replace(
        predictions,
        hidden=hidden,
        boxes=predictions.boxes * np.tile(ratio, 2),
        keypoints=points,
        corners=None if corners is None else corners * ratio,
        masks=None if masks is None else _scaled_masks(masks, ratio, target),
        attributes=tuple(
            {name: scaled(answer, size, target) if isinstance(answer, Objects) else answer
             for name, answer in answers.items()}
            for answers in predictions.attributes
        ),
    )  # fmt: skip


def _sources(start: int, end: int, ratio: float, size: int) -> Any:
    """The pixels from which the pixels start..end of a scaled side come, by the nearest centre."""
    return ((np.arange(start, end) + 0.5) / ratio).astype(np.intp).clip(0, size - 1)


def _scaled_masks(masks: Masks, ratio: Any, target: tuple[int, int]) -> Masks:
    windows, bits = [], []
    for (x1, y1, x2, y2), mask in zip(masks.windows.tolist(), masks.bits, strict=True):
        left, top = math.floor(x1 * ratio[0]), math.floor(y1 * ratio[1])
        right, bottom = min(math.ceil(x2 * ratio[0]), target[0]), min(math.ceil(y2 * ratio[1]), target[1])
        windows.append([left, top, right, bottom])
        if mask.size:
            rows = (_sources(top, bottom, ratio[1], masks.size[0]) - y1).clip(0, mask.shape[0] - 1)
            columns = (_sources(left, right, ratio[0], masks.size[1]) - x1).clip(0, mask.shape[1] - 1)
            mask = mask[rows[:, None], columns]
        bits.append(mask)
    return Masks((target[1], target[0]), np.array(windows, np.int64).reshape(-1, 4), tuple(bits))


@dataclass(frozen=True)
class _Sample:
    pts_s: float
    steps: Steps


class Tween:
    """Frames between two samples wait here for the second, and leave with predictions between both samples'."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._before: _Sample | None = None
        self._held: list[Between] = []

    def start(self, pts_s: float, steps: Steps) -> None:
        """The sample before the first frame, where that is in another part of the clip."""
        self._before = _Sample(pts_s, steps)

    def hold(self, frame: Between) -> None:
        """Takes a frame after the last sample; what comes before the first sample is not shown."""
        if self._before is not None and len(self._held) < self._view.most:
            self._held.append(frame)

    def sample(self, pts_s: float, steps: Steps) -> Iterator[tuple[Between, Steps]]:
        """The frames before this sample, with their predictions."""
        before, held = self._before, self._held
        self._before, self._held = _Sample(pts_s, steps), []
        for frame in held:
            assert before is not None
            share = (frame.pts_s - before.pts_s) / (pts_s - before.pts_s)
            yield frame, {name: between(p, steps.get(name, p), share) for name, p in before.steps.items()}

    def rest(self) -> Iterator[tuple[Between, Steps]]:
        """The frames after the last sample, with its predictions."""
        for frame in self._held:
            assert self._before is not None
            yield frame, self._before.steps
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
