"""MaskFormer and Mask2Former (Cheng et al., 2021): Q queries, each with class logits [1, Q, C + 1] and a mask of
logits [1, Q, h, w]; the last class is "no object".

params: mode = "semantic" (default: each pixel takes the class with the highest sum, over the queries, of probability
times mask) or "instance" (a query is an object; its score is the class probability times the mean of its mask).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, label_ids, map_labels, part, threshold
from inference.heads._detection import best_above, best_class
from inference.heads._masks import masks_in_boxes, network_frame
from inference.heads.classifier import sigmoid, softmax
from inference.heads.semantic import argmax_labels, fit_size, on_picture
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, LabelMap, Objects

CLASSES = ("class_queries_logits", "cls_logits", "pred_logits")
MASKS = ("masks_queries_logits", "mask_logits", "pred_masks")


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> LabelMap | Objects:
    probabilities = softmax(part(outputs, manifest, "classes", CLASSES)[0].astype(np.float32, copy=False))[:, :-1]
    masks = sigmoid(part(outputs, manifest, "masks", MASKS)[0].astype(np.float32, copy=False))
    if manifest.postprocess.params.get("mode") == "instance":
        return _instances(probabilities, masks, fit, manifest)
    scores = np.tensordot(probabilities, masks, axes=(0, 0))
    ids = argmax_labels(scores, fit, fit_size(fit))
    narrow = ids.astype(np.uint8 if len(scores) < 256 else np.int32)
    return LabelMap(on_picture(narrow, fit), *map_labels(manifest))


def _instances(probabilities: Floats, masks: Floats, fit: Fit, manifest: Manifest) -> Objects:
    rows, classes, scores = best_class(probabilities, threshold(manifest, HEAD), False)
    inside = masks[rows] > 0.5
    size = inside.sum(axis=(1, 2))
    scores = scores * (masks[rows] * inside).sum(axis=(1, 2)) / np.maximum(size, 1)
    keep = best_above(np.where(size > 0, scores, -np.inf), threshold(manifest, HEAD), manifest)
    boxes = fit.boxes(_mask_boxes(inside[keep], fit))
    bits = masks_in_boxes(masks[rows][keep], network_frame(fit), boxes, fit, 0.5)
    ids = label_ids(classes[keep], manifest)
    return Objects(boxes, scores[keep].astype(np.float32), ids, manifest.names(ids), masks=bits)


def _mask_boxes(inside: Floats, fit: Fit) -> Floats:
    """Boxes (N, 4) in network pixels around masks (N, h, w), half a cell wider on each side: edges are interpolated."""
    height, width = inside.shape[1:]
    kx, ky = fit.network[0] / width, fit.network[1] / height
    boxes = np.zeros((len(inside), 4), np.float32)
    for i, mask in enumerate(inside):
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes[i] = (xs[0] - 0.5) * kx, (ys[0] - 0.5) * ky, (xs[-1] + 1.5) * kx, (ys[-1] + 1.5) * ky
    return boxes


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    last = part(outputs, manifest, "classes", CLASSES)[-1]
    return last - 1 if last else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    logits, masks = part(outputs, manifest, "classes", CLASSES), part(outputs, manifest, "masks", MASKS)
    if len(logits) != 3 or len(masks) != 4:
        return "head maskformer expects class logits [1, Q, C + 1] and mask logits [1, Q, h, w]"
    return None


HEAD = Head(("image-segmentation",), decode, classes, misfit, threshold=0.5, params=("mode",))
