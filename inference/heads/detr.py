"""Detection transformers: class logits [1, Q, C] and boxes [1, Q, 4] as cx, cy, w, h in 0..1, one row per query.

Names are those of Hugging Face (logits, pred_boxes, pred_masks) and RF-DETR (labels, dets, masks).
params: activation = "softmax" (DETR, YOLOS, Table Transformer: the last class is "no object") or "sigmoid" (RT-DETR,
D-FINE, RF-DETR: each query may have several classes); no_object = true | false: drop the last class (default: with
softmax). Where the graph applies either by itself, nothing is applied again ("none"). A class whose label stands for
none (placeholders.py) is never an answer. Masks [1, Q, h, w] are logits over the whole input. No NMS: training matches
each object with one query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from inference.errors import BadManifest
from inference.heads import (
    PROBABILITIES,
    Ending,
    Head,
    Output,
    Outputs,
    Shape,
    name_of,
    part,
    threshold,
    with_params,
)
from inference.heads._detection import best_class, best_first, cxcywh_to_xyxy, in_network, objects
from inference.heads._masks import masks_in_boxes, network_frame
from inference.heads.classifier import checked, sigmoid, softmax
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.placeholders import is_placeholder
from inference.predictions import Floats, Objects

LOGITS, BOXES, MASKS = ("logits", "labels", "pred_logits"), ("pred_boxes", "dets"), ("pred_masks", "masks")


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    logits = part(outputs, manifest, "scores", LOGITS)[0].astype(np.float32, copy=False)
    kind = _activation(manifest)
    _refuse_no_object(logits, manifest)
    multilabel = kind == "sigmoid" or (kind == "none" and not _no_object(manifest))
    scores = checked(logits) if kind == "none" else sigmoid(logits) if multilabel else softmax(logits)
    if _no_object(manifest):
        scores = scores[:, :-1]
    if spare := _without_meaning(manifest.labels, manifest.label_offset, scores.shape[1]):
        scores = scores.copy()  # it may be the output itself
        scores[:, spare] = 0
    rows, classes, best = best_class(scores, threshold(manifest, HEAD), multilabel)
    keep = best_first(best, manifest)
    rows = rows[keep]
    boxes = part(outputs, manifest, "boxes", BOXES)[0][rows].astype(np.float32, copy=False)
    boxes = in_network(cxcywh_to_xyxy(boxes), fit)
    detections = objects(boxes, best[keep], classes[keep], fit, manifest)
    masks = next((outputs[n] for n in (manifest.postprocess.outputs.get("masks", ""), *MASKS) if n in outputs), None)
    if masks is not None and masks.ndim == 4:
        logits = masks[0][rows].astype(np.float32, copy=False)
        return replace(detections, masks=masks_in_boxes(logits, network_frame(fit), detections.boxes, fit, 0.0))
    return detections


def _refuse_no_object(logits: Floats, manifest: Manifest) -> None:
    """Raises BadManifest where the last class is in most of the queries, as DETR's "no object" is, and nothing says
    that there is none."""
    if {"activation", "no_object"} & set(manifest.postprocess.params) or logits.shape[1] < 2:
        return
    if np.count_nonzero(logits[:, -1] > 0) > len(logits) / 2:
        raise BadManifest(f"the last class is found in most of its {len(logits)} boxes: {_SAY}")


_SAY = (
    'say postprocess.params.activation = "softmax" where the last class is "no object" (DETR, YOLOS), or "sigmoid" '
    "where it is a class as the others (RT-DETR, D-FINE)"
)


@lru_cache(maxsize=8)
def _without_meaning(labels: tuple[str, ...], offset: int, classes: int) -> list[int]:
    """The class indices whose labels stand for no class: backgrounds, and the gaps between COCO's ids."""
    named = range(max(0, -offset), min(classes, len(labels) - offset))
    return [index for index in named if is_placeholder(labels[index + offset])]


def settle(outputs: Mapping[str, Output], manifest: Manifest, ending: Ending) -> Manifest:
    """No activation where the graph has its own; which it was still decides whether there is a "no object"."""
    if ending(name_of(outputs, manifest, "scores", LOGITS)) != PROBABILITIES:
        return manifest
    return with_params(manifest, no_object=_no_object(manifest), activation="none")


def _activation(manifest: Manifest) -> str:
    return str(manifest.postprocess.params.get("activation", "sigmoid"))


def _no_object(manifest: Manifest) -> bool:
    return bool(manifest.postprocess.params.get("no_object", _activation(manifest) == "softmax"))


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    last = part(outputs, manifest, "scores", LOGITS)[-1]
    return last - _no_object(manifest) if last else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    logits, boxes = part(outputs, manifest, "scores", LOGITS), part(outputs, manifest, "boxes", BOXES)
    if len(logits) != 3 or len(boxes) != 3 or boxes[2] not in (4, None):
        return f"head detr expects logits [1, Q, C] and boxes [1, Q, 4], found {list(logits)} and {list(boxes)}"
    stated = {"activation", "no_object"} & set(manifest.postprocess.params)
    if not stated and manifest.labels and logits[2] == len(manifest.labels) - manifest.label_offset + 1:
        return f"{logits[2]} class scores, one more than labels: {_SAY}"
    return None


HEAD = Head(
    ("object-detection", "image-segmentation"),
    decode,
    classes,
    misfit,
    settle,
    threshold=0.5,
    params=("activation", "no_object"),
    choices={"activation": ("softmax", "sigmoid", "none")},
)
