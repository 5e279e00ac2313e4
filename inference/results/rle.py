"""COCO run-length encoding of masks: column by column, runs of 0 and 1 in turn, in the compressed text form.

The format is that of pycocotools (counts as differences to the second last, in 5-bit groups from '0' on).
"""

from __future__ import annotations

import numpy as np

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
