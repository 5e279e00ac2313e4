"""Tracking by detection on arrays: SORT and ByteTrack, with appearance and camera motion where they are given.

SORT: Bewley et al., "Simple online and realtime tracking", arXiv:1602.00763. ByteTrack: Zhang et al.,
"ByteTrack: multi-object tracking by associating every detection box", arXiv:2110.06864. Appearance and camera
motion as in BoT-SORT: Aharon et al., arXiv:2206.14651. All buffers are seconds of the clip, not frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.tracking.assignment import Rows, assign, cosine, iou
from inference.tracking.kalman import STEPS_PER_SECOND, Floats, States
from inference.tracking.motion import AreaRatio, AspectHeight, MotionModel

Ints = NDArray[np.int64]
_NEVER = 2.0  # a cost above every limit


@dataclass(frozen=True)
class TrackerOptions:
    """Scores 0..1, overlaps as IoU, buffers in seconds of the clip.

    `confirm_hits` frames in a row make a track; `lost_s` is how long it may be out of sight. With embeddings
    it is looked for by appearance alone, up to `reid_s`, among detections at least `reid_similarity` alike
    (cosine). `one_class` matches across labels.
    """

    high_score: float = 0.6
    low_score: float = 0.1
    new_score: float = 0.7
    match_iou: float = 0.1
    second_iou: float = 0.5
    tentative_iou: float = 0.3
    confirm_hits: int = 2
    lost_s: float = 1.0
    reid_s: float = 1.0
    reid_similarity: float = 0.75
    one_class: bool = False


SORT_OPTIONS = TrackerOptions(high_score=0.25, low_score=0.25, new_score=0.25, match_iou=0.3)


@dataclass
class _Tracks:
    """One row a living track; `hits` counts frames in a row, `id` is -1 until it is confirmed."""

    states: States
    id: Ints
    label: Ints
    seen_s: Floats
    hits: Ints
    embedding: Floats | None = None

    def take(self, rows: Rows | NDArray[np.bool_]) -> _Tracks:
        return _Tracks(
            self.states.take(rows), self.id[rows], self.label[rows], self.seen_s[rows], self.hits[rows],
            None if self.embedding is None else self.embedding[rows],
        )  # fmt: skip

    def append(self, other: _Tracks) -> _Tracks:
        return _Tracks(
            self.states.append(other.states), np.concatenate([self.id, other.id]),
            np.concatenate([self.label, other.label]), np.concatenate([self.seen_s, other.seen_s]),
            np.concatenate([self.hits, other.hits]),
            _joined(self.embedding, other.embedding),
        )  # fmt: skip


def _joined(first: Floats | None, second: Floats | None) -> Floats | None:
    """Rows of both; where one has none, its width does not matter (nobody was in the first frame)."""
    if first is None or second is None:
        return None
    if not len(first) or not len(second):
        return first if len(first) else second
    return np.concatenate([first, second])


@dataclass(frozen=True)
class _Detections:
    boxes: Floats
    scores: Floats
    labels: Ints
    embeddings: Floats | None


class Tracker:
    """Gives each detection the number of the track it belongs to. Deterministic; numbers count from 1.

    `stages` of association, in order, each over what the ones before left: SORT has one, ByteTrack three.
    """

    def __init__(self, model: MotionModel, options: TrackerOptions, two_stage: bool) -> None:
        self.options = options
        self._model = model
        self._two_stage = two_stage
        self._tracks: _Tracks | None = None
        self._next_id = 1
        self._t_s: float | None = None

    def update(
        self,
        boxes: NDArray[np.floating],
        scores: NDArray[np.floating],
        labels: NDArray[np.integer],
        t_s: float,
        embeddings: NDArray[np.floating] | None = None,
        warp: NDArray[np.floating] | None = None,
    ) -> Ints:
        """Takes the detections of one frame, gives their track numbers (N,), -1 where none.

        `boxes` (N, 4) xyxy pixels, `scores` (N,), `labels` (N,), `t_s` seconds, larger at each call.
        `embeddings` (N, E): L2-normalised appearance. `warp` (2, 3): the affine motion of the camera since
        the last call. Raises ValueError when time does not move on.
        """
        if self._t_s is not None and t_s <= self._t_s:
            raise ValueError(f"frame at {t_s} s, after one at {self._t_s} s")
        found = _Detections(
            np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64),
            np.asarray(labels, np.int64), None if embeddings is None else np.asarray(embeddings, np.float64),
        )  # fmt: skip
        ids = np.full(len(found.boxes), -1, np.int64)
        first = self._tracks is None
        tracks = self._born(found, np.empty(0, np.intp), t_s) if self._tracks is None else self._tracks
        if self._t_s is not None and len(tracks.id):
            tracks = self._move_on(tracks, t_s, (t_s - self._t_s) * STEPS_PER_SECOND, warp)
        rows, columns = self._associate(tracks, found, t_s)
        self._correct(tracks, found, rows, columns, t_s)
        free = np.ones(len(ids), np.bool_)
        free[columns] = False
        newborn = np.flatnonzero(free & (found.scores >= self.options.new_score))
        alive = (tracks.seen_s == t_s) | (tracks.id >= 0)
        places = np.cumsum(alive) - 1
        tracks = tracks.take(alive).append(self._born(found, newborn, t_s))
        self._confirm(tracks, t_s, first)
        ids[columns] = tracks.id[places[rows]]
        if len(newborn):
            ids[newborn] = tracks.id[-len(newborn) :]
        self._tracks, self._t_s = tracks, t_s
        return ids

    def _born(self, found: _Detections, rows: Rows, t_s: float) -> _Tracks:
        value = self._model.measure(found.boxes[rows])
        return _Tracks(
            States.start(value, *self._model.start_noise(value)),
            np.full(len(rows), -1, np.int64), found.labels[rows], np.full(len(rows), t_s),
            np.ones(len(rows), np.int64), None if found.embeddings is None else found.embeddings[rows],
        )  # fmt: skip

    def _move_on(self, tracks: _Tracks, t_s: float, steps: float, warp: NDArray[np.floating] | None) -> _Tracks:
        """Forgets who was gone too long, then predicts."""
        buffer_s = self.options.lost_s
        if tracks.embedding is not None:
            buffer_s = max(buffer_s, self.options.reid_s)
        keep = t_s - tracks.seen_s <= buffer_s + 1e-6
        if not keep.all():
            tracks = tracks.take(keep)
        if warp is not None:
            _warp(tracks.states, np.asarray(warp, np.float64), self._model)
        # Out of sight a box keeps its size: growing on by its last velocity it would swallow the picture.
        tracks.states.velocity[tracks.seen_s < (self._t_s or 0.0), 2:] = 0.0
        tracks.states.predict(steps, *self._model.step_noise(tracks.states.value))
        return tracks

    def _associate(self, tracks: _Tracks, found: _Detections, t_s: float) -> tuple[Rows, Rows]:
        """Pairs (track rows, detection rows)."""
        options = self.options
        near = t_s - tracks.seen_s <= options.lost_s + 1e-6
        high = found.scores >= options.high_score
        overlap = iou(self._model.boxes(tracks.states.value), found.boxes)
        if not options.one_class:
            overlap = np.where(tracks.label[:, None] == found.labels[None, :], overlap, -_NEVER)
        confirmed = tracks.id >= 0
        pairs = _Pairs(len(tracks.id), len(found.boxes))
        cost = 1.0 - overlap
        if self._two_stage:
            # Scores weigh in: of two boxes that fit equally, the surer one is the track's.
            cost = 1.0 - overlap * found.scores[None, :]
            if tracks.embedding is not None and found.embeddings is not None:
                cost = _with_looks(cost, overlap, cosine(tracks.embedding, found.embeddings))
            pairs.match(cost, 1.0 - options.match_iou, confirmed & near, high)
            # Second: who was seen last time may go on as a faint detection (ByteTrack's idea).
            recent = confirmed & (tracks.seen_s >= (self._t_s or 0.0))
            low = ~high & (found.scores >= options.low_score)
            pairs.match(1.0 - overlap, 1.0 - options.second_iou, recent, low)
            pairs.match(cost, 1.0 - options.tentative_iou, ~confirmed, high)
        else:
            pairs.match(cost, 1.0 - options.match_iou, near, high)
        if tracks.embedding is not None and found.embeddings is not None:
            looks = 1.0 - cosine(tracks.embedding, found.embeddings)
            if not options.one_class:
                looks = np.where(tracks.label[:, None] == found.labels[None, :], looks, _NEVER)
            pairs.match(looks, 1.0 - options.reid_similarity, confirmed & (tracks.seen_s < (self._t_s or 0.0)), high)
        return pairs.rows_and_columns()

    def _correct(self, tracks: _Tracks, found: _Detections, rows: Rows, columns: Rows, t_s: float) -> None:
        measured = self._model.measure(found.boxes[columns])
        tracks.states.update(rows, measured, self._model.measure_noise(tracks.states.value[rows]))
        tracks.hits[tracks.seen_s < (self._t_s or t_s)] = 0
        tracks.hits[rows] += 1
        tracks.seen_s[rows] = t_s
        if tracks.embedding is not None and found.embeddings is not None and len(rows):
            mixed = 0.9 * tracks.embedding[rows] + 0.1 * found.embeddings[columns]
            tracks.embedding[rows] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)

    def _confirm(self, tracks: _Tracks, t_s: float, first: bool) -> None:
        """Numbers the tracks seen often enough; those of the first frame at once, as ByteTrack does."""
        needed = 1 if first and self._two_stage else self.options.confirm_hits
        ready = np.flatnonzero((tracks.id < 0) & (tracks.hits >= needed))
        tracks.id[ready] = self._next_id + np.arange(len(ready))
        self._next_id += len(ready)


class _Pairs:
    """The pairs found so far, and who is still free."""

    def __init__(self, tracks: int, detections: int) -> None:
        self._free_tracks = np.ones(tracks, np.bool_)
        self._free_detections = np.ones(detections, np.bool_)
        self._rows: list[Rows] = []
        self._columns: list[Rows] = []

    def match(self, cost: Floats, limit: float, tracks: NDArray[np.bool_], detections: NDArray[np.bool_]) -> None:
        """Assigns among these tracks and detections those that are still free."""
        of_tracks = np.flatnonzero(tracks & self._free_tracks)
        of_detections = np.flatnonzero(detections & self._free_detections)
        if not len(of_tracks) or not len(of_detections):
            return
        rows, columns = assign(cost[of_tracks[:, None], of_detections], limit)
        self._rows.append(of_tracks[rows])
        self._columns.append(of_detections[columns])
        self._free_tracks[of_tracks[rows]] = False
        self._free_detections[of_detections[columns]] = False

    def rows_and_columns(self) -> tuple[Rows, Rows]:
        nothing = np.empty(0, np.intp)
        return np.concatenate([nothing, *self._rows]), np.concatenate([nothing, *self._columns])


def _with_looks(cost: Floats, overlap: Floats, similarity: Floats) -> Floats:
    """BoT-SORT's fusion: the smaller of the two distances, where a pair is near and alike enough."""
    looks = (1.0 - similarity) / 2.0
    looks[(looks > 0.25) | (overlap < 0.5)] = _NEVER
    return np.minimum(cost, looks)


def _warp(states: States, warp: Floats, model: MotionModel) -> None:
    """Moves all boxes, and turns their velocities, as the picture moved."""
    boxes = model.boxes(states.value)
    scale = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ warp[:, :2].T + warp[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
    states.value[:] = model.measure(np.concatenate([centre - half, centre + half], axis=1))
    states.velocity[:, :2] = states.velocity[:, :2] @ warp[:, :2].T


def sort_tracker(options: TrackerOptions = SORT_OPTIONS) -> Tracker:
    """SORT: one association by overlap."""
    return Tracker(AreaRatio(), options, two_stage=False)


def byte_tracker(options: TrackerOptions | None = None) -> Tracker:
    """ByteTrack: sure detections first, then faint ones for tracks just seen, then the newly born."""
    return Tracker(AspectHeight(), options or TrackerOptions(), two_stage=True)
