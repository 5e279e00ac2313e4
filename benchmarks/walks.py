"""Tracks on made sequences of walking people, by kind, and on TUD-Campus: IDF1 and changed numbers of the default
tracker and of the public package on the same detections.

The seeds are others than those on which the tracker's constants were chosen. Needs motmetrics; the package lives in
the environment of `benchmarks.track`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks import SHARED, Row
from benchmarks._walks import FAMILIES, Seen, sequence
from benchmarks.sampled_tracks import annotated, score, tracked
from benchmarks.track import PACKAGE, environment

SEEDS = (100, 101)

# Reads one line: a list of (frames a second, frames of rows x1, y1, x2, y2, score); answers with the numbers of each.
THEIRS = """
import json, sys
import numpy as np, supervision as sv
from trackers import ByteTrackTracker
answer = []
for fps, frames in json.loads(sys.stdin.readline()):
    tracker, numbers = ByteTrackTracker(frame_rate=fps), []
    for frame in frames:
        rows = np.array(frame, np.float32).reshape(-1, 5)
        detections = sv.Detections(xyxy=rows[:, :4], confidence=rows[:, 4], class_id=np.zeros(len(rows), int),
                                   data={"row": np.arange(len(rows))})
        found, ids = tracker.update(detections), np.full(len(rows), -1)
        if len(found):
            ids[found.data["row"]] = found.tracker_id
        numbers.append(ids.tolist())
    answer.append(numbers)
print(json.dumps(answer))
"""
Walk = tuple[float, list[Seen]]


def theirs(sequences: Sequence[Walk]) -> list[list[NDArray[np.int64]]]:
    """The package's track numbers of each frame's detections, -1 for none. Raises CalledProcessError."""
    question = [(fps, [np.column_stack([f.boxes, f.scores]).tolist() for f in frames]) for fps, frames in sequences]
    done = subprocess.run([str(environment()), "-c", THEIRS], input=json.dumps(question) + "\n", capture_output=True,
                          text=True, check=True)  # fmt: skip
    return [[np.array(ids, np.int64) for ids in numbers] for numbers in json.loads(done.stdout)]


def run() -> list[Row]:
    kinds: dict[str, list[Walk]] = {
        name: [(family.fps, sequence(family, seed)) for seed in SEEDS] for name, family in FAMILIES.items()
    }
    if (folder := SHARED / "media/mot/TUD-Campus").is_dir():
        kinds["TUD-Campus"] = [(25.0, annotated(folder))]
    try:
        answers = iter(theirs([one for sequences in kinds.values() for one in sequences]))
    except subprocess.CalledProcessError as error:
        return [Row("tracks against the public package", f"not run: {PACKAGE} cannot be used ({error})")]
    rows, means = [], []
    for name, sequences in kinds.items():
        scores = [(score(frames, tracked("bytetrack", frames, None)), score(frames, next(answers)))
                  for _, frames in sequences]  # fmt: skip
        means.append(np.mean(scores, axis=0))
        rows.append(_row(f"walks, {name}", means[-1]))
    return [*rows, _row("walks, all kinds", np.mean(means, axis=0))]


def _row(what: str, means: NDArray[np.float64]) -> Row:
    (good, changed), (their_good, their_changed) = means.tolist()
    note = f"changed numbers {changed:.0f} against {their_changed:.0f}; {PACKAGE}"
    return Row(what, f"IDF1 {good:.3f}", f">= {their_good:.3f}", good >= their_good, note)
