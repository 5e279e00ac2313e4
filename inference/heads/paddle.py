"""PaddleDetection: rows [n, 6] of class, score, x1, y1, x2, y2 and how many rows belong to each picture.

The graph is told scale_factor = 1, so that the boxes come in network pixels. Suppression is done in it. A third
output [n, H, W] holds instance masks of the whole input (0 or 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import best_first, objects
from inference.heads._masks import masks_in_boxes, network_frame
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    values = list(outputs.values())
    rows = part(outputs, manifest, "boxes", 0).reshape(-1, 6).astype(np.float32, copy=False)
    if len(values) > 1:
        rows = rows[: int(values[1].ravel()[0])]
    keep = np.flatnonzero((rows[:, 1] > threshold(manifest, HEAD)) & (rows[:, 0] >= 0))  # class -1 fills up
    keep = keep[best_first(rows[keep, 1], manifest)]
    found = objects(rows[keep, 2:], rows[keep, 1], np.rint(rows[keep, 0]), fit, manifest)
    if len(values) > 2 and values[2].ndim == 3:
        maps = values[2][keep].astype(np.float32)
        found = replace(found, masks=masks_in_boxes(maps, network_frame(fit), found.boxes, fit, 0.5))
    return found


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "boxes", 0)
    if shape[-1] not in (6, None):
        return f"head paddle expects rows [n, 6] of class, score and box, found {list(shape)}"
    return None


HEAD = Head(("object-detection", "image-segmentation"), decode, misfit=misfit, threshold=0.5)
