"""What all boxes did that was not predicted: how a camera that turns or shakes is told from boxes alone.

In every frame the boxes' errors shift the median a little, too, and to follow it costs numbers where the camera stands
still. So there has to be evidence over frames: a cumulative sum (Page, "Continuous inspection schemes", Biometrika 41,
1954) of the shift in its standard errors, for each direction.
"""

from __future__ import annotations

import numpy as np

from inference.tracking.kalman import Floats

# Of fewer pairs, and where most tracks have no pair, nothing can be told of the camera.
_LEAST_PAIRS, _LEAST_SHARE, _LEAST_OVERLAP = 3, 0.5, 0.1
# Of normal errors the median's is 1.25 deviations over the root of their number, the deviation 1.48 median absolute
# deviations. Those of a few pairs in one frame say little: as shares of the boxes' sides they are averaged over
# frames, beginning with what they are on TUD-Campus.
_ERROR_OF_MEDIAN, _USUAL, _NEWEST = 1.25 * 1.48, 0.04, 0.1
# In standard errors. Before a camera at rest a shift is about 0.8 of them, a little more where only few boxes are seen:
# the sum falls, from `_MOST` to `_MOVES` within some ten frames.
_AT_REST, _MOVES, _MOST = 1.3, 5.0, 10.0


class CommonMotion:
    """The camera's motion as far as it shows in boxes; feed it every frame."""

    def __init__(self) -> None:
        self._evidence = np.zeros(2)
        self._error = np.full(2, _USUAL)

    def shift(self, predicted: Floats, detected: Floats, overlap: Floats) -> Floats:
        """(2,) pixels right and down by which detections (M, 4) xyxy lie beside the predictions (N, 4) of tracks.

        The median over pairs that overlap each other most, by `overlap` (N, M); 0 in a direction in which the camera
        is not known to move.
        """
        nothing = np.zeros(2)
        if min(overlap.shape) < _LEAST_PAIRS:
            return nothing
        rows, best = np.arange(len(predicted)), overlap.argmax(1)
        mutual = (overlap.argmax(0)[best] == rows) & (overlap[rows, best] > _LEAST_OVERLAP)
        expected = predicted[mutual]
        n = len(expected)
        if n < max(_LEAST_PAIRS, _LEAST_SHARE * len(predicted)):
            return nothing
        moved = detected[best[mutual]] - expected
        moved, sides = (moved[:, :2] + moved[:, 2:]) / 2, expected[:, 2:] - expected[:, :2]
        middle = _median(moved)
        # Of few, the median lies nearer to its own sample than to the truth.
        error = _median(np.abs(moved - middle) / sides) * n / (n - 1)
        self._error += _NEWEST * (error - self._error)
        sure = np.abs(middle) / np.maximum(_ERROR_OF_MEDIAN * self._error * _median(sides) / np.sqrt(n), 1e-9)
        self._evidence = np.clip(self._evidence + sure - _AT_REST, 0.0, _MOST)
        return np.where(self._evidence > _MOVES, middle, nothing)


def _median(values: Floats) -> Floats:
    """Of each column. np.median takes ten times as long on a few rows."""
    ordered, n = np.sort(values, axis=0), len(values)
    middle: Floats = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return middle
