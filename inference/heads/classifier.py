"""Classification: one output [1, C] (or [1, C, 1, 1]) of logits or probabilities.

params: activation = "softmax" | "sigmoid" | "none" | "auto" (default auto: none when the row already is a
distribution, else softmax; multilabel means sigmoid); skip_first = 1 drops the first class (background).
postprocess: topk (default 5), confidence_threshold, multilabel.
uint8 outputs are 256ths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.heads import Head, Outputs, Shape, label_ids, part, threshold
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Classes, Floats


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Along an axis, shifted by the maximum so that large logits do not overflow."""
    powers: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    result: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return result


def sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))


def probabilities(row: NDArray[Any], manifest: Manifest) -> Floats:
    """One probability per class (C,) from the output's row."""
    if row.dtype.kind in "iu":
        return row.astype(np.float32) / 256  # the scale that TFLite gives a quantised softmax
    values = row.astype(np.float32, copy=False)
    kind = manifest.postprocess.params.get("activation", "auto")
    if kind == "auto":
        distribution = values.min() >= 0 and abs(float(values.sum()) - 1) < 1e-2
        kind = "sigmoid" if manifest.postprocess.multilabel else "none" if distribution else "softmax"
    return sigmoid(values) if kind == "sigmoid" else softmax(values) if kind == "softmax" else values


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Classes:
    scores = probabilities(part(outputs, manifest, "scores", 0)[0].ravel(), manifest)
    skip = int(manifest.postprocess.params.get("skip_first", 0))
    scores = scores[skip:]
    count = min(manifest.postprocess.topk or 5, len(scores))
    best = np.argpartition(-scores, count - 1)[:count]
    best = best[np.argsort(-scores[best], kind="stable")]
    limit = threshold(manifest, HEAD)
    best = best[scores[best] >= limit]
    ids = label_ids(best + skip, manifest)
    return Classes(ids, scores[best], manifest.names(ids))


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    shape = part(outputs, manifest, "scores", 0)
    return shape[1] if len(shape) > 1 else None


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "scores", 0)
    if len(shape) < 2 or any(s != 1 for s in shape[2:]):
        return f"head classifier expects one output [1, classes], found {list(shape)}"
    return None


HEAD = Head(
    ("image-classification", "video-classification"),
    decode,
    classes,
    misfit,
    params=("activation", "skip_first", "window_s", "overlap"),
    choices={"activation": ("auto", "softmax", "sigmoid", "none")},
)
