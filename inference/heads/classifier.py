"""Classification: one output [1, C] (or [1, C, 1, 1]) of logits or probabilities.

params: activation = "softmax" | "sigmoid" | "none" | "auto"; skip_first = 1 drops the first class (background).
postprocess: topk (default 5), confidence_threshold, multilabel.
auto, the default: none where the graph ends in a sigmoid or softmax itself; else sigmoid for a single output and with
multilabel, else softmax. Where the graph does not show what it ends in, none for rows that are a distribution, and a
single output is refused. What the graph has applied is never applied again.
A single output is the probability of the only label; of two labels it is that of the second (Keras: labels 0 and 1),
and the first has the rest.
Whole numbers mean what the graph's scale says; without one, bytes are 256ths and int8 is 256ths from -128 on, as TFLite
quantises every softmax and sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadManifest, BadModel
from inference.heads import (
    PROBABILITIES,
    Ending,
    Head,
    Output,
    Outputs,
    Shape,
    label_ids,
    name_of,
    part,
    threshold,
    with_params,
)
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Classes, Floats

_LINE = 'say postprocess.params.activation = "sigmoid" or "softmax" for logits, "none" for probabilities'


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Along an axis, shifted by the maximum so that large logits do not overflow."""
    powers: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    result: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return result


def sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))


def probabilities(row: NDArray[Any], manifest: Manifest) -> Floats:
    """One probability per class (C,) from the output's row. Raises BadManifest where the values are none."""
    post = manifest.postprocess
    kind = "none"
    if row.dtype.kind in "iu":
        values = _of_256ths(row, manifest)
    else:
        values = row.astype(np.float32, copy=False)
        kind = post.params.get("activation", "auto")
        if kind == "auto":
            distribution = values.min() >= 0 and abs(float(values.sum()) - 1) < 1e-2
            one_each = post.multilabel or len(values) == 1
            kind = "sigmoid" if one_each else "none" if distribution else "softmax"
        elif kind == "softmax" and len(values) == 1:  # of a free number of classes; a softmax of one is always 1
            kind = "sigmoid"
    scores = checked(values) if kind == "none" else sigmoid(values) if kind == "sigmoid" else softmax(values)
    if len(scores) == 1 and _labels(manifest) == 2:
        return np.concatenate([1 - scores, scores])
    return scores


def _of_256ths(row: NDArray[Any], manifest: Manifest) -> Floats:
    """TFLite's scale of quantised probabilities. Raises BadManifest where the numbers cannot be on it."""
    values: Floats = (row.astype(np.float32) - np.iinfo(row.dtype).min) / 256
    several = manifest.postprocess.multilabel or len(values) == 1
    # each of C numbers is rounded by at most half of a 256th
    if not several and values.sum() > 1.02 + len(values) / 512 and "activation" not in manifest.postprocess.params:
        raise BadManifest(
            f"its {row.dtype} scores add up to {values.sum():.3g} as 256ths, so they are no softmax, and the file "
            "states no scale: export it with float outputs; if they are 256ths of probabilities all the same, say "
            'postprocess.params.activation = "none"'
        )
    return values


def checked(values: Floats) -> Floats:
    """Scores that are probabilities as they are, which rounding may have moved over 1 by a hundredth.

    Raises BadManifest for others, so that no result holds 1,200 %.
    """
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values
    if low >= -0.01 and high <= 1.01:
        return values.clip(0, 1)
    if math.isfinite(low) and math.isfinite(high):
        raise BadManifest(f"scores from {low:.4g} to {high:.4g}, expected probabilities in 0..1: {_LINE}")
    return values


def _labels(manifest: Manifest) -> int:
    return len(manifest.labels) - manifest.label_offset


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


def settle(outputs: Mapping[str, Output], manifest: Manifest, ending: Ending) -> Manifest:
    """The activation, where the graph decides it."""
    name = name_of(outputs, manifest, "scores", 0)
    output, stated = outputs[name], manifest.postprocess.params.get("activation", "auto")
    single = output.shape[1:2] == (1,)
    if output.dtype.kind not in "iuf" or (output.dtype.kind in "iu" and output.dtype.itemsize > 1):
        raise BadModel(
            f"{manifest.name}: output {name!r} holds {output.dtype} without a scale, expected scores: export it with "
            "float outputs, and without an ArgMax at its end"
        )
    if output.dtype.kind != "f":
        return manifest
    if single and stated == "softmax":
        raise BadManifest(
            f'{manifest.name}: a softmax over the single output {name!r} is always 1; say activation = "sigmoid"'
        )
    kind = ending(name) if stated != "none" else None
    if kind == PROBABILITIES:
        return with_params(manifest, activation="none")
    if stated != "auto":
        return manifest
    if single and kind is None:
        raise BadManifest(
            f"{manifest.name}: nothing decides whether its single output {name!r} is a logit or a probability: say "
            'postprocess.params.activation = "sigmoid" for a logit, "none" for a probability'
        )
    if kind is None:
        return manifest
    return with_params(manifest, activation="sigmoid" if single or manifest.postprocess.multilabel else "softmax")


def classes(outputs: Mapping[str, Shape], manifest: Manifest) -> int | None:
    shape = part(outputs, manifest, "scores", 0)
    count = shape[1] if len(shape) > 1 else None
    return 2 if count == 1 and _labels(manifest) == 2 else count


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "scores", 0)
    if len(shape) < 2 or any(s != 1 for s in shape[2:]):
        return f"head classifier expects one output [1, classes], found {list(shape)}"
    skip, count = manifest.postprocess.params.get("skip_first", 0), classes(outputs, manifest)
    if count and skip >= count:
        return f"postprocess.params.skip_first is {skip}, which leaves none of {count} classes; say 0"
    return None


HEAD = Head(
    ("image-classification", "video-classification"),
    decode,
    classes,
    misfit,
    settle,
    whole_numbers=True,
    params=("activation", "skip_first", "window_s", "overlap"),
    choices={"activation": ("auto", "softmax", "sigmoid", "none")},
)
