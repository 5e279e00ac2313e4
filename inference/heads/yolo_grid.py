"""YOLO grids with anchors: each cell predicts a box per anchor (Redmon & Farhadi, 2016, 2018).

YOLOv2 and Azure Custom Vision (compact): one output [1, k (5 + C), h, w], classes as softmax, box sizes in cells.
YOLOv4 (ONNX Model Zoo): outputs [1, h, w, k, 5 + C] with objectness and classes already sigmoid, sizes in pixels.
params: anchors = [[w, h], ...], for every output in turn, finest first (default: Custom Vision's five);
anchor_unit = "cells" | "pixels"; classes = "softmax" | "sigmoid" | "none"; xy_scale per output (YOLOv4: 1.2, 1.1,
1.05); xy = "sigmoid" (as the papers and the script inside every Custom Vision export) | "linear" (as the
samples of Azure-Samples/customvision-export-samples).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, threshold
from inference.heads._detection import after_nms, best_class, cxcywh_to_xyxy
from inference.heads.classifier import sigmoid, softmax
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

CUSTOM_VISION = ((0.573, 0.677), (1.87, 2.06), (3.34, 5.47), (7.88, 3.53), (9.77, 9.17))


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    grids = sorted(outputs.values(), key=lambda v: -v.size)
    anchors = _anchors(manifest).reshape(len(grids), -1, 2)
    scales = manifest.postprocess.params.get("xy_scale", [1.0] * len(grids))
    parts = [_read(_cells(g, len(a)), a, s, fit, manifest) for g, a, s in zip(grids, anchors, scales, strict=True)]
    boxes, scores = (np.concatenate(p) for p in zip(*parts, strict=True))
    rows, classes, best = best_class(scores, threshold(manifest, HEAD), manifest.postprocess.multilabel)
    return after_nms(cxcywh_to_xyxy(boxes[rows]), best, classes, fit, manifest)


def _cells(grid: Floats, anchors: int) -> Floats:
    """(h, w, k, 5 + C) from either arrangement."""
    grid = grid[0].astype(np.float32, copy=False)
    if grid.ndim == 4:
        return grid
    _, height, width = grid.shape
    return grid.reshape(anchors, -1, height, width).transpose(2, 3, 0, 1)


def _read(cells: Floats, anchors: Floats, scale: float, fit: Fit, manifest: Manifest) -> tuple[Floats, Floats]:
    """(boxes (A, 4) cx, cy, w, h in network pixels, scores (A, C))."""
    params = manifest.postprocess.params
    height, width = cells.shape[:2]
    stride = np.asarray([fit.network[0] / width, fit.network[1] / height], np.float32)
    corner = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)[:, :, None]
    place = cells[..., :2] if params.get("xy") == "linear" else sigmoid(cells[..., :2])
    centres = (place * scale - (scale - 1) / 2 + corner) * stride
    sizes = np.exp(cells[..., 2:4]) * anchors
    if params.get("anchor_unit", "cells") == "cells":
        sizes = sizes * stride
    kind = params.get("classes", "softmax")
    objectness = cells[..., 4:5] if kind == "none" else sigmoid(cells[..., 4:5])
    scores = cells[..., 5:]
    scores = softmax(scores) if kind == "softmax" else sigmoid(scores) if kind == "sigmoid" else scores
    boxes = np.concatenate([centres, sizes], axis=-1).reshape(-1, 4).astype(np.float32)
    return boxes, (objectness * scores).reshape(len(boxes), -1)


def _anchors(manifest: Manifest) -> Floats:
    return np.asarray(manifest.postprocess.params.get("anchors", CUSTOM_VISION), np.float32)


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    shape, count = next(iter(outputs.values())), len(_anchors(manifest)) // len(outputs)
    if len(shape) == 5:
        return shape[4] - 5 if shape[4] else None
    return shape[1] // count - 5 if shape[1] else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape, count = next(iter(outputs.values())), len(_anchors(manifest)) // len(outputs)
    if len(shape) not in (4, 5) or (len(shape) == 4 and shape[1] and (shape[1] % count or shape[1] // count < 6)):
        return f"head yolo_grid expects [1, {count} (5 + C), h, w], found {list(shape)}; check params.anchors"
    return None


HEAD = Head(
    ("object-detection",),
    decode,
    classes,
    misfit,
    threshold=0.25,
    params=("anchors", "anchor_unit", "classes", "xy", "xy_scale"),
)
