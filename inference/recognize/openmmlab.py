"""OpenMMLab models exported by MMDeploy: pipeline.json has the exact list of transforms."""

from __future__ import annotations

from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export, as_floats

# RTMPose's own, on RGB (mmpose configs/body_2d_keypoint/rtmpose).
RTMPOSE = {
    "do_rescale": False,
    "do_normalize": True,
    "image_mean": [123.675, 116.28, 103.53],
    "image_std": [58.395, 57.12, 57.375],
    "crop_scale": 1.25,
}


def recognize(export: Export) -> Draft | None:
    pipeline = export.json("pipeline.json")
    names = set(export.outputs)
    dets = len(export.outputs["dets"].shape) == 3 and export.outputs["dets"].shape[2] == 5 if "dets" in names else False
    if pipeline is None and export.json("deploy.json") is None and not {"simcc_x", "simcc_y"} <= names and not dets:
        return None
    task = _task(export)
    if task is None:
        return None
    why = ["pipeline.json"] if pipeline else [f"outputs {', '.join(sorted(names))}"]
    if pipeline:
        how = _preprocess(_transforms(pipeline), export)
    elif "simcc_x" in names:
        how = dict(RTMPOSE)
        why.append("preprocessing as RTMPose trains")
    else:
        raise BadManifest(
            f"{export.file}: an MMDeploy model ({', '.join(sorted(names))}), but pipeline.json, which states its "
            "preprocessing, is missing; put it beside the file, or write a model.toml with [preprocess] color_order, "
            "image_mean, image_std and resize_mode"
        )
    table: dict[str, Any] = {**task, "preprocess": how}
    labels = ["person"] if task["task"] == "keypoint-detection" else _labels(export, pipeline)
    if labels:
        table["labels"] = labels
    return Draft("OpenMMLab (MMDeploy)", table, tuple(why))


def _task(export: Export) -> dict[str, Any] | None:
    names = set(export.outputs)
    if {"simcc_x", "simcc_y"} <= names:
        width, bins = export.size().get("width"), export.outputs["simcc_x"].shape[-1]
        ratio = bins / width if bins and width else 2
        return {"task": "keypoint-detection", "head": "simcc", "postprocess": {"params": {"split_ratio": ratio}}}
    if {"dets", "keypoints"} <= names:
        return {"task": "keypoint-detection", "head": "mmdeploy"}
    if {"dets", "labels"} <= names:
        return {"task": "image-segmentation" if "masks" in names else "object-detection", "head": "mmdeploy"}
    if {"cls_logits", "mask_logits"} <= names:
        return {"task": "image-segmentation", "head": "maskformer"}
    rank = len(export.shape()) if len(export.outputs) == 1 else 0
    if rank == 2:
        post = {"params": {"activation": "none"}}
        return {"task": "image-classification", "head": "classifier", "postprocess": post}
    if rank in (3, 4):
        if "heat" in next(iter(names)) or "mmpose" in str(export.json("pipeline.json")):
            return {"task": "keypoint-detection", "head": "heatmaps"}
        return {"task": "image-segmentation", "head": "semantic"}
    return None


def _transforms(pipeline: Any) -> list[dict[str, Any]]:
    for task in pipeline.get("pipeline", {}).get("tasks", ()):
        if "transforms" in task:
            return list(task["transforms"])
    raise BadManifest("pipeline.json: it has no task with transforms; export the model again")


def _preprocess(transforms: list[dict[str, Any]], export: Export) -> dict[str, Any]:
    how: dict[str, Any] = {"do_rescale": False, "color_order": "bgr"}
    for step in transforms:
        kind = step.get("type", "")
        if kind in ("Resize", "ResizeEdge"):
            _resize(step, how, export)
        elif kind == "CenterCrop":
            side = step.get("crop_size", 224)
            height, width = side if isinstance(side, list) else (side, side)
            how.update(do_center_crop=True, crop_size={"height": height, "width": width})
        elif kind == "Normalize":
            how.update(do_normalize=True, image_mean=as_floats(step["mean"]), image_std=as_floats(step["std"]))
            how["color_order"] = "rgb" if step.get("to_rgb", step.get("bgr_to_rgb")) else "bgr"
        elif kind == "Pad":
            value = step.get("pad_val", 0)
            value = value.get("img", 0) if isinstance(value, dict) else value
            how["pad_value"] = as_floats(value)
            how["size_divisor"] = int(step.get("size_divisor") or 1)
        elif kind.startswith("TopDown") or kind == "BottomupResize":
            _pose(step, how)
    return how


def _resize(step: dict[str, Any], how: dict[str, Any], export: Export) -> None:
    size: Any = step.get("size", step.get("scale"))
    if one_side(size):
        side = size if isinstance(size, int) else size[0]
        how["size"] = {"shortest_edge": int(side)}
    elif isinstance(size, list):
        fixed = export.size()
        how["size"] = fixed or {"height": int(size[1]), "width": int(size[0])}
        if step.get("keep_ratio"):
            how["resize_mode"] = "letterbox_top_left"
    how["antialias"] = False  # OpenCV samples points


def one_side(size: Any) -> bool:
    """A single number, or a pair whose second says "as the aspect has it"."""
    return isinstance(size, int) or (isinstance(size, list) and (len(size) == 1 or size[1] in (-1, None)))


def _pose(step: dict[str, Any], how: dict[str, Any]) -> None:
    if step["type"] == "BottomupResize":
        how.update(resize_mode="letterbox_top_left", pad_value=step.get("pad_val", 114))
    else:
        how["crop_scale"] = float(step.get("padding", how.get("crop_scale", 1.25)))


def _labels(export: Export, pipeline: Any) -> Any:
    """Class names where the export carries them."""
    for task in (pipeline or {}).get("pipeline", {}).get("tasks", ()):
        names = task.get("params", {}).get("label_names") or task.get("params", {}).get("classes")
        if isinstance(names, list):
            return names
    detail = export.json("detail.json") or {}
    for text in (str(detail.get("codebase_config", {})), str(detail.get("onnx_config", {}))):
        if "coco" in text.lower():
            return "builtin:coco80"
    return export.labels(None)
