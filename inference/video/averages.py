"""What a clip shows as a whole, for steps that name each frame: the mean of the frames' scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.predictions import Classes, Objects, Predictions

_BEST = 5


class Averages:
    """Sums scores by label; a label that a frame does not list counts as 0 there."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[tuple[int, str], float]] = {}
        self._frames = 0

    def update(self, steps: Mapping[str, Predictions]) -> None:
        """Takes one frame's predictions by step."""
        self._frames += 1
        for step, predictions in steps.items():
            if isinstance(predictions, Classes):
                sums = self._sums.setdefault(step, {})
                rows = zip(predictions.label_ids.tolist(), predictions.names, predictions.scores.tolist(), strict=True)
                for number, name, score in rows:
                    sums[number, name] = sums.get((number, name), 0.0) + score

    def of(self, step: str, threshold: float) -> Predictions:
        """The best labels of the whole clip whose mean reaches the step's threshold.

        No predictions for a step of another kind (see frames.jsonl).
        """
        if step not in self._sums:
            return Objects.empty()
        candidates = [item for item in self._sums[step].items() if item[1] >= threshold * self._frames]
        best = sorted(candidates, key=lambda item: -item[1])[:_BEST]
        return Classes(
            np.array([number for (number, _), _ in best], np.int64),
            np.array([total / self._frames for _, total in best], np.float32),
            tuple(name for (_, name), _ in best),
        )
