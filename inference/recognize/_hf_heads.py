"""Task, labels and head of a Hugging Face export, by its architecture and the names of its outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from inference.engine.graph_ends import ending
from inference.errors import BadManifest
from inference.heads import PROBABILITIES
from inference.recognize._export import Export
from inference.recognize._fields import Fields

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
_HEADS = {
    "image-classification": "classifier",
    "image-segmentation": "semantic",
    "depth-estimation": "depth",
    "keypoint-detection": "heatmaps",
    "image-to-image": "image",
    "video-classification": "classifier",
}
# "no object" is DETR's last class; the others score every class independently (post_process_object_detection of each)
_SOFTMAX_DETECTORS = ("detr", "yolos", "tabletransformer", "conditionaldetrsoftmax")
_SIGMOID_DETECTORS = (
    "conditionaldetr", "deformabledetr", "deta", "dabdetr", "rtdetr", "rtdetrv2", "dfine", "lwdetr", "rfdetr",
)  # fmt: skip
# What stands for the whole picture where there is no head on top (CLIP, DINOv2).
_VECTORS = ("image_embeds", "pooler_output")
_MAX_LABELS = 1_000_000
# Their predicted_depth is a distance. DPT on DINOv2 was trained on NYU and KITTI in metres.
_METRES = ("zoedepth", "glpn")


@dataclass(frozen=True)
class HeadDraft:
    """table: head and postprocess of a manifest. assumed: as in Draft."""

    table: dict[str, Any]
    assumed: tuple[str, ...] = ()


def kind_of(config: Fields) -> str:
    """model_type in letters and digits, else what the architecture's name begins with ("detr" of DetrForX)."""
    said = config.text("model_type") or re.split("For|Model", " ".join(config.words("architectures")))[0]
    return re.sub(r"[^a-z0-9]", "", said.lower())


def task_of(export: Export, said: str) -> str | None:
    """said: the architectures of config.json."""
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


def labels_of(config: Fields) -> list[str]:
    """id2label as a list, else label2id turned round; ids that are left out are named by their number.

    Raises BadManifest for another table.
    """
    table, turned = config.get("id2label"), config.get("label2id")
    if table is None and isinstance(turned, dict):
        table = {str(number): name for name, number in turned.items()}
    if table is None:
        return []
    expected = 'a table of ids and names such as {"0": "cat", "1": "dog"}'
    if not isinstance(table, dict):
        config.refuse("id2label", expected)
    names: dict[int, str] = {}
    for key, name in table.items():
        number = int(key) if key.isascii() and key.isdigit() and len(key) <= 7 else _MAX_LABELS
        if number >= _MAX_LABELS or not isinstance(name, str):
            config.refuse("id2label", expected + " (ids first)")
        names[number] = name
    return [names.get(i, str(i)) for i in range(max(names, default=-1) + 1)]


def head_of(export: Export, config: Fields, kind: str, said: str, task: str) -> HeadDraft:
    """kind: as of kind_of. Raises BadManifest for a config.json whose model has no head here."""
    names = set(export.outputs)
    if task == "object-detection" or {"logits", "pred_boxes"} <= names:
        return _detr(export, config, kind)
    if "masks_queries_logits" in names:
        post = {"postprocess": {"params": {"mode": "instance"}}} if "ForInstance" in said else {}
        return HeadDraft({"head": "maskformer", **post})
    if task == "image-feature-extraction":
        vector = next(name for name in _VECTORS if name in names)
        return HeadDraft({"head": "embedding", "postprocess": {"outputs": {"embedding": vector}}})
    if task == "depth-estimation":
        return _depth(export, config, kind)
    if task.endswith("-classification"):
        return _classifier(export, config)
    return HeadDraft({"head": _HEADS[task]})


def _detr(export: Export, config: Fields, kind: str) -> HeadDraft:
    softmax = kind in _SOFTMAX_DETECTORS
    assumed: tuple[str, ...] = ()
    if not softmax and kind not in _SIGMOID_DETECTORS:
        softmax, assumed = _detr_by_count(export, config, kind)
    params = {"activation": "softmax" if softmax else "sigmoid"}
    return HeadDraft({"head": "detr", "postprocess": {"params": params}}, assumed)


