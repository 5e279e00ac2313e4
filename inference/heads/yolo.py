"""Ultralytics YOLO (v5, v8 to v12, 26, and the RT-DETR they export): boxes, masks, poses, oriented boxes.

One output [1, ...] of rows, with masks a second one: prototypes [1, 32, h, w]. The layouts, recognised by shape:
    raw      [1, 4 + C + extra, A]  cx, cy, w, h in pixels, class probabilities, extra
    v5       [1, A, 5 + C + extra]  cx, cy, w, h in pixels, objectness, class probabilities, extra
    end2end  [1, n, 6 + extra]      x1, y1, x2, y2 in pixels, score, class, extra; NMS is in the graph
    rtdetr   [1, n, 6] or [1, n, 4 + C]  cx, cy, w, h in 0..1, then score and class, or class probabilities
extra is 32 mask coefficients, or K x D keypoint numbers, or the angle of an oriented box (radians), whose four
numbers are cx, cy, w, h even where NMS is in the graph.
params: layout (one of the above); obb = true; kpt_shape = [K, D].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.heads import Head, Outputs, Shape, label_ids, part, threshold
from inference.heads._detection import (
    best_class,
    best_class_with_objectness,
    best_first,
    cxcywh_to_xyxy,
    in_network,
    objects,
    points_in_picture,
    suppress,
)
from inference.heads._keypoints import skeleton_of
from inference.heads._masks import masks_in_boxes, network_frame
from inference.image.nms import rotated_nms
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

# A graph with NMS inside has at most this many rows; grids have more cells.
MAX_END2END_ROWS = 1000

Rows = tuple[Floats, Floats, NDArray[Any], Floats]


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    output = part(outputs, manifest, "boxes", 0)
    shapes = {name: value.shape for name, value in outputs.items()}
    layout = layout_of(shapes, manifest)
    boxes, scores, classes, extra = _READERS[layout](output[0], fit, manifest, _extras(shapes, manifest))
    if manifest.postprocess.params.get("obb"):
        return _oriented(boxes, scores, classes, extra, layout, fit, manifest)
    if layout in ("end2end", "rtdetr"):
        keep = best_first(scores, manifest)
    else:
        boxes = cxcywh_to_xyxy(boxes)
        keep = suppress(boxes, scores, classes, manifest)
    detections = objects(boxes[keep], scores[keep], classes[keep], fit, manifest)
    return _with_extras(detections, extra[keep], outputs, fit, manifest)


def _raw(output: Floats, fit: Fit, manifest: Manifest, extras: int) -> Rows:
    end = len(output) - extras
    limit, many = threshold(manifest, HEAD), manifest.postprocess.multilabel
    columns, classes, scores = best_class(output[4:end].T, limit, many)
    picked = output[:, columns].T
    return picked[:, :4], scores, classes, picked[:, end:]


def _v5(output: Floats, fit: Fit, manifest: Manifest, extras: int) -> Rows:
    end = output.shape[1] - extras
    limit = threshold(manifest, HEAD)
    rows, classes, scores = best_class_with_objectness(output, end, limit, manifest.postprocess.multilabel)
    return output[rows, :4], scores, classes, output[rows, end:]


def _end2end(output: Floats, fit: Fit, manifest: Manifest, extras: int) -> Rows:
    rows = output[output[:, 4] > threshold(manifest, HEAD)]
    return rows[:, :4], rows[:, 4], np.rint(rows[:, 5]), rows[:, 6:]


def _rtdetr(output: Floats, fit: Fit, manifest: Manifest, extras: int) -> Rows:
    limit = threshold(manifest, HEAD)
    if output.shape[1] == 6 and len(manifest.labels) != 2:
        rows = np.flatnonzero(output[:, 4] > limit)
        scores, classes = output[rows, 4], np.rint(output[rows, 5])
    else:
        rows, classes, scores = best_class(output[:, 4:], limit, manifest.postprocess.multilabel)
    return in_network(cxcywh_to_xyxy(output[rows, :4]), fit), scores, classes, output[rows, :0]


_READERS = {"raw": _raw, "v5": _v5, "end2end": _end2end, "rtdetr": _rtdetr}


def layout_of(shapes: Mapping[str, Sequence[int | None]], manifest: Manifest) -> str:
    """Which of the layouts in the module's text the first output has."""
    given = manifest.postprocess.params.get("layout")
    if given:
        return str(given)
    _, first, last = part(shapes, manifest, "boxes", 0)
    extras, names = _extras(shapes, manifest), len(manifest.labels) - manifest.label_offset
    if last == 6 + extras and (first is None or first <= MAX_END2END_ROWS):
        return "end2end"
    if names > 0 and first == 4 + names + extras:
        return "raw"
    if names > 0 and last == 5 + names + extras:
        return "v5"
    return "raw" if first is not None and (last is None or first < last) else "v5"


