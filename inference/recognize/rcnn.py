"""Detectors that answer with boxes, labels and scores and nothing else: torchvision's, and the ONNX Model Zoo's.

Their shapes are those of many exporters (Detectron2 and maskrcnn-benchmark, too), which feed them differently.
torchvision's scale their input and subtract a mean themselves (models/detection/transform.py); the zoo's are known by
the names of their outputs. What shows neither is refused (candidates.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.engine.catalog import CATALOG, load_catalog
from inference.manifest import Task
from inference.recognize._export import Export
from inference.recognize._labels import class_slots, place, slots_by_layers

Table = dict[str, Any]

# Names that the zoo published in all opsets and quantisations, and the catalog's model that says how they are fed.
_ZOO = {
    frozenset(("6379", "6381", "6383")): "faster-rcnn-r50-fpn",
    frozenset(("6568", "6570", "6572")): "mask-rcnn-r50-fpn",
    frozenset(("bboxes", "labels", "scores")): "ssd-resnet34-1200",
}
_ZOO_SIDES = {"ssd-resnet34-1200": {"height": 1200, "width": 1200}}
_ZOO_SLOTS = 81  # __background__ and COCO's 80
_COCO_SLOTS = 91
# torchvision's own names of weights; Detectron2 calls these proposal_generator.rpn_head and head.cls_score.
_TORCHVISION_WEIGHTS = ("rpn.head.", "head.classification_head.")


def roles_of(export: Export) -> dict[str, str] | None:
    """Role -> output of 3 to 5 outputs: floats [n, 4], whole numbers [n], floats [n], and masks or keypoints."""
    tensors = list(export.outputs.values())
    if not 3 <= len(tensors) <= 5 or export.picture.dtype.kind not in "fu":
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
        if role == "labels" in roles and t.shape == (2,):
            continue  # Detectron2 puts out the size of the picture, too (detectron2/export/flatten.py)
        if not role or role in roles:
            return None
        roles[role] = t.name
    return roles if {"boxes", "labels", "scores"} <= set(roles) else None


def task_of(roles: Mapping[str, str]) -> Task:
    if "keypoints" in roles:
        return "keypoint-detection"
    return "image-segmentation" if "masks" in roles else "object-detection"


def zoo(export: Export) -> Table | None:
    """Faster R-CNN and Mask R-CNN of the ONNX Model Zoo, from maskrcnn-benchmark, and its SSD, from MLPerf."""
    masks = [name for name, tensor in export.outputs.items() if len(tensor.shape) == 4]
    known = _ZOO.get(frozenset(export.outputs) - set(masks), "")
    sides = _ZOO_SIDES.get(known, export.size()) == export.size()
    fits = known and sides and export.picture.name == "image" and bool(masks) == known.startswith("mask")
    if not fits or export.opening.takes or not CATALOG.is_file():
        return None
    table = {key: value for key, value in load_catalog().named(known).manifest.items() if key != "accuracy"}
    if masks:
        post = table["postprocess"]
        table["postprocess"] = {**post, "outputs": {**post["outputs"], "masks": masks[0]}}
    own = export.labels(None)
    if isinstance(own, list):
        placed = place(export, own, 1, _ZOO_SLOTS)
        table.update(labels=placed.labels, label_offset=placed.offset, assumed=[placed.said])
    return table


def torchvision(export: Export) -> Table | None:
    """Recognised where the graph normalises its input as torchvision's do, or does nothing at all with it."""
    roles = roles_of(export)
    if roles is None or not _normalises(export):
        return None
    task = task_of(roles)
    how: Table = {"do_rescale": False} if export.opening.takes == "0..255" else {}
    if export.opening.color_order == "bgr":  # it reverses the channels itself
        how["color_order"] = "bgr"
    if not any(export.picture.shape[-3:]):
        how["layout"] = "chw" if len(export.picture.shape) == 3 else "nchw"
    names = _names(export, task)
    return {
        "task": task,
        "head": "rcnn",
        "preprocess": how,
        "postprocess": {"outputs": roles},
        **names,
        "assumed": [*names.get("assumed", ()), *_unproved(export)],
    }


def _unproved(export: Export) -> list[str]:
    """What its normalisation alone does not show of a detector that is fed as torchvision's are."""
    if not export.opening.used or _has_torchvision_weights(export):
        return []
    said = []
    if not export.opening.color_order:
        said.append(
            'fed RGB, as torchvision\'s are; color_order = "bgr" under [preprocess] of model.toml if it wants that'
        )
    if not export.size() and not export.has_operation("Resize"):
        said.append(
            "fed pictures of any size, as nothing in it resizes them; size under [preprocess] of model.toml sets one"
        )
    return said


def _has_torchvision_weights(export: Export) -> bool:
    return any(word in name for name in export.graph.weights for word in _TORCHVISION_WEIGHTS)


def _normalises(export: Export) -> bool:
    opening = export.opening
    if not opening.used:
        return True  # fed with anything, it answers the same
    if opening.mean is None:
        return False
    return opening.takes == "0..1" or (opening.takes == "0..255" and _has_torchvision_weights(export))


def _names(export: Export, task: str) -> Table:
    """Labels: class 0 is the background in all of torchvision's detectors, also in lists of own classes."""
    slots, names = class_slots(export.graph) or slots_by_layers(export.graph), export.labels(None)
    if isinstance(names, list):
        placed = place(export, names, 1, slots)
        return {"labels": placed.labels, "label_offset": placed.offset, "assumed": [placed.said]}
    if task == "keypoint-detection" and slots in (None, 2):
        return {"labels": ["background", "person"]}
    if slots in (None, _COCO_SLOTS):
        return {"labels": "builtin:coco91"}
    return {
        "assumed": [
            f"no labels beside it: its {slots - 1} classes are named by their numbers, from 1; put labels.txt there"
        ]
    }
