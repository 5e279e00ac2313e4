"""What the names and shapes of the tensors alone give away; the refusal where they do not is in candidates.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inference.recognize._export import IMAGENET, Draft, Export

Table = dict[str, Any]


def recognize(export: Export) -> Draft | None:
    for family, rule in _RULES.items():
        table = rule(export)
        if table is not None:
            inputs = "; ".join(map(str, export.inputs))
            outputs = "; ".join(str(t) for t in export.outputs.values())
            reasons = (f"tensors {inputs} -> {outputs[:400]}",)
            assumed: list[str] = []
            if str(table.get("labels", "")).startswith("builtin:"):
                assumed.append(
                    f"no labels beside it: {table['labels'][8:]} is assumed; put labels.txt there for others"
                )
            return Draft(family, table, reasons, tuple(assumed))
    return None


def _labelled(export: Export, classes: int | None, table: Table) -> Table:
    labels = export.labels(classes)
    return {**table, "labels": labels} if labels else table


def _inputs(export: Export) -> set[str]:
    return {t.name for t in export.inputs}


def dfine(export: Export) -> Table | None:
    sizes = {"images", "orig_target_sizes"} <= _inputs(export)
    if not sizes or not {"labels", "boxes", "scores"} <= set(export.outputs):
        return None
    size = {} if export.size() else {"size": {"height": 640, "width": 640}}
    labels = export.labels(None) or "builtin:coco80"
    return {"task": "object-detection", "head": "rcnn", "preprocess": size, "labels": labels}


def rfdetr(export: Export) -> Table | None:
    names = export.outputs
    if not {"dets", "labels"} <= set(names) or names["dets"].shape[-1] != 4 or names["labels"].dtype.kind != "f":
        return None
    classes = names["labels"].shape[-1]
    masks = "masks" in names
    table: Table = {
        "task": "image-segmentation" if masks else "object-detection",
        "head": "detr",
        "preprocess": {**IMAGENET, "antialias": False},
        "postprocess": {"params": {"activation": "sigmoid"}},
    }
    labels = export.labels(None)
    if classes == 91 and not labels:
        return {**table, "labels": "builtin:coco91"}
    if isinstance(labels, list) and classes == len(labels) + 1:  # fine-tuned: the last slot is the background
        table["postprocess"] = {"params": {"activation": "sigmoid", "no_object": True}}
        return {**table, "labels": labels}
    return _labelled(export, classes, table)


def tf_detection(export: Export) -> Table | None:
    names = {n.removesuffix(":0") for n in export.outputs}
    lite = any(n.startswith("TFLite_Detection_PostProcess") for n in names)
    if not lite and not {"detection_boxes", "num_detections"} <= names:
        return None
    if export.picture.dtype.kind not in "u":
        return None  # floats: which range is not said
    table: Table = {"task": "object-detection", "head": "tf_detection", "labels": "builtin:coco91"}
    own = export.labels(None)
    if isinstance(own, list):
        table["labels"] = own
    if lite:
        table["label_offset"] = 1 if table["labels"] == "builtin:coco91" else 0
    elif isinstance(own, list):
        table["label_offset"] = -1  # ids begin at 1
    if not export.size():
        table["preprocess"] = {"do_resize": False}
    return table


def yolov3(export: Export) -> Table | None:
    if "image_shape" not in _inputs(export) or not any("yolonms" in n for n in export.outputs):
        return None
    classes = export.shape(1)[1] if len(export.shape(1)) > 1 else None
    how = {"resize_mode": "letterbox", "pad_value": 128, "resample": 3, "size": {"height": 416, "width": 416}}
    return _labelled(export, classes, {"task": "object-detection", "head": "yolov3", "preprocess": how})


def yolox(export: Export) -> Table | None:
    shape = export.shape()
    if export.picture.name != "images" or list(export.outputs) != ["output"] or len(shape) != 3 or not export.size():
        return None
    sides = export.size()
    cells = [sum((sides["height"] // s) * (sides["width"] // s) for s in strides) for strides in _YOLOX_STRIDES]
    if shape[1] not in cells or not shape[2] or shape[2] < 6:
        return None
    how = {"resize_mode": "letterbox_top_left", "pad_value": 114, "do_rescale": False, "color_order": "bgr"}
    table: Table = {"task": "object-detection", "head": "yolox", "preprocess": how}
    params: Table = {"strides": list(_YOLOX_STRIDES[1])} if shape[1] == cells[1] != cells[0] else {}
    if export.has_operation("Exp"):  # of widths and heights: exported with --decode_in_inference
        params["decoded"] = True
    if params:
        table["postprocess"] = {"params": params}
    return _labelled(export, shape[2] - 5, table)


_YOLOX_STRIDES = ((8, 16, 32), (8, 16, 32, 64))


def movenet(export: Export) -> Table | None:
    shape, picture = export.shape(), export.picture
    single, several = shape[-2:] == (17, 3), len(shape) == 3 and shape[-1] == 56
    if len(export.outputs) != 1 or not (single or several) or picture.dtype.kind not in "iu":
        return None
    how: Table = {"resize_mode": "letterbox", "crop_scale": 1.25}
    if not export.size():
        how["size"] = {"height": 256, "width": 256}
    return {"task": "keypoint-detection", "head": "movenet", "labels": ["person"], "preprocess": how}


def yunet(export: Export) -> Table | None:
    wanted = {f"{kind}_{s}" for kind in ("cls", "obj", "bbox", "kps") for s in (8, 16, 32)}
    if not wanted <= set(export.outputs):
        return None
    how: Table = {"resize_mode": "letterbox_top_left", "do_rescale": False, "color_order": "bgr"}
    if not export.size():
        how.update(do_resize=False, size_divisor=32)
    return {"task": "object-detection", "head": "yunet", "labels": ["face"], "preprocess": how,
            "postprocess": {"iou_threshold": 0.3}}  # fmt: skip


def ultraface(export: Export) -> Table | None:
    if set(export.outputs) != {"scores", "boxes"} or export.outputs["scores"].shape[1:] not in ((4420, 2), (17640, 2)):
        return None
    how = {"do_rescale": False, "do_normalize": True, "image_mean": [127.0] * 3, "image_std": [128.0] * 3}
    return {"task": "object-detection", "head": "ultraface", "labels": ["face"], "preprocess": how,
            "postprocess": {"iou_threshold": 0.5}}  # fmt: skip


def nanodet(export: Export) -> Table | None:
    if not {"cls_pred_stride_8", "dis_pred_stride_8"} <= set(export.outputs):
        return None
    how = {"color_order": "bgr", "do_rescale": False, "do_normalize": True,
           "image_mean": [103.53, 116.28, 123.675], "image_std": [57.375, 57.12, 58.395]}  # fmt: skip
    table = {"task": "object-detection", "head": "gfl", "preprocess": how,
             "postprocess": {"iou_threshold": 0.6, "multilabel": True}}  # fmt: skip
    return _labelled(export, export.outputs["cls_pred_stride_8"].shape[-1], table)


def picodet(export: Export) -> Table | None:
    shapes = [t.shape for t in export.outputs.values()]
    if len(shapes) != 8 or any(len(s) != 3 for s in shapes) or any(s[2] != 32 for s in shapes[4:]):
        return None
    if export.picture.name != "image":
        return None
    how = {"do_rescale": False, "do_normalize": True,
           "image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]}  # fmt: skip
    table = {"task": "object-detection", "head": "gfl", "preprocess": how,
             "postprocess": {"iou_threshold": 0.6, "multilabel": True}}  # fmt: skip
    return _labelled(export, shapes[0][2], table)


def torchvision(export: Export) -> Table | None:
    """3 to 5 outputs: float [n, 4], whole numbers [n], floats [n], and masks or keypoints."""
    tensors = list(export.outputs.values())
    if not 3 <= len(tensors) <= 5 or export.picture.dtype.kind != "f":
        return None
    roles: dict[str, str] = {}
    for t in tensors:
        rank, whole = len(t.shape), t.dtype.kind in "iu"
        role = (
            "boxes" if rank == 2 and t.shape[1] == 4 and not whole
            else "labels" if rank == 1 and whole
            else "scores" if rank == 1
            else "masks" if rank == 4
            else "keypoints" if rank == 3 and t.shape[2] in (3, None)
            else "keypoints_scores" if rank == 2
            else ""
        )  # fmt: skip
        if not role or role in roles:
            return None
        roles[role] = t.name
    if not {"boxes", "labels", "scores"} <= set(roles):
        return None
    task = "image-segmentation" if "masks" in roles else "object-detection"
    task = "keypoint-detection" if "keypoints" in roles else task
    how: Table = {}
    rank = len(export.picture.shape)
    if not any(export.picture.shape[-3:]):
        how["layout"] = "chw" if rank == 3 else "nchw"
    table: Table = {"task": task, "head": "rcnn", "preprocess": how, "postprocess": {"outputs": roles}}
    if task == "keypoint-detection":
        return {**table, "labels": ["background", "person"]}
    return _labelled(export, None, table) if export.labels(None) else {**table, "labels": "builtin:coco91"}


_RULES: dict[str, Callable[[Export], Table | None]] = {
    "D-FINE / RT-DETR": dfine,
    "RF-DETR": rfdetr,
    "TensorFlow object detection": tf_detection,
    "YOLOv3 (keras)": yolov3,
    "YOLOX": yolox,
    "MoveNet": movenet,
    "YuNet": yunet,
    "UltraFace": ultraface,
    "NanoDet": nanodet,
    "PicoDet": picodet,
    "torchvision detection": torchvision,
}
