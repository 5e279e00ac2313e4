"""Detectors whose graph ends in NMS: boxes, labels and scores are final; or in boxes and scores by class, before it.

Aliases with their own defaults (_aliases.py): rcnn (torchvision's and AutoML's R-CNN, RetinaNet and SSD, D-FINE and
RT-DETR as their authors export them), mmdeploy (OpenMMLab; RTMO, Lu et al., 2023), paddle (PaddleDetection, fed with
scale_factor = 1), tf_detection (TensorFlow Object Detection API, TFLite), yolov3 (keras-yolo3 of the ONNX Model Zoo,
fed with the network's size as image_shape) and custom_vision (Azure Custom Vision S1; compact domains: yolo_grid).

Outputs, with a batch axis of 1 or without:
    boxes [n, 4]; with params.columns [n, 5] to [n, 7]: the score, the label, the batch index stand in the same row
    scores [n], labels [n] (whole numbers, as integers or floats; a label below 0 marks an unused row, and
        one that an offset takes below 0 the background)
    count [1]: how many rows are used
        Over 1000 rows are those of a grid, of which nothing has been suppressed (the boxes, scores and class_idx of
        Qualcomm AI Hub's YOLO): NMS is done here, unless nms_execute = false
    indices [m, 3] of (batch, class, box), as ONNX NonMaxSuppression returns them; scores are then [C, n]
    or, where nothing gives labels, scores [1, n, C] or [1, C, n] of n boxes: NMS is done here
    masks [n, 1, h, w]; keypoints [n, K, 3] (x, y, visibility) and keypoints_scores [n, K] (logits); not with indices
The role of an output is read from postprocess.outputs, else params.roles, else its name, else its shape and type.
params: columns = what a row of boxes holds, in order (default ["boxes"]); order = "xyxy" (default) | "yxyx" |
"cxcywh"; normalized = true for boxes in 0..1 of the input, false for its pixels (default: what the values show, as no
detector finds a thing of a pixel in the corner of its input); roles = the roles of the outputs in
the file's order; mask_threshold (default 0.5); mask_frame = "input" | "box": what a mask spans (default: the input
where it has the input's size, else its box).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadManifest, BadModel
from inference.heads import Ending, Head, Output, Outputs, Shape, threshold
from inference.heads._detection import (
    after_nms,
    best_above,
    best_class,
    cxcywh_to_xyxy,
    in_network,
    in_shares,
    objects,
    points_in_picture,
    suppress,
)
from inference.heads._keypoints import skeleton_of
from inference.heads._masks import masks_in_boxes, network_frame
from inference.heads._roles import COLUMNS, ROLES, WIDTHS, columns_of, roles_of
from inference.heads._yolo_layouts import MAX_END2END_ROWS
from inference.heads.classifier import sigmoid
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

_SAY = "say in postprocess.outputs which output is boxes, scores and labels"
_RESERVED = "{} boxes of class 0, the background, are left out (label_offset = {} in model.toml)"
Values = Mapping[str, NDArray[Any]]

_LISTS: dict[str, tuple[str, ...]] = {"columns": tuple(COLUMNS), "roles": ROLES}


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    values = {role: outputs[name] for role, name in roles_of(outputs, manifest).items()}
    if missing := _missing({role: value.shape for role, value in values.items()}, manifest):
        raise BadManifest(
            f"no output for {' or '.join(missing)}: found {', '.join(outputs)}; name it in postprocess.outputs"
        )
    if _by_class({role: value.shape for role, value in values.items()}, manifest):
        return _suppressed(values, outputs, fit, manifest)
    _refuse_misread(values, columns_of(manifest), outputs)
    boxes, scores, labels = _indexed(values) if "indices" in values else _rows(values, columns_of(manifest))
    _refuse_scores(scores[labels >= 0], outputs)
    limit, reserved = threshold(manifest, HEAD), ~(labels + min(manifest.label_offset, 0) >= 0)
    keep = _kept(boxes, np.where(reserved, -np.inf, scores), labels, fit, manifest)
    boxes = _xyxy(boxes[keep], fit, manifest)
    detections = objects(boxes, scores[keep], labels[keep], fit, manifest)
    if left := np.count_nonzero(reserved & (labels >= 0) & (scores > limit)):
        detections = replace(detections, notes=(_RESERVED.format(left, manifest.label_offset),))
    if "indices" in values:
        return detections
    if "masks" in values and values["masks"].ndim > 2:
        detections = _with_masks(detections, _stacked(values["masks"], 2)[keep], boxes, fit, manifest)
    if "keypoints" in values:
        points = _stacked(values["keypoints"], 2)[keep].astype(np.float32)
        if "keypoints_scores" in values:
            points[:, :, 2] = sigmoid(_stacked(values["keypoints_scores"], 1)[keep])
        detections = replace(
            detections, keypoints=points_in_picture(points, fit), skeleton=skeleton_of(points, manifest)
        )
    return detections


def _kept(boxes: Floats, scores: Floats, labels: NDArray[Any], fit: Fit, manifest: Manifest) -> NDArray[np.int64]:
    """The rows above the threshold, best first; of a grid's rows those that NMS leaves."""
    limit = threshold(manifest, HEAD)
    if len(scores) <= MAX_END2END_ROWS:
        return best_above(scores, limit, manifest)
    above = np.flatnonzero(scores > limit)
    return above[suppress(_xyxy(boxes[above], fit, manifest), scores[above], labels[above], manifest)]


