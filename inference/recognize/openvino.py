"""OpenVINO Model API and Geti: keys "model_info ..." in the file's metadata (openvino-model-api, parameters.py)."""

from __future__ import annotations

from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export, as_floats

PREFIX = "model_info "
_RESIZE = {
    "standard": "stretch",
    "fit_to_window": "letterbox_top_left",
    "fit_to_window_letterbox": "letterbox",
    "crop": "shortest_edge",
}
_HEADS: dict[str, dict[str, Any]] = {
    "classification": {"task": "image-classification", "head": "classifier"},
    "segmentation": {"task": "image-segmentation", "head": "semantic"},
    "ssd": {"task": "object-detection", "head": "mmdeploy", "postprocess": {"outputs": {"dets": "boxes"}}},
    "maskrcnn": {"task": "image-segmentation", "head": "mmdeploy", "postprocess": {"outputs": {"dets": "boxes"}}},
    "yolox": {"task": "object-detection", "head": "yolox"},
    "yolov5": {"task": "object-detection", "head": "yolo"},
    "yolov8": {"task": "object-detection", "head": "yolo"},
    "yolo11": {"task": "object-detection", "head": "yolo"},
    "yolo-seg": {"task": "image-segmentation", "head": "yolo"},
    "yolo": {"task": "object-detection", "head": "yolo"},
    "keypoint_detection": {"task": "keypoint-detection", "head": "simcc"},
}


def recognize(export: Export) -> Draft | None:
    info = {k.removeprefix(PREFIX): v for k, v in export.metadata.items() if k.startswith(PREFIX)}
    if not info:
        return None
    kind = info.get("model_type", "")
    known = _HEADS.get(kind.lower())
    if known is None:
        raise BadManifest(
            f"{export.file}: OpenVINO model_type {kind!r} is not known here (known are {', '.join(_HEADS)}); "
            "write a model.toml that says task and head"
        )
    table: dict[str, Any] = {**known, "preprocess": _preprocess(info, export)}
    post = dict(known.get("postprocess", {}))
    for key in ("confidence_threshold", "iou_threshold"):
        if key in info:
            post[key] = float(info[key])
    if _true(info.get("multilabel", "")):
        post["multilabel"] = True
    if info.get("topk", "").isdigit():
        post["topk"] = int(info["topk"])
    table["postprocess"] = post
    if info.get("labels"):
        table["labels"] = [name.replace("_", " ") for name in info["labels"].split()]
    elif labels := export.labels(None):
        table["labels"] = labels
    if table["task"] == "keypoint-detection":
        table["labels"] = ["person"]
    return Draft("OpenVINO Model API", table, (f"metadata of the file: model_info model_type={kind}",))


def _preprocess(info: dict[str, str], export: Export) -> dict[str, Any]:
    word = info.get("resize_type") or "standard"
    if word not in _RESIZE:
        raise BadManifest(
            f"{export.file}: its metadata has resize_type {word[:40]!r}; known are {', '.join(_RESIZE)}; write a "
            "model.toml with task, head and [preprocess] resize_mode"
        )
    how: dict[str, Any] = {"resize_mode": _RESIZE[word]}
    if how["resize_mode"] == "shortest_edge":
        how["do_center_crop"] = True
    if info.get("pad_value"):
        how["pad_value"] = as_floats(info["pad_value"])
    how["do_rescale"] = False
    mean, scale = as_floats(info.get("mean_values") or "0"), as_floats(info.get("scale_values") or "1")
    if any(mean) or any(s != 1 for s in scale):
        how.update(do_normalize=True, image_mean=mean, image_std=scale)
    # the API reads pictures as OpenCV does, in BGR; "reverse" turns that
    how["color_order"] = "rgb" if _true(info.get("reverse_input_channels", "")) else "bgr"
    return how


def _true(text: str) -> bool:
    return text.strip().lower() in ("true", "yes", "1")
