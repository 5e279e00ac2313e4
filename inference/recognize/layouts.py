"""Detectors that end in NMS, or in the raw outputs of SCRFD, told by their outputs' names and shapes.

The preprocessing is that of the exporters: MMYOLO (projects/easydeploy), YOLOv6 (deploy/ONNX), YOLOv7 (export.py) and
super-gradients (conversion/onnx/nms.py) letterbox with 114; InsightFace (model_zoo/scrfd.py) pads with 0.
"""

from __future__ import annotations

import re
from typing import Any

from inference.heads._roles import role_of_name
from inference.recognize._export import Draft, Export

Table = dict[str, Any]
LETTERBOX: Table = {"resize_mode": "letterbox", "pad_value": 114}
_DONE = {"head": "boxes", "postprocess": {"confidence_threshold": 0.25, "params": {}}}
# What a row of [n, 7] holds: of YOLO-NAS, and of YOLOv7 and its descendants, where the label comes before the score.
FLAT = ["batch", "boxes", "scores", "labels"]
FLAT_V7 = ["batch", "boxes", "labels", "scores"]
_COUNTS = ("num_dets", "num_det", "num_predictions")


def recognize(export: Export) -> Draft | None:
    return _suppressed(export) or _scrfd(export)


def final_boxes(export: Export) -> Table | None:
    """Head and postprocess where the outputs are boxes after NMS; None where they are not.

    Four outputs (count, boxes, scores, labels; also EfficientNMS of TensorRT), or rows [n, 7] with the batch index.
    """
    names = {_plain(name): tensor for name, tensor in export.outputs.items()}
    roles = sorted(role_of_name(name) or "" for name in names)
    if roles == ["boxes", "count", "labels", "scores"] and any(name in names for name in _COUNTS):
        return {**_DONE}
    (name, tensor), *others = names.items()
    if others or len(tensor.shape) != 2 or tensor.shape[1] not in (7, None):
        return None
    rows = tensor.shape[1] == 7 and export.has_operation("NonMaxSuppression")
    if name == "flat_predictions" or (rows and name in ("output", "outputs", "output0")):
        columns = FLAT if name == "flat_predictions" else FLAT_V7
        return {**_DONE, "postprocess": {**_DONE["postprocess"], "params": {"columns": columns}}}  # type: ignore[dict-item]
    return None


def _suppressed(export: Export) -> Draft | None:
    table = final_boxes(export)
    if table is None or len(export.picture.shape) != 4:
        return None
    names = {_plain(name) for name in export.outputs}
    how: Table = {**LETTERBOX}
    assumed: list[str] = []
    if export.picture.dtype.kind in "iu":  # the graph scales and normalises
        said = "RGB with a letterbox is assumed"
    elif export.scales_itself:
        how["do_rescale"] = False
        said = "RGB in 0..255 with a letterbox is assumed"
    else:
        said = "RGB in 0..1 with a letterbox is assumed"
    assumed.append(f"{said}, as YOLO's exporters have it; say [preprocess] in model.toml for another{_others(names)}")
    if not export.size():
        how["size"] = {"height": 640, "width": 640}
        assumed.append("the input's size is free: 640x640 is assumed; say size in [preprocess] of model.toml")
    labels = export.labels(None)
    table = {"task": "object-detection", **table, "preprocess": how, **({"labels": labels} if labels else {})}
    family = "YOLO-NAS" if names & {"flat_predictions", "num_predictions"} else "YOLO with NMS"
    return Draft(
        family, table, (f"outputs {'; '.join(map(str, export.outputs.values()))}: NMS is done",), tuple(assumed)
    )


def _others(names: set[str]) -> str:
    """Which models of the same outputs want something else."""
    if {"boxes", "scores", "labels"} <= names:  # easydeploy/examples/preprocess.py
        return ' (color_order = "bgr" for RTMDet and YOLOX, resize_mode = "stretch" for PP-YOLOE)'
    if "det_boxes" in names:  # yolov6/models/end2end.py
        return ' (color_order = "bgr" for YOLOv6 exported --with-preprocess)'
    return ""


def _scrfd(export: Export) -> Draft | None:
    """InsightFace: for each stride scores [n, 1], boxes [n, 4] and, of most, five landmarks [n, 10]."""
    if not scrfd_outputs(export) or export.picture.dtype.kind != "f":
        return None
    how: Table = {"resize_mode": "letterbox_top_left", "do_rescale": False, "do_normalize": True,
                  "image_mean": [127.5] * 3, "image_std": [128.0] * 3}  # fmt: skip
    assumed: list[str] = []
    if not export.size():
        how["size"] = {"height": 640, "width": 640}
        assumed.append("the input's size is free: 640x640 is assumed; say size in [preprocess] of model.toml")
    labels = export.labels(None)
    if not labels:
        assumed.append('it is taken for a face detector; for persons put labels.txt with "person" beside it')
    table = {"task": "object-detection", "head": "scrfd", "labels": labels or ["face"], "preprocess": how,
             "postprocess": {"iou_threshold": 0.4}}  # fmt: skip
    why = f"outputs of {len(export.outputs)} tensors [n, 1], [n, 4] and [n, 10]"
    return Draft("SCRFD (InsightFace)", table, (why,), tuple(assumed))


def scrfd_outputs(export: Export) -> bool:
    """Whether there are the outputs of 3 or 5 strides, and of as many rows as their cells have."""
    if any(len(t.shape) not in (2, 3) or t.dtype.kind != "f" for t in export.outputs.values()):
        return False
    if {f"{kind}_{stride}" for kind in ("score", "bbox") for stride in (8, 16, 32)} <= set(export.outputs):
        return True
    rows: dict[int | None, list[int | None]] = {}
    for tensor in export.outputs.values():
        rows.setdefault(tensor.shape[-1], []).append(tensor.shape[-2])
    counts = {width: len(found) for width, found in rows.items()}
    if counts not in [{1: n, 4: n} | extra for n in (3, 5) for extra in ({}, {10: n})]:
        return False
    each = [sorted((n for n in found if n), reverse=True) for found in rows.values()]
    return all(found == each[0] and all(a >= 3 * b for a, b in zip(found, found[1:], strict=False)) for found in each)


def _plain(name: str) -> str:
    """Without the prefix that joining graphs leaves (super-gradients: graph2_flat_predictions)."""
    return re.sub(r"^graph\d+_", "", name)