def _detr_by_count(export: Export, config: Fields, kind: str) -> tuple[bool, tuple[str, ...]]:
    """A detector that is not known here has a last class for "no object" if it has one more than labels."""
    logits = export.outputs.get("logits")
    found, labels = (logits.shape[-1] if logits else None), len(labels_of(config)) or config.whole("num_labels")
    if labels is None or found not in (labels, labels + 1):
        raise BadManifest(
            f"{config.where}: {kind} is not known here, and its logits ({logits}) for {labels or 'no'} labels do not "
            'tell whether the last class is "no object"; write a model.toml with head = "detr" and postprocess.params '
            '(activation = "softmax" or "sigmoid")'
        )
    softmax = found == labels + 1
    word, other = ("softmax", "sigmoid") if softmax else ("sigmoid", "softmax")
    return softmax, (
        f'{kind} is not known here: activation = "{word}" is assumed, by {found} logits for {labels} labels; '
        f'postprocess.params.activation = "{other}" says the other',
    )


def _classifier(export: Export, config: Fields) -> HeadDraft:
    """As ImageClassificationPipeline: several labels, or a single one, mean a sigmoid; else it is a softmax."""
    kind = config.text("problem_type")
    known = ("single_label_classification", "multi_label_classification", "regression")
    if kind and kind not in known:
        config.refuse("problem_type", " or ".join(known))
    if kind == "regression":
        raise BadManifest(
            f"{config.where}: problem_type is regression: its output is a value, not the score of a label, and no head "
            "here says values; train it as a classifier, or write a model.toml if it is one"
        )
    logits = export.outputs.get("logits")
    post: dict[str, Any] = {"multilabel": True} if kind == "multi_label_classification" else {}
    if (logits.shape if logits else export.shape())[-1:] != (1,):
        return HeadDraft({"head": "classifier", **({"postprocess": post} if post else {})})
    names = labels_of(config)
    if len(names) > 1:
        raise BadManifest(
            f"{config.where}: id2label has {len(names)} names ({', '.join(names)[:80]}), but the output is a single "
            "number; put the config.json of this export beside it, or write a model.toml with labels and "
            'postprocess.params.activation = "sigmoid"'
        )
    if ending(export.graph, "logits" if logits else next(iter(export.outputs))) == PROBABILITIES:
        return HeadDraft({"head": "classifier"})  # which the listing says
    post["params"] = {"activation": "sigmoid"}
    return HeadDraft(
        {"head": "classifier", "postprocess": post},
        (
            f"its single logit is taken through a sigmoid as the score of {(names or ['0'])[0]!r}, as transformers "
            'does; postprocess.params.activation = "none" takes it as it is',
        ),
    )


def _depth(export: Export, config: Fields, kind: str) -> HeadDraft:
    """Near is bright: where predicted_depth is a distance, small is near.

    depth_estimation_type is of Depth Anything. DepthPro: transformers' own outputs are predicted_depth and
    field_of_view, where predicted_depth is an inverse depth that its image processor turns over
    (post_process_depth_estimation); Apple's export has metres, and focallength_px beside them.
    """
    names = set(export.outputs)
    assumed: tuple[str, ...] = ()
    meaning = config.text("depth_estimation_type")
    if meaning and meaning not in ("relative", "metric"):
        config.refuse("depth_estimation_type", "relative or metric")
    low = meaning == "metric" or kind in _METRES
    if _is_dinov2_dpt(config, kind):
        low, assumed = True, ('DPT on DINOv2: metres are assumed; postprocess.params.near = "high" if near is large',)
    elif kind == "depthpro":
        low = not names & {"field_of_view", "fov"}
        if low and "focallength_px" not in names:
            assumed = ('DepthPro: metres are assumed; postprocess.params.near = "high" for its inverse depth',)
    post: dict[str, Any] = {"params": {"near": "low"}} if low else {}
    if "predicted_depth" in names and len(names) > 1:
        post["outputs"] = {"depth": "predicted_depth"}
    return HeadDraft({"head": "depth", **({"postprocess": post} if post else {})}, assumed)


def _is_dinov2_dpt(config: Fields, kind: str) -> bool:
    backbone = config.get("backbone_config")
    return kind == "dpt" and isinstance(backbone, dict) and backbone.get("model_type") == "dinov2"
