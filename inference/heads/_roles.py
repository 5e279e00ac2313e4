"""Which output of a detector is boxes, scores, labels ...: by the manifest, its name, or its shape and type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inference.heads import named_output
from inference.manifest import Manifest

WIDTHS = {"boxes": 4, "scores": 1, "labels": 1}
ROLES = (*WIDTHS, "count", "indices", "masks", "keypoints", "keypoints_scores")
COLUMNS = {**WIDTHS, "batch": 1}  # the picture's place in the batch: rows of others, and unused ones, are not 0
_LITE = "TFLite_Detection_PostProcess"
_ROLE_OF_NAME = {
    **{role: role for role in (*WIDTHS, "masks", "keypoints", "keypoints_scores")},
    "bboxes": "boxes", "dets": "boxes", "detection_boxes": "boxes", "detected_boxes": "boxes", _LITE: "boxes",
    "classes": "labels", "detection_classes": "labels", "detected_classes": "labels", f"{_LITE}:1": "labels",
    "detection_scores": "scores", "detected_scores": "scores", f"{_LITE}:2": "scores",
    "num_detections": "count", f"{_LITE}:3": "count",
    # EfficientNMS as YOLOv6, v7 and v9 name it, MMYOLO, super-gradients, Detectron2
    "num_dets": "count", "num_det": "count", "num_predictions": "count", "det_boxes": "boxes", "pred_boxes": "boxes",
    "det_scores": "scores", "pred_scores": "scores", "det_classes": "labels", "pred_classes": "labels",
    "class_idx": "labels",  # qualcomm/ai-hub-models: yolov8_det, yolov7, yolonas and their like
}  # fmt: skip


def role_of_name(name: str) -> str | None:
    """The role that the name of an output says; None where it says none. graph2_ is left by joining graphs."""
    plain = re.sub(r"^graph\d+_", "", name.removesuffix("_0").removesuffix(":0"))
    return _ROLE_OF_NAME.get(name.removesuffix("_0").removesuffix(":0"), _ROLE_OF_NAME.get(plain))


def roles_of(outputs: Mapping[str, Any], manifest: Manifest) -> dict[str, str]:
    """Role -> name of the output. outputs: arrays, or their shapes. Raises BadManifest for a name that is not there."""
    post = manifest.postprocess
    roles = {_ROLE_OF_NAME.get(role, role): named_output(outputs, manifest, role) for role in post.outputs}
    by_place = dict(zip(outputs, post.params.get("roles", ()), strict=False))
    by_name = {name: role_of_name(name) for name in outputs}
    for said in (by_place, by_name):
        for name, role in said.items():
            if role and name not in roles.values():
                roles.setdefault(role, name)
    if columns_of(manifest) != ("boxes",) and len(outputs) == 1:
        roles.setdefault("boxes", next(iter(outputs)))
    if columns_of(manifest) == ("boxes",) and not set(WIDTHS) <= set(roles):
        _add_by_shape(outputs, roles)
    return roles


def _add_by_shape(outputs: Mapping[str, Any], roles: dict[str, str]) -> None:
    """Adds the roles of outputs whose names say nothing. From shapes alone, labels and scores look the same."""
    shapes = {name: getattr(value, "shape", value) for name, value in outputs.items()}
    known = [shapes[roles["boxes"]]] if "boxes" in roles else [s for s in shapes.values() if s[-1:] == (4,)]
    rows = known[0][1] if known and len(known[0]) == 3 else 0  # of [1, n, 4]: then [1, n, 3] are scores of 3 classes
    for name, shape in shapes.items():
        if name in roles.values():
            continue
        kind = getattr(getattr(outputs[name], "dtype", None), "kind", "")
        if shape[-1:] == (4,) and len(shape) <= 3 and "boxes" not in roles:
            roles["boxes"] = name
        elif len(shape) >= 4:
            roles.setdefault("masks", name)
        elif len(shape) == 3 and shape[-1] in (3, None) and shape[1] != rows:
            roles.setdefault("keypoints", name)
        else:
            roles.setdefault("labels" if kind in ("i", "u") or (not kind and "label" in name) else "scores", name)


def columns_of(manifest: Manifest) -> tuple[str, ...]:
    return tuple(manifest.postprocess.params.get("columns", ("boxes",)))
