"""What is being done: clip models over overlapping windows, smoothed and merged into labelled time ranges."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.clip import ClipModel
from inference.predictions import Classes, Floats
from inference.video.time_range import TimeRange


@dataclass(frozen=True)
class Window:
    """One run of the model: seconds covered, probabilities (C,)."""

    start_s: float
    end_s: float
    scores: Floats


class ActionWatch:
    """Feed it every frame; it samples them by the clip's clock and runs the model when a window is full."""

    def __init__(self, model: ClipModel) -> None:
        self.model = model
        self._rate = model.count / model.window_s
        self._hop = max(1, round(model.count * (1 - model.overlap)))
        self._frames: deque[tuple[int, NDArray[Any]]] = deque()
        self._tick = -1
        self._due = model.count - 1
        self._ran = False
        self.windows: list[Window] = []

    def update(self, t_s: float, pixels: NDArray[np.uint8]) -> None:
        """Takes a frame (H, W, 3) RGB at `t_s` seconds; times must increase."""
        tick = int((t_s + 5e-7) * self._rate)
        if tick <= self._tick:
            return
        self._tick = tick
        self._frames.append((tick, self.model.frame(pixels)))
        while self._frames[0][0] <= tick - self.model.count:
            self._frames.popleft()
        if tick >= self._due:
            self._run()
            # The grid of windows is that of the clip's clock: it does not depend on where reading began.
            self._due += self._hop * ((tick - self._due) // self._hop + 1)

    def _run(self) -> None:
        self._ran = True
        scores = self.model.run([frame for _, frame in self._frames])
        start = max(self._tick + 1 - self.model.count, 0)
        self.windows.append(Window(start / self._rate, (self._tick + 1) / self._rate, scores))

    def close(self) -> None:
        """Runs over what is left at the end."""
        if self._frames and (not self._ran or self._tick > self._due - self._hop):
            self._run()

    @property
    def facts(self) -> ClipFacts:
        """What naming the windows needs of the model."""
        manifest, postprocess = self.model.manifest, self.model.manifest.postprocess
        threshold = 0.5 if postprocess.confidence_threshold is None else postprocess.confidence_threshold
        return ClipFacts(manifest.labels, manifest.label_offset, postprocess.topk or 5, threshold, self._rate)


@dataclass(frozen=True)
class ClipFacts:
    """What names the windows of a clip model, without the model. rate: its samples a second."""

    labels: tuple[str, ...]
    label_offset: int
    topk: int
    threshold: float
    rate: float

    def name(self, label_id: int) -> str:
        """The name of a label id; an id outside the list is named by its number."""
        return self.labels[label_id] if 0 <= label_id < len(self.labels) else str(label_id)


def overall(windows: Sequence[Window], clip: ClipFacts) -> Classes:
    """What the clip shows as a whole: the mean over its windows, best first."""
    if not windows:
        return Classes(np.zeros(0, np.int64), np.zeros(0, np.float32), ())
    mean = np.mean([window.scores for window in windows], axis=0)
    best = np.argsort(-mean, kind="stable")[: clip.topk]
    ids = best + clip.label_offset
    return Classes(ids, mean[best], tuple(map(clip.name, ids.tolist())))


def smoothed(windows: Sequence[Window]) -> list[Window]:
    """The pieces that the windows' borders cut the clip into, with the mean of all windows over it."""
    edges = sorted({w.start_s for w in windows} | {w.end_s for w in windows})
    pieces = []
    for start, end in zip(edges, edges[1:], strict=False):
        over = [w.scores for w in windows if w.start_s < end - 1e-9 and w.end_s > start + 1e-9]
        if over:
            pieces.append(Window(start, end, np.mean(over, axis=0)))
    return pieces


def actions(windows: Sequence[Window], clip: ClipFacts, duration_s: float, step: str = "") -> list[TimeRange]:
    """What was done when in a clip of that length, as the step says.

    Neighbouring pieces with the same best label are merged; those below the threshold give none.
    """
    ranges: list[TimeRange] = []
    # A window that ends with the last sample of the clip ends with the clip.
    last_s = duration_s - 1 / clip.rate
    for piece in smoothed([replace(w, end_s=duration_s if w.end_s > last_s else w.end_s) for w in windows]):
        best = int(piece.scores.argmax())
        score = float(piece.scores[best])
        if score < clip.threshold:
            continue
        label_id = best + clip.label_offset
        last = ranges[-1] if ranges else None
        if last is not None and last.label_id == label_id and abs(last.end_s - piece.start_s) < 1e-6:
            before, now = last.end_s - last.start_s, piece.end_s - piece.start_s
            mean = (last.score * before + score * now) / (before + now)
            ranges[-1] = replace(last, end_s=piece.end_s, score=mean)
        else:
            name = clip.name(label_id)
            ranges.append(TimeRange("action", step, name, label_id, piece.start_s, piece.end_s, score))
    return ranges
