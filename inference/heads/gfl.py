"""Generalized Focal Loss heads (Li et al., 2020, arXiv:2006.04388): NanoDet, NanoDet-Plus, PicoDet.

For each stride class scores [1, A, C] (or [A, C]) and side distributions [1, A, 4 (n + 1)]; in any order, or joined
along the last axis in one output [1, A, C + 4 (n + 1)]. A side is the mean of its distribution over 0..n bins,
times the stride; left, top, right, bottom from the cell's point.
Scores are probabilities: where the graph does not apply the sigmoid itself, it is applied here.
params: bins (n + 1, default 8); strides (default: from the number of cells); point = position of
the point in its cell (default 0.5; 0 is the upper left corner) and shift = pixels added to it (default 0; the zoo's
NanoDet-Plus: -0.5); activation = "none" (default) | "sigmoid".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.errors import BadModel
from inference.heads import LOGITS, PROBABILITIES, Ending, Head, Output, Outputs, Shape, part, threshold, with_params
from inference.heads._detection import after_nms, best_class, grid
from inference.heads.classifier import sigmoid, softmax
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    scores, sides = _concatenated(outputs, manifest)
    if manifest.postprocess.params.get("activation") == "sigmoid":
        scores = sigmoid(scores)
    cells, strides = grid(*fit.network, _strides(len(scores), fit, manifest))
    rows, classes, best = best_class(scores, threshold(manifest, HEAD), manifest.postprocess.multilabel)
    bins = _bins(manifest)
    probabilities = softmax(sides[rows].reshape(-1, 4, bins))
    distances = probabilities @ np.arange(bins, dtype=np.float32) * strides[rows]
    params = manifest.postprocess.params
    centres = (cells[rows] + float(params.get("point", 0.5))) * strides[rows] + float(params.get("shift", 0))
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    boxes = boxes.clip(0, np.asarray(fit.network * 2, np.float32))
    return after_nms(boxes, best, classes, fit, manifest)


def _concatenated(outputs: Outputs, manifest: Manifest) -> tuple[Floats, Floats]:
    """(class scores (A, C), side distributions (A, 4 bins)) over all strides, finest first."""
    sides = 4 * _bins(manifest)
    tensors = [v.reshape(-1, v.shape[-1]) for v in outputs.values()]
    if len(tensors) == 1:
        return tensors[0][:, :-sides], tensors[0][:, -sides:]
    by_kind = _split([t.shape for t in tensors], sides)
    scores, distances = (sorted((tensors[i] for i in kind), key=len, reverse=True) for kind in by_kind)
    return np.concatenate(scores), np.concatenate(distances)


def _split(shapes: list[tuple[int | None, ...]], sides: int) -> tuple[list[int], list[int]]:
    """Indices of the outputs with (class scores, distributions), by their last axis, else by their order."""
    distances = [i for i, s in enumerate(shapes) if s[-1] == sides]
    if len(distances) * 2 != len(shapes):  # ambiguous, as there are as many classes: exporters put all scores first
        distances = list(range(len(shapes) // 2, len(shapes)))
    return [i for i in range(len(shapes)) if i not in distances], distances


def _bins(manifest: Manifest) -> int:
    return int(manifest.postprocess.params.get("bins", 8))


def _strides(cells: int, fit: Fit, manifest: Manifest) -> tuple[int, ...]:
    width, height = fit.network
    given = manifest.postprocess.params.get("strides")
    for strides in [tuple(given)] if given else [(8, 16, 32), (8, 16, 32, 64), (16, 32, 64)]:
        if sum(-(-width // s) * -(-height // s) for s in strides) == cells:
            return strides
    raise BadModel(
        f"{manifest.name}: found {cells} cells, which no usual strides give for {width}x{height}; "
        "set postprocess.params.strides"
    )


def settle(outputs: Mapping[str, Output], manifest: Manifest, ending: Ending) -> Manifest:
    """A sigmoid where the scores leave a layer as they are, and none where the graph has applied it."""
    stated, names = manifest.postprocess.params.get("activation"), list(outputs)
    if len(names) == 1:
        return manifest
    kind = ending(names[_split([o.shape for o in outputs.values()], 4 * _bins(manifest))[0][0]])
    if kind == LOGITS and stated is None:
        return with_params(manifest, activation="sigmoid")
    return with_params(manifest, activation="none") if kind == PROBABILITIES and stated else manifest


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
    settle,
    threshold=0.35,
    params=("activation", "bins", "point", "shift", "strides"),
    choices={"activation": ("none", "sigmoid")},
)
