"""MediaPipe pose landmarks (BlazePose, Bazarevsky et al., 2020, arXiv:2006.10204) of one person's square crop.

landmarks [1, 195]: 39 x (x, y, z in input pixels, visibility logit, presence logit), the first 33 are the body;
presence [1, 1] of a person in 0..1; world landmarks [1, 117]: 39 x (x, y, z) in metres around the hips.
Keypoints leave as x, y, z, score with z in picture pixels; the score is the smaller of visibility and presence. The
world landmarks stand in attributes.world, in the same order. The person's score is the presence output, which the
threshold speaks of. Outputs are identified by the size of their last axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from inference.heads import Head, Outputs, Shape, threshold
from inference.heads._detection import points_in_picture
from inference.heads._keypoints import with_own_boxes
from inference.heads.classifier import sigmoid
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Objects

BODY = 33
SIZES = {"landmarks": 195, "presence": 1, "world": 117}


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    raw = _pick(outputs, manifest, "landmarks").reshape(-1, 5)[:BODY].astype(np.float32, copy=False)
    presence = _pick(outputs, manifest, "presence").reshape(1).astype(np.float32, copy=False)
    if not float(presence[0]) > threshold(manifest, HEAD):  # so that NaN, too, is nobody
        return Objects.empty()
    score = sigmoid(raw[:, 3:]).min(axis=1, keepdims=True)
    points = points_in_picture(np.concatenate([raw[:, :3], score], axis=1)[None], fit)
    points[..., 2] *= fit.scale[0]
    person = with_own_boxes(points, fit, manifest, 0.0)
    world = _pick(outputs, manifest, "world").reshape(-1, 3)[:BODY]
    metres = [[round(v, 4) for v in point] for point in world.astype(np.float64).tolist()]
    return replace(person, scores=presence[: len(person)], attributes=tuple({"world": metres} for _ in person.names))


def _pick(outputs: Mapping[str, Any], manifest: Manifest, role: str) -> Any:
    named = manifest.postprocess.outputs.get(role, "")
    if named in outputs:
        return outputs[named]
    shapes = {name: getattr(value, "shape", value) for name, value in outputs.items()}
    names = [name for name, shape in shapes.items() if len(shape) == 2 and shape[1] == SIZES[role]]
    return outputs[names[0]] if names else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    missing = [role for role in SIZES if _pick(outputs, manifest, role) is None]
    if missing:
        return (
            f"head mediapipe_pose expects outputs [1, 195], [1, 1] and [1, 117], found none for {' or '.join(missing)}"
        )
    return None


HEAD = Head(("keypoint-detection",), decode, misfit=misfit, threshold=0.5, params=("shown",))
