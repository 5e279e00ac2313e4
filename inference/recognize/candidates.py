"""The refusal of an export whose preprocessing nothing states: what it may be, and the line that would decide."""

from __future__ import annotations

from collections.abc import Sequence

from inference.errors import DropsightError
from inference.heads import find_head
from inference.heads._roles import roles_of
from inference.manifest import Manifest, Task
from inference.recognize import rcnn
from inference.recognize._export import Export
from inference.recognize.layouts import FLAT, scrfd_outputs

Shape = tuple[int | None, ...]
Pair = tuple[Task, str]  # a task and a head
# How many classes point to a label set that comes with the engine; ImageNet's 1,001st is a background in front.
_LABEL_SETS: dict[str, dict[int, str]] = {
    "image-classification": {1000: "builtin:imagenet1000", 1001: "builtin:imagenet1000"},
    "object-detection": {80: "builtin:coco80", 91: "builtin:coco91"},
    "image-segmentation": {21: "builtin:voc21"},
}
# What a vector may be.
_VECTORS: tuple[Pair, ...] = (("image-classification", "classifier"), ("image-feature-extraction", "embedding"))
ANOMALY = ("normal", "anomaly")  # values of anomalib's pred_mask
# Output names that only a single head reads, where the preprocessing is still open.
_BY_OUTPUTS: tuple[tuple[set[str], Task, str], ...] = (
    ({"dets", "labels", "masks"}, "image-segmentation", "mmdeploy"),
    ({"dets", "labels"}, "object-detection", "mmdeploy"),
    ({"dets", "keypoints"}, "keypoint-detection", "mmdeploy"),
    ({"detection_boxes", "num_detections"}, "object-detection", "tf_detection"),
    ({"logits", "pred_boxes"}, "object-detection", "detr"),
    ({"class_queries_logits", "masks_queries_logits"}, "image-segmentation", "maskformer"),
    ({"cls_logits", "mask_logits"}, "image-segmentation", "maskformer"),
    ({"loc", "conf", "iou"}, "object-detection", "lpd_yunet"),
    ({"predicted_depth"}, "depth-estimation", "depth"),
    ({"heatmaps"}, "keypoint-detection", "heatmaps"),
    ({"anomaly_map"}, "image-segmentation", "semantic"),
)


def refusal(export: Export) -> str:
    """Why this export is not guessed at, what it may be, and the manifest lines that would decide."""
    tensors = f"{'; '.join(map(str, export.inputs))} -> {'; '.join(map(str, export.outputs.values()))}"
    pairs = [_in_a_line(export, pair) for pair in candidates_of(export)]
    if export.opening.takes:
        tensors = f"{tensors[:400]}; {export.opening.in_words()}"
    return (
        f"{export.file}: nothing in it or beside it states its preprocessing ({tensors[:500]}); candidates: "
        f"{' | '.join(pairs) or _none(export)}; write a model.toml beside it with task, head and [preprocess] "
        "(size, color_order, do_rescale, do_normalize, image_mean, image_std)"
    )


def _none(export: Export) -> str:
    """Why there are no candidates, and what to do."""
    outputs = list(export.outputs.values())
    if len(outputs) == 1 and len(outputs[0].shape) < 2:
        return "none known here, as its output lacks the axis of the batch (export it without squeezing it: [1, C])"
    if all(len(t.shape) == 2 for t in outputs) and len(outputs) > 1:
        names = " or ".join(f'"{t.name}"' for t in outputs[:4] if t.dtype.kind == "f")
        return (
            f"none that is certain, as it has {len(outputs)} vectors: say postprocess.outputs = {{ scores = {names} }} "
            'for head "classifier", or { embedding = ... } for head "embedding"'
        )
    if len(outputs) > 1:
        return (
            "none known here; where these are offsets to anchors or the levels of a detector, before its boxes are "
            "computed (YOLOv5 and v7 without --grid, RetinaFace, CenterNet, SSD): export it with these computed, or "
            "with NMS"
        )
    return "none known here"


