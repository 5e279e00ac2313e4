"""MOTChallenge text: `frame,id,x,y,width,height,score,-1,-1,-1`, frames from 1, pixels from 1 (motchallenge.net).

The box is kept as written; only its form changes, from x, y, width, height to xyxy.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.errors import UnsupportedMedia
from inference.small_file import content_of
from inference.tracking.algorithms import TRACKERS
from inference.tracking.tracker import Tracker

# A larger frame number is a misprint, and counting up to it would not end.
MOST_FRAMES = 1_000_000
_MOST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class MotLines:
    """Columns of a file: `frame` (N,), `id` (N,) (-1: none), `boxes` (N, 4) xyxy, `scores` (N,) 0..1."""

    frame: NDArray[np.int64]
    id: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def frames(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Each frame number from the first to the last, with the rows in it; frames without any included."""
        if not len(self.frame):
            return
        order = np.argsort(self.frame, kind="stable")
        numbers = self.frame[order]
        for number in range(int(numbers[0]), int(numbers[-1]) + 1):
            low, high = np.searchsorted(numbers, [number, number + 1])
            yield number, order[low:high]


def read(path: Path) -> MotLines:
    """Reads detections or tracks, scores as `probabilities`. Raises UnsupportedMedia, naming the line that is none."""
    rows: list[list[float]] = []
    for number, line in enumerate(content_of(path, _MOST_BYTES).decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = [float(cell) for cell in line.replace(" ", ",").split(",") if cell][:7]
        except ValueError:
            row = []
        if len(row) < 6 or not np.isfinite(row).all() or not abs(row[0]) <= MOST_FRAMES:
            raise UnsupportedMedia(
                f"{path.name}, line {number}: {line[:60]!r} is no MOTChallenge line; "
                f"expected frame,id,x,y,width,height,score, frames up to {MOST_FRAMES}"
            )
        rows.append(row if len(row) > 6 else [*row, 1.0])
    table = np.array(rows, np.float64).reshape(-1, 7)
    boxes = np.column_stack([table[:, 2:4], table[:, 2:4] + table[:, 4:6]])
    return MotLines(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), boxes, probabilities(table[:, 6]))


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) scores as trackers take them. What is in 0..1 stays; -1 says that there is no score, and is 1.

    A file with any others has the margins of a support vector machine or of boosted trees, as MOTChallenge's DPM and
    ACF detections: their logistic, so that a detection on the detector's own border has 0.5.
    """
    said = np.where(scores == -1.0, 1.0, scores)
    if ((said >= 0.0) & (said <= 1.0)).all():
        return said
    # tanh, unlike exp, does not overflow.
    return (1.0 + np.tanh(scores / 2)) / 2


def line(frame: int, track: int, box: NDArray[np.floating], score: float) -> str:
    """One line; `frame` counts from 1, `box` is xyxy."""
    x1, y1, x2, y2 = (float(v) for v in box)
    return f"{frame},{track},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},-1,-1,-1"


def track(detections: MotLines, tracker: Tracker, fps: float) -> Iterator[str]:
    """Lines of the tracked detections, frame by frame; those without a track are left out."""
    for number, rows in detections.frames():
        boxes, scores = detections.boxes[rows], detections.scores[rows]
        ids = tracker.update(boxes, scores, np.zeros(len(rows), np.int64), number / fps)
        for row in np.flatnonzero(ids >= 0):
            yield line(number, int(ids[row]), boxes[row], float(scores[row]))


def run(options: argparse.Namespace) -> int:
    """`track DET.txt --tracker sort|bytetrack --fps N`: MOTChallenge lines in, MOTChallenge lines out."""
    if not 0 < options.fps < math.inf:
        raise UnsupportedMedia(f"--fps is {options.fps}, expected a number above 0")
    try:
        detections = read(options.detections)
    except OSError as error:
        raise UnsupportedMedia(f"{options.detections}: cannot be read ({error.strerror}); check the path") from error
    for text in track(detections, TRACKERS[options.tracker](), options.fps):
        print(text)
    return 0
