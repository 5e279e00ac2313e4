"""YOLOv3 of keras-yolo3 with suppression in the graph (ONNX Model Zoo yolov3 and tiny-yolov3).

Outputs: boxes [1, A, 4] y1, x1, y2, x2 in the pixels that image_shape names (the network's, as we tell it), scores
[1, C, A], and indices [n, 3] or [1, n, 3] of (batch, class, box); -1 fills up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import best_first, objects
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    boxes, scores = part(outputs, manifest, "boxes", 0)[0], part(outputs, manifest, "scores", 1)[0]
    picked = part(outputs, manifest, "indices", 2).reshape(-1, 3).astype(np.int64)
    picked = picked[(picked >= 0).all(axis=1)]
    classes, rows = picked[:, 1], picked[:, 2]
    best = scores[classes, rows]
    keep = np.flatnonzero(best > threshold(manifest, HEAD))
    keep = keep[best_first(best[keep], manifest)]
    return objects(boxes[rows[keep]][:, [1, 0, 3, 2]], best[keep], classes[keep], fit, manifest)


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    count: int | None = part(outputs, manifest, "scores", 1)[1]
    return count


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    if len(outputs) != 3:
        return "head yolov3 expects boxes [1, A, 4], scores [1, C, A] and indices [n, 3]"
    return None


HEAD = Head(("object-detection",), decode, classes, misfit, threshold=0.3)
