"""Paddle's exports: infer_cfg.yml (PaddleDetection) or inference.yml (PaddleX and what is exported for it) beside the
file states preprocessing and labels.

Detectors have the same content in both: a list `Preprocess` of steps with their `type`, `label_list`, `arch`.
Classifiers (PaddleClas) have `PreProcess.transform_ops`, a mapping per step, and `PostProcess` with a step `Topk`,
`MultiLabelThreshOutput` or `NormalizeFeatures`. Names, defaults and meaning as in PaddleX's predictors
(paddlex/inference/models/{object_detection,image_classification}) and PaddleDetection's deploy/python/preprocess.py:
pictures are RGB, sizes of detectors [height, width], OpenCV resizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export, as_floats

FILES = ("infer_cfg.yml", "inference.yml")
# OpenCV's interpolations, by number (PaddleDetection) and by name (PaddleX), to Pillow's; AREA averages, as Pillow's
# bilinear does where it shrinks.
_RESAMPLE: dict[Any, int] = {0: 0, 1: 2, 2: 3, 3: 2, 4: 1}
_BY_NAME = {"NEAREST": 0, "LINEAR": 2, "BILINEAR": 2, "BICUBIC": 3, "CUBIC": 3, "AREA": 2, "BOX": 2, "LANCZOS4": 1}
_OWN_MANIFEST = "write a model.toml that says task, head, labels and [preprocess]"


def recognize(export: Export) -> Draft | None:
    name, config = _config(export)
    if any(key in config for key in ("PreProcess", "PostProcess", "Deploy")):
        return _Steps(export, name).classifier(config)
    if "Preprocess" in config or name == FILES[0]:
        return _Steps(export, name).detector(config)
    if any(t.name == "scale_factor" for t in export.inputs):
        raise BadManifest(
            f"{export.file}: a PaddleDetection model (it asks for scale_factor), but infer_cfg.yml or inference.yml, "
            "which states its preprocessing and labels, is missing; put it beside the file, or write a model.toml with "
            'head = "paddle", labels and [preprocess]'
        )
    return None


def _config(export: Export) -> tuple[str, dict[str, Any]]:
    """(name, content) of the side file; inference.yml is a name that others give their files, too."""
    for name in FILES:
        config = export.yaml(name)
        if isinstance(config, dict):
            return name, config
        if config is not None and name == FILES[0]:
            raise BadManifest(f"{export.folder}: {name} is no table of keys and values; {_OWN_MANIFEST}")
    return "", {}


class _Steps:
    """Reads the steps of a side file. Whatever is not known to leave the pixels alone is refused, by its name."""

    def __init__(self, export: Export, file: str) -> None:
        self._export, self._file = export, file

    def detector(self, config: dict[str, Any]) -> Draft:
        table: dict[str, Any] = {"preprocess": self._detection(self._list(config, "Preprocess"))}
        labels = self._labels(config)
        table.update(_head(self._export, config))
        limit = config.get("draw_threshold")
        if table["task"] != "keypoint-detection":
            if labels:
                table["labels"] = labels
            if limit is not None:
                post = table.setdefault("postprocess", {})
                post["confidence_threshold"] = self._number("draw_threshold", limit)
        return Draft("PaddleDetection", table, (f"{self._file}: arch {config.get('arch', '?')}",))

    def classifier(self, config: dict[str, Any]) -> Draft:
        ends = config.get("PostProcess")
        ends = ends if isinstance(ends, dict) else {}
        end = next((key for key in ("Topk", "MultiLabelThreshOutput", "NormalizeFeatures") if key in ends), "")
        if not end:
            said = ends.get("name") or ", ".join(map(str, ends)) or ("Deploy" if "Deploy" in config else "nothing")
            raise BadManifest(
                f"{self._export.folder}: {self._file} ends with {said}; of PaddleX's exports detectors, classifiers "
                f"(Topk, MultiLabelThreshOutput) and features (NormalizeFeatures) are read here; {_OWN_MANIFEST}"
            )
        inside = config.get("PreProcess")
        how = self._classification(self._list(inside if isinstance(inside, dict) else {}, "transform_ops"))
        options = ends[end] if isinstance(ends[end], dict) else {}
        labels = self._labels(options) or self._export.labels((self._export.shape() or (None,))[-1])
        table: dict[str, Any] = {"preprocess": how, "task": "image-classification", "head": "classifier"}
        if end == "NormalizeFeatures":
            table.update(task="image-feature-extraction", head="embedding")
        elif labels:
            table["labels"] = labels
        if end == "MultiLabelThreshOutput":  # PaddleClas puts the sigmoid into the export
            limit = self._number("threshold", options.get("threshold", 0.5))
            many = {"topk": len(labels)} if isinstance(labels, list) else {}
            table["postprocess"] = {"multilabel": True, "confidence_threshold": limit, "params": {"activation": "none"}}
            table["postprocess"].update(many)
        model = config.get("Global")
        known = model.get("model_name", "?") if isinstance(model, dict) else "?"
        return Draft("PaddleX", table, (f"{self._file}: model_name {known}, PostProcess {end}",))

    def _detection(self, steps: list[Any]) -> dict[str, Any]:
        how: dict[str, Any] = {"do_rescale": False}
        for step in steps:
            kind = step.get("type") if isinstance(step, dict) else None
            if kind in ("Resize", "LetterBoxResize", "TopDownEvalAffine", "TopDownAffine"):
                self._resize(step, how)
            elif kind == "NormalizeImage":
                how["do_rescale"] = bool(step.get("is_scale", True))
                if step.get("norm_type", "mean_std") == "mean_std":
                    self._normalize(step, how)
            elif kind == "PadStride":
                how["size_divisor"] = self._whole("stride", step.get("stride") or 1)
            elif kind == "Pad":
                self._pad(step, how)
            elif kind != "Permute":
                raise self._odd(f"the step {kind or step!r}", "one that is known here")
        return how

    def _classification(self, steps: list[Any]) -> dict[str, Any]:
        how: dict[str, Any] = {"do_resize": False, "do_rescale": False}
        for step in steps:
            if not isinstance(step, dict) or len(step) != 1:
                raise self._odd(f"the step {step!r}", "a name and its options")
            ((kind, options),) = step.items()
            options = options if isinstance(options, dict) else {}
            if kind == "ResizeImage":
                how.update(do_resize=True, **self._resize_image(options))
            elif kind == "CropImage":
                width, height = self._sides("size", options.get("size", 224))
                how.update(do_center_crop=True, crop_size={"height": height, "width": width})
            elif kind == "NormalizeImage":
                how.update(do_rescale=True, rescale_factor=self._scale(options.get("scale")))
                self._normalize(options, how)
            elif kind == "DecodeImage":
                bgr = options.get("to_rgb") is False or options.get("img_mode") == "BGR"
                how["color_order"] = "bgr" if bgr else "rgb"
            elif kind != "ToCHWImage":
                raise self._odd(f"the step {kind}", "one that is known here")
        return how

    def _resize_image(self, options: dict[str, Any]) -> dict[str, Any]:
        word = options.get("interpolation") or "LINEAR"
        how = self._interpolation(word)
        if options.get("backend") == "pil":
            how["antialias"] = True
        if short := options.get("resize_short"):
            return {**how, "size": {"shortest_edge": self._whole("resize_short", short)}}
        width, height = self._sides("size", options.get("size"))
        return {**how, "size": {"height": height, "width": width}}

    def _interpolation(self, word: Any) -> dict[str, Any]:
        """OpenCV samples points, but for AREA; of Lanczos there is only the one that averages."""
        key = word.upper() if isinstance(word, str) else word
        number = _BY_NAME.get(key) if isinstance(key, str) else _RESAMPLE.get(key) if isinstance(key, int) else None
        if number is None:
            raise self._odd(f"the interpolation {word!r}", f"one of {', '.join(_BY_NAME)}")
        return {"resample": number, "antialias": key in (3, "AREA") or number == 1}

    def _normalize(self, step: Mapping[str, Any], how: dict[str, Any]) -> None:
        if step.get("channel_num", 3) != 3:
            raise self._odd(f"NormalizeImage with channel_num {step['channel_num']!r}", "3")
        values = {}
        for key in ("mean", "std"):
            try:
                values[key] = as_floats(step[key])
            except (KeyError, TypeError, ValueError):
                values[key] = []
            if len(values[key]) != 3 or (key == "std" and not all(values[key])):
                raise self._odd(f"NormalizeImage with {key} {step.get(key)!r}", "three numbers, of std none 0")
        how.update(do_normalize=True, image_mean=values["mean"], image_std=values["std"])

    def _resize(self, step: dict[str, Any], how: dict[str, Any]) -> None:
        if step["type"].startswith("TopDown"):
            width, height = self._sides("trainsize", step.get("trainsize"))
            how.update(crop_scale=1.25, size={"height": height, "width": width})
            return
        height, width = self._sides("target_size", step.get("target_size"))
        how.update(self._interpolation(step.get("interp", 1)))
        if step["type"] == "LetterBoxResize":
            how.update(resize_mode="letterbox", pad_value=127.5, size={"height": height, "width": width})
        elif step.get("keep_ratio"):
            how["size"] = {"shortest_edge": min(height, width), "longest_edge": max(height, width)}
            how["resize_mode"] = "letterbox_top_left"
        else:
            how["size"] = {"height": height, "width": width}

    def _pad(self, step: dict[str, Any], how: dict[str, Any]) -> None:
        """To the right and below, up to a fixed size, with a colour of 0..255."""
        size = step.get("size") or [3, 640, 640]
        height, width = self._sides("size", size[-2:] if isinstance(size, list) else size)
        if how.get("do_normalize") or how.get("resize_mode") != "letterbox_top_left":
            raise self._odd("the step Pad", "it after a Resize with keep_ratio, and before NormalizeImage")
        fill = step.get("fill_value")
        how["size"] = {"height": height, "width": width}
        how["pad_value"] = 127.5 if fill is None else as_floats(fill)

    def _sides(self, name: str, value: Any) -> tuple[int, int]:
        sides = value if isinstance(value, list) and len(value) == 2 else [value, value]
        return self._whole(name, sides[0]), self._whole(name, sides[1])

    def _whole(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 1:
            raise self._odd(f"{name} {value!r}", "a whole number of pixels")
        return int(value)

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._odd(f"{name} {value!r}", "a number")
        return float(value)

    def _scale(self, value: Any) -> float:
        """A number, or a division as text: PaddleClas evaluates it."""
        if value is None:
            return 1 / 255
        match = re.fullmatch(r"\s*([\d.]+)\s*/\s*([\d.]+)\s*", value) if isinstance(value, str) else None
        try:
            return float(match[1]) / float(match[2]) if match else float(value)
        except (TypeError, ValueError, ZeroDivisionError):
            raise self._odd(f"NormalizeImage with scale {value!r}", "a number, or 1/255") from None

    def _labels(self, table: Mapping[str, Any]) -> list[str]:
        names = table.get("label_list") or []
        if not isinstance(names, list) or any(isinstance(name, list | dict) for name in names):
            raise self._odd(f"a label_list of {type(names).__name__}", "a list of names")
        return [str(name) for name in names]

    def _list(self, table: Mapping[str, Any], key: str) -> list[Any]:
        steps = table.get(key)
        if not isinstance(steps, list):
            raise self._odd(f"{key} {str(steps)[:60]}", "a list of steps")
        return steps

    def _odd(self, found: str, expected: str) -> BadManifest:
        return BadManifest(
            f"{self._export.folder}: {self._file} has {found}, expected {expected}; correct it, or {_OWN_MANIFEST}"
        )


def _head(export: Export, config: dict[str, Any]) -> dict[str, Any]:
    shapes = [t.shape for t in export.outputs.values()]
    if str(config.get("arch")) in ("HRNet", "KeyPoint", "TinyPose"):
        return {"task": "keypoint-detection", "head": "heatmaps", "labels": ["person"]}
    if len(shapes) in (6, 8) and all(len(s) == 3 for s in shapes):
        return {"task": "object-detection", "head": "gfl", "postprocess": {"iou_threshold": 0.6, "multilabel": True}}
    masks = len(shapes) > 2 or bool(config.get("mask"))
    return {"task": "image-segmentation" if masks else "object-detection", "head": "paddle"}
