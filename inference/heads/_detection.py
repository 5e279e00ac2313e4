"""What all detection heads share: threshold, suppression, labels, and the way back to the picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.heads import label_ids
from inference.image.nms import nms
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects


def cxcywh_to_xyxy(boxes: Floats) -> Floats:
    """(N, 4) centre and size to corners."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def best_class(scores: Floats, threshold: float, multilabel: bool) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    """(rows, classes, scores) over the threshold, from a score matrix (N, C).

    multilabel: every class over the threshold counts, as COCO evaluations do; else only the best of each row.
    """
    if multilabel:
        rows, classes = np.nonzero(scores > threshold)
        return rows, classes, scores[rows, classes]
    rows = np.flatnonzero(scores.max(axis=1, initial=-np.inf) > threshold)
    classes = scores[rows].argmax(axis=1)
    return rows, classes, scores[rows, classes]


def best_class_of_columns(
    scores: Floats, threshold: float, multilabel: bool
) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    """`best_class` for a score matrix (C, N), without turning it."""
    if multilabel:
        classes, columns = np.nonzero(scores > threshold)
        return columns, classes, scores[classes, columns]
    columns = np.flatnonzero(scores.max(axis=0, initial=-np.inf) > threshold)
    classes = scores[:, columns].argmax(axis=0)
    return columns, classes, scores[classes, columns]


def suppress(boxes: Floats, scores: Floats, classes: NDArray[Any], manifest: Manifest) -> NDArray[np.int64]:
    """Indices kept by the manifest's NMS, best first; without nms_execute only ordered and cut to the maximum."""
    post = manifest.postprocess
    if not post.nms_execute:
        return best_first(scores, manifest)
    return nms(boxes, scores, None if post.agnostic_nms else classes, post.iou_threshold, post.max_detections)


def best_first(scores: Floats, manifest: Manifest) -> NDArray[np.int64]:
    """Indices in order of score, cut to the maximum."""
    return np.argsort(-scores, kind="stable")[: manifest.postprocess.max_detections]


def objects(boxes: Floats, scores: Floats, classes: NDArray[Any], fit: Fit, manifest: Manifest) -> Objects:
    """Objects from network boxes (N, 4) xyxy, scores (N,) and class indices (N,)."""
    ids = label_ids(classes, manifest)
    return Objects(fit.boxes(boxes), scores.astype(np.float32, copy=False), ids, manifest.names(ids))


def in_network(boxes: Floats, fit: Fit) -> Floats:
    """Boxes (N, 4) in 0..1 of the input to network pixels."""
    scaled: Floats = boxes * np.asarray(fit.network * 2, np.float32)
    return scaled


def points_in_picture(points: Floats, fit: Fit) -> Floats:
    """Keypoints (N, K, 3) x, y, score (or with z before the score) from network to picture pixels."""
    out = points.astype(np.float32)  # a copy
    out[..., :2] = fit.points(points[..., :2])
    return out


@lru_cache(maxsize=16)
def grid(width: int, height: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Cell corners (A, 2) in cells and their stride (A, 1), for all strides in turn, row by row."""
    cells, steps = [], []
    for stride in strides:
        ys, xs = np.mgrid[0 : -(-height // stride), 0 : -(-width // stride)]
        cells.append(np.stack([xs.ravel(), ys.ravel()], axis=1))
        steps.append(np.full((xs.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)
