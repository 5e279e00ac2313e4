"""YOLOX (Ge et al., 2021, arXiv:2107.08430): one output [1, A, 5 + C] over a grid, not yet decoded.

Rows are tx, ty, tw, th, objectness, C class scores (both already sigmoid); cells of each stride in turn, row by row.
params: strides (default [8, 16, 32]); decoded = true where the export decoded the boxes itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.errors import BadModel
from inference.heads import Head, Outputs, Shape, part, threshold
from inference.heads._detection import after_nms, best_class_with_objectness, cxcywh_to_xyxy, grid
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Floats, Objects


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Objects:
    raw = part(outputs, manifest, "boxes", 0)[0]
    limit = threshold(manifest, HEAD)
    rows, classes, scores = best_class_with_objectness(raw, raw.shape[1], limit, manifest.postprocess.multilabel)
    boxes = raw[rows, :4]
    if not manifest.postprocess.params.get("decoded", False):
        _refuse_decoded(boxes, manifest)
        cells, strides = grid(*fit.network, _strides(manifest))
        cells, strides = cells[rows], strides[rows]
        boxes = np.concatenate([(boxes[:, :2] + cells) * strides, np.exp(boxes[:, 2:]) * strides], axis=1)
    return after_nms(cxcywh_to_xyxy(boxes), scores, classes, fit, manifest)


def _refuse_decoded(boxes: Floats, manifest: Manifest) -> None:
    """Raises BadModel for sizes that are no logarithms of cells: exp(12) of them is wider than any picture."""
    sizes = boxes[:, 2:]
    if (top := sizes.max(initial=0, where=np.isfinite(sizes))) > _LARGEST_LOGARITHM:
        raise BadModel(
            f"{manifest.name}: boxes with sizes up to {top:.4g} before their exponential: they are pixels already; say "
            "postprocess.params.decoded = true, or another head"
        )


_LARGEST_LOGARITHM = 12


def _strides(manifest: Manifest) -> tuple[int, ...]:
    return tuple(manifest.postprocess.params.get("strides", (8, 16, 32)))


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    last = part(outputs, manifest, "boxes", 0)[-1]
    return None if last is None else last - 5


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "boxes", 0)
    if len(shape) != 3 or (shape[2] is not None and shape[2] < 6):
        return f"head yolox expects one output [1, anchors, 5 + classes], found {list(shape)}"
    return None


HEAD = Head(("object-detection",), decode, classes, misfit, mixed=True, threshold=0.3, params=("strides", "decoded"))
