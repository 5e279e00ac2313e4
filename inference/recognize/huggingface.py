"""Hugging Face folders (optimum): config.json says what the model is, preprocessor_config.json how it is fed."""

from __future__ import annotations

from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export

# "no object" is DETR's last class; the others score every class independently
_SOFTMAX_DETECTORS = ("detr", "yolos", "table-transformer", "conditional_detr_softmax")
_TASKS = (
    ("ForImageClassification", "image-classification"),
    ("ForObjectDetection", "object-detection"),
    ("ForSemanticSegmentation", "image-segmentation"),
    ("ForInstanceSegmentation", "image-segmentation"),
    ("ForUniversalSegmentation", "image-segmentation"),
    ("ForSegmentation", "image-segmentation"),
    ("ForDepthEstimation", "depth-estimation"),
    ("ForPoseEstimation", "keypoint-detection"),
    ("ForImageSuperResolution", "image-to-image"),
    ("ForImageToImage", "image-to-image"),
    ("ForVideoClassification", "video-classification"),
)
_WITHOUT_LABELS = ("depth-estimation", "image-to-image", "keypoint-detection", "image-feature-extraction")
# Feature extractors of old checkpoints wrote a single number: the shorter side for these, a square for the others.
_SHORTER_SIDE = ("ConvNext", "Detr", "Yolos", "MobileNet", "CLIP", "Poolformer", "PoolFormer", "ResNet", "Levit")
# What stands for the whole picture where there is no head on top (CLIP, DINOv2).
_VECTORS = ("image_embeds", "pooler_output")
_TIMM_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


def recognize(export: Export) -> Draft | None:
    config = export.json("config.json")
    if not isinstance(config, dict):
        return None
    if "pretrained_cfg" in config:
        return _timm(export, config)
    if not {"model_type", "architectures"} & set(config):
        return None
    kind = config.get("model_type", "")
    task = _task(export, config)
    how = export.json("preprocessor_config.json")
    if how is None or task is None:
        raise BadManifest(
            f"{export.folder}: config.json says {kind or config.get('architectures')}, but "
            + ("preprocessor_config.json is missing; put it beside it" if task else "its task is not known here")
            + ", or write a model.toml"
        )
    table: dict[str, Any] = {"task": task, "preprocess": preprocess(how), **_head(export, config, task)}
    _pad_as_the_processor(table["preprocess"])
    labels = labels_of(config)
    if labels and task not in _WITHOUT_LABELS:
        table["labels"] = labels
    if task == "video-classification":
        table["preprocess"]["num_frames"] = int(config.get("num_frames") or 0)
    elif task == "keypoint-detection":
        table["labels"] = ["person"]
        table["preprocess"]["crop_scale"] = 1.25
    why = (f"config.json: {kind} {config.get('architectures', '')}", "preprocessing from preprocessor_config.json")
    return Draft("Hugging Face", table, why)


def _pad_as_the_processor(how: dict[str, Any]) -> None:
    """DETR, YOLOS and MaskFormer pad with 0 once the pixels are normalised (image_processing_detr.py): the mean."""
    uncut = "shortest_edge" in how.get("size", {}) and not how.get("do_center_crop")
    if uncut and how.get("do_normalize") and how.get("do_rescale", True) and "rescale_factor" not in how:
        how.setdefault("pad_value", [round(255 * float(mean), 1) for mean in how.get("image_mean", [0])])


def _task(export: Export, config: dict[str, Any]) -> str | None:
    said = " ".join(config.get("architectures") or ())
    for suffix, task in _TASKS:
        if suffix in said:
            return task
    names = set(export.outputs)
    if {"logits", "pred_boxes"} <= names:
        return "object-detection"
    if "predicted_depth" in names:
        return "depth-estimation"
    if "heatmaps" in names:
        return "keypoint-detection"
    if "masks_queries_logits" in names or ("logits" in names and len(export.outputs["logits"].shape) == 4):
        return "image-segmentation"
    if "logits" not in names and names & set(_VECTORS):
        return "image-feature-extraction"
    return "image-classification" if "logits" in names and len(export.outputs["logits"].shape) == 2 else None


