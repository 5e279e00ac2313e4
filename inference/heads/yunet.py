"""YuNet face detector (Wu et al., 2023): cls, obj, bbox and kps for strides 8, 16, 32, as [1, cells, 1 | 1 | 4 | 10].

A score is the root of cls * obj. Boxes are cell + offset and exp(size), points are cell + offset, all in strides.
Landmarks: right eye, left eye, nose, right and left corner of the mouth (of the person, not of the picture).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, threshold
from inference.heads._detection import after_nms, cxcywh_to_xyxy, grid
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

STRIDES = (8, 16, 32)
POINTS = 5


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    cls, obj, bbox, kps = (_concatenated(outputs, kind) for kind in ("cls", "obj", "bbox", "kps"))
    scores = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
    rows = np.flatnonzero(scores > threshold(manifest, HEAD))
    cells, strides = grid(*fit.network, STRIDES)
    cells, strides, scores = cells[rows], strides[rows], scores[rows]
    sizes = np.exp(bbox[rows, 2:]) * strides
    boxes = cxcywh_to_xyxy(np.concatenate([(cells + bbox[rows, :2]) * strides, sizes], axis=1))
    points = (kps[rows].reshape(-1, POINTS, 2) + cells[:, None]) * strides[:, None]
    return after_nms(boxes, scores, None, fit, manifest, points, "face5")


def _concatenated(outputs: Outputs, kind: str) -> Floats:
    return np.concatenate([outputs[f"{kind}_{s}"][0] for s in STRIDES]).astype(np.float32, copy=False)


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    return 1


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    wanted = {f"{kind}_{s}" for kind in ("cls", "obj", "bbox", "kps") for s in STRIDES}
    return None if wanted <= set(outputs) else f"head yunet misses outputs {', '.join(sorted(wanted - set(outputs)))}"


HEAD = Head(("object-detection",), decode, classes, misfit, threshold=0.7)
