"""The model.toml to be completed that `models check` prints for an export that is not recognised."""

from __future__ import annotations

from collections.abc import Sequence

from inference.heads._roles import role_of_name
from inference.recognize._channels import takes_pictures
from inference.recognize._export import Export
from inference.recognize.candidates import (
    ANOMALY,
    Pair,
    anomaly_map,
    candidates_of,
    efficientdet,
    from_one,
    in_toml,
    label_set,
    row_columns,
)
from inference.recognize.layouts import FLAT, FLAT_V7

_WITH_LABELS = ("image-classification", "object-detection", "image-segmentation", "video-classification")


def label_lines(count: int, names: str) -> list[str]:
    """The lines of a manifest that take the names of a label set for `count` classes, if that is what they are."""
    lines = [f'labels = "{names}"   # if it was trained on these: it has {count} classes; else "labels.txt"']
    if count == 1001:
        lines.append("label_offset = -1                # class 0 is the background; see also skip_first below")
    return lines


def deciding_lines(export: Export) -> str:
    """A model.toml to be completed: a block for every candidate, and the preprocessing that only its author knows.

    Empty for a model that takes no picture.
    """
    if not takes_pictures(export):
        return ""
    pairs = candidates_of(export)
    lines = [f'file = "{export.relative}"']
    for i, (task, head) in enumerate(pairs):
        lines += [f'{"# or: " if i else ""}task = "{task}"', f'{"# or: " if i else ""}head = "{head}"']
    if not pairs:
        lines.append("# task and head: see the heads in inference/heads")
    count, names = label_set(export, pairs)
    if names:
        lines += label_lines(count, names)
    elif anomaly_map(export):
        lines.append(f"labels = {in_toml(ANOMALY)}")
    elif not pairs or pairs[0][0] in _WITH_LABELS:
        lines.append('labels = "labels.txt"            # a label per line, in the order of the classes')
    if pairs and from_one(export, pairs[0]):
        own, other = _OFFSETS[pairs[0][1]]
        lines.append(f"label_offset = -1                # class 0 is the background ({own}); 0: {other}")
    return "\n".join([*lines, "", "[preprocess]", *_preprocess(export, pairs), *_postprocess(export, pairs)]) + "\n"


# Whose ids begin at 1, and whose at 0, by head.
_OFFSETS = {
    "rcnn": ("maskrcnn-benchmark", "Detectron2"),
    "tf_detection": ("TensorFlow's", "TFLite's"),
    "boxes": ("EfficientDet's", "others"),
}


# What pictures are resized to where the input leaves it open, by head.
_STAGES = "{ shortest_edge = 800, longest_edge = 1333 }"
_FREE = {"rcnn": _STAGES, "mmdeploy": _STAGES, "detr": _STAGES, "yolo": "{ height = 640, width = 640 }"}


def _preprocess(export: Export, pairs: Sequence[Pair]) -> list[str]:
    grey = export.channels == 1
    first = pairs[0][1] if pairs else ""
    free = _FREE.get(first, "{ height = 224, width = 224 }")
    resize = '"letterbox"        # or "stretch"' if first == "yolo" else '"stretch"          # or "letterbox"'
    size = [] if export.size() or ("image-to-image", "image") in pairs else [f"size = {free}"]
    lines = [
        *size,
        'color_order = "gray"             # or "y"' if grey else 'color_order = "rgb"              # or "bgr"',
        f'resize_mode = {resize}, "letterbox_top_left", "shortest_edge" with do_center_crop = true',
    ]
    if export.picture.dtype.kind in "iu":
        numbers = {"int8": "pixel - 128", "uint16": "0..65535"}.get(export.picture.dtype.name, "0..255")
        return [
            *lines,
            f"# the input takes whole numbers: pixels go in as {numbers}, or by the scale that the file states",
        ]
    if export.opening.takes:
        known = f'color_order = "{export.opening.color_order}"'
        lines = [known if export.opening.color_order and "color_order" in line else line for line in lines]
        scale = "false" if export.opening.takes == "0..255" else "true"
        return [*lines, f"# {export.opening.in_words()}", f"do_rescale = {scale}"]
    if first == "yolo":
        return [*lines, "do_rescale = true                # YOLO takes 0..1, without a mean"]
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
    if name := anomaly_map(export):
        return ["", "[postprocess]", f'outputs = {{ map = "{name}" }}']
    if head == "classifier" and label_set(export, pairs)[0] == 1001:
        return ["", "[postprocess]", "params = { skip_first = 1 }      # no answer is ever the background"]
    if head == "detr":
        kind = "sigmoid" if label_set(export, pairs)[0] else "softmax"
        meant = "softmax: the last class is none (DETR, YOLOS); sigmoid: RT-DETR, D-FINE"
        return ["", "[postprocess]", f'params = {{ activation = "{kind}" }}   # {meant}']
    if head == "boxes" and efficientdet(export):
        params = f'{{ columns = {in_toml(FLAT)}, order = "yxyx" }}'
        return ["", "[postprocess]", f"params = {params}   # as EfficientDet's"]
    if head == "boxes" and (columns := row_columns(export)):
        lines = ["", "[postprocess]", f"params = {{ columns = {in_toml(columns)} }}"]
        return [*lines, f"# of YOLOv7: params = {{ columns = {in_toml(FLAT_V7)} }}"] if columns == FLAT else lines
    if head == "boxes" and "labels" not in {role_of_name(name) for name in export.outputs}:
        lines = ["", "[postprocess]         # for boxes that are final, not offsets to anchors or priors"]
        return [*lines, 'params = { order = "xyxy" }           # or "cxcywh", "yxyx"']
    if head == "yolo_grid":
        anchors = "[[0.573, 0.677], [1.87, 2.06], [3.34, 5.47], [7.88, 3.53], [9.77, 9.17]]"
        return ["", "[postprocess]", f"params = {{ anchors = {anchors} }}   # those it was trained with, in cells"]
    if head == "image" and 1 in export.shape()[1:2]:
        return ["", "[postprocess]", 'params = { kind = "gray" }       # or "y" (luma), "alpha" (transparency)']
    return []
