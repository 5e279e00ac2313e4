"""PaddleDetection exports: infer_cfg.yml beside the file states preprocessing and labels."""

from __future__ import annotations

from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export, as_floats

# OpenCV's interpolation numbers to Pillow's.
_RESAMPLE = {0: 0, 1: 2, 2: 3, 3: 2, 4: 1}


def recognize(export: Export) -> Draft | None:
    text = export.text("infer_cfg.yml")
    side = any(t.name == "scale_factor" for t in export.inputs)
    if text is None and not side:
        return None
    if text is None:
        raise BadManifest(
            f"{export.file}: a PaddleDetection model (it asks for scale_factor), but infer_cfg.yml, which states its "
            "preprocessing and labels, is missing; put it beside the file, or write a model.toml with head = "
            '"paddle", labels and [preprocess]'
        )
    config = _yaml(text, export)
    table: dict[str, Any] = {"preprocess": _preprocess(config.get("Preprocess") or [], export)}
    labels = [str(name) for name in config.get("label_list") or ()]
    table.update(_head(export, config))
    if labels and table["task"] != "keypoint-detection":
        table["labels"] = labels
    limit = config.get("draw_threshold")
    if limit is not None and table["task"] != "keypoint-detection":
        table.setdefault("postprocess", {})["confidence_threshold"] = float(limit)
    return Draft("PaddleDetection", table, (f"infer_cfg.yml: arch {config.get('arch', '?')}",))


def _yaml(text: str, export: Export) -> dict[str, Any]:
    import yaml  # lazily: only these exports need it

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadManifest(
            f"{export.folder}: infer_cfg.yml is not valid YAML ({' '.join(str(error).split())})"
        ) from error
    return config if isinstance(config, dict) else {}


def _head(export: Export, config: dict[str, Any]) -> dict[str, Any]:
    shapes = [t.shape for t in export.outputs.values()]
    if str(config.get("arch")) in ("HRNet", "KeyPoint", "TinyPose"):
        return {"task": "keypoint-detection", "head": "heatmaps", "labels": ["person"]}
    if len(shapes) in (6, 8) and all(len(s) == 3 for s in shapes):
        return {"task": "object-detection", "head": "gfl", "postprocess": {"iou_threshold": 0.6, "multilabel": True}}
    masks = len(shapes) > 2 or bool(config.get("mask"))
    return {"task": "image-segmentation" if masks else "object-detection", "head": "paddle"}


def _preprocess(steps: list[dict[str, Any]], export: Export) -> dict[str, Any]:
    how: dict[str, Any] = {"do_rescale": False}
    for step in steps:
        kind = step.get("type")
        if kind in ("Resize", "LetterBoxResize", "TopDownEvalAffine", "TopDownAffine"):
            _resize(step, how)
        elif kind == "NormalizeImage":
            how["do_rescale"] = bool(step.get("is_scale", True))
            if step.get("norm_type", "mean_std") == "mean_std":
                how.update(do_normalize=True, image_mean=as_floats(step["mean"]), image_std=as_floats(step["std"]))
        elif kind == "PadStride":
            how["size_divisor"] = int(step.get("stride", 1) or 1)
    return how


def _resize(step: dict[str, Any], how: dict[str, Any]) -> None:
    size: Any = step.get("target_size", step.get("trainsize", 0))
    if step["type"].startswith("TopDown"):
        how.update(crop_scale=1.25, size={"height": int(size[1]), "width": int(size[0])})
        return
    height, width = size if isinstance(size, list) else (size, size)
    how["resample"] = _RESAMPLE.get(int(step.get("interp", 1)), 2)
    if step["type"] == "LetterBoxResize":
        how.update(resize_mode="letterbox", pad_value=127.5, size={"height": int(height), "width": int(width)})
    elif step.get("keep_ratio"):
        how["size"] = {"shortest_edge": int(min(height, width)), "longest_edge": int(max(height, width))}
        how["resize_mode"] = "letterbox_top_left"
    else:
        how["size"] = {"height": int(height), "width": int(width)}
