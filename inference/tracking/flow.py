"""Sparse optical flow: what single points did between two frames (pyramidal Lucas-Kanade, Bouguet 2001).

OpenCV is an extra (requirements-flow.txt), and imported only where flow is asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.extras import extra

Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]
# Longer sides are scaled down to this: flow at full size costs ten times as much and is no better.
_SIDE = 480
# A point counts when flow back from where it went ends this near to where it began (pixels, scaled picture).
_ROUND_TRIP = 1.0
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def grey(pixels: NDArray[np.uint8], side: int = _SIDE) -> tuple[Grey, float]:
    """A grey copy with its longer side at most `side`, and its scale (grey pixels a picture pixel)."""
    image = Image.fromarray(pixels).convert("L")
    scale = min(1.0, side / max(image.size))
    if scale < 1.0:
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX
        )
    return np.asarray(image), scale


def corners(picture: Grey, count: int, mask: Grey | None = None) -> NDArray[np.float32]:
    """Up to `count` points (N, 2) that can be followed (Shi and Tomasi, 1994), only where `mask` is not 0."""
    points = extra("cv2").goodFeaturesToTrack(picture, count, 0.01, 5.0, mask=mask)
    return np.zeros((0, 2), np.float32) if points is None else np.asarray(points, np.float32).reshape(-1, 2)


def follow_points(
    before: Grey, after: Grey, points: NDArray[np.float32], guess: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(where they were, where they are) of the points that flow finds and finds back.

    `guess` (2,): how far they have probably moved, in pixels of the grey pictures; the search begins there.
    """
    if not len(points):
        return points, points
    cv2 = extra("cv2")
    flow = cv2.calcOpticalFlowPyrLK
    step = np.zeros(2, np.float32) if guess is None else np.asarray(guess, np.float32)
    begin = cv2.OPTFLOW_USE_INITIAL_FLOW
    there, ok, _ = flow(before, after, points, points + step, flags=begin)
    back, ok_back, _ = flow(after, before, there, there - step, flags=begin)
    good = (ok.ravel() == 1) & (ok_back.ravel() == 1) & (np.linalg.norm(back - points, axis=1) < _ROUND_TRIP)
    return points[good], there[good]


class CameraMotion:
    """Estimates how the picture as a whole moved from frame to frame, objects left aside."""

    def __init__(self) -> None:
        self._before: Grey | None = None
        self._cv2 = extra("cv2")

    def update(self, pixels: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> Floats:
        """The (2, 3) affine (shift, turn, zoom) from the last frame's pixels to this frame's; identity if unknown.

        `pixels` (H, W, 3) RGB; `boxes` (N, 4) xyxy of this frame are objects, whose points do not count.
        """
        now, scale = grey(pixels)
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return IDENTITY.copy()
        mask = np.full(before.shape, 255, np.uint8)
        for x1, y1, x2, y2 in [] if boxes is None else (np.asarray(boxes) * scale).astype(int).tolist():
            mask[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = 0
        start, end = follow_points(before, now, corners(before, 300, mask))
        if len(start) < 8:
            return IDENTITY.copy()
        method = self._cv2.RANSAC
        warp, _ = self._cv2.estimateAffinePartial2D(start, end, method=method, ransacReprojThreshold=2.0)
        if warp is None:
            return IDENTITY.copy()
        result = np.array(warp, np.float64)
        result[:, 2] /= scale
        return result
