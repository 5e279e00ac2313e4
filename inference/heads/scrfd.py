"""SCRFD face and person detectors (Guo et al., 2021, arXiv:2105.04714), as InsightFace exports them.

For each stride scores, boxes and, of most, five landmarks, with a batch axis of 1 or without: [n, 1], [n, 4], [n, 10].
Three strides (8, 16, 32) have 2 anchors in each cell, five (8 to 128) have 1. Scores are sigmoids already. A box is
the distances to its left, upper, right and lower side, a landmark the distance x, y, all from the cell's upper left
corner and in strides (insightface/model_zoo/scrfd.py). The outputs may stand in any order: their widths and lengths
tell what they are. Landmarks: right eye, left eye, nose, right and left corner of the mouth (of the person).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.errors import BadModel
from inference.heads import Head, Outputs, Shape, threshold
from inference.heads._detection import after_nms, grid
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

STRIDES = {3: (8, 16, 32), 5: (8, 16, 32, 64, 128)}
ANCHORS = {3: 2, 5: 1}
POINTS = 5
_WIDTHS = (1, 4, 2 * POINTS)


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    """Raises BadModel where the outputs are not those of as many cells as the input has."""
    by_width: dict[int, list[Floats]] = {}
    for value in outputs.values():
        by_width.setdefault(value.shape[-1], []).append(value.reshape(-1, value.shape[-1]))
    levels = len(by_width.get(1, ()))
    if levels not in STRIDES or any(len(by_width.get(w, ())) not in (levels, 0 if w > 4 else levels) for w in _WIDTHS):
        raise BadModel(_wrong(outputs, manifest))
    joined = {width: np.concatenate(sorted(parts, key=len, reverse=True)) for width, parts in by_width.items()}
    cells, strides = (np.repeat(part, ANCHORS[levels], axis=0) for part in grid(*fit.network, STRIDES[levels]))
    scores = joined[1][:, 0].astype(np.float32, copy=False)
    if len(scores) != len(cells) or any(len(part) != len(cells) for part in joined.values()):
        raise BadModel(f"{_wrong(outputs, manifest)}, of {len(cells)} rows in all for {fit.network}")
    wrong = scores[((scores < 0) | (scores > 1 + 1e-3)) & np.isfinite(scores)]
    if wrong.size:
        raise BadModel(f"{manifest.name}: scores such as {wrong[0]:g}, expected 0..1: export it with its sigmoid")
    rows = np.flatnonzero(scores > threshold(manifest, HEAD))
    centres, steps = cells[rows] * strides[rows], strides[rows]
    distances = joined[4][rows].astype(np.float32, copy=False) * steps
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    points = None
    if 2 * POINTS in joined and _faces(manifest):  # a person's five points are no landmarks
        points = joined[2 * POINTS][rows].reshape(-1, POINTS, 2) * steps[:, None] + centres[:, None]
    return after_nms(boxes, scores[rows], None, fit, manifest, points, "face5")


def _faces(manifest: Manifest) -> bool:
    return not manifest.labels or "face" in manifest.labels[0].lower()


def _wrong(outputs: Mapping[str, object], manifest: Manifest) -> str:
    found = ", ".join(f"{name} {list(getattr(value, 'shape', value))}" for name, value in outputs.items())  # type: ignore[call-overload]
    return (
        f"{manifest.name}: head scrfd expects outputs [n, 1], [n, 4] and perhaps [n, 10] for each of 3 or 5 strides, "
        f"found {found}"
    )


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    return 1


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    count = len(outputs)
    widths = {shape[-1] if shape else 0 for shape in outputs.values()}
    if count not in (6, 9, 10, 15) or not widths <= {None, *_WIDTHS} or not ({1, 4} <= widths or None in widths):
        return _wrong(outputs, manifest)
    return None


HEAD = Head(("object-detection",), decode, classes, misfit, threshold=0.5)
