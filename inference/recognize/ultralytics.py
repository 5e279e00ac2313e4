"""Ultralytics exports: everything is in the file's metadata (ultralytics/engine/exporter.py).

YOLOv5 and WongKinYiu's YOLOv9 write `stride` and `names` only (export.py of both); the shape tells them apart.
"""

from __future__ import annotations

import ast
from typing import Any

from inference.errors import BadManifest
from inference.heads._yolo_layouts import GRIDS, fitting, per_cell, unfitting
from inference.recognize._channels import unfit
from inference.recognize._export import IMAGENET, Draft, Export
from inference.recognize.layouts import LETTERBOX, final_boxes

_TASKS = {
    "detect": "object-detection",
    "obb": "object-detection",
    "segment": "image-segmentation",
    "semantic": "image-segmentation",
    "pose": "keypoint-detection",
    "classify": "image-classification",
    "depth": "depth-estimation",
}


# Rows of every RT-DETR that Ultralytics has (ultralytics/cfg/models/rt-detr); its grids are never transposed.
_QUERIES = 300


def recognize(export: Export) -> Draft | None:
    meta = export.metadata
    own = meta.get("author") == "Ultralytics" and "task" in meta
    if not own and not {"task", "names", "stride"} <= set(meta):
        return None
    task = meta["task"]
    if task not in _TASKS:
        if not own:
            return None
        raise BadManifest(
            f"{export.file}: its metadata says task {task!r}, known are {', '.join(_TASKS)}; write a model.toml that "
            "says task, head and [preprocess]"
        )
    table: dict[str, Any] = {
        "task": _TASKS[task],
        "licence": meta.get("license", ""),
        "labels": names_of(export) or export.labels(None) or [],
        "head": {"classify": "classifier", "semantic": "semantic", "depth": "depth"}.get(task, "yolo"),
    }
    size = export.size() or _size(export, 224 if task == "classify" else 640)
    if task == "classify":
        side = min(size.values())
        table["preprocess"] = {
            "size": {"shortest_edge": side}, "do_center_crop": True, "crop_size": {"height": side, "width": side},
        }  # fmt: skip
        table["postprocess"] = {"params": {"activation": "none"}}
    else:
        table["preprocess"] = {**LETTERBOX, "size": size}
        table |= _postprocess(export, task, table)
    if export.channels is None:
        table["preprocess"] |= _colours(export)
    facts = ", ".join(f"{k}={meta[k]}" for k in ("task", "imgsz", "end2end", "version") if k in meta)
    assumed = () if export.size() or "imgsz" in meta else (_guessed(size),)
    return Draft("Ultralytics", table, (f"metadata of the file: author Ultralytics, {facts}",), assumed)


def _postprocess(export: Export, task: str, table: dict[str, Any]) -> dict[str, Any]:
    """The postprocess of the manifest, and its head where another one reads the outputs."""
    meta = export.metadata
    if task in ("semantic", "depth"):
        return {"postprocess": {}}
    if ended := final_boxes(export):  # somebody appended NMS
        return ended
    params: dict[str, Any] = {}
    queries = (_QUERIES, 4 + len(table["labels"]))
    post: dict[str, Any] = {"iou_threshold": 0.7, "max_detections": 300, "params": params}
    if task == "obb":
        params["obb"] = True
    if task == "pose":
        params["kpt_shape"] = _kpt_shape(export)
    named = "RTDETR" in meta.get("head", "") or "rtdetr" in meta.get("description", "").lower()
    if named or (task == "detect" and len(table["labels"]) != 2 and export.shape()[1:] == queries):
        table["preprocess"] = {"size": table["preprocess"]["size"]}  # these stretch
        params["layout"] = "rtdetr"
    elif layout := _layout(export, len(table["labels"]), params):
        params["layout"] = layout
    return {"postprocess": post}


