"""Scenes: what a clip shows for a while, from the labels of its sampled frames, smoothed over time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from inference.predictions import Classes
from inference.video.time_range import TimeRange

# The score of a label at a sample is its mean over the samples this near (seconds), and over the next on either side.
_NEAR_S = 1.0
# A scene goes on until its score is below this share of the threshold that it began with.
_GOES_ON = 0.8
# What is shorter (seconds) is no scene, unless it is the clip from start to end.
_LEAST_S = 1.0

Label = tuple[int, str]


@dataclass
class _Open:
    start_s: float
    total: float = 0.0
    samples: int = 0


@dataclass
class SceneWatch:
    """Feed it the labels of a step, sample by sample: it keeps two seconds of them, and the scenes.

    sure: the score from which a label is sure. A label becomes a scene where its smoothed score reaches that, ends
    where it is clearly below, and counts where its mean is sure, too.
    """

    step: str
    sure: float
    scenes: list[TimeRange] = field(default_factory=list)
    _samples: deque[tuple[float, dict[Label, float]]] = field(default_factory=deque)
    _next: int = 0  # of _samples: the first that is not smoothed yet
    _open: dict[Label, _Open] = field(default_factory=dict)
    _first_s: float | None = None

    def update(self, t_s: float, classes: Classes) -> None:
        """Takes the labels of the sample at `t_s` seconds; times must increase."""
        self._first_s = t_s if self._first_s is None else self._first_s
        rows = zip(classes.label_ids.tolist(), classes.names, classes.scores.tolist(), strict=True)
        self._samples.append((t_s, {(number, name): score for number, name, score in rows}))
        while self._next < len(self._samples) - 1 and t_s > self._samples[self._next][0] + _NEAR_S:
            self._smooth()

    def _smooth(self) -> None:
        """The next sample, now that all that is near it is there."""
        at_s, own = self._samples[self._next]
        while self._next > 1 and self._samples[0][0] < at_s - _NEAR_S:
            self._samples.popleft()
            self._next -= 1
        near = [
            labels
            for i, (t_s, labels) in enumerate(self._samples)
            if abs(t_s - at_s) <= _NEAR_S or abs(i - self._next) <= 1
        ]
        for label in set(self._open).union(*near):
            smoothed = sum(labels.get(label, 0.0) for labels in near) / len(near)
            if label in self._open and smoothed < _GOES_ON * self.sure:
                self._close(label, at_s, _LEAST_S)
            elif label not in self._open and smoothed >= self.sure:
                self._open[label] = _Open(at_s)
            if label in self._open:
                self._open[label].total += own.get(label, 0.0)
                self._open[label].samples += 1
        self._next += 1

    def _close(self, label: Label, end_s: float, least_s: float) -> None:
        scene = self._open.pop(label)
        score = scene.total / scene.samples
        if score >= self.sure and end_s - scene.start_s >= least_s:
            self.scenes.append(TimeRange("scene", self.step, label[1], label[0], scene.start_s, end_s, score))

    def now(self) -> Classes:
        """The labels of the scenes that go on, as far as is known by now, which is a second behind; best first."""
        rows = [(scene.total / scene.samples, label) for label, scene in self._open.items()]
        rows.sort(key=lambda row: (-row[0], row[1]))
        return Classes(
            np.array([number for _, (number, _) in rows], np.int64),
            np.array([score for score, _ in rows], np.float32),
            tuple(name for _, (_, name) in rows),
        )

    def finish(self, duration_s: float) -> list[TimeRange]:
        """All scenes by start, then label, of a clip of this length; those that are open last to its end."""
        while self._next < len(self._samples):
            self._smooth()
        for label in list(self._open):
            self._close(label, duration_s, min(_LEAST_S, duration_s - (self._first_s or 0.0)))
        return sorted(self.scenes, key=lambda scene: (scene.start_s, scene.label_id, scene.label))
