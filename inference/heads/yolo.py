"""YOLOv5 to v12 and 26, and the RT-DETR that Ultralytics exports: boxes, masks, poses, oriented boxes.

An output [1, ...] of rows, with masks another one: prototypes [1, 32, h, w]. The layouts, told apart by shape and,
where several fit, by values (_yolo_layouts.py):
    raw      [1, 4 + C + extra, A]  cx, cy, w, h in pixels, class probabilities, extra
    v5       [1, A, 5 + C + extra]  cx, cy, w, h in pixels, objectness, class probabilities, extra
             or, of TensorFlow's exports, in 0..1 of the input: a grid in pixels has centres all over it
    end2end  [1, n, 6 + extra]      x1, y1, x2, y2 in pixels, score, class, extra; NMS is in the graph
    rtdetr   [1, n, 6] or [1, n, 4 + C]  cx, cy, w, h in 0..1, then score and class, or class probabilities
    raw_transposed, v5_transposed   raw and v5 with the last two axes swapped
extra is 32 mask coefficients, or K x D keypoint numbers, or the angle of an oriented box (radians), whose four
numbers are cx, cy, w, h even where NMS is in the graph.
params: layout (one of the above); obb = true; kpt_shape = [K, D]. outputs: boxes, where it is not the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadModel
from inference.heads import Head, Outputs, Shape, label_ids, part, threshold
from inference.heads._detection import (
    beside,
    best_class,
    best_class_with_objectness,
    best_first,
    cxcywh_to_xyxy,
    in_network,
    in_shares,
    objects,
    points_in_picture,
    suppress,
)
from inference.heads._keypoints import skeleton_of
from inference.heads._masks import masks_in_boxes, network_frame
from inference.heads._yolo_layouts import GRIDS, NAMES, decided, fitting, in_unit, ordered, unfitting, whole
from inference.image.nms import rotated_nms
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

Rows = tuple[Floats, Floats, NDArray[Any], Floats]


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    """Raises BadModel where the values are not those of the layout, or no layout fits."""
    output = part(outputs, manifest, "boxes", 0)
    shapes = {name: value.shape for name, value in outputs.items()}
    fits = layouts_of(shapes, manifest, fit.network)
    if not fits:
        why = unfitting(output.shape, _names(manifest), _extras(shapes, manifest), fit.network)
        raise BadModel(f"{manifest.name}: {why}")
    layout = fits[0] if _stated(manifest) else decided(output[0], fits, fit.network)
    boxes, scores, classes, extra = _READERS[layout](output[0], fit, manifest, _extras(shapes, manifest))
    if (above := scores[(scores > 1 + 1e-3) & np.isfinite(scores)]).size:  # infinity is left out later, with a note
        raise BadModel(_misread(f"scores up to {above.max():g}, expected 0..1", output.shape, layout))
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
    return _in_pixels(picked[:, :4], output[:2], fit, manifest), scores, classes, picked[:, end:]


def _v5(output: Floats, fit: Fit, manifest: Manifest, extras: int) -> Rows:
    end = output.shape[1] - extras
    limit = threshold(manifest, HEAD)
    rows, classes, scores = best_class_with_objectness(output, end, limit, manifest.postprocess.multilabel)
    return _in_pixels(output[rows, :4], output[:, :2], fit, manifest), scores, classes, output[rows, end:]


def _in_pixels(boxes: Floats, centres: Floats, fit: Fit, manifest: Manifest) -> Floats:
    """Boxes of a grid whose centres all are `centres`. Raises BadModel for points in 0..1."""
    if not in_shares(centres):
        return boxes
    if {"obb", "kpt_shape"} & set(manifest.postprocess.params):
        raise BadModel(f"{manifest.name}: boxes and points in 0..1, expected pixels; export it from PyTorch to ONNX")
    return in_network(boxes, fit)


def _end2end(output: Floats, fit: Fit, manifest: Manifest, extras: int) -> Rows:
    shares = in_unit(output[:, :4])
    if shares and not ordered(output[:, :4]):
        raise BadModel(_misread("boxes in 0..1 that are no corners", (1, *output.shape), "end2end"))
    rows = output[output[:, 4] > threshold(manifest, HEAD)]
    if not whole(rows[:, 5]):
        raise BadModel(_misread("fractions as classes", (1, *output.shape), "end2end"))
    boxes = _in_pixels(rows[:, :4], output[:, :4], fit, manifest) if shares else rows[:, :4]
    return boxes, rows[:, 4], np.rint(rows[:, 5]), rows[:, 6:]


def _rtdetr(output: Floats, fit: Fit, manifest: Manifest, extras: int) -> Rows:
    limit = threshold(manifest, HEAD)
    boxes = output[:, :4]
    if boxes.max(where=np.isfinite(boxes), initial=0) > 2:
        raise BadModel(_misread("boxes in pixels, expected 0..1", (1, *output.shape), "rtdetr"))
    scored = output.shape[1] == 6 and whole(output[:, 5])
    if output.shape[1] == 6 and not scored and _names(manifest) not in (0, 2):
        raise BadModel(_misread("fractions as classes", (1, *output.shape), "rtdetr"))
    if scored:
        rows = np.flatnonzero(output[:, 4] > limit)
        scores, classes = output[rows, 4], np.rint(output[rows, 5])
    else:
        rows, classes, scores = best_class(output[:, 4:], limit, manifest.postprocess.multilabel)
    return in_network(cxcywh_to_xyxy(output[rows, :4]), fit), scores, classes, output[rows, :0]


_READERS: dict[str, Callable[[Floats, Fit, Manifest, int], Rows]] = {
    "raw": _raw,
    "v5": _v5,
    "end2end": _end2end,
    "rtdetr": _rtdetr,
    "raw_transposed": lambda output, fit, manifest, extras: _raw(output.T, fit, manifest, extras),
    "v5_transposed": lambda output, fit, manifest, extras: _v5(output.T, fit, manifest, extras),
}


def layouts_of(
    shapes: Mapping[str, Sequence[int | None]], manifest: Manifest, network: tuple[int, int] | None = None
) -> tuple[str, ...]:
    """The layouts that the output may have: the stated one, else those that fit its shape and the labels."""
    if stated := _stated(manifest):
        return (stated,)
    return fitting(part(shapes, manifest, "boxes", 0), _names(manifest), _extras(shapes, manifest), network)


def _stated(manifest: Manifest) -> str:
    return str(manifest.postprocess.params.get("layout", ""))


def _names(manifest: Manifest) -> int:
    """How many classes the labels name; 0 where there are none."""
    return max(len(manifest.labels) - manifest.label_offset, 0) if manifest.labels else 0


def _misread(found: str, shape: Sequence[int], layout: str) -> str:
    return (
        f"{found}: the output {list(shape)} is not of layout {layout!r}; say the right one in "
        f"postprocess.params.layout ({', '.join(NAMES)})"
    )


def _extras(shapes: Mapping[str, Sequence[int | None]], manifest: Manifest) -> int:
    """How many numbers follow the classes in each row."""
    params = manifest.postprocess.params
    points, values = params.get("kpt_shape", (0, 0))
    masks = _prototypes(shapes)
    return int(points * values + bool(params.get("obb")) + ((shapes[masks][1] or 0) if masks else 0))


def _prototypes(shapes: Mapping[str, Sequence[int | None]]) -> str:
    """The name of the masks' prototypes: the last output with four axes (of two branches, the main one is last)."""
    return next((name for name in reversed(list(shapes)[1:]) if len(shapes[name]) == 4), "")


