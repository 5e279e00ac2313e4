"""Decoding a grid of 8,400 candidates x 80 classes at score 0.25, against the same through OpenCV's batched NMS."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from benchmarks import Row, interleaved, spread
from inference.heads import find_head
from inference.image.preprocess import Fit
from inference.manifest import Manifest, Postprocess
from inference.predictions import Objects

SIDE, CELLS, CLASSES, LIMIT, IOU, MOST = 640, 8400, 80, 0.25, 0.7, 300
RUNS = 200


def tensor(crowded: bool, seed: int = 0) -> Any:
    """A YOLOv8 output [1, 84, 8400]: things with a few dozen candidates each (a street has 12, a crowd 400)."""
    random = np.random.default_rng(seed)
    things, around = (400, 12) if crowded else (12, 25)
    raw = np.zeros((1, 4 + CLASSES, CELLS), np.float32)
    raw[0, 4:] = random.random((CLASSES, CELLS), np.float32) * 0.1
    raw[0, :4] = random.uniform(10, SIDE - 10, (4, CELLS))
    for i in range(things):
        cells = random.choice(CELLS, around, replace=False)
        centre, size = random.uniform(40, SIDE - 40, 2), random.uniform(20, 200, 2)
        raw[0, :2, cells] = centre + random.normal(0, 4, (around, 2))
        raw[0, 2:4, cells] = size * random.uniform(0.9, 1.1, (around, 2))
        raw[0, 4 + i % CLASSES, cells] = random.uniform(0.2, 0.95, around)
    return raw


def with_opencv(raw: Any) -> tuple[Any, Any, Any]:
    """The loop that people write: best class of each row, then cv2.dnn.NMSBoxesBatched."""
    rows = raw[0].T
    classes = rows[:, 4:].argmax(axis=1)
    scores = rows[np.arange(len(rows)), 4 + classes]
    keep = scores > LIMIT
    rows, classes, scores = rows[keep], classes[keep], scores[keep]
    corners = rows[:, :2] - rows[:, 2:4] / 2
    boxes = np.concatenate([corners, rows[:, 2:4]], axis=1)
    kept = np.asarray(cv2.dnn.NMSBoxesBatched(boxes, scores, classes, LIMIT, IOU), np.int64)[:MOST]  # type: ignore[arg-type]
    boxes = boxes[kept]
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1), scores[kept], classes[kept]


def ours(raw: Any, fit: Fit, manifest: Manifest) -> Objects:
    objects = find_head("yolo").decode({"output0": raw}, fit, manifest)
    assert isinstance(objects, Objects)
    return objects


def run() -> list[Row]:
    """Interleaved runs of both; they must agree on what they keep."""
    post = Postprocess(LIMIT, IOU, max_detections=MOST, params={"layout": "raw"})
    manifest = Manifest("grid", "object-detection", "yolo", postprocess=post)
    fit = Fit((SIDE, SIDE), (SIDE, SIDE), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0, float(SIDE), float(SIDE)))
    rows = []
    for crowded in (False, True):
        raw = tensor(crowded)
        theirs = with_opencv(raw)
        objects = ours(raw, fit, manifest)
        agree = sorted(np.round(theirs[1], 4).tolist()) == sorted(np.round(objects.scores, 4).tolist())
        works: dict[str, Callable[[], object]] = {
            "ours": partial(ours, raw, fit, manifest),
            "theirs": partial(with_opencv, raw),
        }
        mine, other = interleaved(RUNS, works).values()
        ratio = np.median(mine) / np.median(other)
        what = f"decode 8,400 x 84, {'a crowd' if crowded else 'a street'} ({len(objects)} kept)"
        note = f"OpenCV {spread(other)} ms; the same boxes: {'yes' if agree else 'NO'}"
        rows.append(
            Row(what, f"{spread(mine)} ms, {ratio:.2f} x OpenCV", "<= 1.00 x", bool(ratio <= 1) and agree, note)
        )
    return rows