def _layout(export: Export, labels: int, params: dict[str, Any]) -> str:
    """The layout where metadata and shape decide it; else none, and the values decide at the run (heads/yolo.py)."""
    shape, meta = export.shape(), export.metadata
    if len(shape) != 3:
        outputs = "; ".join(map(str, export.outputs.values()))
        raise BadManifest(
            f"{export.file}: its metadata is of Ultralytics, but the first output is not [1, 4 + classes, anchors] nor "
            f"[1, n, 6] ({outputs[:300]}); export it with an unchanged exporter, or write a model.toml"
        )
    points, values = params.get("kpt_shape", (0, 0))
    masks = next((s[1] or 32 for s in reversed([t.shape for t in export.outputs.values()][1:]) if len(s) == 4), 0)
    extras = points * values + ("obb" in params) + masks
    fits = _fitting(export, labels, extras)
    if meta.get("author") == "Ultralytics":  # whose own models have no objectness
        fits = tuple(name for name in fits if not name.startswith("v5"))
    if not fits:
        raise BadManifest(
            f"{export.file}: its metadata names {labels} classes, which do not fit the output {_shown(shape)}: "
            f"expected {4 + labels + extras} numbers for each box; export it again, or say labels in a model.toml"
        )
    arguments = literal(meta.get("args", ""), {})
    suppressed = isinstance(arguments, dict) and bool(arguments.get("nms"))
    if "end2end" in fits and (meta.get("end2end") == "True" or suppressed):
        return "end2end"
    return fits[0] if len(fits) == 1 and fits[0] in ("raw", "v5", "v5_transposed") else ""


def recognize_v5(export: Export) -> Draft | None:
    """YOLOv5 and YOLOv9: the metadata has only stride and names."""
    shape = export.shape()
    if not {"stride", "names"} <= set(export.metadata) or "task" in export.metadata or not shape:
        return None
    labels = names_of(export) or export.labels(None) or []
    if len(shape) == 2 and len(export.outputs) == 1:
        size = export.size() or {"height": 224, "width": 224}
        side = {"shortest_edge": size["height"]}
        how = {"size": side, "do_center_crop": True, "crop_size": size, **IMAGENET}
        table = {"task": "image-classification", "head": "classifier", "labels": labels, "preprocess": how}
        return Draft("YOLOv5 classification", table, ("metadata has stride and names, the output [1, C] is logits",))
    size = export.size() or {"height": 640, "width": 640}
    how = {**LETTERBOX, "size": size}
    assumed = () if export.size() else (_guessed(size),)
    why = f"metadata has stride and names only, the output is {_shown(shape)}"
    table = {"task": "object-detection", "labels": labels, "preprocess": how}
    if ended := final_boxes(export):
        return Draft("YOLO with NMS", {**table, **ended}, (why,), assumed)
    rank = {n: len(t.shape) for n, t in export.outputs.items()}
    if len(shape) != 3:
        return None
    grids = [name for name in rank if rank[name] == 3]
    if masks := [name for name in list(rank)[1:] if rank[name] == 4]:
        table["task"] = "image-segmentation"
    table["head"] = "yolo"
    if len(grids) > 1 and len({export.outputs[name].shape for name in grids}) == 1:
        # of YOLOv9's branches the auxiliary ones come first (detect_dual.py, models/experimental.py)
        table["postprocess"] = {"outputs": {"boxes": grids[-1]}}
        why += f", of {len(grids)} branches {grids[-1]} is the main one"
    extras = (export.outputs[masks[-1]].shape[1] or 32) if masks else 0
    fits = _fitting(export, len(labels), extras)
    _refuse_single_boxes(export, fits[0], len(labels), extras)
    return Draft(_family(fits), table, (why,), assumed)


def _refuse_single_boxes(export: Export, layout: str, labels: int, extras: int) -> None:
    """Raises BadManifest where only an objectness makes the names fit, but each cell has one box (YOLOv5: three)."""
    size = export.size()
    if not layout.startswith("v5") or not size:
        return
    axis, _ = GRIDS[layout]
    numbers, shape = export.shape()[axis] or 0, export.shape()
    if per_cell(shape[3 - axis], (size["width"], size["height"])) == 1:
        raise BadManifest(
            f"{export.file}: its metadata names {labels} classes, but the output {_shown(shape)} has one box for each "
            f"cell, so no objectness: its {numbers} numbers are those of {numbers - 4 - extras} classes; export it "
            "again, or say labels in a model.toml"
        )