def _xyxy(boxes: Floats, fit: Fit, manifest: Manifest) -> Floats:
    """Boxes (n, 4) as the manifest describes them to xyxy in network pixels."""
    params, boxes = manifest.postprocess.params, boxes.astype(np.float32, copy=False)
    if params.get("order") == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    elif params.get("order") == "cxcywh":
        boxes = cxcywh_to_xyxy(boxes)
    shares = params.get("normalized")
    return in_network(boxes, fit) if shares or (shares is None and in_shares(boxes)) else boxes


def _by_class(shapes: Mapping[str, Sequence[int | None]], manifest: Manifest) -> bool:
    """Whether there are scores of every class for every box (shapes by role), which NMS has not seen."""
    if columns_of(manifest) != ("boxes",) or {"labels", "indices", "keypoints"} & set(shapes):
        return False
    boxes, scores = shapes.get("boxes", ()), shapes.get("scores", ())
    if len(boxes) not in (3, 4) or len(scores) != 3:
        return False
    return boxes[1] is None or boxes[1] in scores[1:] or None in scores[1:]


def _suppressed(values: Values, outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    boxes, scores = values["boxes"].reshape(-1, 4), values["scores"][0].astype(np.float32, copy=False)
    scores = scores if len(scores) == len(boxes) else scores.T
    _refuse_scores(scores, outputs)
    rows, classes, best = best_class(scores, threshold(manifest, HEAD), manifest.postprocess.multilabel)
    return after_nms(_xyxy(boxes[rows], fit, manifest), best, classes, fit, manifest)


def _refuse_misread(values: Values, columns: tuple[str, ...], outputs: Outputs) -> None:
    """Raises BadManifest where the sizes show that outputs were read in roles that are not theirs."""
    width = sum(COLUMNS[c] for c in columns)
    rows = values["boxes"].size // width
    wrong = [] if values["boxes"].size == rows * width else ["boxes"]
    if "indices" in values:
        wrong += ["scores"] if rows and values["scores"].size % rows else []
        wrong += ["indices"] if values["indices"].size % 3 else []
    else:
        own = {role: values[role].size for role in ("scores", "labels") if role in values and role not in columns}
        wrong += [role for role, size in own.items() if size != rows]
    for role, axes in (("masks", 2), ("keypoints", 2), ("keypoints_scores", 1)):
        if role in values and values[role].ndim > axes and prod(values[role].shape[:-axes]) < rows:
            wrong.append(role)
    if wrong:
        raise BadManifest(f"the {wrong[0]} do not fit {rows} boxes of {width} numbers: found {_shown(outputs)}; {_SAY}")


def _refuse_scores(scores: Floats, outputs: Outputs) -> None:
    scores = scores[np.isfinite(scores)]  # rows with others are left out
    if (scores > 1 + 1e-3).any():
        raise BadManifest(f"scores up to {scores.max():g}, expected 0..1: found {_shown(outputs)}; {_SAY}")


def _shown(outputs: Outputs) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())


def _rows(values: Values, columns: tuple[str, ...]) -> tuple[Floats, Floats, NDArray[Any]]:
    """(boxes (n, 4), scores (n,), labels (n,)) of the used rows; all labels are 0 where no output has any.

    Raises BadManifest where the columns of labels and scores are exchanged.
    """
    widths = [COLUMNS[c] for c in columns]
    rows = values["boxes"].reshape(-1, sum(widths))
    split = np.split(rows, np.cumsum(widths)[:-1], axis=1)
    parts = {"labels": np.zeros(len(rows)), **values, **dict(zip(columns, split, strict=True))}
    used = slice(_count(values["count"]) if "count" in values else None)
    scores = parts["scores"].ravel()[used].astype(np.float32, copy=False)
    labels = np.rint(parts["labels"].ravel()[used])
    if {"scores", "labels"} <= set(columns) and (scores == np.rint(scores)).all() and (parts["labels"] % 1 > 0).any():
        other = {"scores": "labels", "labels": "scores"}
        right = ", ".join(f'"{other.get(column, column)}"' for column in columns)
        raise BadManifest(
            f"the labels hold fractions and the scores whole numbers: say params = {{ columns = [{right}] }}"
        )
    if "batch" in parts:
        labels = np.where(parts["batch"].ravel()[used] == 0, labels, -1)
    return parts["boxes"][used], scores, labels


def _count(value: NDArray[Any]) -> int:
    """How many rows are used; none where the number is none, or below 0."""
    number = float(value.ravel()[0])
    return max(int(number), 0) if np.isfinite(number) else 0