def _with_extras(detections: Objects, extra: Floats, outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    post = manifest.postprocess
    if masks := _prototypes({name: value.shape for name, value in outputs.items()}):
        logits = np.tensordot(extra, outputs[masks][0].astype(np.float32, copy=False), axes=1)
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
    scores = np.where(beside(around), -np.inf, scores[keep]).astype(np.float32, copy=False)
    return Objects(around.astype(np.float32), scores, ids, manifest.names(ids), corners=corners)


def corners_of(rotated: Floats) -> Floats:
    """(N, 5) cx, cy, w, h, angle (radians, clockwise as y points down) to corners (N, 4, 2) in order around."""
    centre, (width, height, angle) = rotated[:, :2], rotated[:, 2:].T
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * width[:, None] / 2
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * height[:, None] / 2
    return np.stack(
        [centre + along + across, centre + along - across, centre - along - across, centre - along + across], axis=1
    )


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    """None where several layouts fit that disagree about it."""
    shape, extras = part(outputs, manifest, "boxes", 0), _extras(outputs, manifest)
    fits = layouts_of(outputs, manifest) or fitting(shape, 0, extras)
    lengths = [(shape[GRIDS[name][0]], GRIDS[name][1]) if name in GRIDS else (None, 0) for name in fits]
    counts = {length - start - extras if length else None for length, start in lengths}
    return counts.pop() if len(counts) == 1 else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape, layout = part(outputs, manifest, "boxes", 0), _stated(manifest)
    if len(shape) != 3:
        return f"head yolo expects an output [1, 4 + classes, anchors] or [1, n, 6], found {list(shape)}"
    if layout and layout not in _READERS:
        return f"postprocess.params.layout is {layout!r}, expected one of {', '.join(_READERS)}"
    names, extras = _names(manifest), _extras(outputs, manifest)
    if layout == "rtdetr" and names and shape[2] not in (None, 6, 4 + names):
        return f"layout rtdetr with {names} labels expects [1, n, {4 + names}] or [1, n, 6], found {list(shape)}"
    if not layouts_of(outputs, manifest) and fitting(shape, 0, extras) != ("raw",):
        return unfitting(shape, names, extras)
    return None


HEAD = Head(
    ("object-detection", "image-segmentation", "keypoint-detection"),
    decode,
    classes,
    misfit,
    mixed=True,
    threshold=0.25,
    params=("layout", "obb", "kpt_shape"),
)
