"""MediaPipe's detectors of palms and people (related to BlazeFace: Bazarevsky et al., 2019, arXiv:1907.05047).

Rows [1, A, 4 + 2 K]: centre, size and K points in input pixels, all relative to the anchor; logits [1, A, 1].
Anchors are cell centres, several per cell, without sizes: palms 192 px, 7 points; people 224 px, 4 points (hip
centre, a point that spans the body, shoulder centre, one that spans the upper body).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from inference.errors import BadModel
from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import after_nms, cells, cxcywh_to_xyxy
from inference.heads.classifier import sigmoid
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

# (stride, anchors per cell): of the palm detector, and of the person detector.
LAYERS = (((8, 2), (16, 6)), ((8, 2), (16, 2), (32, 6)))


@lru_cache(maxsize=4)
def anchors(width: int, height: int, layers: tuple[tuple[int, int], ...]) -> Floats:
    """(A, 2) cell centres in input pixels, row by row, each repeated."""
    grids = [(cells(-(-width // stride), -(-height // stride)), stride, count) for stride, count in layers]
    return np.concatenate([np.repeat((corners + 0.5) * stride, count, axis=0) for corners, stride, count in grids])


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    rows, logits = part(outputs, manifest, "boxes", 0)[0], part(outputs, manifest, "scores", 1)[0, :, 0]
    scores = sigmoid(logits.astype(np.float32, copy=False))
    keep = np.flatnonzero(scores > threshold(manifest, HEAD))
    centres = _anchors(len(rows), fit, manifest)[keep]
    rows, scores = rows[keep].astype(np.float32), scores[keep]
    boxes = cxcywh_to_xyxy(np.concatenate([rows[:, :2] + centres, rows[:, 2:4]], axis=1))
    points = rows[:, 4:].reshape(len(rows), -1, 2) + centres[:, None]
    return after_nms(boxes, scores, None, fit, manifest, points, manifest.postprocess.skeleton or None)


def _anchors(count: int, fit: Fit, manifest: Manifest) -> Floats:
    for layers in LAYERS:
        centres = anchors(*fit.network, layers)
        if len(centres) == count:
            return centres
    width, height = fit.network
    raise BadModel(
        f"{manifest.name}: found {count} rows, which neither the palm nor the person detector has for an input of "
        f"{width} x {height}; use the head of another family"
    )


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    if len(outputs) != 2 or len(part(outputs, manifest, "boxes", 0)) != 3:
        return "head mediapipe_detector expects rows [1, A, 4 + 2 K] and logits [1, A, 1]"
    return None


HEAD = Head(("object-detection",), decode, misfit=misfit, threshold=0.5)
