"""What the names and shapes of the tensors alone give away; the refusal where they do not is in candidates.py.

Where they do not prove how a family is fed, the draft says what is assumed. What the graph does to its input itself is
not done twice (_opening.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inference.errors import BadManifest
from inference.placeholders import is_placeholder
from inference.recognize import rcnn
from inference.recognize._export import IMAGENET, Draft, Export
from inference.recognize._labels import class_slots, place
from inference.recognize._opening import outside

Table = dict[str, Any]


def recognize(export: Export) -> Draft | None:
    """A rule gives a manifest as a table; in `assumed`, which is taken out of it, sentences on what was guessed."""
    for family, rule in _RULES.items():
        table = rule(export)
        if table is not None:
            inputs = "; ".join(map(str, export.inputs))
            outputs = "; ".join(str(t) for t in export.outputs.values())
            reasons = [f"tensors {inputs} -> {outputs[:400]}"]
            assumed = [sentence for sentence in table.pop("assumed", ()) if sentence]
            if rule not in _NORMALISE_THEMSELVES and export.picture.dtype.kind == "f":
                how, words = outside(table.get("preprocess", {}), export.opening)
                if words:
                    table["preprocess"] = how
                    reasons.append(words)
            if str(table.get("labels", "")).startswith("builtin:"):
                assumed.append(
                    f"no labels beside it: {table['labels'][8:]} is assumed; put labels.txt there for others"
                )
            return Draft(family, table, tuple(reasons), tuple(assumed))
    return None


def _labelled(export: Export, classes: int | None, table: Table) -> Table:
    labels = export.labels(classes)
    return {**table, "labels": labels} if labels else table


def _inputs(export: Export) -> set[str]:
    return {t.name for t in export.inputs}


def dfine(export: Export) -> Table | None:
    """Fed 0..1 without a mean; DEIMv2's with a DINOv3 backbone with ImageNet's (its tools/inference/onnx_inf.py)."""
    sizes = {"images", "orig_target_sizes"} <= _inputs(export)
    if not sizes or not {"labels", "boxes", "scores"} <= set(export.outputs):
        return None
    how: Table = {} if export.size() else {"size": {"height": 640, "width": 640}}
    said = []
    if export.opening.kernel >= _PATCH or any("dinov3" in name for name in export.graph.weights):
        how.update(IMAGENET)
        said = [_DINOV3]
    table: Table = {"task": "object-detection", "head": "rcnn", "preprocess": how}
    slots, names = class_slots(export.graph), export.labels(None)
    if isinstance(names, list):
        table.update(_placed(export, names, 0, slots))
    elif slots in (None, 80):
        table["labels"] = "builtin:coco80"
    else:
        said.append(_numbered(slots))
    return {**table, "assumed": [*table.get("assumed", ()), *said]}


_PATCH = 12  # pixels: no convolution of a CNN has so large a kernel, a transformer's patches are 14 or 16
_DINOV3 = (
    "fed less ImageNet's mean, as DEIMv2 with a DINOv3 backbone is; do_normalize = false under [preprocess] of "
    "model.toml if it is not"
)


def _placed(export: Export, names: list[str], first: int, slots: int | None) -> Table:
    placed = place(export, names, first, slots)
    return {"labels": placed.labels, "label_offset": placed.offset, "assumed": [placed.said]}


def _numbered(classes: int | None) -> str:
    return f"no labels beside it: its {classes} classes are named by their numbers; put labels.txt there"


def rfdetr(export: Export) -> Table | None:
    """Logits have a slot for each class and one more. Fine-tuned, that is the first where class ids were those of COCO
    annotations, from 1 on (before release 1.6), else the last (roboflow/rf-detr #712, #913); Roboflow's packages call
    it background_class83422, wherever it is."""
    names = export.outputs
    if not {"dets", "labels"} <= set(names) or names["dets"].shape[-1] != 4 or names["labels"].dtype.kind != "f":
        return None
    slots = names["labels"].shape[-1]
    masks = "masks" in names
    table: Table = {
        "task": "image-segmentation" if masks else "object-detection",
        "head": "detr",
        "preprocess": {**IMAGENET, "antialias": False},
        "postprocess": {"params": {"activation": "sigmoid"}},
    }
    labels = export.labels(None)
    if not isinstance(labels, list):
        if slots == 91:
            return {**table, "labels": "builtin:coco91"}
        return {**table, "assumed": [f"{_numbered(slots)} (a line for each; `background` for the one that is none)"]}
    if slots == len(labels) + 1 and not is_placeholder(labels[0]):
        raise BadManifest(
            f"{export.file}: RF-DETR has {slots} class slots, the list {len(labels)} labels; one slot is no class: "
            "the first where it was trained before release 1.6 on COCO annotations with ids from 1, else the last; "
            "put a line `background` first or last into the label list, or write a model.toml with label_offset = -1 "
            "(the first slot is none) or [postprocess] params = { no_object = true } (the last is)"
        )
    return {**table, **_placed(export, labels, 0, slots)}


def tf_detection(export: Export) -> Table | None:
    """TensorFlow's ids begin at 1; TFLite's post-processing leaves the background out and begins at 0."""
    names = {n.removesuffix(":0") for n in export.outputs}
    lite = any(n.startswith("TFLite_Detection_PostProcess") for n in names)
    if not lite and not {"detection_boxes", "num_detections"} <= names:
        return None
    if export.picture.dtype.kind not in "u":
        return None  # floats: which range is not said
    table: Table = {"task": "object-detection", "head": "tf_detection", "preprocess": {}}
    first = 0 if lite else 1
    slots = class_slots(export.graph)
    slots = slots - lite if slots else None
    own = export.labels(None)
    if isinstance(own, list):
        table.update(_placed(export, own, first, slots))
    elif slots in (None, 90 + first):
        table.update(labels="builtin:coco91", label_offset=1 - first)
    else:
        table["assumed"] = [_numbered(slots - first)]
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
    if not export.opening.takes:
        table["assumed"] = [_YOLOX_SINCE]
    params: Table = {"strides": list(_YOLOX_STRIDES[1])} if shape[1] == cells[1] != cells[0] else {}
    if export.has_operation("Exp"):  # of widths and heights: exported with --decode_in_inference
        params["decoded"] = True
    if params:
        table["postprocess"] = {"params": params}
    return _labelled(export, shape[2] - 5, table)


# yolox/data/data_augment.py: preproc, and its `legacy`.
_YOLOX_SINCE = (
    "fed BGR in 0..255, as YOLOX is since release 0.1.1; for older weights say do_rescale = true, do_normalize = true "
    'and color_order = "rgb" under [preprocess] of model.toml'
)
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
    post: Table = {"iou_threshold": 0.5}
    if export.opening.used and not export.has_operation("Exp"):  # of the sizes: exported without its post-processing
        post["params"] = {"decoded": False}
    return {"task": "object-detection", "head": "ultraface", "labels": ["face"], "preprocess": how,
            "postprocess": post}  # fmt: skip


def nanodet(export: Export) -> Table | None:
    if not {"cls_pred_stride_8", "dis_pred_stride_8"} <= set(export.outputs):
        return None
    how = {"color_order": "bgr", "do_rescale": False, "do_normalize": True,
           "image_mean": [103.53, 116.28, 123.675], "image_std": [57.375, 57.12, 58.395]}  # fmt: skip
    said = "fed BGR less ImageNet's mean, as NanoDet-m is; its config says so under `normalize`"
    if export.has_operation("Clip"):  # ReLU6: an EfficientNet-Lite
        how.update(image_mean=[127.0] * 3, image_std=[128.0] * 3)
        said = "fed BGR less 127, by 128, as NanoDet's EfficientNet-Lite is; its config says so under `normalize`"
    table = {"task": "object-detection", "head": "gfl", "preprocess": how,
             "postprocess": {"iou_threshold": 0.6, "multilabel": True},
             "assumed": [f"{said} (image_mean, image_std under [preprocess] of model.toml)"]}  # fmt: skip
    return _labelled(export, export.outputs["cls_pred_stride_8"].shape[-1], table)


def picodet(export: Export) -> Table | None:
    shapes = [t.shape for t in export.outputs.values()]
    if len(shapes) != 8 or any(len(s) != 3 for s in shapes) or any(s[2] != 32 for s in shapes[4:]):
        return None
    if export.picture.name != "image":
        return None
    how = {"do_rescale": False, "do_normalize": True,
           "image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]}  # fmt: skip
    said = "fed RGB less ImageNet's mean, as PicoDet is by default; infer_cfg.yml beside it says otherwise"
    table = {"task": "object-detection", "head": "gfl", "preprocess": how,
             "postprocess": {"iou_threshold": 0.6, "multilabel": True}, "assumed": [said]}  # fmt: skip
    return _labelled(export, shapes[0][2], table)


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
    "R-CNN of the ONNX Model Zoo": rcnn.zoo,
    "torchvision detection": rcnn.torchvision,
}
_NORMALISE_THEMSELVES = (rcnn.zoo, rcnn.torchvision)