def _head(export: Export, config: dict[str, Any], task: str) -> dict[str, Any]:
    kind, names = config.get("model_type", ""), set(export.outputs)
    if task == "object-detection" or {"logits", "pred_boxes"} <= names:
        softmax = kind in _SOFTMAX_DETECTORS
        return {"head": "detr", "postprocess": {"params": {"activation": "softmax" if softmax else "sigmoid"}}}
    if "masks_queries_logits" in names:
        instances = "ForInstance" in " ".join(config.get("architectures") or ())
        post = {"postprocess": {"params": {"mode": "instance"}}} if instances else {}
        return {"head": "maskformer", **post}
    if task == "image-feature-extraction":
        vector = next(name for name in _VECTORS if name in names)
        return {"head": "embedding", "postprocess": {"outputs": {"embedding": vector}}}
    heads = {
        "image-classification": "classifier",
        "image-segmentation": "semantic",
        "depth-estimation": "depth",
        "keypoint-detection": "heatmaps",
        "image-to-image": "image",
        "video-classification": "classifier",
    }
    head: dict[str, Any] = {"head": heads[task]}
    if config.get("problem_type") == "regression":
        raise BadManifest(
            f"{export.folder}: config.json says problem_type regression: its numbers are no probabilities of labels, "
            "and no head here reads them; if they are logits all the same, say so in a model.toml with activation"
        )
    if config.get("problem_type") == "multi_label_classification":
        head["postprocess"] = {"multilabel": True}
    if kind == "glpn":
        head["postprocess"] = {"params": {"near": "low"}}
    return head


def labels_of(config: dict[str, Any]) -> list[str]:
    """id2label as a list; ids that are left out are named by their number."""
    names = {int(k): str(v) for k, v in (config.get("id2label") or {}).items()}
    return [names.get(i, str(i)) for i in range(max(names, default=-1) + 1)]


def preprocess(config: dict[str, Any]) -> dict[str, Any]:
    """Our preprocessing from an image processor's; the fields have the same names."""
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    how: dict[str, Any] = {"do_resize": bool(config.get("do_resize", True))}
    size = _size(config.get("size"), kind, config.get("max_size"))
    crop = _size(config.get("crop_size"), "", None)
    if "crop_pct" in config and config["crop_pct"] and "shortest_edge" in size:
        side = size["shortest_edge"]
        if side < 384:  # ConvNeXt: small pictures are cut, large ones stretched
            crop = {"height": side, "width": side}
            size = {"shortest_edge": int(side / config["crop_pct"])}
        else:
            size = {"height": side, "width": side}
    if size and how["do_resize"]:
        how["size"] = size
    if crop and (config.get("do_center_crop") or "crop_pct" in config):
        how.update(do_center_crop=True, crop_size=crop)
    how["resample"] = int(config.get("resample", 2) or 0)
    how["do_rescale"] = bool(config.get("do_rescale", True))
    if config.get("rescale_factor") and config["rescale_factor"] != 1 / 255:
        how["rescale_factor"] = float(config["rescale_factor"])
    if config.get("do_normalize", "image_mean" in config):
        how["do_normalize"] = True
        for key in ("image_mean", "image_std"):
            if key in config:
                how[key] = config[key]
    if config.get("size_divisor") or config.get("size_divisibility"):
        how["size_divisor"] = int(config.get("size_divisor") or config["size_divisibility"])
    return how


def _size(value: Any, kind: str, longest: int | None) -> dict[str, int]:
    if isinstance(value, int):
        if any(word in kind for word in _SHORTER_SIDE):
            return {"shortest_edge": value, **({"longest_edge": longest} if longest else {})}
        return {"height": value, "width": value}
    if isinstance(value, list | tuple) and len(value) == 2:
        return {"height": int(value[0]), "width": int(value[1])}
    known = ("height", "width", "shortest_edge", "longest_edge")
    return {k: int(v) for k, v in value.items() if k in known and v} if isinstance(value, dict) else {}


def _timm(export: Export, config: dict[str, Any]) -> Draft:
    facts = config["pretrained_cfg"]
    height, width = facts.get("input_size", [3, 224, 224])[1:]
    share = float(facts.get("crop_pct") or 0.875)
    how: dict[str, Any] = {
        "resample": _TIMM_RESAMPLE.get(facts.get("interpolation", "bicubic"), 3),
        "do_normalize": True,
        "image_mean": facts.get("mean", [0.485, 0.456, 0.406]),
        "image_std": facts.get("std", [0.229, 0.224, 0.225]),
    }
    if facts.get("crop_mode") == "squash":
        how["size"] = {"height": int(height / share), "width": int(width / share)}
    else:
        how["size"] = {"shortest_edge": int(min(height, width) / share)}
    how.update(do_center_crop=True, crop_size={"height": height, "width": width})
    table: dict[str, Any] = {"task": "image-classification", "head": "classifier", "preprocess": how}
    count = export.shape()[-1] if export.shape() else None
    labels = facts.get("label_names") or config.get("label_names") or export.labels(count)
    if labels:
        table["labels"] = labels
    elif count == 1000:
        table["labels"] = "builtin:imagenet1000"
    return Draft("timm", table, (f"config.json: pretrained_cfg of {config.get('architecture', 'a timm model')}",))
