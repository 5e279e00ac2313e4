"""MaskFormer and Mask2Former (Cheng et al., 2021): Q queries, each with class logits [1, Q, C + 1] and a mask of
logits [1, Q, h, w]; the last class is "no object".

params: mode = "semantic" (default: each pixel takes the class with the most mask mass) or "instance" (each query is
an object; its score is the class probability times the mean of its mask).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, label_ids, part, threshold
from inference.heads._detection import best_class, best_first
from inference.heads._masks import masks_in_boxes, network_frame
from inference.heads.classifier import sigmoid, softmax
from inference.heads.semantic import best_labels, fit_size, on_picture
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, LabelMap, Objects

CLASSES = ("class_queries_logits", "cls_logits", "pred_logits")
MASKS = ("masks_queries_logits", "mask_logits", "pred_masks")


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> LabelMap | Objects:
    shares = softmax(part(outputs, manifest, "classes", CLASSES)[0].astype(np.float32, copy=False))[:, :-1]
    masks = sigmoid(part(outputs, manifest, "masks", MASKS)[0].astype(np.float32, copy=False))
    if manifest.postprocess.params.get("mode") == "instance":
        return _instances(shares, masks, fit, manifest)
    mass = np.tensordot(shares, masks, axes=(0, 0))
    ids = best_labels(mass, fit, fit_size(fit))
    narrow = ids.astype(np.uint8 if len(mass) < 256 else np.int32)
    return LabelMap(on_picture(narrow, fit), manifest.labels, manifest.postprocess.background)


def _instances(shares: Floats, masks: Floats, fit: Fit, manifest: Manifest) -> Objects:
    rows, classes, scores = best_class(shares, threshold(manifest, HEAD), False)
    inside = masks[rows] > 0.5
    size = inside.sum(axis=(1, 2))
    scores = scores * (masks[rows] * inside).sum(axis=(1, 2)) / np.maximum(size, 1)
    keep = np.flatnonzero((size > 0) & (scores > threshold(manifest, HEAD)))
    keep = keep[best_first(scores[keep], manifest)]
    boxes = fit.boxes(_around(inside[keep], fit))
    found = masks_in_boxes(masks[rows][keep], network_frame(fit), boxes, fit, 0.5)
    ids = label_ids(classes[keep], manifest)
    return Objects(boxes, scores[keep].astype(np.float32), ids, manifest.names(ids), masks=found)


def _around(inside: Floats, fit: Fit) -> Floats:
    """Boxes (N, 4) in network pixels around masks (N, h, w), a cell wider than what is set: edges are interpolated."""
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
