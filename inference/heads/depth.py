"""Relative depth [1, h, w] or [1, 1, h, w] as a grey picture: near is bright, the range of the picture becomes 0..255.

params: near = "high" (default: inverse depth, as MiDaS, DPT and Depth Anything) | "low" (metres, as GLPN).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inference.heads import Head, Outputs, Shape, part
from inference.heads.semantic import fit_size, plane_of, resized
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import Origin, OutputImage


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> OutputImage:
    raw = part(outputs, manifest, "depth", 0)
    values = plane_of(raw, fit).astype(np.float32, copy=False)
    finite = np.isfinite(values)
    if not finite.all():  # as far as anything else, so that the others keep their contrast
        low = values[finite].min() if finite.any() else np.float32(0)
        values = np.where(finite, values, low)
    depth = resized(values, fit, fit_size(fit))
    low, high = float(depth.min()), float(depth.max())
    grey = (depth - low) / max(high - low, 1e-6)
    if manifest.postprocess.params.get("near") == "low":
        grey = 1 - grey
    pixels = np.repeat(np.rint(grey * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    return OutputImage(pixels, Origin(manifest.name, manifest.version, "algorithmicallyEnhanced"))


def misfit(outputs: Mapping[str, Shape], manifest: Manifest) -> str | None:
    shape = part(outputs, manifest, "depth", 0)
    return None if len(shape) in (3, 4) else f"head depth expects [1, h, w], found {list(shape)}"


HEAD = Head(("depth-estimation",), decode, misfit=misfit, whole_numbers=True, params=("near",))
