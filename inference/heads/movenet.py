"""MoveNet (Google, 2021): keypoints as y, x, score in 0..1 of the input.

One person [1, 1, 17, 3], or several [1, n, 17 x 3 + 5] with ymin, xmin, ymax, xmax, score at the end of each row.
A single person's box encloses the keypoints above `params.shown` (default 0.2); the score is the mean of the better
half of the 17. The network always answers with a person: the threshold is what says that there is nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import best_above, in_network, objects
from inference.heads._keypoints import in_unit, skeleton_of, with_own_boxes
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects

POINTS = 17


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    raw = part(outputs, manifest, "keypoints", 0)[0].astype(np.float32, copy=False)
    points = raw.reshape(len(raw), -1)[:, : POINTS * 3].reshape(len(raw), POINTS, 3)
    points = in_unit(points[:, :, [1, 0, 2]], fit)
    if raw.ndim == 3:
        return with_own_boxes(points, fit, manifest, threshold(manifest, HEAD))
    boxes, scores = in_network(raw[:, [52, 51, 54, 53]], fit), raw[:, 55]
    keep = best_above(scores, threshold(manifest, HEAD), manifest)
    people = objects(boxes[keep], scores[keep], np.zeros(len(keep)), fit, manifest)
    return replace(people, keypoints=points[keep], skeleton=skeleton_of(points, manifest))


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "keypoints", 0)
    if (len(shape), shape[-1]) not in ((4, 3), (3, POINTS * 3 + 5)):
        return f"head movenet expects [1, 1, 17, 3] or [1, n, 56], found {list(shape)}"
    return None


HEAD = Head(("keypoint-detection",), decode, misfit=misfit, threshold=0.4, params=("shown",))