def _extras(shapes: Mapping[str, Sequence[int | None]], manifest: Manifest) -> int:
    """How many numbers follow the classes in each row."""
    params = manifest.postprocess.params
    points, values = params.get("kpt_shape", (0, 0))
    return int(points * values + bool(params.get("obb")) + (_prototypes(shapes)[1] if _has_masks(shapes) else 0))


def _has_masks(shapes: Mapping[str, Any]) -> bool:
    return len(shapes) > 1 and len(list(shapes.values())[1]) == 4


def _prototypes(shapes: Mapping[str, Sequence[int | None]]) -> tuple[int, ...]:
    return tuple(s or 0 for s in list(shapes.values())[1])


def _with_extras(detections: Objects, extra: Floats, outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    post = manifest.postprocess
    if _has_masks({name: value.shape for name, value in outputs.items()}):
        prototypes = list(outputs.values())[1][0]
        logits = np.tensordot(extra, prototypes.astype(np.float32, copy=False), axes=1)
        return replace(detections, masks=masks_in_boxes(logits, network_frame(fit), detections.boxes, fit, 0.0))
    if "kpt_shape" in post.params:
        points = extra.reshape(len(extra), *post.params["kpt_shape"])
        if points.shape[2] == 2:  # the model has no visibility
            points = np.concatenate([points, np.ones_like(points[:, :, :1])], axis=2)
        return replace(detections, keypoints=points_in_picture(points, fit), skeleton=skeleton_of(points, manifest))
    return detections


def _oriented(
    boxes: Floats, scores: Floats, classes: NDArray[Any], extra: Floats, layout: str, fit: Fit, manifest: Manifest
) -> Objects:
    """Objects with corners (N, 4, 2) in picture pixels; `boxes` is what encloses them."""
    post = manifest.postprocess
    rotated = np.concatenate([boxes, extra[:, -1:]], axis=1)
    if layout == "end2end" or not post.nms_execute:
        keep = best_first(scores, manifest)
    else:
        groups = None if post.agnostic_nms else classes
        keep = rotated_nms(rotated, scores, groups, post.iou_threshold, post.max_detections)
    corners = fit.points(corners_of(rotated[keep])).astype(np.float32)
    x1, y1, x2, y2 = fit.crop
    around = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).clip([x1, y1] * 2, [x2, y2] * 2)
    ids = label_ids(classes[keep], manifest)
    return Objects(around.astype(np.float32), scores[keep], ids, manifest.names(ids), corners=corners)


def corners_of(rotated: Floats) -> Floats:
    """(N, 5) cx, cy, w, h, angle (radians, clockwise as y points down) to corners (N, 4, 2) in order around."""
    centre, (width, height, angle) = rotated[:, :2], rotated[:, 2:].T
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * width[:, None] / 2
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * height[:, None] / 2
    return np.stack(
        [centre + along + across, centre + along - across, centre - along - across, centre - along + across], axis=1
    )


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    layout, extras = layout_of(outputs, manifest), _extras(outputs, manifest)
    _, first, last = part(outputs, manifest, "boxes", 0)
    count = {"raw": (first, 4), "v5": (last, 5)}.get(layout)
    return count[0] - count[1] - extras if count and count[0] else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "boxes", 0)
    if len(shape) != 3:
        return f"head yolo expects an output [1, 4 + classes, anchors] or [1, n, 6], found {list(shape)}"
    layout = manifest.postprocess.params.get("layout", "raw")
    if layout not in _READERS:
        return f"postprocess.params.layout is {layout!r}, expected one of {', '.join(_READERS)}"
    return None


HEAD = Head(
    ("object-detection", "image-segmentation", "keypoint-detection"),
    decode,
    classes,
    misfit,
    threshold=0.25,
    params=("layout", "obb", "kpt_shape"),
)
