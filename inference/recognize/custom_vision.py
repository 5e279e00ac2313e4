"""Azure Custom Vision exports: cvexport.manifest, metadata_properties.json and labels.txt beside the file.

The words of Image.NominalPixelRange (0..255, 0..1, -1..1, 16..235) are ONNX's own (docs/MetadataProps.md).
"""

from __future__ import annotations

import json
from typing import Any

from inference.errors import BadManifest
from inference.recognize._export import Draft, Export, as_floats

BOXES = {"detected_boxes", "detected_classes", "detected_scores"}
KEYS = ("Image.BitmapPixelFormat", "Image.NominalPixelRange")


def recognize(export: Export) -> Draft | None:
    sidecar = export.json("cvexport.manifest")
    inside = {k: v for k, v in export.metadata.items() if k in KEYS}
    if not sidecar and not inside and not set(export.outputs) >= BOXES:
        return None
    beside = export.json((sidecar or {}).get("MetadataPropsFileName", "metadata_properties.json")) or {}
    facts = {**beside, **export.metadata}  # what is in the file was written with it; sidecars were seen to be wrong
    labels = export.label_file((sidecar or {}).get("LabelFileName", "labels.txt")) or export.labels(None)
    table: dict[str, Any] = {"preprocess": _preprocess(export, facts)}
    if labels:
        table["labels"] = labels
    table.update(_task(export, facts))
    if export.scales_itself:
        table["preprocess"]["do_rescale"] = False  # whatever the side files say
    where = [name for name, there in (("cvexport.manifest", sidecar), ("metadata_properties.json", beside)) if there]
    where += [f"metadata {k}={v}" for k, v in inside.items()]
    if not where:
        where.append("outputs " + ", ".join(sorted(BOXES)))
    if export.scales_itself:
        where.append("the graph divides by 255 itself")
    return Draft("Azure Custom Vision", table, (", ".join(where),))


def _task(export: Export, facts: dict[str, Any]) -> dict[str, Any]:
    if set(export.outputs) >= BOXES:
        return {"task": "object-detection", "head": "custom_vision"}
    if len(export.shape()) == 4 and export.shape()[2:] != (1, 1):
        params: dict[str, Any] = {}
        biases = as_floats(json.loads(facts.get("CustomVision.Postprocess.Yolo.Biases", "[]")))
        if biases:
            params["anchors"] = [biases[i : i + 2] for i in range(0, len(biases), 2)]
        iou = float(facts.get("CustomVision.Postprocess.Yolo.NmsThreshold", 0) or 0.45)
        post = {"iou_threshold": iou, "max_detections": 64, "params": params}
        return {"task": "object-detection", "head": "yolo_grid", "postprocess": post}
    several = "Multilabel" in facts.get("CustomVision.Postprocess.Method", "")
    if any(t.dtype == object for t in export.outputs.values()):
        return {"task": "image-classification", "head": "classifier_map", "postprocess": {"multilabel": several}}
    # a row of probabilities; for tags that do not exclude others they need not add up to 1
    post = {"multilabel": several, "params": {"activation": "none"}}
    return {"task": "image-classification", "head": "classifier", "postprocess": post}


def _preprocess(export: Export, facts: dict[str, Any]) -> dict[str, Any]:
    how: dict[str, Any] = {}
    if facts.get("Image.BitmapPixelFormat") == "Bgr8":
        how["color_order"] = "bgr"
    span = facts.get("Image.NominalPixelRange")
    if span == "NominalRange_16_235":
        raise BadManifest(
            f"{export.file}: Image.NominalPixelRange is {span}, which is not done here; export it as 0..255"
        )
    how["do_rescale"] = span != "NominalRange_0_255"
    mean = as_floats(json.loads(facts.get("CustomVision.Preprocess.NormalizeMean", "[0]")))
    std = as_floats(json.loads(facts.get("CustomVision.Preprocess.NormalizeStd", "[1]")))
    if span == "Normalized_1_1" and not any(mean):
        mean, std = [0.5] * 3, [0.5] * 3
    if any(mean) or any(s != 1 for s in std):
        how.update(do_normalize=True, image_mean=mean, image_std=std)
    width, height = (int(facts.get(f"CustomVision.Preprocess.Target{side}", 0)) for side in ("Width", "Height"))
    if not export.size() and width and height:
        how["size"] = {"height": height, "width": width}
    if facts.get("CustomVision.Preprocess.CropMethod") == "FullImageShorterSide" and (export.size() or how.get("size")):
        how.update(resize_mode="shortest_edge", do_center_crop=True)  # the middle square, then stretched to the input
        how["crop_size"] = export.size() or how["size"]
    return how
