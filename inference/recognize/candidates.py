"""The refusal of an export whose preprocessing nothing states: what it may be, and the manifest that would decide."""

from __future__ import annotations

from collections.abc import Sequence

from inference.errors import DropsightError
from inference.heads import find_head
from inference.manifest import Manifest, Task
from inference.recognize._export import Export

Shape = tuple[int | None, ...]
Pair = tuple[Task, str]  # a task and a head
_WITH_LABELS = ("image-classification", "object-detection", "image-segmentation", "video-classification")
# How many classes point to a label set that comes with the engine; ImageNet's 1,001st is a background in front.
_LABEL_SETS: dict[str, dict[int, str]] = {
    "image-classification": {1000: "builtin:imagenet1000", 1001: "builtin:imagenet1000"},
    "object-detection": {80: "builtin:coco80", 91: "builtin:coco91"},
    "image-segmentation": {21: "builtin:voc21"},
}
# Output names that only a single head reads, where the preprocessing is still open.
_BY_OUTPUTS: tuple[tuple[set[str], Task, str], ...] = (
    ({"dets", "labels", "masks"}, "image-segmentation", "mmdeploy"),
    ({"dets", "labels"}, "object-detection", "mmdeploy"),
    ({"dets", "keypoints"}, "keypoint-detection", "mmdeploy"),
    ({"detection_boxes", "num_detections"}, "object-detection", "tf_detection"),
    ({"logits", "pred_boxes"}, "object-detection", "detr"),
    ({"class_queries_logits", "masks_queries_logits"}, "image-segmentation", "maskformer"),
    ({"cls_logits", "mask_logits"}, "image-segmentation", "maskformer"),
    ({"scores", "boxes"}, "object-detection", "ultraface"),
    ({"confidences", "boxes"}, "object-detection", "ultraface"),
    ({"loc", "conf", "iou"}, "object-detection", "lpd_yunet"),
    ({"predicted_depth"}, "depth-estimation", "depth"),
    ({"heatmaps"}, "keypoint-detection", "heatmaps"),
)


def refusal(export: Export) -> str:
    """Why this export is not guessed at, what it may be, and the manifest lines that would decide."""
    tensors = f"{'; '.join(map(str, export.inputs))} -> {'; '.join(map(str, export.outputs.values()))}"
    pairs = [_in_a_line(export, pair) for pair in candidates_of(export)]
    return (
        f"{export.file}: nothing in it or beside it states its preprocessing ({tensors[:400]}); candidates: "
        f"{' | '.join(pairs) or 'none known here'}; write a model.toml beside it with task, head and [preprocess] "
        "(size, color_order, do_rescale, do_normalize, image_mean, image_std)"
    )


def _in_a_line(export: Export, pair: Pair) -> str:
    labels = [f'labels = "{names}"' for _, names in [label_set(export, [pair])] if names]
    return ", ".join([f'task = "{pair[0]}"', f'head = "{pair[1]}"', *labels])


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


def label_lines(count: int, names: str) -> list[str]:
    """The lines of a manifest that take the names of a label set for `count` classes, if that is what they are."""
    lines = [f'labels = "{names}"   # if it was trained on these: it has {count} classes; else "labels.txt"']
    if count == 1001:
        lines.append("label_offset = -1                # class 0 is the background; see also skip_first below")
    return lines


def deciding_lines(export: Export) -> str:
    """A model.toml to be completed: a block for every candidate, and the preprocessing that only its author knows."""
    pairs = candidates_of(export)
    lines = [f'file = "{export.relative}"']
    for i, (task, head) in enumerate(pairs):
        lines += [f'{"# or: " if i else ""}task = "{task}"', f'{"# or: " if i else ""}head = "{head}"']
    if not pairs:
        lines.append("# task and head: see the heads in inference/heads")
    count, names = label_set(export, pairs)
    if names:
        lines += label_lines(count, names)
    elif not pairs or pairs[0][0] in _WITH_LABELS:
        lines.append('labels = "labels.txt"            # a label per line, in the order of the classes')
    return "\n".join([*lines, "", "[preprocess]", *_preprocess(export, pairs), *_postprocess(export, pairs)]) + "\n"


def _preprocess(export: Export, pairs: Sequence[Pair]) -> list[str]:
    grey = export.channels == 1
    size = [] if export.size() or ("image-to-image", "image") in pairs else ["size = { height = 224, width = 224 }"]
    lines = [
        *size,
        'color_order = "gray"             # or "y"' if grey else 'color_order = "rgb"              # or "bgr"',
        'resize_mode = "stretch"          # or "letterbox", "letterbox_top_left", "shortest_edge" with do_center_crop '
        "= true",
    ]
    if export.picture.dtype.kind in "iu":
        numbers = {"int8": "pixel - 128", "uint16": "0..65535"}.get(export.picture.dtype.name, "0..255")
        return [
            *lines,
            f"# the input takes whole numbers: pixels go in as {numbers}, or by the scale that the file states",
        ]
    mean, std = ("[0.5]", "[0.5]") if grey else ("[0.485, 0.456, 0.406]", "[0.229, 0.224, 0.225]")
    return [
        *lines,
        "do_rescale = true                # false: pixels go in as 0..255",
        "do_normalize = true              # false: no mean and deviation",
        f"image_mean = {mean}",
        f"image_std = {std}",
    ]


def _postprocess(export: Export, pairs: Sequence[Pair]) -> list[str]:
    head = pairs[0][1] if pairs else ""
    if head == "classifier" and label_set(export, pairs)[0] == 1001:
        return ["", "[postprocess]", "params = { skip_first = 1 }      # no answer is ever the background"]
    if head == "yolo_grid":
        anchors = "[[0.573, 0.677], [1.87, 2.06], [3.34, 5.47], [7.88, 3.53], [9.77, 9.17]]"
        return ["", "[postprocess]", f"params = {{ anchors = {anchors} }}   # those it was trained with, in cells"]
    if head == "image" and 1 in export.shape()[1:2]:
        return ["", "[postprocess]", 'params = { kind = "gray" }       # or "y" (luma), "alpha" (transparency)']
    return []


def candidates_of(export: Export) -> list[Pair]:
    """(task, head) pairs whose names or else shapes fit."""
    if "scale_factor" in {t.name for t in export.inputs}:
        return [("object-detection", "paddle")]
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
    if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
        return [("image-classification", "classifier"), ("image-feature-extraction", "embedding")]
    if len(shape) == 3:
        maps: list[Pair] = [("image-segmentation", "semantic"), ("depth-estimation", "depth")]
        whole = next(iter(export.outputs.values())).dtype.kind in "iu"
        detectors: list[Pair] = [("object-detection", head) for head in ("yolo", "yolox", "gfl")]
        return maps if whole else [*detectors, *maps]
    return _maps(export, shape) if len(shape) == 4 else []


def _maps(export: Export, shape: Shape) -> list[Pair]:
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
