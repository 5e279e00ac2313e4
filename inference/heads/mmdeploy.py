"""OpenMMLab models as MMDeploy exports them: dets [1, n, 5] (x1, y1, x2, y2, score in network pixels).

With labels [1, n]: detectors; with masks [1, n, h, w] too: instance segmentation, the masks of the whole input or of
each box; with keypoints [1, n, K, 3] instead of labels: RTMO (Lu et al., 2023). Suppression is done in the graph,
unused rows have score 0. params: mask_threshold (default 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import best_first, objects, points_in_picture
from inference.heads._keypoints import skeleton_of
from inference.heads.rcnn import with_masks
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    dets = part(outputs, manifest, "dets", ("dets",))[0].astype(np.float32, copy=False)
    keep = np.flatnonzero(dets[:, 4] > threshold(manifest, HEAD))
    keep = keep[best_first(dets[keep, 4], manifest)]
    labels = outputs["labels"][0][keep] if "labels" in outputs else np.zeros(len(keep), np.int64)
    found = objects(dets[keep, :4], dets[keep, 4], labels, fit, manifest)
    if "masks" in outputs:
        limit = float(manifest.postprocess.params.get("mask_threshold", 0.5))
        found = with_masks(found, outputs["masks"][0][keep], dets[keep, :4], fit, limit)
    if "keypoints" in outputs:
        points = outputs["keypoints"][0][keep]
        found = replace(found, keypoints=points_in_picture(points, fit), skeleton=skeleton_of(points, manifest))
    return found


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "dets", ("dets",))
    if len(shape) != 3 or shape[2] not in (5, None) or not {"labels", "keypoints"} & set(outputs):
        return "head mmdeploy expects dets [1, n, 5] with labels [1, n] or keypoints [1, n, K, 3]"
    return None


HEAD = Head(
    ("object-detection", "image-segmentation", "keypoint-detection"),
    decode,
    misfit=misfit,
    threshold=0.3,
    params=("mask_threshold",),
)
