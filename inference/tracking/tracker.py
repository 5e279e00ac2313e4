"""Tracking by detection on arrays: what SORT and ByteTrack share; the algorithms are files of their own.

Embeddings and camera motion as in BoT-SORT: Aharon et al., arXiv:2206.14651. All buffers are seconds of the clip, not
frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.tracking.assignment import Rows
from inference.tracking.common_motion import CommonMotion
from inference.tracking.kalman import STEPS_PER_SECOND, Floats, States
from inference.tracking.matching import NEVER, SAME_S, DetectionRows, Flags, Ints, Matching, TrackRows
from inference.tracking.pace import Pace
from inference.tracking.tracker_options import TrackerOptions

_REID_SIMILARITY = 0.75  # cosine
# A shift that all boxes have in common becomes their speed within so long: a camera that pans goes on, one that shakes
# comes back.
_SHIFT_GOES_ON_S = 0.3
# Over a longer gap than this nothing moves on by the way it took to the last picture, nor grows on.
_COAST_S, _GROW_S = 2.0, 1.0


class MotionModel(Protocol):
    """How an algorithm describes a moving box to the filter, and how sure it is of that.

    Boxes to filter coordinates and back, with their noise (standard deviations, a step of 1/30 s).
    """

    def measure(self, boxes: Floats) -> Floats:
        """(N, 4) xyxy to (N, 4) filter coordinates: the first two the centre, the others the size."""
        ...

    def boxes(self, value: Floats) -> Floats:
        """The way back, to xyxy."""
        ...

    def start_noise(self, value: Floats) -> tuple[Floats, Floats]:
        """Of the values and the velocities of a new track."""
        ...

    def step_noise(self, value: Floats) -> tuple[Floats, Floats]:
        """That a step adds to values and velocities."""
        ...

    def measure_noise(self, value: Floats) -> Floats:
        """Of a measured box."""
        ...


class Tracker(ABC):
    """Gives detections the numbers of the tracks that they belong to. Deterministic; numbers count from 1.

    A subclass says how boxes move and how a frame's detections are paired with tracks. `high_score`: from where on a
    detection counts by itself; `new_score`: from where on it starts a track; `low_score`: the lowest that the
    algorithm uses where that is less. `confirms_first_frame`: what is in the first frame is a track at once.
    """

    motion: ClassVar[MotionModel]
    high_score: float
    new_score: float
    low_score: ClassVar[float | None] = None
    confirms_first_frame: ClassVar[bool] = False

    def __init__(self, options: TrackerOptions | None = None, threshold: float | None = None) -> None:
        """`threshold` replaces both scores of the paper."""
        self.options = options or TrackerOptions()
        if threshold is not None:
            self.high_score = self.new_score = threshold
        self._tracks: TrackRows | None = None
        self._next_id = 1
        self._t_s: float | None = None
        self._pace, self._camera = Pace(), CommonMotion()
        self._firsts: dict[int, tuple[float, Floats]] = {}

    @abstractmethod
    def associate(self, matching: Matching, high: Flags) -> None:
        """Pairs tracks and detections by their places; `high` (M,): detections that count by themselves."""

    def update(
        self,
        boxes: NDArray[np.floating],
        scores: NDArray[np.floating],
        labels: NDArray[np.integer],
        t_s: float,
        embeddings: NDArray[np.floating] | None = None,
        warp: NDArray[np.floating] | None = None,
    ) -> Ints:
        """Takes the detections of a frame, gives their track numbers (N,), -1 for none.

        `boxes` (N, 4) xyxy pixels, `scores` (N,) 0..1, `labels` (N,), `t_s` seconds, larger at every call.
        `embeddings` (N, E): L2-normalised. `warp` (2, 3): the affine motion of the camera since the last call.
        Raises ValueError when time does not move on.
        """
        if self._t_s is not None and t_s <= self._t_s:
            raise ValueError(f"frame at {t_s} s, after one at {self._t_s} s")
        detections = DetectionRows(
            np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64),
            np.asarray(labels, np.int64), None if embeddings is None else np.asarray(embeddings, np.float64),
        )  # fmt: skip
        self._pace.update(t_s)
        ids = np.full(len(detections.boxes), -1, np.int64)
        first = self._tracks is None
        tracks = self._born(detections, np.empty(0, np.intp), t_s) if self._tracks is None else self._tracks
        if self._t_s is not None and len(tracks.id):
            tracks = self._move_on(tracks, t_s, self._t_s, warp)
        rows, columns = self._associate(tracks, detections, t_s)
        self._correct(tracks, detections, rows, columns, t_s)
        free = np.ones(len(ids), np.bool_)
        free[columns] = False
        newborn = np.flatnonzero(free & (detections.scores >= self.new_score))
        alive = (tracks.seen_s == t_s) | (tracks.id >= 0)
        places = np.cumsum(alive) - 1
        if not alive.all():
            tracks = tracks.take(alive)
        if len(newborn):
            tracks = tracks.append(self._born(detections, newborn, t_s))
        self._confirm(tracks, 1 if first and self.confirms_first_frame else self.options.confirm_hits, t_s)
        ids[columns] = tracks.id[places[rows]]
        if len(newborn):
            ids[newborn] = tracks.id[-len(newborn) :]
        self._tracks, self._t_s = tracks, t_s
        return ids

    @property
    def living(self) -> frozenset[int]:
        """The numbers of the tracks that go on: seen in the last frame, or not out of sight for too long."""
        return frozenset() if self._tracks is None else frozenset(self._tracks.id[self._tracks.id >= 0].tolist())

    @property
    def firsts(self) -> dict[int, tuple[float, Floats]]:
        """Of the tracks that got their numbers in the last frame: when and in which box (4,) each was found first, if
        that was earlier."""
        return self._firsts

    def number(self) -> int:
        """A number that no other track gets."""
        self._next_id += 1
        return self._next_id - 1

    def _born(self, detections: DetectionRows, rows: Rows, t_s: float) -> TrackRows:
        value = self.motion.measure(detections.boxes[rows])
        return TrackRows(
            States.start(value, *self.motion.start_noise(value)),
            np.full(len(rows), -1, np.int64), detections.labels[rows], np.full(len(rows), t_s),
            np.ones(len(rows), np.int64), np.ones(len(rows), np.int64), np.full(len(rows), t_s), detections.boxes[rows],
            None if detections.embeddings is None else detections.embeddings[rows],
        )  # fmt: skip

    def _move_on(self, tracks: TrackRows, t_s: float, last_s: float, warp: NDArray[np.floating] | None) -> TrackRows:
        """Forgets who was unseen too long, then predicts."""
        buffer_s = self._pace.patience_s(self.options.lost_s)
        if tracks.embedding is not None:
            buffer_s = max(buffer_s, self.options.reid_s)
        keep = t_s - tracks.seen_s <= buffer_s + SAME_S
        if not keep.all():
            tracks = tracks.take(keep)
        if warp is not None:
            _warp(tracks.states, np.asarray(warp, np.float64), self.motion)
        # Out of sight a box keeps its size: growing on by its last velocity it would swallow the picture.
        tracks.states.velocity[tracks.seen_s < last_s, 2:] = 0.0
        gap_s = t_s - last_s
        if gap_s > _GROW_S:
            tracks.states.velocity[:, 2:] = 0.0
        if gap_s > _COAST_S:
            tracks.states.velocity *= _COAST_S / gap_s
        steps = gap_s * STEPS_PER_SECOND
        tracks.states.predict(steps, *self.motion.step_noise(tracks.states.value))
        return tracks

    def _associate(self, tracks: TrackRows, detections: DetectionRows, t_s: float) -> tuple[Rows, Rows]:
        """Pairs (track rows, detection rows): by place as the algorithm does it, then unseen tracks by embedding."""
        boxes, last_s = self.motion.boxes(tracks.states.value), self._t_s or 0.0
        patience_s = self._pace.patience_s(self.options.lost_s)
        matching = Matching(tracks, detections, boxes, t_s, last_s, self.options, patience_s)
        high = detections.scores >= self.high_score
        known, shown = np.flatnonzero(matching.recent & (tracks.hits > 1)), np.flatnonzero(high)
        shift = self._camera.shift(boxes[known], detections.boxes[shown], matching.overlap[known[:, None], shown])
        if shift.any():
            tracks.states.value[:, :2] += shift
            share = 1.0 - np.exp(-(t_s - last_s) / _SHIFT_GOES_ON_S)
            tracks.states.velocity[:, :2] += share * shift / ((t_s - last_s) * STEPS_PER_SECOND)
            matching = Matching(tracks, detections, boxes + np.tile(shift, 2), t_s, last_s, self.options, patience_s)
        self.associate(matching, high)
        if matching.similarity is not None:
            cost = np.where(matching.allowed, 1.0 - matching.similarity, NEVER)
            matching.pair(cost, 1.0 - _REID_SIMILARITY, matching.confirmed & ~matching.recent, high)
        return matching.rows, matching.columns

    def _correct(
        self, tracks: TrackRows, detections: DetectionRows, rows: Rows, columns: Rows, t_s: float
    ) -> None:  # fmt: skip
        measured = self.motion.measure(detections.boxes[columns])
        tracks.states.update(rows, measured, self.motion.measure_noise(tracks.states.value[rows]))
        if self._t_s is not None:
            tracks.hits[tracks.seen_s < self._t_s] = 0
        tracks.hits[rows] += 1
        tracks.high[rows] += detections.scores[columns] >= self.high_score
        tracks.seen_s[rows] = t_s
        if tracks.embedding is not None and detections.embeddings is not None and len(rows):
            mixed = 0.9 * tracks.embedding[rows] + 0.1 * detections.embeddings[columns]
            tracks.embedding[rows] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)

    def _confirm(self, tracks: TrackRows, hits: int, t_s: float) -> None:
        """Numbers the tracks seen in so many frames in a row."""
        ready = np.flatnonzero((tracks.id < 0) & (tracks.hits >= hits))
        tracks.id[ready] = self._next_id + np.arange(len(ready))
        self._next_id += len(ready)
        rows = ready[tracks.first_s[ready] < t_s]
        self._firsts = {int(tracks.id[i]): (float(tracks.first_s[i]), tracks.first_box[i]) for i in rows}


def _warp(states: States, warp: Floats, motion: MotionModel) -> None:
    """Moves all boxes, and turns their velocities, as the picture moved."""
    boxes = motion.boxes(states.value)
    scale = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ warp[:, :2].T + warp[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
    states.value[:] = motion.measure(np.concatenate([centre - half, centre + half], axis=1))
    states.velocity[:, :2] = states.velocity[:, :2] @ warp[:, :2].T
