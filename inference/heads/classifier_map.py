"""Classifiers that end in an ONNX-ML map: a sequence of {label: probability}, as Custom Vision's older domains and
scikit-learn write it. The other output, the best label as text, is not needed.

postprocess: topk (default 5), confidence_threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inference.heads import Head, Outputs, threshold
from inference.heads.classifier import checked
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Classes


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Classes:
    maps: list[Any] = [value for value in outputs.values() if isinstance(value, list) and value]
    probabilities = {str(k): float(v) for k, v in maps[0][0].items()} if maps else {}
    labels = list(manifest.labels) or sorted(probabilities)
    names = sorted(probabilities, key=lambda name: -probabilities[name])
    names = [n for n in names if probabilities[n] >= threshold(manifest, HEAD)][: manifest.postprocess.topk or 5]
    ids = [labels.index(n) if n in labels else -1 for n in names]
    scores = np.asarray([probabilities[n] for n in names], np.float32)
    scores = checked(scores) if names else scores
    return Classes(np.asarray(ids, np.int64), scores, tuple(names))


HEAD = Head(("image-classification",), decode, whole_numbers=True)