def _in_a_line(export: Export, pair: Pair) -> str:
    labels = [f'labels = "{names}"' for _, names in [label_set(export, [pair])] if names]
    labels += ["label_offset = -1 if class 0 is the background, else 0"] if from_one(export, pair) else []
    rows = row_columns(export) if pair[1] == "boxes" else []
    params = [f"postprocess.params.columns = {in_toml(rows)}"] if rows else []
    if name := anomaly_map(export):
        labels, params = [f"labels = {in_toml(ANOMALY)}"], [f'postprocess.outputs = {{ map = "{name}" }}']
    return ", ".join([f'task = "{pair[0]}"', f'head = "{pair[1]}"', *labels, *params])


def anomaly_map(export: Export) -> str:
    """Which output of anomalib's (pred_score, pred_label, anomaly_map, pred_mask: to_onnx of its ExportMixin) shows
    where something is wrong: the one with its own threshold, if there. Empty for others' outputs."""
    names = export.outputs
    return "" if "anomaly_map" not in names else "pred_mask" if "pred_mask" in names else "anomaly_map"


def in_toml(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


def row_columns(export: Export) -> list[str]:
    """What rows [n, 6] or [n, 7] of detections may hold; nothing where the only output is none.

    [1, 1, n, 7] is DetectionOutput of Caffe and OpenVINO: picture, label, score, box in 0..1.
    """
    shape = export.shape()
    if len(export.outputs) == 1 and _detection_output(shape):
        return ["batch", "labels", "scores", "boxes"]
    if len(export.outputs) > 1 or (len(shape) != 2 and not efficientdet(export)):
        return []
    return {6: FLAT[1:], 7: FLAT}.get(shape[-1] or 0, [])


def _detection_output(shape: Shape) -> bool:
    return len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == 7


def efficientdet(export: Export) -> bool:
    """Whether it may be Google's EfficientDet: `detections` [N, n, 7] of picture, box as yxyx, score, label from 1 on
    (google/automl: efficientdet/tf2/postprocess.py)."""
    shape = export.shape()
    few = len(shape) == 3 and (shape[1] or 0) <= 1000
    return few and shape[2] == 7 and len(export.outputs) == 1


def label_set(export: Export, pairs: Sequence[Pair]) -> tuple[int, str]:
    """(how many classes there are, the label set that it points to) by the first of the pairs that has both.

    (0, "") where there is none.
    """
    shapes = {name: tensor.shape for name, tensor in export.outputs.items()}
    for task, head_name in pairs:
        manifest = Manifest(export.name, task, head_name)
        try:
            head = find_head(head_name)
            count = None if head.misfit(shapes, manifest) else head.classes(shapes, manifest)
        except DropsightError:  # a head that needs to be told more
            continue
        if count and (names := _LABEL_SETS.get(task, {}).get(count)):
            return count, names
    return 0, ""


def from_one(export: Export, pair: Pair) -> bool:
    """Whether the ids of the classes may begin at 1."""
    return pair[1] in ("rcnn", "tf_detection") or (pair[1] == "boxes" and efficientdet(export))


def candidates_of(export: Export) -> list[Pair]:
    """(task, head) pairs whose names or else shapes fit."""
    if "scale_factor" in {t.name for t in export.inputs}:
        return [("object-detection", "paddle")]
    if roles := rcnn.roles_of(export):
        return [(rcnn.task_of(roles), "rcnn")]
    names = {name.removesuffix(":0") for name in export.outputs}
    named = [(task, head) for wanted, task, head in _BY_OUTPUTS if wanted <= names]
    return named[:1] or _by_shape(export)


def _by_shape(export: Export) -> list[Pair]:
    shape, picture = export.shape(), next((t for t in export.inputs if len(t.shape) >= 3), None)
    if picture is None:
        return []
    if len(picture.shape) == 5:
        return [("video-classification", "classifier")]
    if {195, 117} <= {t.shape[-1] for t in export.outputs.values() if len(t.shape) == 2}:
        return [("keypoint-detection", "mediapipe_pose")]
    if len(export.outputs) > 1:
        return _of_several(export)
    if len(shape) == 2 and shape[0] not in (1, picture.shape[0]):  # not the axis of the batch: rows of detections
        rows: list[Pair] = [("object-detection", "boxes")] if row_columns(export) else []
        return rows if shape[0] or export.has_operation("NonMaxSuppression") else [*rows, *_VECTORS]
    if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
        return list(_VECTORS)
    return _of_one(export, shape)


def _of_several(export: Export) -> list[Pair]:
    """Several outputs are never a classifier: boxes with scores, levels of a detector, or maps."""
    shapes = [t.shape for t in export.outputs.values()]
    ranks = {len(s) for s in shapes}
    if scrfd_outputs(export) or _fits(export, "scrfd"):
        return [("object-detection", "scrfd")]
    if len(shapes[0]) == 3 and [len(s) for s in shapes[1:]] == [4] and shapes[0][-1] != 4:
        return [("image-segmentation", "yolo")]
    if _has_boxes(export):
        columns = [s[-1] for s in shapes]  # of UltraFace's scores the first is the background
        if not _fits(export, "ultraface") or not {2, 3} & set(columns):
            return [("object-detection", "boxes")]
        return [("object-detection", head) for head in (["ultraface"] if 2 in columns else ["ultraface", "boxes"])]
    if ranks == {3} and len(shapes) % 2 == 0 and _fits(export, "gfl"):
        return [("object-detection", "gfl")]
    # what is not of one kind is the levels of a detector, or offsets to priors
    if len(shapes[0]) == 2 or any(len({s[i:] for s in shapes if len(s) == n}) > 1 for n, i in ((3, 0), (4, 2))):
        return []
    return _of_one(export, shapes[0])


def _has_boxes(export: Export) -> bool:
    """Whether there are boxes with scores and labels, or only boxes and the scores of each class."""
    if not _fits(export, "boxes"):
        return False
    roles = set(roles_of(export.outputs, Manifest(export.name, "object-detection", "boxes")))
    return {"boxes", "scores", "labels"} <= roles or (roles == {"boxes", "scores"} and len(export.outputs) == 2)


def _fits(export: Export, head: str) -> bool:
    """Whether the outputs have the names and shapes that a head reads."""
    shapes = {name: tensor.shape for name, tensor in export.outputs.items()}
    try:
        return find_head(head).misfit(shapes, Manifest(export.name, "object-detection", head)) is None
    except DropsightError:
        return False


def _of_one(export: Export, shape: Shape) -> list[Pair]:
    if len(shape) == 3:
        maps: list[Pair] = [("image-segmentation", "semantic"), ("depth-estimation", "depth")]
        whole = next(iter(export.outputs.values())).dtype.kind in "iu"
        if efficientdet(export) and any(name.startswith("detections") for name in export.outputs):
            return [("object-detection", "boxes")]
        heads = ("yolo", "boxes") if efficientdet(export) else ("yolo", "yolox", "gfl")
        detectors: list[Pair] = [("object-detection", head) for head in heads]
        return maps if whole else [*detectors, *maps]
    return _maps(export, shape) if len(shape) == 4 else []


def _maps(export: Export, shape: Shape) -> list[Pair]:
    if _detection_output(shape) and len(export.outputs) == 1:
        return [("object-detection", "boxes")]
    last = shape[3] is not None and all(s is None or shape[3] < s for s in shape[1:3])
    channels, (height, _) = (shape[3], shape[1:3]) if last else (shape[1], shape[2:])
    own = export.size().get("height")
    smaller = bool(own and height and height < own)
    if smaller and channels and channels % 5 == 0 and own and height and own // height == 32:
        return [("object-detection", "yolo_grid")]
    if smaller:
        return [("image-segmentation", "semantic"), ("keypoint-detection", "heatmaps")]
    if channels in (1, 3):
        return [("image-to-image", "image"), ("image-segmentation", "semantic")]
    return [("image-segmentation", "semantic")]