def _fitting(export: Export, labels: int, extras: int) -> tuple[str, ...]:
    """The layouts that the first output may have. Raises BadManifest where its axes are known and none fits."""
    size = export.size()
    network = (size["width"], size["height"]) if size else None
    fits = fitting(export.shape(), labels, extras, network)
    if not fits:
        raise BadManifest(f"{export.file}: {unfitting(export.shape(), labels, extras, network)}")
    return fits


def _family(fits: tuple[str, ...]) -> str:
    """YOLOv5 has an objectness, YOLOv9 none."""
    starts = {GRIDS[name][1] if name in GRIDS else 0 for name in fits}
    return "YOLOv5" if starts <= {0, 5} else "YOLOv9" if starts == {4} else "YOLO"


def _guessed(size: dict[str, int]) -> str:
    sides = f"{size['width']}x{size['height']}"
    return f"the input's size is free: {sides} is assumed; say size in [preprocess] of model.toml for another"


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if s is None else str(s) for s in shape)}]"


def names_of(export: Export) -> list[str]:
    """Class names by id from the metadata; ids that are left out are named by their number. Raises BadManifest."""
    text = export.metadata.get("names", "")
    names = literal(text, text)
    if not names:  # "None", too
        return []
    try:
        if isinstance(names, dict):
            by_id = {int(key): str(name) for key, name in names.items()}
            if (
                not any(isinstance(name, dict | list) for name in names.values())
                and min(by_id) >= 0
                and max(by_id) < 10 * len(by_id) + 100
            ):
                return [by_id.get(i, str(i)) for i in range(max(by_id) + 1)]
        elif isinstance(names, list | tuple):
            return [str(name) for name in names]
    except (ValueError, TypeError):
        pass
    raise BadManifest(
        f"{export.file}: its metadata has names {text[:80]!r}, expected {{0: 'cat', 1: 'dog'}} or a list; write a "
        'model.toml with labels = "labels.txt"'
    )


def _size(export: Export, default: int) -> dict[str, int]:
    """{height, width} of imgsz, for inputs of a free size; the default where it is not there. Raises BadManifest."""
    text = export.metadata.get("imgsz", str(default))
    size = literal(text, None)
    height, width = size if isinstance(size, list | tuple) and len(size) == 2 else (size, size)
    if not all(isinstance(side, int | float) and side >= 1 for side in (height, width)):
        raise BadManifest(
            f"{export.file}: its input has a free size, and its metadata has imgsz {text!r}, expected [640, 640]; "
            "write a model.toml with size = { height = ..., width = ... } in [preprocess]"
        )
    return {"height": int(height), "width": int(width)}


def _kpt_shape(export: Export) -> list[int]:
    """[K, D]: keypoints, and numbers of each. Raises BadManifest."""
    text = export.metadata.get("kpt_shape", "[17, 3]")
    shape = literal(text, None)
    pair = isinstance(shape, list | tuple) and len(shape) == 2 and all(isinstance(n, int) for n in shape)
    if not pair or shape[0] < 1 or shape[1] not in (2, 3):  # x and y, perhaps a score
        raise BadManifest(
            f"{export.file}: its metadata has kpt_shape {text!r}, expected [17, 3]; write a model.toml with "
            "params = { kpt_shape = [K, D] } in [postprocess]"
        )
    return list(shape)


def _colours(export: Export) -> dict[str, Any]:
    """For inputs whose channels are free: what the metadata says of them. Raises BadManifest."""
    channels = literal(export.metadata.get("channels", "3"), 3)
    if channels == 1:
        return {"color_order": "gray"}
    if isinstance(channels, int) and channels not in (1, 3):
        raise BadManifest(f"{export.file}: {unfit(channels)}")
    return {}


def literal(text: str, default: Any) -> Any:
    """A Python literal, as Ultralytics writes all its metadata; the default where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return default
