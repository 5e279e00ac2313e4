"""What all detection heads share: threshold, NMS, labels, and the way back to the picture."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadManifest
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

    multilabel: all classes over the threshold, as in COCO evaluations; else only the best class of a row.
    Raises BadManifest for logits.
    """
    refuse_logits(scores[:, :1])
    if multilabel:
        rows, classes = np.nonzero(scores > threshold)
        return rows, classes, scores[rows, classes]
    rows = np.flatnonzero(scores.max(axis=1, initial=-np.inf) > threshold)
    classes = scores[rows].argmax(axis=1)
    return rows, classes, scores[rows, classes]


def best_class_with_objectness(
    raw: Floats, end: int, threshold: float, multilabel: bool
) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    """`best_class` for rows (N, >= end) of box, objectness and class scores; `end` is the column after the classes."""
    refuse_logits(raw[:, 4])
    candidates = np.flatnonzero(raw[:, 4] > threshold)  # no class score is above 1
    rows, classes, scores = best_class(raw[candidates, 4:5] * raw[candidates, 5:end], threshold, multilabel)
    return candidates[rows], classes, scores


def refuse_logits(column: Floats) -> None:
    """Raises BadManifest where scores of one class, or the objectness, are negative, as those of logits are on nearly
    all rows: a logit of 0.6 would pass for a score. Those that quantisation moved below 0 are nearer to it, and single
    rows are what half precision spoilt."""
    below = column < -0.1
    if np.count_nonzero(below) * 10 > column.size:
        raise BadManifest(
            f"scores such as {column[below][0]:.4g}, expected 0..1: they are logits without their sigmoid, or the "
            "outputs of another head; export it with the sigmoid, or say another head, or (of head gfl) "
            'postprocess.params.activation = "sigmoid"'
        )


def suppress(boxes: Floats, scores: Floats, classes: NDArray[Any], manifest: Manifest) -> NDArray[np.int64]:
    """Indices kept by the manifest's NMS, best first; without nms_execute only ordered and cut to the maximum."""
    post = manifest.postprocess
    if not post.nms_execute:
        return best_first(scores, manifest)
    return nms(boxes, scores, None if post.agnostic_nms else classes, post.iou_threshold, post.max_detections)


def best_first(scores: Floats, manifest: Manifest) -> NDArray[np.int64]:
    """Indices in order of score, cut to the maximum."""
    return np.argsort(-scores, kind="stable")[: manifest.postprocess.max_detections]


def best_above(scores: Floats, threshold: float, manifest: Manifest) -> NDArray[np.int64]:
    """Indices of scores (N,) above the threshold, best first, cut to the maximum."""
    above = np.flatnonzero(scores > threshold)
    return above[best_first(scores[above], manifest)]


def after_nms(
    boxes: Floats,
    scores: Floats,
    classes: NDArray[Any] | None,
    fit: Fit,
    manifest: Manifest,
    points: Floats | None = None,
    skeleton: str | None = None,
) -> Objects:
    """Objects from candidates: boxes (N, 4) xyxy and points (N, K, 2) in network pixels, scores (N,).

    classes: indices (N,), None where there is only one class. A keypoint has the score of its box.
    """
    classes = np.zeros(len(scores), np.int64) if classes is None else classes
    keep = suppress(boxes, scores, classes, manifest)
    detections = objects(boxes[keep], scores[keep], classes[keep], fit, manifest)
    if points is None:
        return detections
    column = np.broadcast_to(scores[keep, None, None], (len(keep), points.shape[1], 1))
    keypoints = points_in_picture(np.concatenate([points[keep], column], axis=2), fit)
    return replace(detections, keypoints=keypoints, skeleton=skeleton)


def objects(boxes: Floats, scores: Floats, classes: NDArray[Any], fit: Fit, manifest: Manifest) -> Objects:
    """Objects from network boxes (N, 4) xyxy, scores (N,) and class indices (N,). Raises BadManifest for other scores.

    A row with a box or a class that is none has the score NaN, and one whose box lies in the padding beside the picture
    minus infinity: it is left out with what belongs to it once all of that is known (engine/finite.py). Clipping would
    make a plausible box of infinity.
    """
    top = scores.max(initial=0, where=np.isfinite(scores))
    if top > 1.01:
        raise BadManifest(
            f"{manifest.name}: scores up to {top:.4g}, expected 0..1: its outputs are not those of head "
            f"{manifest.head!r}, or hold logits without their sigmoid; say another head, or export it with the sigmoid"
        )
    sound = sound_boxes(boxes)
    sound &= np.asarray(np.isfinite(classes))
    if not sound.all():
        boxes, classes = np.where(sound[:, None], boxes, 0), np.where(sound, classes, 0)
        scores = np.where(sound, scores, np.nan)
    ids = label_ids(classes, manifest)
    placed = fit.boxes(boxes)
    scores = np.where(sound & beside(placed), -np.inf, scores)
    return Objects(placed, scores.astype(np.float32, copy=False), ids, manifest.names(ids))


def sound_boxes(boxes: Floats) -> NDArray[np.bool_]:
    """Which boxes (N, 4) xyxy are finite, with x1 <= x2 and y1 <= y2."""
    finite = np.isfinite(boxes).all(axis=1)
    return np.asarray(finite & (boxes[:, 2:] >= boxes[:, :2]).all(axis=1))


def beside(placed: Floats) -> NDArray[np.bool_]:
    """Which boxes (N, 4) xyxy have nothing left where they are clipped to what was shown: they lie in the padding."""
    return np.asarray((placed[:, 2:] <= placed[:, :2]).any(axis=1))


def in_shares(places: Floats) -> bool:
    """Whether boxes or points are in 0..1 of the input, though some may lie a little outside: those in its pixels would
    be within two of its corner."""
    numbers = places[np.isfinite(places)]
    return bool(numbers.size and numbers.min() >= -1 and 0 < numbers.max() <= 2)


def in_network(boxes: Floats, fit: Fit) -> Floats:
    """Boxes (N, 4) in 0..1 of the input to network pixels."""
    scaled: Floats = boxes * np.asarray(fit.network * 2, np.float32)
    return scaled


def points_in_picture(points: Floats, fit: Fit) -> Floats:
    """Keypoints (N, K, 3) x, y, score (or with z before the score) from network to picture pixels."""
    out = points.astype(np.float32)  # a copy
    out[..., :2] = fit.points(points[..., :2])
    return out


def cells(columns: int, lines: int) -> Floats:
    """Upper left corners (columns * lines, 2) of a grid's cells, in cells, row by row."""
    ys, xs = np.mgrid[0:lines, 0:columns]
    return np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float32)


@lru_cache(maxsize=16)
def grid(width: int, height: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Cell corners (A, 2) in cells and their stride (A, 1), for all strides in turn, row by row."""
    corners = [cells(-(-width // s), -(-height // s)) for s in strides]
    steps = [np.full((len(c), 1), s, np.float32) for c, s in zip(corners, strides, strict=True)]
    return np.concatenate(corners), np.concatenate(steps)
