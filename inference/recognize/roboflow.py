"""Roboflow packages: inference_config.json, model_config.json and class_names.txt beside the file."""

from __future__ import annotations

from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export

_TASKS = {
    "object-detection": "object-detection",
    "instance-segmentation": "image-segmentation",
    "semantic-segmentation": "image-segmentation",
    "keypoint-detection": "keypoint-detection",
    "classification": "image-classification",
    "multi-label-classification": "image-classification",
}
# ResizeMode and ImagePreProcessing of Roboflow's inference-models (models/common/roboflow/model_packages.py).
_RESIZE = {
    "stretch": "stretch",
    "letterbox": "letterbox",
    "center-crop": "shortest_edge",
    "letterbox-reflect-edges": "letterbox",
    "fit-longer-edge": "letterbox",
}
_BEFORE = ("static-crop", "contrast", "grayscale")


def recognize(export: Export) -> Draft | None:
    config, model = export.json("inference_config.json"), export.json("model_config.json")
    if not isinstance(config, dict) or "network_input" not in config:
        return None
    model = model or {}
    architecture, task = str(model.get("model_architecture", "")).lower(), str(model.get("task_type", ""))
    if task not in _TASKS:
        raise BadManifest(
            f"{export.folder}: model_config.json has task_type {task!r}; known are {', '.join(_TASKS)}; write a "
            "model.toml that says task, head and [preprocess]"
        )
    _refuse_other_steps(config, export)
    table: dict[str, Any] = {"task": _TASKS[task], "preprocess": _preprocess(config["network_input"], export)}
    table.update(_head(architecture, task, config, export))
    labels = export.label_file("class_names.txt") or export.labels(None)
    if labels:
        table["labels"] = labels
    resize = config["network_input"].get("resize_mode")
    assumed = (f"{resize} is done as a letterbox: {_OTHERWISE}",) if resize in tuple(_RESIZE)[3:] else ()
    why = f"inference_config.json, model_config.json: {architecture}, {task}"
    return Draft("Roboflow", table, (why,), assumed)


_OTHERWISE = "the rest is filled with one colour; preprocess.resize_mode says another"


def _refuse_other_steps(config: dict[str, Any], export: Export) -> None:
    """Raises BadManifest where pictures are cut or recoloured before they are resized, which is not done here."""
    before = config.get("image_pre_processing") or {}
    for name in _BEFORE:
        step = before.get(name)
        if step and (not isinstance(step, dict) or step.get("enabled", True)):
            raise BadManifest(
                f"{export.folder}: inference_config.json has image_pre_processing {name} ({str(step)[:80]}), which is "
                "not done here; train and export the version without it, or write a model.toml if it does without"
            )


def _head(architecture: str, task: str, config: dict[str, Any], export: Export) -> dict[str, Any]:
    post = config.get("post_processing") or {}
    if "classification" in task:
        several = task.startswith("multi")
        activation = {"softmax": "softmax", "sigmoid": "sigmoid"}.get(post.get("type", ""), "auto")
        activation = "none" if post.get("fused") else activation
        return {"head": "classifier", "postprocess": {"multilabel": several, "params": {"activation": activation}}}
    if task == "semantic-segmentation":
        return {"head": "semantic"}
    if "detr" in architecture:
        return {"head": "detr", "postprocess": {"params": {"activation": "sigmoid"}}}
    if "yolo" not in architecture:
        raise BadManifest(
            f"{export.folder}: architecture {architecture!r} is not known here; write a model.toml that says its head"
        )
    settings: dict[str, Any] = {"params": {}}
    numbers = post.get("nms_parameters") or {}
    for ours, theirs in (("iou_threshold", "iou_threshold"), ("confidence_threshold", "confidence")):
        if isinstance(numbers.get(theirs), int | float):
            settings[ours] = float(numbers[theirs])
    if "nas" in architecture:  # boxes [1, A, 4] and scores [1, A, C]
        return {"head": "boxes", "postprocess": {"confidence_threshold": 0.25, **settings}}
    if post.get("fused"):
        settings["params"]["layout"] = "end2end"
    return {"head": "yolo", "postprocess": settings}


def _preprocess(network: dict[str, Any], export: Export) -> dict[str, Any]:
    word = str(network.get("resize_mode") or "stretch")
    if word not in _RESIZE:
        raise BadManifest(
            f"{export.folder}: inference_config.json has resize_mode {word[:40]!r}; known are {', '.join(_RESIZE)}; "
            "write a model.toml with [preprocess] resize_mode"
        )
    how: dict[str, Any] = {"resize_mode": _RESIZE[word]}
    if network.get("resize_mode") == "center-crop":
        how["do_center_crop"] = True
    size = network.get("training_input_size") or {}
    if not export.size() and "height" in size:
        how["size"] = {"height": int(size["height"]), "width": int(size["width"])}
    how["color_order"] = str(network.get("color_mode", "rgb")).lower()
    if network.get("padding_value") is not None:
        how["pad_value"] = float(network["padding_value"])
    factor = network.get("scaling_factor")
    how["do_rescale"] = factor is not None
    if factor:
        how["rescale_factor"] = 1 / float(factor)
    normal = network.get("normalization")
    if normal:
        how.update(do_normalize=True, image_mean=list(normal[0]), image_std=list(normal[1]))
    return how
