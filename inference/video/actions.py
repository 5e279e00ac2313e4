"""What is being done: clip models over overlapping windows, smoothed and merged into labelled time ranges."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.clip import ClipModel
from inference.manifest import Manifest
from inference.predictions import Classes, Floats


@dataclass(frozen=True)
class Window:
    """One run of the model: seconds covered, probabilities (C,)."""

    start_s: float
    end_s: float
    scores: Floats


@dataclass(frozen=True)
class Action:
    """Something done from `start_s` to `end_s`; `score` is the mean over its windows."""

    label: str
    label_id: int
    start_s: float
    end_s: float
    score: float

    def to_json(self) -> dict[str, Any]:
        """As the timeline holds it."""
        return {"kind": "action", "label": self.label, "label_id": self.label_id, "score": round(self.score, 4),
                "start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3)}  # fmt: skip


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
        """Takes one frame (H, W, 3) RGB at `t_s` seconds; times must increase."""
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

    def _end(self, end_s: float, duration_s: float) -> float:
        """A window that ends with the last sample of the clip ends with the clip."""
        return duration_s if end_s > duration_s - 1 / self._rate else end_s

    def overall(self) -> Classes:
        """What the clip shows as a whole: the mean over its windows, best first."""
        manifest = self.model.manifest
        if not self.windows:
            return Classes(np.zeros(0, np.int64), np.zeros(0, np.float32), ())
        mean = np.mean([window.scores for window in self.windows], axis=0)
        best = np.argsort(-mean, kind="stable")[: manifest.postprocess.topk or 5]
        ids = best + manifest.label_offset
        return Classes(ids, mean[best], manifest.names(ids))

    def finish(self, duration_s: float) -> list[Action]:
        """Runs over what is left at the end, then says what was done when."""
        self.close()
        return self.told(duration_s)

    def close(self) -> None:
        """Runs over what is left at the end."""
        if self._frames and (not self._ran or self._tick > self._due - self._hop):
            self._run()

    def told(self, duration_s: float) -> list[Action]:
        """What was done when in a clip of that length, by the windows so far."""
        postprocess = self.model.manifest.postprocess
        return actions(
            [replace(w, end_s=self._end(w.end_s, duration_s)) for w in self.windows],
            self.model.manifest,
            0.5 if postprocess.confidence_threshold is None else postprocess.confidence_threshold,
        )


def smoothed(windows: Sequence[Window]) -> list[Window]:
    """The pieces that the windows' borders cut the clip into, each with the mean of all windows over it."""
    edges = sorted({w.start_s for w in windows} | {w.end_s for w in windows})
    pieces = []
    for start, end in zip(edges, edges[1:], strict=False):
        over = [w.scores for w in windows if w.start_s < end - 1e-9 and w.end_s > start + 1e-9]
        if over:
            pieces.append(Window(start, end, np.mean(over, axis=0)))
    return pieces


def actions(windows: Sequence[Window], manifest: Manifest, threshold: float) -> list[Action]:
    """Neighbouring pieces with the same best label become one range; those below the threshold none."""
    found: list[Action] = []
    for piece in smoothed(windows):
        best = int(piece.scores.argmax())
        score = float(piece.scores[best])
        if score < threshold:
            continue
        label_id = best + manifest.label_offset
        last = found[-1] if found else None
        if last is not None and last.label_id == label_id and abs(last.end_s - piece.start_s) < 1e-6:
            before, now = last.end_s - last.start_s, piece.end_s - piece.start_s
            mean = (last.score * before + score * now) / (before + now)
            found[-1] = replace(last, end_s=piece.end_s, score=mean)
        else:
            found.append(Action(manifest.names([label_id])[0], label_id, piece.start_s, piece.end_s, score))
    return found
