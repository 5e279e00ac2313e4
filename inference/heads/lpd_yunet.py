"""Licence plates by LPD-YuNet (OpenCV Zoo): loc [A, 14], conf [A, 2], iou [A, 1] with a batch axis or without.

Columns 4 to 7 and 10 to 13 of loc are the plate's four corners, as offsets from priors in tenths of the prior's
size; the box encloses them. A score is the root of the plate's probability times the clipped iou. The priors are
those of UltraFace, over whole cells only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import cells, objects, suppress
from inference.heads.ultraface import MIN_BOXES, STRIDES, in_each_cell
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

CORNERS = ((4, 5), (6, 7), (10, 11), (12, 13))


@lru_cache(maxsize=4)
def priors(width: int, height: int) -> Floats:
    """(A, 4) cx, cy, w, h in input pixels: each whole cell of each stride, each size in it."""
    rows = []
    columns, lines = width // 4, height // 4
    for stride, sizes in zip(STRIDES, MIN_BOXES, strict=True):
        columns, lines = columns // 2, lines // 2
        rows.append(in_each_cell((cells(columns, lines) + 0.5) * stride, np.repeat(np.asarray(sizes)[:, None], 2, 1)))
    return np.concatenate(rows).astype(np.float32)


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    loc, conf, iou = (
        part(outputs, manifest, role, (role,)).reshape(-1, width).astype(np.float32)
        for role, width in (("loc", 14), ("conf", 2), ("iou", 1))
    )
    scores = np.sqrt(conf[:, 1] * iou[:, 0].clip(0, 1))
    rows = np.flatnonzero(scores > threshold(manifest, HEAD))
    prior, scores = priors(*fit.network)[rows], scores[rows]
    corners = np.stack([prior[:, :2] + loc[rows][:, pair] * 0.1 * prior[:, 2:] for pair in map(list, CORNERS)], axis=1)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    labels = np.zeros(len(rows), np.int64)
    keep = suppress(boxes, scores, labels, manifest)
    plates = objects(boxes[keep], scores[keep], labels[keep], fit, manifest)
    return replace(plates, corners=fit.points(corners[keep]).astype(np.float32))


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    missing = {"loc", "conf", "iou"} - set(outputs) - set(manifest.postprocess.outputs)
    return f"head lpd_yunet misses outputs {', '.join(sorted(missing))}" if missing else None


HEAD = Head(("object-detection",), decode, misfit=misfit, threshold=0.8)
