"""What the pose heads share: skeletons, and boxes around keypoints."""

from __future__ import annotations

import numpy as np

from inference.heads import label_ids
from inference.heads._detection import points_in_picture
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects

SKELETON_BY_COUNT = {17: "coco17", 21: "hand21", 26: "halpe26", 33: "blazepose33", 133: "wholebody133"}


def in_unit(points: Floats, fit: Fit) -> Floats:
    """Keypoints (N, K, 3) x, y in 0..1 of the input to picture pixels."""
    scaled = points.copy()
    scaled[..., :2] *= np.asarray(fit.network, np.float32)
    return points_in_picture(scaled, fit)


def skeleton_of(points: Floats, manifest: Manifest) -> str | None:
    """The manifest's skeleton; else, for people and hands, the skeleton of as many keypoints. Animals have others."""
    people = not manifest.labels or not {"person", "hand"}.isdisjoint(map(str.lower, manifest.labels))
    return manifest.postprocess.skeleton or (SKELETON_BY_COUNT.get(points.shape[1]) if people else None)


def with_own_boxes(points: Floats, fit: Fit, manifest: Manifest, threshold: float) -> Objects:
    """People whose boxes enclose their visible keypoints, for models that answer with keypoints only.

    points (N, K, 3 or 4) in picture pixels, score last. A person's score is the mean over the better half of all
    keypoints: on photos without people some keypoint is always visible, and half a person is often out of view.
    """
    visibility = float(manifest.postprocess.params.get("shown", 0.2))
    boxes, scores = np.zeros((len(points), 4), np.float32), np.zeros(len(points), np.float32)
    x1, y1, x2, y2 = fit.crop
    for i, person in enumerate(points):
        visible = person[person[:, -1] > visibility]
        if len(visible):
            boxes[i] = *visible[:, :2].min(axis=0), *visible[:, :2].max(axis=0)
            scores[i] = np.sort(person[:, -1])[len(person) // 2 :].mean()
    boxes = boxes.clip([x1, y1] * 2, [x2, y2] * 2)
    keep = np.flatnonzero(scores > threshold)
    ids = label_ids(np.zeros(len(keep)), manifest)
    skeleton = skeleton_of(points, manifest)
    return Objects(
        boxes[keep].astype(np.float32),
        scores[keep],
        ids,
        manifest.names(ids),
        keypoints=points[keep],
        skeleton=skeleton,
    )
