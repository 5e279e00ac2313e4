"""SimCC (Li et al., 2021, arXiv:2107.03332), as RTMPose and RTMW: simcc_x [1, K, W s] and simcc_y [1, K, H s].

A keypoint is the peak of its two one-dimensional distributions, in 1/s pixels of the crop; its score is the mean
of both peaks. params: split_ratio (s, default 2); shown (see head movenet).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import points_in_picture
from inference.heads._keypoints import with_own_boxes
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    x, y = part(outputs, manifest, "simcc_x", ("simcc_x",)), part(outputs, manifest, "simcc_y", ("simcc_y",))
    ratio = float(manifest.postprocess.params.get("split_ratio", 2))
    points = np.stack([x.argmax(axis=2) / ratio, y.argmax(axis=2) / ratio, (x.max(axis=2) + y.max(axis=2)) / 2], axis=2)
    keypoints = points_in_picture(points, fit)
    keypoints[..., 2] = keypoints[..., 2].clip(0, 1)
    return with_own_boxes(keypoints, fit, manifest, threshold(manifest, HEAD))


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shapes = part(outputs, manifest, "simcc_x", ("simcc_x",)), part(outputs, manifest, "simcc_y", ("simcc_y",))
    if any(len(s) != 3 for s in shapes):
        return "head simcc expects simcc_x [1, K, 2 W] and simcc_y [1, K, 2 H]"
    return None


HEAD = Head(("keypoint-detection",), decode, misfit=misfit, threshold=0.1, params=("split_ratio", "shown"))
