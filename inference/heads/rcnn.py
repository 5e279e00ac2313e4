"""Detectors that answer with finished boxes, labels and scores: torchvision's and AutoML's R-CNN, RetinaNet and SSD,
D-FINE and RT-DETR as their authors export them, the Model Zoo's Mask R-CNN.

Outputs, in any order: boxes [n, 4] xyxy in network pixels, labels [n] whole numbers, scores [n]; with a batch axis
or without. Optional: masks [n, 1, h, w] of the whole input or of each box, keypoints [n, K, 3] (x, y, visibility)
and keypoints_scores [n, K].
params: normalized = true for boxes in 0..1; mask_threshold (default 0.5). Suppression is done in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.heads import Head, Outputs, Shape, threshold
from inference.heads._detection import best_first, in_network, objects, points_in_picture
from inference.heads._keypoints import skeleton_of
from inference.heads._masks import masks_in_boxes, network_frame
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

ROLES = ("boxes", "labels", "scores", "masks", "keypoints", "keypoints_scores")
_OTHER_NAMES = {"bboxes": "boxes", "classes": "labels"}


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    roles = {role: outputs[name] for role, name in find_roles(outputs, manifest).items()}
    if roles["boxes"].ndim == 3:
        roles = {role: value[0] for role, value in roles.items()}
    scores = roles["scores"].astype(np.float32, copy=False)
    keep = np.flatnonzero(scores > threshold(manifest, HEAD))
    keep = keep[best_first(scores[keep], manifest)]
    boxes = roles["boxes"][keep].astype(np.float32, copy=False)
    if manifest.postprocess.params.get("normalized"):
        boxes = in_network(boxes, fit)
    found = objects(boxes, scores[keep], np.rint(roles["labels"][keep]), fit, manifest)
    if "masks" in roles:
        limit = float(manifest.postprocess.params.get("mask_threshold", 0.5))
        found = with_masks(found, roles["masks"][keep], boxes, fit, limit)
    if "keypoints" in roles:
        points = roles["keypoints"][keep].astype(np.float32)
        if "keypoints_scores" in roles:
            points[:, :, 2] = _certainty(roles["keypoints_scores"][keep])
        found = replace(found, keypoints=points_in_picture(points, fit), skeleton=skeleton_of(points, manifest))
    return found


def _certainty(logits: Floats) -> Floats:
    """Keypoint R-CNN scores are heat-map logits: squeezed into 0..1 so that they can be compared with other models'."""
    result: Floats = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    return result


def with_masks(found: Objects, masks: NDArray[Any], boxes: Floats, fit: Fit, limit: float) -> Objects:
    """Masks (n, [1,] h, w) added: of the whole input when they are of its size, else of each box (network pixels)."""
    maps = masks.reshape(len(masks), *masks.shape[-2:]).astype(np.float32, copy=False)
    width, height = fit.network
    if maps.shape[1:] == (height, width):
        frames = network_frame(fit)
    else:
        frames = fit.points(boxes.reshape(-1, 2)).reshape(-1, 4)
    return replace(found, masks=masks_in_boxes(maps, frames, found.boxes, fit, limit))


def find_roles(outputs: Mapping[str, Any], manifest: Manifest) -> dict[str, str]:
    """Role -> output name: as the manifest says, else by name, else by shape and type."""
    named = {role: name for role, name in manifest.postprocess.outputs.items() if name in outputs}
    for name in outputs:
        role = name.removesuffix("_0")
        role = _OTHER_NAMES.get(role, role)
        if role in ROLES and name not in named.values():
            named.setdefault(role, name)
    if not {"boxes", "labels", "scores"} <= set(named):
        _by_kind({n: v for n, v in outputs.items() if n not in named.values()}, named)
    return named


def _by_kind(outputs: Mapping[str, Any], named: dict[str, str]) -> None:
    for name, value in outputs.items():
        shape = getattr(value, "shape", value)
        whole = getattr(getattr(value, "dtype", None), "kind", "") in ("i", "u")
        if shape[-1] == 4 and len(shape) <= 3 and "boxes" not in named:
            named["boxes"] = name
        elif len(shape) >= 4:
            named.setdefault("masks", name)
        elif len(shape) == 3 and shape[-1] in (3, None):
            named.setdefault("keypoints", name)
        elif whole or (not hasattr(value, "dtype") and "labels" not in named and "label" in name):
            named.setdefault("labels", name)
        else:
            named.setdefault("scores", name)


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    if len(outputs) < 3:
        return "head rcnn expects boxes [n, 4], labels [n] and scores [n]"
    return None


HEAD = Head(
    ("object-detection", "image-segmentation", "keypoint-detection"),
    decode,
    misfit=misfit,
    threshold=0.5,
    params=("mask_threshold", "normalized"),
)
