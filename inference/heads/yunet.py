"""YuNet face detector (Wu et al., 2023): cls, obj, bbox and kps for strides 8, 16, 32, as [1, cells, 1 | 1 | 4 | 10].

A score is the root of cls * obj. Boxes are cell + offset and exp(size), points are cell + offset, all in strides.
Landmarks: right eye, left eye, nose, right and left corner of the mouth (of the person, not of the picture).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, threshold
from inference.heads._detection import cxcywh_to_xyxy, grid, objects, points_in_picture, suppress
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

STRIDES = (8, 16, 32)
POINTS = 5


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    cls, obj, bbox, kps = (_joined(outputs, kind) for kind in ("cls", "obj", "bbox", "kps"))
    scores = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
    rows = np.flatnonzero(scores > threshold(manifest, HEAD))
    cells, strides = grid(*fit.network, STRIDES)
    cells, strides, scores = cells[rows], strides[rows], scores[rows]
    sizes = np.exp(bbox[rows, 2:]) * strides
    boxes = cxcywh_to_xyxy(np.concatenate([(cells + bbox[rows, :2]) * strides, sizes], axis=1))
    keep = suppress(boxes, scores, np.zeros(len(rows)), manifest)
    points = (kps[rows].reshape(-1, POINTS, 2) + cells[:, None]) * strides[:, None]
    points = np.concatenate([points, np.broadcast_to(scores[:, None, None], (len(rows), POINTS, 1))], axis=2)
    faces = objects(boxes[keep], scores[keep], np.zeros(len(keep)), fit, manifest)
    return Objects(
        faces.boxes, faces.scores, faces.label_ids, faces.names,
        keypoints=points_in_picture(points[keep], fit), skeleton="face5",
    )  # fmt: skip


def _joined(outputs: Outputs, kind: str) -> Floats:
    return np.concatenate([outputs[f"{kind}_{s}"][0] for s in STRIDES]).astype(np.float32, copy=False)


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    return 1


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    wanted = {f"{kind}_{s}" for kind in ("cls", "obj", "bbox", "kps") for s in STRIDES}
    return None if wanted <= set(outputs) else f"head yunet misses outputs {', '.join(sorted(wanted - set(outputs)))}"


HEAD = Head(("object-detection",), decode, classes, misfit, threshold=0.7)
