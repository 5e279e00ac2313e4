"""Which line of a label list belongs to which class index, and how many classes a detector's weights show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inference.engine.graph import Graph, Node
from inference.errors import BadManifest, DropsightError
from inference.heads import find_head
from inference.manifest import manifest_from
from inference.placeholders import is_placeholder
from inference.recognize._export import Draft, Export

# Weights of one score for each class: torchvision's R-CNN; D-FINE, RT-DETR and DEIM.
_SCORES = r"(box_predictor\.cls_score|decoder\.dec_score_head\.\d+|decoder\.enc_score_head)\.(weight|bias)$"
# Those of class scores and of boxes where the same number of anchors gives C and 4 of them: torchvision's RetinaNet and
# FCOS, its SSD; TensorFlow's SSD of release 1 and of release 2.
_PAIRS = (
    (r"head\.classification_head\.cls_logits\.(weight|bias)$", r"head\.regression_head\.bbox_reg\.(weight|bias)$"),
    (r"head\.classification_head\.module_list\.(\S+)$", r"head\.regression_head\.module_list\.(\S+)$"),
    (r"BoxPredictor_(\d+)/ClassPredictor/.*[Bb]ias", r"BoxPredictor_(\d+)/BoxEncodingPredictor/.*[Bb]ias"),
    (r"ConvolutionalClassHead_(\d+)/ClassPredictor/.*[Bb]ias", r"ConvolutionalBoxHead_(\d+)/BoxPredictor/.*[Bb]ias"),
)


@dataclass(frozen=True)
class Placed:
    """The label list, the offset (label id = class index + offset), and what was taken for what, in a sentence."""

    labels: list[str]
    offset: int
    said: str


def class_slots(graph: Graph) -> int | None:
    """How many classes the last layers of a detector score, a background included; None where its weights do not tell.

    Read from the names that PyTorch's and TensorFlow's modules give their weights, first axis first; an export that
    renames them does not tell.
    """
    shapes = {name: w.dims[0] for name, w in graph.weights.items() if w.dims}
    counts = {float(n) for name, n in shapes.items() if re.search(_SCORES, name)}
    for scores, boxes in _PAIRS:
        anchors = {m.group(1): n / 4 for name, n in shapes.items() if n and (m := re.search(boxes, name))}
        found = {m.group(1): n for name, n in shapes.items() if (m := re.search(scores, name))}
        counts |= {n / anchors[key] for key, n in found.items() if key in anchors}
    count = counts.pop() if len(counts) == 1 else 0.0
    return int(count) if count >= 1 and count.is_integer() else None


def slots_by_layers(graph: Graph) -> int | None:
    """The same of an R-CNN whose weights were renamed: two layers of the same features, of C and 4 C numbers."""
    counts = set()
    for nodes in graph.users.values():
        sizes = {_outputs_of(graph, node) for node in nodes if node.op in ("Gemm", "MatMul")}
        counts |= {size for size in sizes if size > 1 and 4 * size in sizes}
    return counts.pop() if len(counts) == 1 else None


def _outputs_of(graph: Graph, node: Node) -> int:
    """How many numbers a layer with weights gives for each row; 0 where it has none."""
    dims = graph.weights[node.inputs[1]].dims if node.inputs[1] in graph.weights else ()
    return (dims[0] if node.numbers.get("transB") else dims[1]) if len(dims) == 2 else 0


def past_a_placeholder(export: Export, draft: Draft) -> Draft:
    """The draft with label_offset = 1 where the label list has one line more than there are classes, and its first
    stands for none; families with a convention of their own have an offset already."""
    labels = draft.table.get("labels")
    if not isinstance(labels, list) or not labels or not is_placeholder(labels[0]) or "label_offset" in draft.table:
        return draft
    try:
        manifest = manifest_from({"name": export.name, **draft.table}, str(export.file), export.folder)
        head, shapes = find_head(manifest.head), {name: t.shape for name, t in export.outputs.items()}
        classes = None if head.misfit(shapes, manifest) else head.classes(shapes, manifest)
    except DropsightError:  # said where the model is loaded
        return draft
    # Detectors that run NMS themselves do not show how many classes they have; none has a background among them.
    listed = classes is None and manifest.task == "object-detection" and "names" not in export.metadata
    if not listed and (classes is None or classes != len(labels) - 1):
        return draft
    placed = place(export, labels, 0, classes)
    table = {**draft.table, "label_offset": placed.offset}
    return replace(draft, table=table, assumed=(*draft.assumed, placed.said))


def place(export: Export, names: Sequence[str], first: int, slots: int | None) -> Placed:
    """Which class has which of the names in the list beside a file.

    first: the index of the first class that is none of background, by the family's convention. slots: how many
    classes there are, counted from index 0; None where that is not known. Raises BadManifest where they do not fit.
    """
    names = [name for name in names if name.strip().lower() != "__ignore__"]
    spare = int(len(names) > 1 and is_placeholder(names[0]))
    if slots is None and first and [name.lower() for name in names[spare:][:12:11]] == ["person", "stop sign"]:
        slots = (
            91  # COCO's: torchvision and TensorFlow have its ids, the 80 names that everybody has leave out the gaps
        )
    if slots is None or len(names) - spare + first == slots:
        offset = spare - first
        if spare:
            said = (
                f"the first line of the labels, {names[0]!r}, stands for no class; label_offset = {offset - 1} in "
                "model.toml if it is a class of its own"
            )
        elif first:
            said = (
                f"class 1 is {names[0]!r}, the first line of the labels, as class 0 is the background; label_offset = "
                "0 in model.toml if that line is the background's"
            )
        else:
            said = ""
        return Placed(names, offset, said)
    if len(names) == slots:  # a line for each, whatever the first is called
        said = f"class 0 is {names[0]!r}, the first line of the labels, as there are {slots} of both" if first else ""
        return Placed(names, 0, said)
    raise BadManifest(f"{export.file}: {_misfit(names, spare, first, slots)}")


def _misfit(names: Sequence[str], spare: int, first: int, slots: int) -> str:
    wanted, found = slots - first, len(names) - spare
    background = " (a first line `background` may stand for class 0)" if first else ""
    if not first and slots == found + 1:
        background = " (if its ids begin at 1, a first line `background` stands for class 0)"
    if slots in (90, 91) and found == 80:
        background += "; COCO's ids have gaps: without the list it gets their names (builtin:coco91)"
    return (
        f"the model has {wanted} classes{' and a background' if first else ''}, the label list beside it {found} names"
        f"{f' after {names[0]!r}' if spare else ''}; put the {wanted} names that it was trained with there, a line "
        f"each in the order of the classes{background}, or write a model.toml with labels and label_offset"
    )
