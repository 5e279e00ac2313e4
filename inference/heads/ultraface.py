"""UltraFace (Linzaer, Ultra-Light-Fast-Generic-Face-Detector): scores [1, A, C] and boxes [1, A, 4].

Column 0 of the scores is the background, the others are face (and, in masked-face models, face with mask).
Boxes are xyxy in 0..1. Models exported without post-processing give offsets to priors instead: params.decoded = false
(min_boxes per stride as in the paper's code, variances 0.1 and 0.2, priors for strides 8, 16, 32, 64).
Label ids count without the background.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import after_nms, best_class, cells, cxcywh_to_xyxy, in_network
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

SCORES, BOXES = ("scores", "confidences"), ("boxes", "bboxes")
MIN_BOXES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))
STRIDES = (8, 16, 32, 64)


@lru_cache(maxsize=8)
def priors(width: int, height: int) -> Floats:
    """(A, 4) cx, cy, w, h in 0..1: each cell of each stride, each box size in it."""
    rows = []
    for stride, sizes in zip(STRIDES, MIN_BOXES, strict=True):
        columns, lines = -(-width // stride), -(-height // stride)
        centres = (cells(columns, lines) + 0.5) / (columns, lines)
        rows.append(in_each_cell(centres, np.asarray(sizes)[:, None] / (width, height)))
    return np.concatenate(rows).clip(0, 1).astype(np.float32)


def in_each_cell(centres: Floats, sizes: Floats) -> Floats:
    """(N k, 4) cx, cy, w, h: around each centre (N, 2) a box of each size (k, 2)."""
    return np.concatenate(np.broadcast_arrays(centres[:, None], sizes[None]), axis=2).reshape(-1, 4)


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    scores = part(outputs, manifest, "scores", SCORES)[0, :, 1:]
    boxes = part(outputs, manifest, "boxes", BOXES)[0]
    rows, classes, best = best_class(scores, threshold(manifest, HEAD), manifest.postprocess.multilabel)
    boxes = boxes[rows]
    if not manifest.postprocess.params.get("decoded", True):
        prior = priors(*fit.network)[rows]
        centres = boxes[:, :2] * 0.1 * prior[:, 2:] + prior[:, :2]
        boxes = cxcywh_to_xyxy(np.concatenate([centres, np.exp(boxes[:, 2:] * 0.2) * prior[:, 2:]], axis=1))
    return after_nms(in_network(boxes, fit), best, classes, fit, manifest)


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    last = part(outputs, manifest, "scores", SCORES)[-1]
    return last - 1 if last else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    scores, boxes = part(outputs, manifest, "scores", SCORES), part(outputs, manifest, "boxes", BOXES)
    if len(scores) != 3 or len(boxes) != 3 or boxes[2] not in (4, None):
        return "head ultraface expects scores [1, A, 1 + classes] and boxes [1, A, 4]"
    return None


HEAD = Head(("object-detection",), decode, classes, misfit, threshold=0.7, params=("decoded",))
