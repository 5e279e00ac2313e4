"""Names of export families that a manifest may give as its head: a head with other default parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Alias:
    """head: the module. threshold and params are defaults; the manifest comes before them."""

    head: str
    tasks: tuple[str, ...]
    threshold: float
    params: Mapping[str, Any]


_DETECTION = ("object-detection",)
_MASKS = (*_DETECTION, "image-segmentation")
_KEYPOINTS = (*_MASKS, "keypoint-detection")

ALIASES = {
    "custom_vision": Alias("boxes", _DETECTION, 0.3, {"normalized": True}),
    "mmdeploy": Alias("boxes", _KEYPOINTS, 0.3, {"columns": ("boxes", "scores")}),
    "paddle": Alias(
        "boxes",
        _MASKS,
        0.5,
        {"columns": ("labels", "scores", "boxes"), "roles": ("boxes", "count", "masks"), "mask_frame": "input"},
    ),
    "rcnn": Alias("boxes", _KEYPOINTS, 0.5, {}),
    "tf_detection": Alias("boxes", _DETECTION, 0.3, {"order": "yxyx", "normalized": True}),
    "yolov3": Alias("boxes", _DETECTION, 0.3, {"order": "yxyx", "roles": ("boxes", "scores", "indices")}),
}
