"""Frames a second of the trackers, against the best public package on the same detections, in one run.

The package brings a GUI build of OpenCV and long imports: it lives in an environment of its own, made here when it
is absent (`.dropsight/bench-trackers`, by pip), and is driven over a pipe.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT, Row
from inference.tracking.bytetrack import ByteTracker
from inference.tracking.sort import SortTracker
from inference.tracking.tracker import Tracker

PACKAGE = "trackers==2.6.1"
OBJECTS, FRAMES, ROUNDS, BAR = 20, 300, 5, 2.0
HOME = ROOT / ".dropsight/bench-trackers"

# Reads one JSON list of frames, then answers each line (a tracker's name) with the seconds that one pass took.
THEIRS = """
import json, sys, time
import numpy as np, supervision as sv
from trackers import ByteTrackTracker, SORTTracker
frames = [np.array(f, np.float32) for f in json.loads(sys.stdin.readline())]
frames = [sv.Detections(xyxy=f[:, :4], confidence=f[:, 4], class_id=np.zeros(len(f), int)) for f in frames]
for line in sys.stdin:
    tracker = {"SORT": SORTTracker, "ByteTrack": ByteTrackTracker}[line.strip()](frame_rate=30.0)
    started = time.perf_counter()
    for detections in frames:
        tracker.update(detections)
    print(time.perf_counter() - started, flush=True)
"""


def detections() -> list[NDArray[np.float32]]:
    """Twenty things that wander through a picture, seen with noise and now and then not at all: (N, 5) a frame."""
    rng = np.random.default_rng(0)
    places, steps = rng.uniform(0, 1600, (OBJECTS, 2)), rng.uniform(-4, 4, (OBJECTS, 2))
    size = rng.uniform(40, 160, (OBJECTS, 2))
    frames = []
    for _ in range(FRAMES):
        places += steps
        steps[(places < 0) | (places > 1600)] *= -1
        corner = places + rng.normal(0, 1.5, (OBJECTS, 2))
        score = rng.uniform(0.3, 0.99, OBJECTS)
        rows = np.column_stack([corner, corner + size, score]).astype(np.float32)
        frames.append(rows[rng.uniform(size=OBJECTS) > 0.05])
    return frames


def environment() -> Path:
    """The interpreter of the environment that has the package. Raises CalledProcessError without a network."""
    python = HOME / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (HOME / "ready").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        (HOME / "ready").touch()
    return python


def ours(tracker: Tracker, frames: Sequence[NDArray[np.float32]]) -> float:
    started = time.perf_counter()
    for i, rows in enumerate(frames):
        tracker.update(rows[:, :4], rows[:, 4], np.zeros(len(rows), np.int64), i / 30)
    return time.perf_counter() - started


def run() -> list[Row]:
    try:
        python = environment()
    except subprocess.CalledProcessError as error:
        return [Row("trackers against the public package", f"not run: {PACKAGE} cannot be installed ({error})")]
    frames = detections()
    rows = []
    with subprocess.Popen(
        [str(python), "-c", THEIRS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps([frame.tolist() for frame in frames]) + "\n")
        for name, make in (("SORT", SortTracker), ("ByteTrack", ByteTracker)):
            times, theirs = [], []
            for _ in range(ROUNDS):
                times.append(ours(make(), frames))
                process.stdin.write(name + "\n")
                theirs.append(float(process.stdout.readline()))
            ratio = median(b / a for a, b in zip(times, theirs, strict=True))
            note = f"{FRAMES / median(times):.0f} against {FRAMES / median(theirs):.0f} frames a second"
            rows.append(Row(f"{name}, {OBJECTS} objects, speed over {PACKAGE}", f"{ratio:.1f} x", f">= {BAR:.0f} x",
                            ratio >= BAR, f"{note}; median of {ROUNDS} interleaved"))  # fmt: skip
        process.stdin.close()
    return rows
