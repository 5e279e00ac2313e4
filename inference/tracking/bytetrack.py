"""ByteTrack: high scores first, then low ones for tracks just seen, then unconfirmed tracks.

Zhang et al., "ByteTrack: multi-object tracking by associating every detection box", arXiv:2110.06864.
"""

from __future__ import annotations

import numpy as np

from inference.tracking.kalman import Floats
from inference.tracking.matching import NEVER, Flags, Matching
from inference.tracking.tracker import Tracker


class AspectHeight:
    """As DeepSORT: centre, aspect ratio, height.

    All noise but that of the ratio grows with the height of the box: near things move more pixels. A new track is as
    uncertain as in the papers. From then on measurements are trusted half as much, and positions and velocities wander
    less: with the papers' values the velocity follows the errors of single boxes, and who comes out from behind
    something is looked for elsewhere. (Theirs has to follow the camera too; here `CommonMotion` does that.)
    """

    _position, _velocity = 1.0 / 40, 1.0 / 450
    _measured, _first, _first_velocity = 1.0 / 10, 1.0 / 10, 1.0 / 16
    _scaled = np.array([1.0, 1.0, 0.0, 1.0])

    def measure(self, boxes: Floats) -> Floats:
        size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
        out = np.empty((len(boxes), 4))
        out[:, :2] = boxes[:, :2] + size / 2
        out[:, 2] = size[:, 0] / size[:, 1]
        out[:, 3] = size[:, 1]
        return out

    def boxes(self, value: Floats) -> Floats:
        height = np.maximum(value[:, 3], 1e-3)
        half = np.column_stack([np.maximum(value[:, 2], 1e-3) * height, height]) / 2
        return np.concatenate([value[:, :2] - half, value[:, :2] + half], axis=1)

    def _noise(self, value: Floats, scale: float, of_ratio: float) -> Floats:
        noise: Floats = (scale * value[:, 3:4]) * self._scaled
        noise[:, 2] = of_ratio
        return noise

    def start_noise(self, value: Floats) -> tuple[Floats, Floats]:
        return self._noise(value, self._first, 1e-2), self._noise(value, self._first_velocity, 1e-5)

    def step_noise(self, value: Floats) -> tuple[Floats, Floats]:
        return self._noise(value, self._position, 1e-2), self._noise(value, self._velocity, 1e-5)

    def measure_noise(self, value: Floats) -> Floats:
        return self._noise(value, self._measured, 1e-1)


class ByteTracker(Tracker):
    """Detections of a low score go on with a track and start none; those of the first frame are tracks at once."""

    motion = AspectHeight()
    high_score, new_score, low_score = 0.6, 0.7, 0.1
    match_iou, second_iou, unconfirmed_iou = 0.3, 0.5, 0.3
    confirms_first_frame = True

    def associate(self, matching: Matching, high: Flags) -> None:
        overlap, confirmed = matching.overlap, matching.confirmed
        # Unlike in the paper's code, scores do not weigh in: with the low threshold of a route every detection of a low
        # score, which counts there, would have to overlap its track nearly wholly.
        cost = 1.0 - overlap
        if matching.similarity is not None:
            cost = _fused(cost, overlap, matching.similarity)
        matching.pair(cost, 1.0 - self.match_iou, confirmed & matching.near, high)
        low = ~high & (matching.scores >= self.low_score)
        # Unlike in the paper, what was in the first frame has to be seen well a second time before it goes on so.
        matching.pair(1.0 - overlap, 1.0 - self.second_iou, confirmed & matching.sure & matching.recent, low)
        matching.pair(cost, 1.0 - self.unconfirmed_iou, ~confirmed, high)


def _fused(cost: Floats, overlap: Floats, similarity: Floats) -> Floats:
    """BoT-SORT's fusion: the smaller of the two distances, where a pair is near and alike enough."""
    distance = (1.0 - similarity) / 2.0
    distance[(distance > 0.25) | (overlap < 0.5)] = NEVER
    return np.minimum(cost, distance)