def _indexed(values: Values) -> tuple[Floats, Floats, NDArray[Any]]:
    """The same where indices name the rows that NMS kept; unused ones are -1."""
    boxes, indices = values["boxes"].reshape(-1, 4), values["indices"].reshape(-1, 3).astype(np.int64)
    _, labels, rows = indices[(indices >= 0).all(axis=1)].T
    return boxes[rows], values["scores"].reshape(-1, len(boxes))[labels, rows], labels


def _stacked(value: NDArray[Any], rank: int) -> NDArray[Any]:
    """(n, ...) with `rank` axes after the first, without a batch or channel axis of 1."""
    return value.reshape(prod(value.shape[:-rank]), *value.shape[-rank:])


def _with_masks(detections: Objects, maps: NDArray[Any], boxes: Floats, fit: Fit, manifest: Manifest) -> Objects:
    """Masks added from maps (n, h, w). boxes: network pixels."""
    params = manifest.postprocess.params
    has_input_size = maps.shape[1:] == fit.network[::-1]
    if params.get("mask_frame", "input" if has_input_size else "box") == "input":
        frames = network_frame(fit)
    else:
        frames = fit.points(boxes.reshape(-1, 2)).reshape(-1, 4)
    limit, maps = float(params.get("mask_threshold", 0.5)), maps.astype(np.float32, copy=False)
    return replace(detections, masks=masks_in_boxes(maps, frames, detections.boxes, fit, limit))


def _missing(shapes: Mapping[str, Sequence[int | None]], manifest: Manifest) -> list[str]:
    """What is needed and neither an output (shapes by role) nor a column.

    Pose models have one class, indices and scores by class name theirs: no labels.
    """
    there = {*shapes, *columns_of(manifest)} - ({"boxes"} - set(shapes))
    named = bool({"keypoints", "indices"} & set(shapes)) or _by_class(shapes, manifest)
    return [r for r in WIDTHS if r not in there and not (r == "labels" and named)]


def settle(outputs: Mapping[str, Output], manifest: Manifest, ending: Ending) -> Manifest:
    """Labels, counts and indices are whole numbers; scores, and boxes in bytes, mean nothing without a scale."""
    for role, name in roles_of(outputs, manifest).items():
        kind = outputs[name].dtype
        if kind.kind in "iu" and (role == "scores" or (role == "boxes" and kind.itemsize == 1)):
            raise BadModel(
                f"{manifest.name}: output {name!r} ({role}) holds {kind} without a scale; export it with float outputs"
            )
    return manifest


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    shapes = {role: outputs[name] for role, name in roles_of(outputs, manifest).items()}
    if "indices" in shapes:
        return shapes["scores"][-2] if len(shapes["scores"]) > 1 else None
    if not _by_class(shapes, manifest) or len(shapes) < len(outputs):  # types, at the run, may show labels
        return None
    _, count, last = shapes["scores"]
    return (last if count == shapes["boxes"][1] else count) if count and last else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    if problem := _wrong_param(manifest.postprocess.params):
        return problem
    roles, columns = roles_of(outputs, manifest), columns_of(manifest)
    width = sum(COLUMNS[c] for c in columns)
    fits = "boxes" not in roles or outputs[roles["boxes"]][-1:] in ((width,), (None,))
    open_outputs = len(outputs) - len(roles) if columns == ("boxes",) else 0  # their types, at the run, decide
    if fits and len(_missing({role: outputs[name] for role, name in roles.items()}, manifest)) <= open_outputs:
        return None
    others = [f"{role} [n]" for role in WIDTHS if role not in columns]
    if "indices" in manifest.postprocess.params.get("roles", ()):
        others = ["scores [C, n]", "indices [m, 3]"]
    row = f" ({', '.join(columns)})" if len(columns) > 1 else ""
    return f"head {manifest.head} expects {', '.join([f'boxes [n, {width}]{row}', *others])}"


def _wrong_param(params: Mapping[str, Any]) -> str | None:
    for key, kind, words in (("normalized", bool, "true or false"), ("mask_threshold", (int, float), "a number")):
        if not isinstance(params.get(key, True if kind is bool else 0.5), kind):
            return f"postprocess.params.{key} is {params[key]!r}, expected {words}"
    for key, known in _LISTS.items():
        words = params.get(key, ["boxes"])
        if not isinstance(words, list | tuple) or "boxes" not in words or not all(word in known for word in words):
            return f"postprocess.params.{key} is {words!r}, expected a list with boxes, of {', '.join(known)}"
    return None


HEAD = Head(
    ("object-detection", "image-segmentation", "keypoint-detection"),
    decode,
    classes,
    misfit,
    settle,
    whole_numbers=True,
    threshold=0.5,
    params=("columns", "mask_frame", "mask_threshold", "normalized", "order", "roles"),
    choices={"order": ("xyxy", "yxyx", "cxcywh"), "mask_frame": ("input", "box")},
)
