"""The tracks and detections of a frame as rows, and their pairing by overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.tracking.assignment import Rows, assign, cosine, iou
from inference.tracking.kalman import Floats, States
from inference.tracking.tracker_options import TrackerOptions

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
NEVER = 2.0  # a cost above every limit
SAME_S = 1e-6
# Between samples that are far apart in time, boxes may move on so far that they no longer overlap: both are widened by
# this share of their sides for every second beyond the frame interval at which overlap alone is enough.
_WIDEN_PER_S, _WIDEN_FROM_S, _WIDEN_MOST = 1.0, 0.1, 0.5


@dataclass
class TrackRows:
    """One row a living track; `hits` counts frames in a row, `id` is -1 until it is confirmed; `high`: how often it was
    a detection that counts by itself; `first_s`, `first_box` (4,) xyxy: where it was found first."""

    states: States
    id: Ints
    label: Ints
    seen_s: Floats
    hits: Ints
    high: Ints
    first_s: Floats
    first_box: Floats
    embedding: Floats | None

    def take(self, rows: Rows | Flags) -> TrackRows:
        return TrackRows(
            self.states.take(rows), self.id[rows], self.label[rows], self.seen_s[rows], self.hits[rows],
            self.high[rows], self.first_s[rows], self.first_box[rows],
            None if self.embedding is None else self.embedding[rows],
        )  # fmt: skip

    def append(self, other: TrackRows) -> TrackRows:
        return TrackRows(
            self.states.append(other.states), np.concatenate([self.id, other.id]),
            np.concatenate([self.label, other.label]), np.concatenate([self.seen_s, other.seen_s]),
            np.concatenate([self.hits, other.hits]), np.concatenate([self.high, other.high]),
            np.concatenate([self.first_s, other.first_s]), np.concatenate([self.first_box, other.first_box]),
            _joined(self.embedding, other.embedding),
        )  # fmt: skip


def _joined(first: Floats | None, second: Floats | None) -> Floats | None:
    """Rows of both; those of no tracks have no width (nobody was in the first frame)."""
    if first is None or second is None:
        return None
    return np.concatenate([first, second]) if len(first) and len(second) else first if len(first) else second


@dataclass(frozen=True)
class DetectionRows:
    """One row a detection of the frame."""

    boxes: Floats
    scores: Floats
    labels: Ints
    embeddings: Floats | None


class Matching:
    """The tracks and detections of a frame, and which of them are paired so far.

    `overlap` (N, M): IoU of the boxes, widened where frames are far apart; negative where labels forbid the pair.
    `similarity` (N, M): cosine of the embeddings, None without. Of tracks (N,) bool: `confirmed`, `sure` (of high score
    in `confirm_hits` frames), `near` (seen within `near_s`), `recent` (seen in the last frame).
    """

    def __init__(
        self, tracks: TrackRows, detections: DetectionRows, boxes: Floats, t_s: float, last_s: float,
        options: TrackerOptions, near_s: float,
    ) -> None:  # fmt: skip
        self.scores = detections.scores
        self.confirmed, self.sure = tracks.id >= 0, tracks.high >= options.confirm_hits
        self.near = t_s - tracks.seen_s <= near_s + SAME_S
        self.recent = tracks.seen_s >= last_s
        self.allowed = np.ones((len(tracks.id), len(self.scores)), np.bool_)
        if not options.one_class:
            self.allowed = tracks.label[:, None] == detections.labels[None, :]
        share = widening(t_s - last_s)
        self.overlap = np.where(self.allowed, iou(widened(boxes, share), widened(detections.boxes, share)), -NEVER)
        self.similarity: Floats | None = None
        if tracks.embedding is not None and detections.embeddings is not None:
            self.similarity = cosine(tracks.embedding, detections.embeddings)
        self.rows, self.columns = np.empty(0, np.intp), np.empty(0, np.intp)
        self._free_tracks, self._free_detections = np.ones(self.allowed.shape[0], bool), np.ones(len(self.scores), bool)

    def pair(self, cost: Floats, limit: float, tracks: Flags, detections: Flags) -> None:
        """Pairs these tracks and detections, as far as they are free, at the least cost, every pair below `limit`."""
        of_tracks = np.flatnonzero(tracks & self._free_tracks)
        of_detections = np.flatnonzero(detections & self._free_detections)
        if not len(of_tracks) or not len(of_detections):
            return
        rows, columns = assign(cost[of_tracks[:, None], of_detections], limit)
        rows, columns = of_tracks[rows], of_detections[columns]
        self._free_tracks[rows] = self._free_detections[columns] = False
        self.rows, self.columns = np.concatenate([self.rows, rows]), np.concatenate([self.columns, columns])


def widening(gap_s: float) -> float:
    """The share of its width and height by which a box grows on each side, for frames so many seconds apart.

    Yang et al., "Make it easier by buffering the matching space", arXiv:2211.14317; 0 from 10 frames a second on.
    """
    return min(_WIDEN_MOST, _WIDEN_PER_S * max(0.0, gap_s - _WIDEN_FROM_S))


def widened(boxes: Floats, share: float) -> Floats:
    """(N, 4) xyxy, each grown on every side by that share of its own width and height."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * share
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
