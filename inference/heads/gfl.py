"""Generalized Focal Loss heads (Li et al., 2020, arXiv:2006.04388): NanoDet, NanoDet-Plus, PicoDet.

Per stride class scores [1, A, C] (or [A, C]) and side distributions [1, A, 4 (n + 1)]; in any order, or joined
along the last axis in one output [1, A, C + 4 (n + 1)]. A side is the mean of its distribution over 0..n bins,
times the stride; left, top, right, bottom from the cell's point.
params: bins (n + 1, default 8); strides (default: from the number of cells); point = where a cell's point lies
in it (default 0.5; 0 is its upper left corner) and shift = pixels from there (default 0; the zoo's NanoDet-Plus:
-0.5); activation = "none" (default) | "sigmoid".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.errors import BadModel
from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import best_class, grid, objects, suppress
from inference.heads.classifier import sigmoid, softmax
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    scores, sides = _joined(outputs, manifest)
    if manifest.postprocess.params.get("activation") == "sigmoid":
        scores = sigmoid(scores)
    cells, strides = grid(*fit.network, _strides(len(scores), fit, manifest))
    rows, classes, found = best_class(scores, threshold(manifest, HEAD), manifest.postprocess.multilabel)
    bins = _bins(manifest)
    shares = softmax(sides[rows].reshape(-1, 4, bins))
    reach = shares @ np.arange(bins, dtype=np.float32) * strides[rows]
    params = manifest.postprocess.params
    centres = (cells[rows] + float(params.get("point", 0.5))) * strides[rows] + float(params.get("shift", 0))
    boxes = np.concatenate([centres - reach[:, :2], centres + reach[:, 2:]], axis=1)
    boxes = boxes.clip(0, np.asarray(fit.network * 2, np.float32))
    keep = suppress(boxes, found, classes, manifest)
    return objects(boxes[keep], found[keep], classes[keep], fit, manifest)


def _joined(outputs: Outputs, manifest: Manifest) -> tuple[Floats, Floats]:
    """(class scores (A, C), side distributions (A, 4 bins)) over all strides, finest first."""
    sides = 4 * _bins(manifest)
    tensors = [v.reshape(-1, v.shape[-1]) for v in outputs.values()]
    if len(tensors) == 1:
        return tensors[0][:, :-sides], tensors[0][:, -sides:]
    by_kind = _split([t.shape for t in tensors], sides)
    scores, reaches = (sorted((tensors[i] for i in kind), key=len, reverse=True) for kind in by_kind)
    return np.concatenate(scores), np.concatenate(reaches)


def _split(shapes: list[tuple[int | None, ...]], sides: int) -> tuple[list[int], list[int]]:
    """(which outputs are class scores, which are distributions), by their last axis, else by their order."""
    reaches = [i for i, s in enumerate(shapes) if s[-1] == sides]
    if len(reaches) * 2 != len(shapes):  # as many classes as side numbers: all scores come first, as exporters do
        reaches = list(range(len(shapes) // 2, len(shapes)))
    return [i for i in range(len(shapes)) if i not in reaches], reaches


def _bins(manifest: Manifest) -> int:
    return int(manifest.postprocess.params.get("bins", 8))


def _strides(cells: int, fit: Fit, manifest: Manifest) -> tuple[int, ...]:
    width, height = fit.network
    said = manifest.postprocess.params.get("strides")
    for strides in [tuple(said)] if said else [(8, 16, 32), (8, 16, 32, 64), (16, 32, 64)]:
        if sum(-(-width // s) * -(-height // s) for s in strides) == cells:
            return strides
    raise BadModel(f"{manifest.name}: {cells} cells do not fit {width}x{height}; say postprocess.params.strides")


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    shapes, sides = list(outputs.values()), 4 * _bins(manifest)
    last = shapes[_split(shapes, sides)[0][0]][-1] if len(shapes) > 1 else shapes[0][-1]
    return last - sides if last and len(shapes) == 1 else last


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    sides = 4 * _bins(manifest)
    shapes = list(outputs.values())
    if len(shapes) == 1:
        last = part(outputs, manifest, "boxes", 0)[-1]
        return None if last is None or last > sides else f"head gfl expects [1, cells, classes + {sides}]"
    if len(shapes) % 2 or sum(s[-1] == sides for s in shapes) < len(shapes) // 2:
        return f"head gfl expects class scores and distributions [1, cells, {sides}] for each stride"
    return None


HEAD = Head(
    ("object-detection",),
    decode,
    classes,
    misfit,
    threshold=0.35,
    params=("activation", "bins", "point", "shift", "strides"),
)
