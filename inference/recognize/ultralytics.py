"""Ultralytics exports: everything is in the file's metadata (ultralytics/engine/exporter.py)."""

from __future__ import annotations

import ast
from typing import Any

from inference.recognize._export import IMAGENET, Draft, Export

LETTERBOX: dict[str, Any] = {"resize_mode": "letterbox", "pad_value": 114}
_TASKS = {
    "detect": "object-detection",
    "obb": "object-detection",
    "segment": "image-segmentation",
    "semantic": "image-segmentation",
    "pose": "keypoint-detection",
    "classify": "image-classification",
    "depth": "depth-estimation",
}


def recognize(export: Export) -> Draft | None:
    meta = export.metadata
    if not (meta.get("author") == "Ultralytics" and "task" in meta) and not {"task", "names", "stride"} <= set(meta):
        return None
    task = meta["task"]
    if task not in _TASKS:
        return None
    table: dict[str, Any] = {
        "task": _TASKS[task],
        "licence": meta.get("license", ""),
        "labels": names_of(meta),
        "head": {"classify": "classifier", "semantic": "semantic", "depth": "depth"}.get(task, "yolo"),
    }
    size = export.size() or _size(meta)
    if task == "classify":
        side = min(size.values()) if size else 224
        table["preprocess"] = {
            "size": {"shortest_edge": side}, "do_center_crop": True, "crop_size": {"height": side, "width": side},
        }  # fmt: skip
        table["postprocess"] = {"params": {"activation": "none"}}
    else:
        table["preprocess"] = {**LETTERBOX, "size": size}
        table["postprocess"] = _postprocess(export, task, table)
    facts = ", ".join(f"{k}={meta[k]}" for k in ("task", "imgsz", "end2end", "version") if k in meta)
    return Draft("Ultralytics", table, (f"metadata of the file: author Ultralytics, {facts}",))


def _postprocess(export: Export, task: str, table: dict[str, Any]) -> dict[str, Any]:
    meta = export.metadata
    params: dict[str, Any] = {}
    if task in ("semantic", "depth"):
        return {}
    if "RTDETR" in meta.get("head", "") or "rtdetr" in meta.get("description", "").lower():
        table["preprocess"] = {"size": table["preprocess"]["size"]}  # these stretch
        params["layout"] = "rtdetr"
    post: dict[str, Any] = {"iou_threshold": 0.7, "max_detections": 300, "params": params}
    if task == "obb":
        params["obb"] = True
    if task == "pose":
        params["kpt_shape"] = list(literal(meta.get("kpt_shape", ""), [17, 3]))
    if "layout" not in params:
        params["layout"] = "end2end" if _suppressed(export, params) else "raw"
    return post


def _suppressed(export: Export, params: dict[str, Any]) -> bool:
    """Whether suppression is done: by the shape where that tells, else by what the metadata says."""
    shape, masks = export.shape(), export.shape(1)
    points, values = params.get("kpt_shape", (0, 0))
    extras = points * values + ("obb" in params) + ((masks[1] or 32) if len(masks) == 4 else 0)
    if len(shape) == 3 and shape[2]:
        return bool(shape[2] == 6 + extras)  # no grid has so few cells
    arguments = literal(export.metadata.get("args", ""), {})
    return export.metadata.get("end2end") == "True" or bool(arguments.get("nms"))


def recognize_v5(export: Export) -> Draft | None:
    """YOLOv5: metadata has only stride and names."""
    shape = export.shape()
    if not {"stride", "names"} <= set(export.metadata) or not shape:
        return None
    labels = names_of(export.metadata)
    if len(shape) == 2:
        size = export.size() or {"height": 224, "width": 224}
        side = {"shortest_edge": size["height"]}
        how = {"size": side, "do_center_crop": True, "crop_size": size, **IMAGENET}
        table = {"task": "image-classification", "head": "classifier", "labels": labels, "preprocess": how}
        return Draft("YOLOv5 classification", table, ("metadata has stride and names, the output [1, C] is logits",))
    if len(shape) != 3:
        return None
    masks = len(export.shape(1)) == 4
    table = {
        "task": "image-segmentation" if masks else "object-detection",
        "head": "yolo",
        "labels": labels,
        "preprocess": {**LETTERBOX, "size": export.size() or {"height": 640, "width": 640}},
        "postprocess": {"params": {"layout": "v5"}},
    }
    return Draft("YOLOv5", table, (f"metadata has stride and names only, the output is {list(shape)}",))


def names_of(meta: Any) -> list[str]:
    names = literal(meta.get("names", ""), {})
    if isinstance(names, dict):
        return [str(names[k]) for k in sorted(names, key=int)]
    return [str(n) for n in names]


def _size(meta: Any) -> dict[str, int]:
    size = literal(meta.get("imgsz", ""), [640, 640])
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return {"height": int(height), "width": int(width)}


def literal(text: str, default: Any) -> Any:
    """A Python literal, as Ultralytics writes all its metadata; the default where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return default
