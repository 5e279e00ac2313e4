"""Heat maps [1, K, h, w], one per keypoint (Xiao et al., 2018, arXiv:1804.06208): HRNet, ViTPose, PP-TinyPose.

A keypoint is the map's peak, moved a quarter of a cell towards the higher neighbour; its score is the peak.
params: shown (see head movenet).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import points_in_picture
from inference.heads._keypoints import with_own_boxes
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects


def peaks(maps: Floats) -> Floats:
    """(K, 3) x, y, score in cells of maps (K, h, w)."""
    count, height, width = maps.shape
    cells = maps.reshape(count, -1).argmax(axis=1)
    xs, ys = cells % width, cells // width
    index = np.arange(count)
    shift_x = np.sign(maps[index, ys, np.minimum(xs + 1, width - 1)] - maps[index, ys, np.maximum(xs - 1, 0)])
    shift_y = np.sign(maps[index, np.minimum(ys + 1, height - 1), xs] - maps[index, np.maximum(ys - 1, 0), xs])
    shift_x[(xs == 0) | (xs == width - 1)] = 0
    shift_y[(ys == 0) | (ys == height - 1)] = 0
    return np.stack([xs + shift_x / 4, ys + shift_y / 4, maps[index, ys, xs]], axis=1).astype(np.float32)


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    maps = part(outputs, manifest, "heatmaps", 0)[0].astype(np.float32, copy=False)
    points = peaks(maps)
    points[:, 0] *= fit.network[0] / maps.shape[2]
    points[:, 1] *= fit.network[1] / maps.shape[1]
    points[:, 2] = points[:, 2].clip(0, 1)
    return with_own_boxes(points_in_picture(points[None], fit), fit, manifest, threshold(manifest, HEAD))


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "heatmaps", 0)
    return None if len(shape) == 4 else f"head heatmaps expects one output [1, K, h, w], found {list(shape)}"


HEAD = Head(("keypoint-detection",), decode, misfit=misfit, threshold=0.1, params=("shown",))
