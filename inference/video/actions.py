"""What is being done: clip models over overlapping windows, smoothed and merged into labelled time ranges."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engine.clip import ClipModel
from inference.engine.cores import yielding
from inference.label_lists import merged_ids, shown_names
from inference.manifest import Manifest
from inference.predictions import Classes, Floats
from inference.routes import Step
from inference.video.time_range import TimeRange

_LEFT_OUT = -1.0  # the score of a label that the route does not want


@dataclass(frozen=True)
class Window:
    """One run of the model: seconds covered, probabilities (C,)."""

    start_s: float
    end_s: float
    scores: Floats


class ActionWatch:
    """Feed it every frame; it samples them by the clip's clock and runs the model when a window is full."""

    def __init__(self, model: ClipModel, step: Step | None = None) -> None:
        """step: whose options name the labels, and choose among them."""
        self.model, self._step = model, step or Step(model.manifest.name)
        self._columns = _columns(model.manifest, self._step)
        self._rate = model.count / model.window_s
        self._hop = max(1, round(model.count * (1 - model.overlap)))
        self._frames: deque[tuple[int, NDArray[Any]]] = deque()
        self._tick = -1
        self._due = model.count - 1
        self._ran = False
        self.windows: list[Window] = []

    def update(self, t_s: float, pixels: NDArray[np.uint8]) -> Window | None:
        """Takes a frame (H, W, 3) RGB at `t_s` seconds; times must increase. The window that ends with it, if one
        does."""
        tick = int((t_s + 5e-7) * self._rate)
        if tick <= self._tick:
            return None
        self._tick = tick
        self._frames.append((tick, self.model.frame(pixels)))
        while self._frames[0][0] <= tick - self.model.count:
            self._frames.popleft()
        if tick < self._due:
            return None
        self._run()
        # The grid of windows is that of the clip's clock: it does not depend on where reading began.
        self._due += self._hop * ((tick - self._due) // self._hop + 1)
        return self.windows[-1]

    def _run(self) -> None:
        self._ran = True
        with yielding():
            scores = _of_labels(self.model.run([frame for _, frame in self._frames]), self._columns)
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
        threshold = threshold if self._step.threshold is None else self._step.threshold
        labels = shown_names(manifest.labels, self._step.rename)
        return ClipFacts(
            labels, manifest.label_offset, postprocess.topk or 5, threshold, self._rate, self._step.thresholds
        )


def _columns(manifest: Manifest, step: Step) -> dict[int, int]:
    """By the model's class, that whose place it has: of labels of one new name the first; -1: it is left out."""
    labels, offset = manifest.labels, manifest.label_offset
    one, names = merged_ids(labels, step.rename), shown_names(labels, step.rename)
    changed = {i - offset: j - offset for i, j in one.items() if i != j}
    return changed | {i - offset: -1 for i, name in enumerate(names) if step.labels and name not in step.labels}


def _of_labels(scores: Floats, columns: Mapping[int, int]) -> Floats:
    """The scores (C,), of labels of one new name the best in its place, _LEFT_OUT in all others."""
    if not columns:
        return scores
    kept = scores.copy()
    for one, other in columns.items():
        if 0 <= one < len(scores):
            kept[one] = _LEFT_OUT
            if 0 <= other < len(scores):
                kept[other] = max(kept[other], scores[one])
    return kept


@dataclass(frozen=True)
class ClipFacts:
    """What names the windows of a clip model, without the model. rate: its samples a second. thresholds: by label."""

    labels: tuple[str, ...]
    label_offset: int
    topk: int
    threshold: float
    rate: float
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def limits(self, count: int) -> Floats:
        """The score from which each of so many classes counts."""
        names = (self.name(i + self.label_offset) for i in range(count))
        return np.array([self.thresholds.get(name, self.threshold) for name in names], np.float32)

    def name(self, label_id: int) -> str:
        """The name of a label id; an id outside the list is named by its number."""
        return self.labels[label_id] if 0 <= label_id < len(self.labels) else str(label_id)


def overall(windows: Sequence[Window], clip: ClipFacts) -> Classes:
    """What the clip shows as a whole: the mean over its windows, best first."""
    if not windows:
        return Classes(np.zeros(0, np.int64), np.zeros(0, np.float32), ())
    mean = np.mean([window.scores for window in windows], axis=0)
    own = np.array([clip.thresholds.get(clip.name(i + clip.label_offset), 0.0) for i in range(len(mean))])
    best = np.argsort(-mean, kind="stable")
    best = best[mean[best] >= own[best]][: clip.topk]
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


def answer(window: Window, clip: ClipFacts, step: str = "") -> TimeRange | None:
    """The best label of a window that reaches its threshold, over its time, as the step says; None where none does."""
    reached = np.where(window.scores >= clip.limits(len(window.scores)), window.scores, _LEFT_OUT)
    best = int(reached.argmax())
    score, label_id = float(reached[best]), best + clip.label_offset
    if score < 0:
        return None
    return TimeRange("action", step, clip.name(label_id), label_id, window.start_s, window.end_s, score)


def actions(windows: Sequence[Window], clip: ClipFacts, duration_s: float, step: str = "") -> list[TimeRange]:
    """What was done when in a clip of that length, as the step says.

    Neighbouring pieces with the same best label are merged; those below the threshold give none.
    """
    ranges: list[TimeRange] = []
    # A window that ends with the last sample of the clip ends with the clip.
    last_s = duration_s - 1 / clip.rate
    for piece in smoothed([replace(w, end_s=duration_s if w.end_s > last_s else w.end_s) for w in windows]):
        action = answer(piece, clip, step)
        if action is None:
            continue
        last = ranges[-1] if ranges else None
        if last is not None and last.label_id == action.label_id and abs(last.end_s - piece.start_s) < 1e-6:
            before, now = last.end_s - last.start_s, piece.end_s - piece.start_s
            mean = (last.score * before + action.score * now) / (before + now)
            ranges[-1] = replace(last, end_s=piece.end_s, score=mean)
        else:
            ranges.append(action)
    return ranges
