"""What tracks lose when only some frames a second are analysed: IDF1 and changed numbers, over nine clips.

TUD-Campus has annotations; the other clips are compared with what the same tracker says of all their frames.
Needs ../shared and motmetrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import motmetrics
import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT, Row
from benchmarks._walks import Seen
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.image.media import Picture
from inference.predictions import Objects
from inference.tracking import mot
from inference.tracking.algorithms import TRACKERS
from inference.tracking.assignment import iou
from inference.tracking.tracker_options import TrackerOptions
from inference.video.frames import Sampling
from inference.video.read import VideoReader

SHARED = ROOT.parent / "shared"
DETECTOR, THRESHOLD = "det-picodet-s-416", 0.5
# Clip below media/ and the stride at which "all" its frames are taken.
CLIPS = (
    ("video/skiing_carve_medium_radius.mp4", 1), ("video/car-detection.mp4", 1), ("video/crowd-grey-1280x720.avi", 2),
    ("video/bottle-detection.mp4", 3), ("action/v_Basketball_g01_c02.mp4", 1), ("action/basketball_two_players.mp4", 2),
    ("action/v_Biking_g01_c01.mp4", 1), ("action/v_Fencing_g01_c06.mp4", 1),
)  # fmt: skip
RATES, PHASES_S, LEAST_S = (2.0, 3.0, 4.0, 5.0, 8.0), (0.0, 0.13, 0.21), 1.0


def annotated(folder: Path) -> list[Seen]:
    """TUD-Campus, 25 frames a second."""
    found, truth = mot.read(folder / "det.txt"), mot.read(folder / "gt.txt")
    frames = []
    for k in range(1, int(truth.frame.max()) + 1):
        at, there = found.frame == k, truth.frame == k
        frames.append(Seen(k / 25, found.boxes[at], found.scores[at], np.zeros(int(at.sum()), np.int64),
                           truth.id[there], truth.boxes[there]))  # fmt: skip
    return frames


def detected(path: Path, stride: int) -> list[Seen]:
    """A clip by the detector of the pack; nothing is known to be true of it."""
    model = Registry([ROOT / "tests" / "models"], weights=Weights([SHARED / "models"])).model(DETECTOR)
    frames = []
    for frame in VideoReader(path, Sampling(stride=stride)):
        objects, _ = model.run(Picture.of(frame.pixels), threshold=0.1)
        assert isinstance(objects, Objects)
        labels = objects.label_ids.astype(np.int64)
        frames.append(Seen(frame.pts_s, objects.boxes.astype(float), objects.scores.astype(float), labels))
    return frames


def with_truth(tracker: str, frames: Sequence[Seen]) -> list[Seen]:
    """What the tracker says of all frames, where a track lives a second or more, taken for true."""
    numbers = tracked(tracker, frames, THRESHOLD)
    times: dict[int, list[float]] = {}
    for ids, seen in zip(numbers, frames, strict=True):
        for number in ids[ids >= 0].tolist():
            times.setdefault(number, []).append(seen.t_s)
    long = [number for number, at in times.items() if at[-1] - at[0] >= LEAST_S]
    kept = [np.isin(ids, long) for ids in numbers]
    return [
        replace(f, numbers=ids[keep], true_boxes=f.boxes[keep])
        for f, ids, keep in zip(frames, numbers, kept, strict=True)
    ]


def tracked(tracker: str, frames: Sequence[Seen], threshold: float | None) -> list[NDArray[np.int64]]:
    """The track numbers of each frame's detections, -1 for none."""
    tracks = TRACKERS[tracker](TrackerOptions(), threshold)
    return [tracks.update(f.boxes, f.scores, f.labels, f.t_s) for f in frames]


def sampled(frames: Sequence[Seen], fps: float, phase_s: float) -> Iterator[Seen]:
    """The first frame at or after each tick."""
    last = -1
    for frame in frames:
        tick = int((frame.t_s - frames[0].t_s + phase_s + 5e-7) * fps)
        if tick > last:
            yield frame
        last = tick


def score(frames: Sequence[Seen], numbers: Sequence[NDArray[np.int64]]) -> tuple[float, int]:
    """IDF1 and how often a true object changed its number (motmetrics, IoU of at least 0.5)."""
    accumulator = motmetrics.MOTAccumulator()
    for k, (frame, ids) in enumerate(zip(frames, numbers, strict=True)):
        assert frame.numbers is not None and frame.true_boxes is not None
        keep = ids >= 0
        cost = 1.0 - iou(np.asarray(frame.true_boxes, float), np.asarray(frame.boxes[keep], float))
        accumulator.update(frame.numbers, ids[keep], np.where(cost > 0.5, np.nan, cost), frameid=k)
    table = motmetrics.metrics.create().compute(accumulator, metrics=["idf1", "num_switches"])
    return float(table.idf1.iloc[0]), int(table.num_switches.iloc[0])


def run() -> list[Row]:
    if not (SHARED / "media").is_dir():
        return [Row("tracks of sampled frames", "not run: it needs the reference clips")]
    campus = annotated(SHARED / "media/mot/TUD-Campus")
    others = [detected(SHARED / "media" / name, stride) for name, stride in CLIPS]
    rows = []
    for tracker in ("bytetrack", "sort"):
        clips: list[tuple[list[Seen], float | None]] = [(campus, None)]
        clips += [(with_truth(tracker, frames), THRESHOLD) for frames in others]
        rows += [_row(tracker, fps, clips) for fps in RATES]
    return rows


def _row(tracker: str, fps: float, clips: Sequence[tuple[list[Seen], float | None]]) -> Row:
    idf1, switches = [], 0.0
    for frames, threshold in clips:
        for phase_s in PHASES_S:
            chosen = list(sampled(frames, fps, phase_s))
            good, changed = score(chosen, tracked(tracker, chosen, threshold))
            idf1.append(good)
            switches += changed / len(PHASES_S)
    note = f"mean over {len(clips)} clips; things change their number {switches:.0f} times in all of them"
    return Row(f"{tracker} at {fps:g} frames a second", f"IDF1 {np.mean(idf1):.2f}", note=note)
