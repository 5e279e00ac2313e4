"""Which of YOLO's layouts an output has: by the lengths of its axes, and by its values where several fit.

The layouts are those of yolo.py. What tells them apart:
    a grid's boxes are in pixels, those of RT-DETR in 0..1 (a sigmoid; ultralytics/nn/modules/head.py)
    after NMS the class column holds whole numbers, which a column of probabilities never does over all rows
    three anchors per cell mean an objectness (YOLOv5, v7); without anchors YOLOv6 writes 1 into all of that column
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.errors import BadModel
from inference.predictions import Floats

# A graph with NMS inside has at most this many rows.
MAX_END2END_ROWS = 1000
# The axis with the numbers of a box, and how many of them come before the classes.
GRIDS = {"raw": (1, 4), "v5": (2, 5), "raw_transposed": (2, 4), "v5_transposed": (1, 5)}
NAMES = (*GRIDS, "end2end", "rtdetr")
# Cells are 8, 16 and 32 pixels wide; of larger networks also 64, of YOLOv3-tiny only 16 and 32.
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32))


def fitting(shape: Sequence[int | None], labels: int, extras: int) -> tuple[str, ...]:
    """The layouts that an output [1, first, last] may have; a free axis fits where no known one decides.

    labels: how many, 0 where unknown: then the shorter axis holds the numbers of a box. Empty where none fits.
    """
    _, first, last = shape
    few = first is None or first <= MAX_END2END_ROWS
    lengths = {"end2end": (last, 6 + extras)} if few else {}
    if labels > 0:
        lengths |= {name: (shape[axis], start + labels + extras) for name, (axis, start) in GRIDS.items()}
        exact = tuple(name for name, (length, wanted) in lengths.items() if length == wanted)
        return exact or tuple(name for name, (length, _) in lengths.items() if length is None)
    if few and last in (None, 6 + extras):
        return ("end2end", *(("raw",) if last is None else ()), "v5", "raw_transposed")
    return ("raw",) if first is not None and (last is None or first < last) else ("v5", "raw_transposed")


def decided(output: Floats, fits: Sequence[str], network: tuple[int, int]) -> str:
    """The one of the layouts in `fits` that the values (first, last) have.

    network: (width, height) of the input. Raises BadModel where nothing decides.
    """
    left = list(fits)
    if "end2end" in left and len(left) > 1:
        left = ["end2end"] if _final(output) else [name for name in left if name != "end2end"]
    if {"v5", "raw_transposed"} <= set(left):
        left = ["v5"] if _has_objectness(output, network) else []
    if not left:
        raise BadModel(
            f"output [1, {output.shape[0]}, {output.shape[1]}]: nothing says whether an objectness stands before the "
            'classes; give the labels, or say postprocess.params.layout = "v5" (it does) or "raw_transposed"'
        )
    rows, numbers = output.shape
    queries = rows <= MAX_END2END_ROWS and (left[0] == "raw_transposed" or (left[0], numbers) == ("end2end", 6))
    return "rtdetr" if queries and in_unit(output[:, :4]) else left[0]


def whole(values: Floats) -> bool:
    """Whether all values are whole numbers."""
    return bool((values == np.rint(values)).all())


def in_unit(boxes: Floats) -> bool:
    """Whether boxes (N, 4) lie in 0..1, and are not all zero."""
    return bool(boxes.size and boxes.min() >= 0 and 0 < boxes.max() <= 1)


def _final(rows: Floats) -> bool:
    """Whether rows are x1, y1, x2, y2, score, class."""
    return whole(rows[:, 5]) and bool((rows[:, 4] >= 0).all() and (rows[:, 4] <= 1).all())


def _has_objectness(rows: Floats, network: tuple[int, int]) -> bool:
    width, height = network
    cells = [sum(-(-width // s) * -(-height // s) for s in strides) for strides in _STRIDES]
    return len(rows) in [3 * count for count in cells] or bool(len(rows) and (rows[:, 4] == 1).all())
