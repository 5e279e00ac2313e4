"""What all boxes did that was not predicted: how a camera that turns or shakes is told from boxes alone."""

from __future__ import annotations

import numpy as np

from inference.tracking.kalman import Floats

# Of fewer pairs, and where most tracks have no pair, nothing can be told of the camera.
_LEAST_PAIRS, _LEAST_SHARE, _LEAST_OVERLAP = 3, 0.5, 0.1
# In standard errors of the median: of normal errors that is 1.25 deviations over the root of their number, and the
# deviation 1.48 median absolute deviations.
_SURE, _ERROR_OF_MEDIAN = 2.0, 1.25 * 1.48


def common_shift(predicted: Floats, detected: Floats, overlap: Floats) -> Floats:
    """(2,) pixels right and down by which detections (M, 4) xyxy lie beside the predictions (N, 4) of tracks.

    The median over pairs that overlap each other most, by `overlap` (N, M); 0 where it is within the boxes' errors.
    """
    nothing = np.zeros(2)
    if min(overlap.shape) < _LEAST_PAIRS:
        return nothing
    rows, best = np.arange(len(predicted)), overlap.argmax(1)
    mutual = (overlap.argmax(0)[best] == rows) & (overlap[rows, best] > _LEAST_OVERLAP)
    moved = detected[best[mutual]] - predicted[mutual]
    if len(moved) < max(_LEAST_PAIRS, _LEAST_SHARE * len(predicted)):
        return nothing
    moved = (moved[:, :2] + moved[:, 2:]) / 2
    middle = _median(moved)
    error = _ERROR_OF_MEDIAN * _median(np.abs(moved - middle)) / np.sqrt(len(moved))
    return np.where(np.abs(middle) > _SURE * error, middle, nothing)


def _median(values: Floats) -> Floats:
    """Of each column. np.median takes ten times as long on a few rows."""
    ordered, n = np.sort(values, axis=0), len(values)
    middle: Floats = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return middle
