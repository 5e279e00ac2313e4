"""Which of YOLO's layouts an output has: by the lengths of its axes, and by its values where several fit.

The layouts are those of yolo.py. What tells them apart:
    a grid's boxes are in pixels, those of RT-DETR in 0..1 (a sigmoid; ultralytics/nn/modules/head.py), as centre and
    size; corners in 0..1 come from TensorFlow's exports with NMS
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


def fitting(
    shape: Sequence[int | None], labels: int, extras: int, network: tuple[int, int] | None = None
) -> tuple[str, ...]:
    """The layouts that an output [1, first, last] may have; a free axis fits where no known one decides.

    labels: how many, 0 where unknown: then the shorter axis holds the numbers of a box. network: (width, height) of
    the input, where it is known: three anchors per cell never come without an objectness. Empty where none fits.
    """
    _, first, last = shape
    few = first is None or first <= MAX_END2END_ROWS
    if labels > 0:
        lengths = {"end2end": (last, 6 + extras)} if few else {}
        for name, (axis, start) in GRIDS.items():
            if start == 5 or network is None or per_cell(shape[3 - axis], network) != 3:
                lengths[name] = (shape[axis], start + labels + extras)
        exact = tuple(name for name, (length, wanted) in lengths.items() if length == wanted)
        return exact or tuple(name for name, (length, _) in lengths.items() if length is None)
    if few and last in (None, 6 + extras):
        likely: tuple[str, ...] = ("end2end", *(("raw",) if last is None else ()), "v5", "raw_transposed")
    else:
        likely = ("raw",) if first is not None and (last is None or first < last) else ("v5", "raw_transposed")
    # A box has four numbers, and a class at least.
    room = {name: shape[GRIDS[name][0] if name in GRIDS else 2] for name in likely}
    return tuple(name for name, numbers in room.items() if numbers is None or numbers >= 5 + extras)


def unfitting(shape: Sequence[int | None], labels: int, extras: int, network: tuple[int, int] | None = None) -> str:
    """Why no layout fits; the arguments are those of `fitting`."""
    axes = ", ".join("?" if n is None else str(n) for n in shape)
    numbers = 4 + labels + extras
    if labels == 0:
        return (
            f"the output [{axes}] fits no layout of head yolo: expected {numbers + 1} numbers for each box or more; "
            "say in model.toml which head reads it"
        )
    expected = f"{numbers} numbers for each box ({numbers + 1} with an objectness, {6 + extras} where NMS is done)"
    if network and any(per_cell(n, network) == 3 for n in shape[1:]):
        expected = f"{numbers + 1} numbers for each box (an objectness among them, as each cell has 3 boxes)"
    return (
        f"the output [{axes}] fits no layout of head yolo with {labels} labels: expected {expected}; give the labels "
        "that this model was trained with (labels in model.toml)"
    )


def decided(output: Floats, fits: Sequence[str], network: tuple[int, int]) -> str:
    """The one of the layouts in `fits` that the values (first, last) have.

    network: (width, height) of the input. Raises BadModel where nothing decides.
    """
    left = list(fits)
    if "end2end" in left and len(left) > 1:
        left = ["end2end"] if _final(output) else [name for name in left if name != "end2end"]
    if {"v5", "raw_transposed"} <= set(left):
        objectness = per_cell(len(output), network) == 3 or bool(len(output) and (output[:, 4] == 1).all())
        left = ["v5"] if objectness else []
    if not left:
        raise BadModel(
            f"output [1, {output.shape[0]}, {output.shape[1]}]: nothing says whether an objectness stands before the "
            'classes; give the labels, or say postprocess.params.layout = "v5" (it does) or "raw_transposed"'
        )
    rows, numbers = output.shape
    queries = rows <= MAX_END2END_ROWS and (left[0] == "raw_transposed" or (left[0], numbers) == ("end2end", 6))
    centres = left[0] != "end2end" or not ordered(output[:, :4])
    return "rtdetr" if queries and in_unit(output[:, :4]) and centres else left[0]


def whole(values: Floats) -> bool:
    """Whether all values are whole numbers; NaN decides nothing."""
    return bool(((values == np.rint(values)) | np.isnan(values)).all())


def in_unit(boxes: Floats) -> bool:
    """Whether boxes (N, 4) lie in 0..1, and are not all zero."""
    numbers = boxes[np.isfinite(boxes)]
    return bool(numbers.size and numbers.min() >= 0 and 0 < numbers.max() <= 1)


def ordered(boxes: Floats) -> bool:
    """Whether all boxes (N, 4) can be corners, x1 <= x2 and y1 <= y2, as those of many centres and sizes never are."""
    used = boxes[np.isfinite(boxes).all(axis=1)]
    return bool((used[:, 2:] >= used[:, :2]).all())


def _final(rows: Floats) -> bool:
    """Whether rows are x1, y1, x2, y2, score, class."""
    scores = rows[np.isfinite(rows[:, 4]), 4]
    return whole(rows[:, 5]) and not bool(((scores < 0) | (scores > 1)).any())


def per_cell(rows: int | None, network: tuple[int, int]) -> int:
    """How many rows there are for each cell of the input: 3, 1, or 0 where it is neither."""
    width, height = network
    cells = [sum(-(-width // s) * -(-height // s) for s in strides) for strides in _STRIDES]
    return next((count for count in (3, 1) if rows in [count * number for number in cells]), 0)
