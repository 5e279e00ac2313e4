"""AutoML for Images of Azure Machine Learning: train_artifacts/model.onnx and labels.json.

Names and preprocessing as in azureml-automl-dnn-vision (base_model_wrapper.py and its siblings).
"""

from __future__ import annotations

from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import IMAGENET, Draft, Export
from inference.recognize._opening import outside
from inference.recognize.layouts import LETTERBOX


def recognize(export: Export) -> Draft | None:
    labels = export.json("labels.json")
    if not isinstance(labels, list) or export.picture.name not in ("input1", "input"):
        return None
    if not all(isinstance(name, str) for name in labels):
        raise BadManifest(
            f"{export.folder}: labels.json holds {str(labels)[:80]}, expected a list of names; correct it"
        )
    names = {n.removesuffix("_0") for n in export.outputs}
    # exported with enable_norm, the graph divides by 255 and normalises by itself
    normal, _ = outside(IMAGENET, export.opening)
    base: dict[str, Any] = {"labels": labels}
    if "output1" in names:
        side = export.size() or {"height": 224, "width": 224}
        resize = {"height": side["height"] * 256 // 224, "width": side["width"] * 256 // 224}
        how = {"size": resize, "do_center_crop": True, "crop_size": side, **normal}
        table = {**base, "task": "image-classification", "head": "classifier", "preprocess": how}
        one = "one label for a picture is assumed; say postprocess.multilabel = true where it may have several"
        return Draft("AutoML for Images", table, ("labels.json, input1 -> output1 of logits",), (one,))
    if {"boxes", "labels", "scores"} <= names:
        size = {} if export.size() else {"size": {"height": 600, "width": 800}}
        task = "image-segmentation" if "masks" in names else "object-detection"
        table = {**base, "task": task, "head": "rcnn", "preprocess": {**normal, **size}}
        return Draft("AutoML for Images", table, (f"labels.json, outputs {', '.join(sorted(names))}",))
    if "output" in names and len(export.outputs["output"].shape) == 3:
        size = {} if export.size() else {"size": {"height": 640, "width": 640}}
        post = {"confidence_threshold": 0.1, "iou_threshold": 0.5, "outputs": {"boxes": "output"}}
        how = {**LETTERBOX, **size, **({"do_rescale": False} if export.scales_itself else {})}
        table = {**base, "task": "object-detection", "head": "yolo", "preprocess": how, "postprocess": post}
        return Draft("AutoML for Images (YOLOv5)", table, ("labels.json, input -> output [batch, anchors, 5 + C]",))
    return None
