"""Embeddings: one output [1, D] (or [1, D, 1, 1]) that stands for the picture.

params: normalize = false leaves the vector's length as it is (default: length 1, so that a dot product is the cosine);
pool = "mean" takes a map [1, D, h, w] and averages it over its cells, as classifiers do before their last layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, part
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Embedding, Floats


def unit_length(vectors: Floats) -> Floats:
    """Along the last axis, to length 1; a vector of zeros stays one."""
    squares = np.einsum("...i,...i->...", vectors, vectors, dtype=np.float64)  # which overflow float32
    lengths = np.sqrt(squares)[..., None]
    units: Floats = (vectors / np.maximum(lengths, 1e-12)).astype(vectors.dtype, copy=False)
    return units


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Embedding:
    features = part(outputs, manifest, "embedding", 0)[0].astype(np.float32)
    vector = features.mean((1, 2)) if _pooled(manifest) else features.ravel()
    return Embedding(unit_length(vector) if manifest.postprocess.params.get("normalize", True) else vector)


def _pooled(manifest: Manifest) -> bool:
    return bool(manifest.postprocess.params.get("pool") == "mean")


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "embedding", 0)
    if _pooled(manifest):
        return None if len(shape) == 4 else f"head embedding expects one output [1, D, h, w], found {list(shape)}"
    if len(shape) < 2 or any(s not in (1, None) for s in (*shape[:1], *shape[2:])):
        return f"head embedding expects one output [1, D], found {list(shape)}"
    return None


HEAD = Head(("image-feature-extraction",), decode, misfit=misfit, params=("normalize", "pool"),
            choices={"pool": ("none", "mean")})  # fmt: skip
