"""COCO run-length encoding of masks: column by column, runs of 0 and 1 in turn, in the compressed text form.

The format is that of pycocotools (counts as differences to the second last, in 5-bit groups from '0' on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.predictions import Ints, Masks
from inference.results.document import RleDoc


def counts(masks: Masks, i: int) -> Ints:
    """Run lengths (R,) of mask `i` over the whole picture in column order, beginning with zeros."""
    height, width = masks.size
    x1, y1, x2, y2 = (int(v) for v in masks.windows[i])
    # A column of zeros on either side: a run that reaches the window's first or last pixel has an edge there, too.
    columns = np.zeros((x2 - x1 + 2, height), bool)
    columns[1:-1, y1:y2] = masks.bits[i].T
    flat = columns.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1 + (x1 - 1) * height
    runs: Ints = np.diff(np.concatenate([[0], edges, [width * height]]))
    # Zeros may be none at the beginning, but the runs end with the last that holds a pixel.
    return runs[:-1] if len(runs) > 1 and runs[-1] == 0 else runs


def encode(masks: Masks, i: int) -> RleDoc:
    """{"size": [height, width], "counts": text} of mask `i`, as COCO tools read it."""
    return {"size": list(masks.size), "counts": _text(counts(masks, i))}


def _text(runs: Ints) -> str:
    values = runs.tolist()
    out = []
    for i, value in enumerate(values):
        rest = value - values[i - 2] if i > 2 else value
        while True:
            group, rest = rest & 0x1F, rest >> 5
            more = rest != (-1 if group & 0x10 else 0)
            out.append(chr((group | 0x20 if more else group) + 48))
            if not more:
                break
    return "".join(out)


def decode(document: Mapping[str, Any], size: tuple[int, int]) -> tuple[NDArray[np.bool_], int, int]:
    """(the mask (H, W) within its columns, x, y of its first pixel) of an encoded mask; size: (height, width) of the
    picture, which the document has to have as well. Raises ValueError for anything else."""
    given, text = document.get("size"), document.get("counts")
    if given != list(size) or not isinstance(text, str | list):
        raise ValueError(f"a mask of size {given} with {type(text).__name__} as counts, expected {list(size)} and text")
    runs = np.asarray(_runs(text) if isinstance(text, str) else text, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or (runs > size[0] * size[1]).any() or runs.sum() != size[0] * size[1]:
        raise ValueError("the runs of a mask are not those of its size")
    ends = np.cumsum(runs)
    ones = runs[1::2] > 0
    starts, stops = ends[:-1:2][ones[: len(ends[:-1:2])]], ends[1::2][ones]
    if not len(starts):
        return np.zeros((0, 0), bool), 0, 0
    first, last = int(starts[0]) // size[0], (int(stops[-1]) - 1) // size[0]
    edges = np.zeros((last - first + 1) * size[0] + 1, np.int8)
    edges[starts - first * size[0]] += 1
    edges[stops - first * size[0]] -= 1
    return np.cumsum(edges[:-1], dtype=np.int8).astype(bool).reshape(-1, size[0]).T, first, 0


def _runs(text: str) -> list[int]:
    values: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 40:
            raise ValueError("the counts of a mask are not COCO's")
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            value -= (1 << shift) if group & 0x10 else 0
            values.append(value + values[-2] if len(values) > 2 else value)
            value = shift = 0
    return values
